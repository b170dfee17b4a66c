"""Zadarma's sender: what it signs is accepted, and what it tells is the story."""

from __future__ import annotations

import base64
import hashlib
import hmac
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings

from callbridge.intake.providers.zadarma import ZADARMA as PROVIDER
from callbridge.sim.speakers.base import Credentials, Told
from callbridge.sim.speakers.zadarma import END, OUT_END, ZADARMA
from support.stories import assert_told, finished, recordings, stories, understood
from support.webhooks import NOW, a_source

QUICK = settings(max_examples=100, deadline=None)
OFFICE = Credentials(secret="zd-secret-1932", path_token="tok", timezone="Asia/Bishkek")
SOURCE = a_source(provider="zadarma", secrets=("zd-secret-1932",), timezone="Asia/Bishkek")
TABLE = {"busy": "busy", "wrong_number": "wrong_number", "answered": "answered"}


@given(stories())
@QUICK
def test_a_story_comes_out_as_it_was_told(story):
    events = understood(ZADARMA, PROVIDER, story, Credentials("zd-secret-1932", timezone="Asia/Bishkek"), SOURCE)
    call = finished(events)
    assert_told(call, story)
    assert call.status == TABLE.get(story.status, "no_answer")
    recorded = recordings(events)
    assert len(recorded) == story.recorded
    assert all((event.ref, event.link) == (call.ref, None) and event.recording for event in recorded)


def test_the_signature_covers_the_three_fields_of_its_event():
    body = b"event=NOTIFY_OUT_END&internal=101&destination=79165550170&call_start=2026-09-21+16%3A55%3A00&duration=5"
    webhook = ZADARMA.sign(Told(OUT_END, body), OFFICE, now=NOW, message_id="m")
    digest = hmac.new(b"zd-secret-1932", b"101791655501702026-09-21 16:55:00", hashlib.sha1).hexdigest()
    assert webhook.headers["Signature"] == base64.b64encode(digest.encode()).decode()
    assert (webhook.method, webhook.path_suffix, webhook.body) == ("POST", "/tok", body)


@given(stories())
@QUICK
def test_the_recording_is_named_alike_in_both_events(story):
    told = [parse_qs(thing.body.decode(), keep_blank_values=True) for thing in ZADARMA.tell(story, "UTC")]
    assert {body["pbx_call_id"][0] for body in told} == {told[0]["pbx_call_id"][0]}
    assert len({body["call_id_with_rec"][0] for body in told}) == 1
    assert told[0]["is_recorded"] == [str(int(story.recorded))]


def test_without_the_secret_nothing_can_be_signed():
    with pytest.raises(ValueError, match="API secret"):
        ZADARMA.sign(Told(END, b"event=NOTIFY_END"), Credentials(path_token="t"), now=NOW, message_id="m")
