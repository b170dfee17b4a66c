"""onlinePBX's sender: three wrappings, with the token in the address, and what it tells is the story."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from callbridge.intake.providers.base import Finished, Ignored
from callbridge.intake.providers.onlinepbx import ONLINEPBX as PROVIDER
from callbridge.sim.speakers.base import Credentials, Story, Told
from callbridge.sim.speakers.onlinepbx import END, ONLINEPBX
from support.stories import assert_told, finished, stories, understood
from support.webhooks import NOW, a_source

QUICK = settings(max_examples=100, deadline=None)
OFFICE = Credentials(secret="opbx-token-77")
SOURCE = a_source(provider="onlinepbx", secrets=("opbx-token-77",))


@given(stories())
@QUICK
def test_a_story_comes_out_as_it_was_told(story):
    events = understood(ONLINEPBX, PROVIDER, story, OFFICE, SOURCE)
    calls = [event.call for event in events if isinstance(event, Finished)]
    assert len({call.key for call in calls}) == 1
    for call in calls:
        assert_told(call, story)
        assert call.status == ("no_answer" if story.status == "voicemail" else story.status)
        assert bool(call.link) == story.recorded
    assert len(calls) <= (2 if story.inbound and not story.talk else 1)
    assert events[0] == Ignored("call_start")
    assert (events[1] == Ignored("call_answered")) == (story.talk > 0)


def test_a_call_between_employees_is_internal():
    story = Story("r1", False, "302", "301", "+74955550100", 1_790_000_000, 4, 30, "answered", False, internal=True)
    call = finished(understood(ONLINEPBX, PROVIDER, story, OFFICE, SOURCE))
    assert (call.direction, call.phone, call.extension, call.duration) == ("internal", "302", "301", 30)


def test_each_wrapping_is_spoken_and_named_by_its_content_type():
    def sent(number):
        story = Story(f"r{number}", False, "+79265550300", "301", "+74955550100", 1_790_000_000, 4, 0, "busy", False)
        return ONLINEPBX.sign(ONLINEPBX.tell(story, "UTC")[-1], OFFICE, now=NOW, message_id="m")

    kinds = {webhook.headers["Content-Type"].partition(";")[0]: webhook.body[:2] for webhook in map(sent, range(20))}
    assert kinds == {
        "application/json": b'{"',
        "application/x-www-form-urlencoded": b"ev",
        "multipart/form-data": b"--",
    }


def test_the_token_is_in_the_address():
    sent = ONLINEPBX.sign(Told(END, b"x=1"), Credentials("s 1", path_token="tok"), now=NOW, message_id="m")
    assert (sent.method, sent.path_suffix, sent.body) == ("POST", "/tok?token=s+1", b"x=1")
    with pytest.raises(ValueError, match="path token"):
        ONLINEPBX.sign(Told(END, b"x=1"), Credentials(), now=NOW, message_id="m")
