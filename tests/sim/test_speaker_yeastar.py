"""Yeastar's sender: the P-Series signs, the S-Series carries the secret, and what they tell is the story."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given, settings

from callbridge.intake.providers.base import Finished, Ignored
from callbridge.intake.providers.yeastar import YEASTAR as PROVIDER
from callbridge.sim.speakers.base import Credentials, Story, Told
from callbridge.sim.speakers.yeastar import CALL_END, NEW_CDR, YEASTAR
from support.stories import assert_told, stories, understood
from support.webhooks import NOW, a_source

QUICK = settings(max_examples=100, deadline=None)
SECRET = "9a1c5e7f2b4d6a8c9e0f1a2b3c4d5e6f"
OFFICE = Credentials(secret=SECRET, timezone="Asia/Tashkent")
SOURCE = a_source(provider="yeastar", secrets=(SECRET,), timezone="Asia/Tashkent")
TABLE = {"busy": "busy", "voicemail": "voicemail", "answered": "answered"}


@given(stories())
@QUICK
def test_a_story_comes_out_as_it_was_told(story):
    events = understood(YEASTAR, PROVIDER, story, OFFICE, SOURCE)
    ended = [event for event in events if isinstance(event, Finished)]
    assert len({event.call.key for event in ended}) == 1
    best = max(ended, key=lambda event: event.call.rank)
    assert_told(best.call, story)
    assert best.call.status == TABLE.get(story.status, "no_answer")
    assert bool(best.recording) == story.recorded
    if story.transferred:  # a second record in the S-Series, an event that is only counted in the P-Series
        assert len(ended) == 2 or events[0] == Ignored("30039")
    else:
        assert len(events) == 1


def test_a_call_between_employees_is_internal():
    for number in range(8):
        story = Story(
            f"r{number}", False, "302", "301", "+74955550100", 1_790_000_000, 4, 30, "answered", False, internal=True
        )
        (event,) = understood(YEASTAR, PROVIDER, story, OFFICE, SOURCE)
        call = event.call
        assert (call.direction, call.phone, call.extension, call.duration) == ("internal", "302", "301", 30)


def test_both_kinds_of_pbx_are_spoken():
    def told(number):
        story = Story(f"r{number}", True, "+79265550300", "301", "+74955550100", 1_790_000_000, 4, 0, "busy", False)
        return YEASTAR.tell(story, "UTC")[0]

    bodies = {thing.event: json.loads(thing.body) for thing in map(told, range(30))}
    assert set(bodies) == {CALL_END, NEW_CDR}
    assert isinstance(bodies[CALL_END]["msg"], str)
    assert bodies[NEW_CDR]["action"] == "NewCdr"


def test_the_p_series_signs_its_body_and_the_s_series_carries_the_secret():
    office = Credentials(SECRET, path_token="tok")
    sent = YEASTAR.sign(Told(CALL_END, b'{"type":30012}'), office, now=NOW, message_id="m")
    digest = hmac.new(SECRET.encode(), b'{"type":30012}', hashlib.sha256).digest()
    assert sent.headers["X-Signature"] == base64.b64encode(digest).decode()
    assert sent.path_suffix == "/tok"
    flat = YEASTAR.sign(Told(NEW_CDR, b"{}"), office, now=NOW, message_id="m")
    assert "X-Signature" not in flat.headers
    assert flat.path_suffix == f"/tok?token={SECRET}"


def test_without_a_credential_nothing_can_be_sent():
    with pytest.raises(ValueError, match="path token"):
        YEASTAR.sign(Told(CALL_END, b"{}"), Credentials(), now=NOW, message_id="m")
    assert YEASTAR.sign(Told(CALL_END, b"{}"), Credentials(path_token="t"), now=NOW, message_id="m").path_suffix == "/t"
