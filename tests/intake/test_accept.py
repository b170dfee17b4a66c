"""Verify, parse, store, answer: what reaches the inbox, and what a stranger learns."""

from __future__ import annotations

import json
from types import SimpleNamespace
from urllib.parse import quote, urlencode

import pytest
import structlog

from callbridge.call import (
    FinishedCall,
    IgnoredEvent,
    ReceiptKind,
    RecordingReady,
    UndecodableWebhook,
    Webhook,
)
from callbridge.errors import MethodRefused, Misconfigured, StoreUnavailable, Unauthenticated
from callbridge.intake import accept
from callbridge.intake.accept import Acceptor
from conftest import SOURCES
from support.webhooks import (
    MANGO_KEY,
    MANGO_SALT,
    NOW,
    OLD_SECRET,
    SECRET,
    MemoryInbox,
    a_request,
    a_source,
    mango_form,
    signed,
)

CALL = {"id": "a-1", "direction": "inbound", "phone": "+7 916 555-01-51", "duration": 8, "started_at": 1_790_000_001}
BODY = json.dumps(CALL).encode()
TOKEN = "c0ffee-and-tea"
SUMMARY = {"entry_id": "e-1", "call_direction": 1, "from": {"number": "79165550151"}, "create_time": 1_790_000_001}


@pytest.fixture
def inbox() -> MemoryInbox:
    return MemoryInbox()


@pytest.fixture
def acceptor(inbox) -> Acceptor:
    return Acceptor(SOURCES, inbox, lambda: NOW)


async def test_a_call_reaches_the_inbox_with_its_account_hold_and_bytes(acceptor, inbox):
    accepted = await acceptor.accept("both", a_request(BODY, signed(BODY), path=(TOKEN,)))
    (arrival,) = inbox.arrivals
    assert isinstance(arrival, FinishedCall)
    assert (arrival.account, arrival.hold, arrival.webhook) == ("main", 120.0, Webhook("call.finished", BODY))
    assert (arrival.call.source, arrival.call.ref) == ("both", "a-1")
    assert [receipt.kind for receipt in accepted.receipts] == [ReceiptKind.STORED]
    assert json.loads(accepted.reply.body)


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
async def test_either_live_secret_is_accepted(acceptor, inbox, secret):
    await acceptor.accept("office", a_request(BODY, signed(BODY, secret)))
    assert len(inbox.arrivals) == 1


@pytest.mark.parametrize(
    ("source", "path", "headers"),
    [
        ("office", (), {}),
        ("office", (), signed(BODY, at=NOW - 301)),
        ("office", (), signed(BODY, at=NOW + 301)),
        ("office", (), signed(BODY + b" ")),
        ("bearer", (), {"authorization": "Bearer open sesam"}),
        ("bearer", (), signed(BODY)),
        ("token", (), {}),
        ("token", ("c0ffee-and-te",), {}),
        ("token", ("x", TOKEN), {}),
        ("both", (TOKEN,), {}),
        ("both", (), signed(BODY)),
        ("both", ("x",), signed(BODY)),
        ("nobody", (), signed(BODY)),
        ("nobody", (TOKEN,), {}),
        ("decoy", (), signed(BODY, "")),
        ("", (), {}),
        ("\udcff", (), {}),
    ],
)
async def test_a_bad_credential_stores_nothing(acceptor, inbox, source, path, headers):
    with pytest.raises(Unauthenticated):
        await acceptor.accept(source, a_request(BODY, headers, path=path))
    assert not inbox.entered.is_set()


async def test_without_any_source_nothing_is_accepted(inbox):
    with pytest.raises(Unauthenticated):
        await Acceptor({}, inbox, lambda: NOW).accept("office", a_request(BODY, signed(BODY)))


@pytest.mark.parametrize("source", list(SOURCES))
async def test_an_unknown_source_costs_the_same_steps_as_a_known_one(monkeypatch, inbox, source):
    """The provider of an unknown name verifies too, against secrets that are not the real ones."""
    acceptor = Acceptor({source: SOURCES[source]}, inbox, lambda: NOW)
    seen = []
    provider = SOURCES[source].provider
    spy = SimpleNamespace(methods={"POST"}, greet=lambda *_: None, verify=lambda *asked: seen.append(asked))
    monkeypatch.setattr(accept, "provider_named", {provider: spy}.get)
    with pytest.raises(Unauthenticated):
        await acceptor.accept("nobody", a_request(BODY, path=("x",)))
    ((request, asked, _),) = seen
    known = SOURCES[source]
    assert (asked.provider, asked.auth, len(asked.secrets)) == (known.provider, known.auth, len(known.secrets))
    assert not set(asked.secrets) & set(known.secrets)
    assert (asked.path_token is None) == (known.path_token is None)
    assert request.path == (("x",) if known.path_token is None else ())


