"""The simulated FreeSWITCH: both legs of what it tells come out as the story, however the module is told to encode."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import Direction
from callbridge.intake.providers.base import Finished
from callbridge.intake.providers.freeswitch import FREESWITCH as PROVIDER
from callbridge.sim.speakers.base import FORM, JSON, Credentials, Story, Told
from callbridge.sim.speakers.freeswitch import CDR, FREESWITCH, _url_encoded
from support.stories import assert_told, stories, understood
from support.webhooks import NOW, a_source

QUICK = settings(max_examples=150, deadline=None)
OFFICE = Credentials(secret="vitalstatistix", key="village", timezone="Europe/Kyiv")
SOURCE = a_source(provider="freeswitch", secrets=("vitalstatistix",), key="village", timezone="Europe/Kyiv")

STORY = Story("call-1", True, "+79165550190", "104", "+74955550100", 1_790_000_000, 5, 60, "answered", True)


def the_legs(story) -> list[Finished]:
    return [event for event in understood(FREESWITCH, PROVIDER, story, OFFICE, SOURCE) if isinstance(event, Finished)]


@given(stories())
@QUICK
def test_a_story_comes_out_as_it_was_told(story):
    legs = the_legs(story)
    assert len({leg.call.key for leg in legs}) == 1
    best = max(legs, key=lambda leg: leg.call.rank)
    assert_told(best.call, story)
    assert best.call.status == story.status
    assert any(leg.recording for leg in legs) == story.recorded


@given(stories())
@QUICK
def test_either_leg_tells_who_called_whom(story):
    legs = the_legs(story)
    assert len(legs) == (2 if story.talk else 1)
    for leg in legs:
        assert_told(leg.call, story)


@given(stories())
@QUICK
def test_a_colleague_is_internal_and_keeps_both_extensions(story):
    for leg in the_legs(replace(story, internal=True, inbound=False, phone="177")):
        assert (leg.call.direction, leg.call.phone) == (Direction.INTERNAL, "177")
        assert leg.call.extension == story.extension


def test_all_three_encodings_are_told_with_their_content_types():
    kinds = set()
    for number in range(40):
        story = replace(STORY, ref=f"call-{number}")
        for told in FREESWITCH.tell(story, "UTC"):
            kinds.add(FREESWITCH.sign(told, OFFICE, now=NOW, message_id="m").headers["Content-Type"])
    assert kinds == {JSON, FORM, "application/x-www-form-base64-encoded"}


def test_the_credential_is_basic_and_the_uuid_is_appended():
    webhook = FREESWITCH.sign(Told(CDR, b"{}"), replace(OFFICE, path_token="tok"), now=NOW, message_id="m")
    assert base64.b64decode(webhook.headers["Authorization"].removeprefix("Basic ")) == b"village:vitalstatistix"
    assert webhook.path_suffix.startswith("/tok?uuid=")
    with pytest.raises(ValueError, match="path token"):
        FREESWITCH.sign(Told(CDR, b"{}"), Credentials(), now=NOW, message_id="m")


@given(st.text(max_size=30))
@QUICK
def test_what_is_encoded_twice_is_encoded_once(text):
    assert _url_encoded(_url_encoded(text)) == _url_encoded(text)
