"""Signed webhooks: verified by the standard's own library and by hand, and the traffic made of them."""

from __future__ import annotations

import hashlib
import itertools
import json
from datetime import datetime
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as StandardWebhook

from callbridge.sim.entities import digits, seeded_number
from callbridge.sim.pbx import Auth, Credentials, MangoEvent, sign, sign_mango
from callbridge.sim.traffic import traffic

SIGNED = Credentials(secret="whsec_Y2FsbGJyaWRnZS1zYW1wbGUtc2VjcmV0LTAwMQ==")
MANGO = Credentials(key="sample-key", secret="sample-salt", path_token="tok")
NUMBERS = [seeded_number(n) for n in range(20)]
NOW = 1_800_000_000.0


def made(provider="generic", credentials=SIGNED, count=200, **options):
    return list(traffic(provider, credentials, count, **({"now": NOW, "seed": 5, "numbers": NUMBERS} | options)))


def fields(webhook):
    return {name: values[0] for name, values in parse_qs(webhook.body.decode(), strict_parsing=True).items()}


def test_the_standards_own_library_accepts_the_signature():
    body = '{"id": "Ж"}'.encode()
    webhook = sign("generic", SIGNED, body, now=datetime.now().astimezone().timestamp(), message_id="msg_1")
    assert StandardWebhook(SIGNED.secret).verify(webhook.body, webhook.headers) == {"id": "Ж"}
    assert webhook.headers["webhook-id"] == "msg_1"


def test_bearer_and_path_senders_prove_themselves_in_their_way():
    bearer = sign("generic", Credentials(secret="s3cret", auth=Auth.BEARER), b"{}", now=NOW, message_id="m")
    assert bearer.headers["Authorization"] == "Bearer s3cret"
    assert bearer.path_suffix == ""
    path = sign("generic", Credentials(path_token="tok", auth=Auth.PATH), b"{}", now=NOW, message_id="m")
    assert path.path_suffix == "/tok"
    assert path.headers == {"Content-Type": "application/json"}


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_mango_signs_exactly_the_json_that_it_sends(text):
    body = json.dumps({"note": text}, ensure_ascii=False).encode("utf-8", "replace")
    form = fields(sign_mango(MANGO, body))
    assert form["json"].encode() == body
    assert form["vpbx_api_key"] == MANGO.key
    assert form["sign"] == hashlib.sha256(f"{MANGO.key}{form['json']}{MANGO.secret}".encode()).hexdigest()


def test_mango_names_the_event_in_the_path_after_the_token():
    assert sign_mango(MANGO, b"{}", event=MangoEvent.RECORD_ADDED).path_suffix == "/tok/events/record/added"


@pytest.mark.parametrize(
    ("provider", "credentials"),
    [
        ("generic", Credentials(secret="not-whsec")),
        ("generic", Credentials(secret="whsec_***")),
        ("generic", Credentials(auth=Auth.PATH)),
        ("mango", Credentials(secret="s")),
        ("sipphone", SIGNED),
    ],
)
def test_missing_credentials_and_unknown_providers_are_explained(provider, credentials):
    with pytest.raises(ValueError) as caught:
        sign(provider, credentials, b"{}", now=NOW, message_id="m")
    assert len(str(caught.value)) > 20
    with pytest.raises(ValueError):
        made(provider, credentials, 1)


def test_credentials_are_not_shown():
    shown = repr(Credentials(secret="s3cret", key="k3y", path_token="t0k"))
    assert not any(secret in shown for secret in ("s3cret", "k3y", "t0k"))


@pytest.mark.parametrize(("provider", "credentials"), [("generic", SIGNED), ("mango", MANGO)])
def test_the_same_seed_makes_the_same_traffic_and_another_seed_other_calls(provider, credentials):
    assert made(provider, credentials, 30) == made(provider, credentials, 30)
    assert not {hook.body for hook in made(provider, credentials, 30)} & {
        hook.body for hook in made(provider, credentials, 30, seed=6)
    }


def test_generic_traffic_is_varied_and_within_the_contract():
    bodies = [json.loads(hook.body) for hook in made()]
    finished = [body for body in bodies if body["event"] == "call.finished"]
    recordings = [body for body in bodies if body["event"] == "call.recording"]
    assert len({body["id"] for body in finished}) == len(finished) == 200
    assert {body["direction"] for body in finished} == {"inbound", "outbound"}
    assert {type(body["status"]) for body in finished} == {int, str}
    assert {type(body["started_at"]) for body in finished} == {int, str}
    assert {body["status"] for body in finished} >= {1, 3, 4, 5, 6, 7, "answered", "no_answer", "busy"}
    assert all((body["duration"] > 0) == (body["status"] in {4, "answered"}) for body in finished)
    assert recordings
    assert {body["id"] for body in recordings} < {body["id"] for body in finished}
    assert all(body.keys() == {"event", "id", "link"} for body in recordings)
    tails = {digits(number)[-10:] for number in NUMBERS}
    assert all(digits(body["phone"])[-10:] in tails for body in finished)
    assert len({body["phone"] for body in finished}) > len(NUMBERS), "numbers are written in several ways"


def test_mango_traffic_tells_each_call_in_a_summary_and_recordings_apart():
    hooks = made("mango", MANGO)
    events = [(hook.path_suffix.removeprefix("/tok"), json.loads(fields(hook)["json"])) for hook in hooks]
    summaries = [body for event, body in events if event == MangoEvent.SUMMARY]
    assert len(summaries) == 200
    assert {body["call_direction"] for body in summaries} == {1, 2}
    for body in summaries:
        assert bool(body["entry_result"]) == (body["talk_time"] > 0) == (body["forward_time"] > 0)
        assert body["create_time"] <= body["end_time"] <= NOW
        assert body["talk_time"] == 0 or body["create_time"] < body["talk_time"] < body["end_time"]
    completed = [body for event, body in events if event == MangoEvent.RECORDING]
    added = [body for event, body in events if event == MangoEvent.RECORD_ADDED]
    assert completed
    assert [body["recording_id"] for body in completed] == [body["recording_id"] for body in added]
    assert {body["recording_state"] for body in completed} == {"Completed"}
    assert {body["entry_id"] for body in added} < {body["entry_id"] for body in summaries}


def test_duplicates_are_the_same_webhook_again():
    hooks = made(duplicates=0.2, recordings=0.0)
    repeated = [hook for before, hook in itertools.pairwise(hooks) if before == hook]
    assert len(hooks) == 200 + len(repeated)
    assert 10 < len(repeated) < 90


def test_unknown_numbers_are_not_among_the_given_ones():
    tails = {digits(number)[-10:] for number in NUMBERS}
    phones = [json.loads(hook.body)["phone"] for hook in made(unknown=0.3, recordings=0.0)]
    strangers = [phone for phone in phones if digits(phone)[-10:] not in tails]
    assert 20 < len(strangers) < 110
    assert len(made(numbers=[], count=3)) >= 3


def test_a_long_run_is_signed_with_the_time_of_each_webhook():
    times = iter(range(1_800_000_000, 1_800_001_000))
    hooks = made(now=lambda: float(next(times)), count=5, recordings=0.0)
    assert len({hook.headers["webhook-timestamp"] for hook in hooks}) == 5