async def test_an_undecodable_body_is_kept_as_it_came(acceptor, inbox):
    body = b'{"id": "a-1", "direction": '
    accepted = await acceptor.accept("office", a_request(body, signed(body)))
    (arrival,) = inbox.arrivals
    assert isinstance(arrival, UndecodableWebhook)
    assert (arrival.account, arrival.source, arrival.provider) == ("main", "office", "generic")
    assert arrival.webhook.body == body
    assert "not JSON" in arrival.problem
    assert accepted.receipts[0].kind is ReceiptKind.STORED


@pytest.mark.parametrize(
    ("own", "phone", "direction"),
    [
        (("+7 (916) 555-01-51",), "89165550151", "internal"),
        (("+7 (916) 555-01-52",), "89165550151", "inbound"),
        (("reception",), "", "inbound"),
        (("reception",), "anna", "inbound"),
    ],
)
async def test_a_call_with_one_of_our_own_numbers_is_internal_and_a_hidden_number_is_none(inbox, own, phone, direction):
    acceptor = Acceptor({"office": a_source(own_numbers=own)}, inbox, lambda: NOW)
    body = json.dumps(CALL | {"phone": phone}).encode()
    await acceptor.accept("office", a_request(body, signed(body)))
    assert inbox.arrivals[0].call.direction == direction


@pytest.mark.parametrize("provider", ["sipuni", "uis", "preset:telphin"])
async def test_two_gets_that_nobody_can_read_are_kept_as_two(inbox, provider):
    source = a_source(provider=provider, secrets=(TOKEN,))
    acceptor = Acceptor({"office": source}, inbox, lambda: NOW)
    asked = {"event": "2", "EventType": "hangup", "talk_time_duration": "x", "token": TOKEN}
    for number in (1, 2):
        query = urlencode(asked | {"number": number})
        await acceptor.accept("office", a_request(method="GET", query=query))
    first, second = inbox.arrivals
    assert isinstance(first, UndecodableWebhook)
    assert b"number=1" in first.webhook.body
    assert b"number=2" in second.webhook.body


IN_THE_OPEN = 'pepper & "salt"/0815'
LINK = "https://records.example.com/7.mp3"


@pytest.mark.parametrize("live", [(IN_THE_OPEN,), ("the next one", IN_THE_OPEN)])
@pytest.mark.parametrize(
    ("provider", "body", "query"),
    [
        ("megafon", urlencode({"cmd": "history", "callid": "m-1", "crm_token": IN_THE_OPEN}).encode(), ""),
        ("megafon", urlencode({"cmd": "history", "crm_token": IN_THE_OPEN}, quote_via=quote).encode(), ""),
        ("uis", json.dumps({"event": "call.finished", "integration_key": IN_THE_OPEN}).encode(), ""),
        ("uis", json.dumps({"call_session_id": 7, "file_link": LINK, "integration_key": IN_THE_OPEN}).encode(), ""),
        ("preset:aircall", json.dumps({"event": "call.ended", "token": IN_THE_OPEN}).encode(), ""),
        ("sipuni", b"", urlencode({"event": "2", "call_id": "s-1", "token": IN_THE_OPEN})),
        ("preset:cloudevents", b'{"type": "call.finished", "id": "c-1"}', urlencode({"access_token": IN_THE_OPEN})),
    ],
)  # fmt: skip
async def test_what_is_kept_holds_no_secret(inbox, provider, body, query, live):
    acceptor = Acceptor({"office": a_source(provider=provider, secrets=live)}, inbox, lambda: NOW)
    await acceptor.accept("office", a_request(body, method="POST" if body else "GET", query=query))
    (arrival,) = inbox.arrivals
    assert arrival.webhook.body
    assert b"salt" not in arrival.webhook.body
    assert (b"***" in arrival.webhook.body) is (provider != "preset:cloudevents")


async def test_a_secret_too_short_to_hide_leaves_what_is_kept_as_it_is(inbox):
    body = b"cmd=history&callid=1&crm_token=1"
    await Acceptor({"office": a_source(provider="megafon", secrets=("1",))}, inbox, lambda: NOW).accept(
        "office", a_request(body)
    )
    assert inbox.arrivals[0].webhook.body == body


