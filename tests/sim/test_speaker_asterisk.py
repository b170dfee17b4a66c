"""The Asterisk that our script speaks for: what it tells is accepted and comes out as the story."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from callbridge.call import Direction
from callbridge.intake.providers.asterisk import ASTERISK as PROVIDER
from callbridge.intake.providers.base import Finished
from callbridge.sim.speakers.asterisk import ASTERISK, CDR
from callbridge.sim.speakers.base import Credentials, Told
from support.stories import assert_told, stories, understood
from support.webhooks import NOW, a_source

QUICK = settings(max_examples=150, deadline=None)
OFFICE = Credentials(secret="dogmatix", timezone="Asia/Almaty")
SOURCE = a_source(provider="asterisk", secrets=("dogmatix",), timezone="Asia/Almaty")
TABLE = {"busy": "busy", "voicemail": "voicemail", "answered": "answered"}


def the_best(story) -> Finished:
    legs = understood(ASTERISK, PROVIDER, story, OFFICE, SOURCE)
    assert len({leg.call.key for leg in legs}) == 1
    return max(legs, key=lambda leg: leg.call.rank)


@given(stories())
@QUICK
def test_a_story_comes_out_as_it_was_told(story):
    best = the_best(story)
    assert_told(best.call, story)
    assert best.call.status == TABLE.get(story.status, "no_answer")
    assert bool(best.recording) == story.recorded


@given(stories())
@QUICK
def test_a_colleague_is_internal_and_keeps_both_extensions(story):
    call = the_best(replace(story, internal=True, inbound=False, phone="177", transferred=False)).call
    assert (call.direction, call.phone, call.extension) == (Direction.INTERNAL, "177", story.extension)


@given(stories())
@QUICK
def test_a_call_that_went_on_to_a_second_employee_has_two_records(story):
    records = [line for told in ASTERISK.tell(story, "UTC") for line in told.body.splitlines()]
    assert len(records) == 1 + story.transferred


def test_the_credential_is_the_secret_or_the_path_token():
    told = Told(CDR, b"uniqueid=1790000000.1&billsec=5")
    assert ASTERISK.sign(told, OFFICE, now=NOW, message_id="m").headers["Authorization"] == "Bearer dogmatix"
    assert ASTERISK.sign(told, Credentials(path_token="t"), now=NOW, message_id="m").path_suffix == "/t"
    with pytest.raises(ValueError, match="secret or a path token"):
        ASTERISK.sign(told, Credentials(), now=NOW, message_id="m")
