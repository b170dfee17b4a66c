"""Mango's sender, checked by hand against the vendor's rule."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.sim.entities import seeded_number
from callbridge.sim.speakers.base import Credentials, Told
from callbridge.sim.speakers.mango import MANGO, RECORD_ADDED, RECORDING, SUMMARY
from callbridge.sim.traffic import Mix, traffic

CITY = Credentials(key="sample-key", secret="sample-salt", path_token="tok")
NOW = 1_800_000_000.0


def fields(webhook):
    return {name: values[0] for name, values in parse_qs(webhook.body.decode(), strict_parsing=True).items()}


def signed(event, body):
    return MANGO.sign(Told(event, body), CITY, now=NOW, message_id="m")


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_exactly_the_json_that_is_sent_is_signed(text):
    body = json.dumps({"note": text}, ensure_ascii=False).encode("utf-8", "replace")
    form = fields(signed(SUMMARY, body))
    assert form["json"].encode() == body
    assert form["vpbx_api_key"] == CITY.key
    assert form["sign"] == hashlib.sha256(f"{CITY.key}{form['json']}{CITY.secret}".encode()).hexdigest()


def test_the_event_is_in_the_path_after_the_token():
    assert signed(RECORD_ADDED, b"{}").path_suffix == "/tok/events/record/added"


@pytest.mark.parametrize("credentials", [Credentials(secret="s"), Credentials(key="k"), Credentials(path_token="t")])
def test_without_key_and_salt_nothing_can_be_signed(credentials):
    with pytest.raises(ValueError, match="mango needs"):
        MANGO.sign(Told(SUMMARY, b"{}"), credentials, now=NOW, message_id="m")


def test_each_call_is_told_in_a_summary_and_its_recordings_apart():
    numbers = [seeded_number(n) for n in range(20)]
    hooks = traffic(MANGO, CITY, 200, now=lambda: NOW, seed=5, numbers=numbers, mix=Mix(internal=0.1))
    events = [(hook.path_suffix.removeprefix("/tok/"), json.loads(fields(hook)["json"])) for hook in hooks]
    summaries = [body for event, body in events if event == SUMMARY]
    assert len(summaries) == 200
    assert {body["call_direction"] for body in summaries} == {0, 1, 2}
    for body in summaries:
        assert bool(body["entry_result"]) == (body["talk_time"] > 0) == (body["forward_time"] > 0)
        assert body["create_time"] <= body["end_time"] <= NOW
        assert body["talk_time"] == 0 or body["create_time"] < body["talk_time"] < body["end_time"]
        assert ("number" in body["to"]) == (body["call_direction"] > 0)
    completed = [body for event, body in events if event == RECORDING]
    added = [body for event, body in events if event == RECORD_ADDED]
    assert completed
    assert [body["recording_id"] for body in completed] == [body["recording_id"] for body in added]
    assert {body["recording_state"] for body in completed} == {"Completed"}
    assert {body["entry_id"] for body in added} < {body["entry_id"] for body in summaries}