async def test_an_undecodable_mango_event_keeps_its_name_and_form(acceptor, inbox):
    body = mango_form(SUMMARY | {"entry_id": None})
    await acceptor.accept("mango", a_request(body, path=("events", "summary")))
    (arrival,) = inbox.arrivals
    assert isinstance(arrival, UndecodableWebhook)
    assert arrival.webhook == Webhook("events/summary", body)
    assert arrival.problem == "entry_id is missing"


async def test_each_element_of_an_array_arrives_as_what_it_is(acceptor, inbox):
    body = (
        b"[" + BODY + b',{"id":null},{"event":"x"},{"event":"call.recording","id":"a-1","link":"https://r.example/1"}]'
    )
    accepted = await acceptor.accept("office", a_request(body, signed(body)))
    assert [type(arrival) for arrival in inbox.arrivals] == [
        FinishedCall,
        UndecodableWebhook,
        IgnoredEvent,
        RecordingReady,
    ]
    assert inbox.arrivals[0].webhook.body == BODY
    assert inbox.arrivals[1].webhook.body == b'{"id":null}'
    assert len(accepted.receipts) == 4


async def test_a_path_token_is_taken_off_before_mango_looks_for_the_event(acceptor, inbox):
    await acceptor.accept("mango-token", a_request(mango_form({}), path=(TOKEN, "events", "call")))
    assert inbox.arrivals == [IgnoredEvent("mango-token", "events/call")]
    with pytest.raises(Unauthenticated):
        await acceptor.accept("mango-token", a_request(mango_form({}), path=("events", "call")))


async def test_a_get_is_refused_only_after_the_credential_held(acceptor, inbox):
    with pytest.raises(MethodRefused) as refused:
        await acceptor.accept("token", a_request(b"", method="GET", path=(TOKEN,)))
    assert refused.value.allowed == ("POST",)
    with pytest.raises(Unauthenticated):
        await acceptor.accept("token", a_request(b"", method="GET", path=("x",)))
    assert not inbox.arrivals


async def test_when_the_store_is_unavailable_nothing_is_acknowledged(acceptor, inbox):
    inbox.error = StoreUnavailable("no")
    with pytest.raises(StoreUnavailable):
        await acceptor.accept("office", a_request(BODY, signed(BODY)))


@pytest.mark.parametrize(
    "changes",
    [{"provider": "fax"}, {"secrets": ("whsec_???",)}, {"secrets": ()}, {"provider": "mango", "key": None}],
)
def test_a_source_that_could_never_be_verified_stops_the_start(inbox, changes):
    with pytest.raises(Misconfigured, match=r"sources\.office\."):
        Acceptor({"office": a_source(**changes)}, inbox, lambda: NOW)


async def test_each_webhook_is_one_event_in_the_log_without_anything_private(acceptor):
    array = b"[" + BODY + b',{"id":"secret\\u202eid","phone":"+79165550152"}]'
    with structlog.testing.capture_logs() as logged:
        await acceptor.accept("both", a_request(BODY, signed(BODY), path=(TOKEN,)))
        await acceptor.accept("office", a_request(array, signed(array)))
        await acceptor.accept("mango", a_request(mango_form(SUMMARY), path=("events", "summary")))
        for source, path in (("both", ("wr0ng-token",)), ("no-such-source", ("wr0ng-token",))):
            with pytest.raises(Unauthenticated):
                await acceptor.accept(source, a_request(BODY, signed(BODY), path=path))
    assert [(line["event"], line["source"], line["log_level"]) for line in logged] == [
        ("webhook.accepted", "both", "info"),
        ("webhook.accepted", "office", "warning"),
        ("webhook.accepted", "mango", "info"),
        ("webhook.refused", "both", "warning"),
        ("webhook.refused", "unknown", "warning"),
    ]
    assert logged[0]["receipts"] == "stored"
    assert logged[1]["receipts"] == {"stored": 2}
    assert logged[1]["undecodable"] == 1
    assert [line["reason"] for line in logged[3:]] == ["bad_path_token", "unknown_source"]
    text = str(logged)
    for private in ("916", "5550151", TOKEN, SECRET, MANGO_KEY, MANGO_SALT, "wr0ng", "no-such-source", "a-1", "whsec"):
        assert private not in text
