"""Binotel's sender: PHP arrays in forms, with the token in the address, and what it tells is the story."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings

from callbridge.intake.providers.base import Challenge, Ignored
from callbridge.intake.providers.binotel import BINOTEL as PROVIDER
from callbridge.sim.speakers.base import Credentials, Told
from callbridge.sim.speakers.binotel import BINOTEL, COMPLETED
from support.stories import assert_told, finished, stories, understood
from support.webhooks import NOW, a_source

QUICK = settings(max_examples=100, deadline=None)
OFFICE = Credentials(secret="bn-token-77")
SOURCE = a_source(provider="binotel", secrets=("bn-token-77",))
TABLE = {"busy": "busy", "unavailable": "unavailable", "voicemail": "voicemail", "answered": "answered"}


@given(stories())
@QUICK
def test_a_story_comes_out_as_it_was_told(story):
    events = understood(BINOTEL, PROVIDER, story, OFFICE, SOURCE)
    call = finished(events)
    assert_told(call, story)
    assert call.status == TABLE.get(story.status, "no_answer")
    assert bool(call.link) == story.recorded
    assert isinstance(events[0], Challenge)
    assert events[1] == Ignored("hangupTheCall")


@given(stories())
@QUICK
def test_the_tree_is_written_as_php_writes_it(story):
    (body,) = (parse_qs(thing.body.decode()) for thing in BINOTEL.tell(story, "UTC") if thing.event == COMPLETED)
    assert body["callDetails[employeeData][email]"] == [f"e{story.extension}@example.com"]
    last = 1 if story.transferred else 0
    assert body[f"callDetails[historyData][{last}][billsec]"] == [str(story.talk)]
    assert body["callDetails[disposition]"][0] == "TRANSFER" if story.transferred else "TRANSFER" not in str(body)


def test_the_token_is_in_the_address():
    sent = BINOTEL.sign(Told(COMPLETED, b"x=1"), Credentials("s 1", path_token="tok"), now=NOW, message_id="m")
    assert (sent.method, sent.path_suffix, sent.body) == ("POST", "/tok?token=s+1", b"x=1")
    with pytest.raises(ValueError, match="path token"):
        BINOTEL.sign(Told(COMPLETED, b"x=1"), Credentials(), now=NOW, message_id="m")
