"""Sipuni's sender: by GET and by form, with the token in the address, and what it tells is the story."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings

from callbridge.intake.providers.base import Ignored
from callbridge.intake.providers.sipuni import SIPUNI as PROVIDER
from callbridge.sim.speakers.base import Credentials, Story, Told
from callbridge.sim.speakers.sipuni import HANGUP, SIPUNI
from support.stories import assert_told, finished, stories, understood
from support.webhooks import NOW, a_source

QUICK = settings(max_examples=100, deadline=None)
OFFICE = Credentials(secret="sip token & 77")
SOURCE = a_source(provider="sipuni", secrets=("sip token & 77",))
TABLE = {"busy": "busy", "unavailable": "unavailable", "answered": "answered"}


@given(stories())
@QUICK
def test_a_story_comes_out_as_it_was_told(story):
    events = understood(SIPUNI, PROVIDER, story, OFFICE, SOURCE)
    call = finished(events)
    assert_told(call, story)
    assert call.status == TABLE.get(story.status, "no_answer")
    assert bool(call.link) == story.recorded
    ignored = [event for event in events if isinstance(event, Ignored)]
    legs = [Ignored("secondary_hangup")] if story.transferred else []
    assert ignored == [Ignored("call"), *legs, *([Ignored("answer")] if story.talk else [])]


def test_a_call_between_employees_is_internal():
    story = Story("r1", False, "302", "301", "+74955550100", 1_790_000_000, 4, 30, "answered", False, internal=True)
    call = finished(understood(SIPUNI, PROVIDER, story, OFFICE, SOURCE))
    assert (call.direction, call.phone, call.extension, call.duration) == ("internal", "302", "301", 30)


def test_some_events_come_by_get_and_some_by_form_and_each_carries_the_token():
    told = [Told(HANGUP, f"event=2&call_id={number}".encode()) for number in range(20)]
    office = Credentials(secret="s 1", path_token="tok")
    sent = [SIPUNI.sign(one, office, now=NOW, message_id="m") for one in told]
    assert {webhook.method for webhook in sent} == {"GET", "POST"}
    for webhook, one in zip(sent, told, strict=True):
        path, _, query = webhook.path_suffix.partition("?")
        assert path == "/tok"
        assert parse_qs(query)["token"] == ["s 1"]
        assert (webhook.body == one.body) if webhook.method == "POST" else query.endswith(one.body.decode())


def test_without_a_credential_nothing_can_be_sent():
    with pytest.raises(ValueError, match="path token"):
        SIPUNI.sign(Told(HANGUP, b"event=2"), Credentials(), now=NOW, message_id="m")
