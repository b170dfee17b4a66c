"""The canonical webhook's sender: signatures that the standard's own library accepts, and every spelling of the contract."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from standardwebhooks.webhooks import Webhook as StandardWebhook

from callbridge.sim.entities import digits, seeded_number
from callbridge.sim.speakers.base import Auth, Credentials, Told
from callbridge.sim.speakers.generic import FINISHED, GENERIC
from callbridge.sim.traffic import Mix, traffic

SIGNED = Credentials(secret="whsec_Y2FsbGJyaWRnZS1zYW1wbGUtc2VjcmV0LTAwMQ==")
NUMBERS = [seeded_number(n) for n in range(20)]
NOW = 1_800_000_000.0


def signed(body, credentials=SIGNED, now=NOW):
    return GENERIC.sign(Told(FINISHED, body), credentials, now=now, message_id="msg_1")


def test_the_standards_own_library_accepts_the_signature():
    webhook = signed('{"id": "Ж"}'.encode(), now=datetime.now().astimezone().timestamp())
    assert StandardWebhook(SIGNED.secret).verify(webhook.body, webhook.headers) == {"id": "Ж"}
    assert webhook.headers["webhook-id"] == "msg_1"


def test_bearer_and_path_senders_prove_themselves_in_their_way():
    bearer = signed(b"{}", Credentials(secret="s3cret", auth=Auth.BEARER))
    assert bearer.headers["Authorization"] == "Bearer s3cret"
    assert bearer.path_suffix == ""
    path = signed(b"{}", Credentials(path_token="tok", auth=Auth.PATH))
    assert path.path_suffix == "/tok"
    assert path.headers == {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "credentials",
    [Credentials(), Credentials(secret="whsec_***"), Credentials(auth=Auth.PATH), Credentials(auth=Auth.BEARER)],
)
def test_what_cannot_be_signed_with_is_explained(credentials):
    with pytest.raises(ValueError) as caught:
        signed(b"{}", credentials)
    assert len(str(caught.value)) > 20


def test_its_calls_are_varied_and_within_the_contract():
    hooks = traffic(GENERIC, SIGNED, 300, now=lambda: NOW, seed=5, numbers=NUMBERS, mix=Mix(internal=0.1))
    bodies = [json.loads(hook.body) for hook in hooks]
    finished = [body for body in bodies if body["event"] == "call.finished"]
    recordings = [body for body in bodies if body["event"] == "call.recording"]
    assert len({body["id"] for body in finished}) == len(finished) == 300
    assert {body["direction"] for body in finished} == {"inbound", "outbound", "internal"}
    assert {type(body["status"]) for body in finished} == {int, str}
    assert {type(body["started_at"]) for body in finished} == {int, str}
    assert {body["status"] for body in finished} >= {1, 3, 4, 5, 6, 7, "answered", "no_answer", "busy"}
    assert all((body["duration"] > 0) == (body["status"] in {4, "answered"}) for body in finished)
    assert recordings
    assert {body["id"] for body in recordings} < {body["id"] for body in finished}
    assert all(body.keys() == {"event", "id", "link"} for body in recordings)
    outside = [body["phone"] for body in finished if body["direction"] != "internal"]
    assert {digits(phone)[-10:] for phone in outside} <= {digits(number)[-10:] for number in NUMBERS}
    assert len(set(outside)) > len(NUMBERS), "numbers are written in several ways"
    assert all(len(body["phone"]) == 3 for body in finished if body["direction"] == "internal")
