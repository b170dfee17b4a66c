"""The sender of UIS: it fills in the templates that are shipped, and what it tells is the story."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import Direction
from callbridge.intake.providers.uis import UIS as PROVIDER
from callbridge.sim.speakers.base import Credentials, Told
from callbridge.sim.speakers.uis import FINISHED, UIS
from support.stories import assert_told, finished, recordings, stories, understood
from support.webhooks import NOW, a_source

QUICK = settings(max_examples=100, deadline=None)
OFFICE = Credentials(secret="uis «secret»", timezone="Europe/Moscow")
SOURCE = a_source(provider="uis", secrets=("uis «secret»",))
TEMPLATES = Path(__file__).parents[2] / "deploy" / "uis"


@given(stories())
@QUICK
def test_a_story_comes_out_as_it_was_told(story):
    events = understood(UIS, PROVIDER, story, OFFICE, SOURCE)
    call = finished(events)
    assert_told(call, story)
    assert call.status == ("no_answer" if story.status == "voicemail" else story.status)
    recorded = recordings(events)
    assert len(recorded) == story.recorded
    assert all(event.ref == call.ref and event.link for event in recorded)


@given(stories())
@QUICK
def test_a_call_between_employees_is_told_as_one(story):
    inside = replace(story, internal=True, inbound=False, phone="102", recorded=False)
    call = finished(understood(UIS, PROVIDER, inside, OFFICE, SOURCE))
    assert (call.direction, call.phone, call.extension) == (Direction.INTERNAL, "102", story.extension)


@given(stories().filter(lambda story: story.recorded), st.sampled_from([(0, "call_finished"), (1, "recorded_call")]))
@QUICK
def test_it_fills_in_the_templates_that_are_shipped(story, which):
    place, template = which
    told = json.loads(UIS.tell(story, "Europe/Moscow")[place].body)
    text = (TEMPLATES / f"{template}.json").read_text()
    filled = re.sub(r"\{\{(\w+)\}\}", lambda match: json.dumps(told[match[1]]), text)
    assert json.loads(filled) == {"integration_key": "WRITE-YOUR-SECRET-HERE"} | told


def test_the_secret_stands_first_in_the_body_and_not_twice():
    sent = UIS.sign(Told(FINISHED, b'{"a": 1}'), OFFICE, now=NOW, message_id="m")
    assert json.loads(sent.body) == {"integration_key": OFFICE.secret, "a": 1}
    assert UIS.sign(Told(FINISHED, sent.body), OFFICE, now=NOW, message_id="m").body == sent.body
    alone = UIS.sign(Told(FINISHED, b"{}"), OFFICE, now=NOW, message_id="m")
    assert json.loads(alone.body) == {"integration_key": OFFICE.secret}


def test_without_a_secret_nothing_can_be_sent_but_to_a_secret_path():
    with pytest.raises(ValueError, match="secret of its templates"):
        UIS.sign(Told(FINISHED, b"{}"), Credentials(), now=NOW, message_id="m")
    sent = UIS.sign(Told(FINISHED, b"{}"), Credentials(path_token="tok"), now=NOW, message_id="m")
    assert (sent.path_suffix, sent.body) == ("/tok", b"{}")
