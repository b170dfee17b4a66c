"""Statuses, bodies and headers on a real socket."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib

import pytest
import structlog

from callbridge.call import FinishedCall
from callbridge.errors import StoreUnavailable
from callbridge.intake.http import Readiness
from conftest import READY
from support.webhooks import NOW, SECRET, mango_form, signed

CALL = {"id": "h-1", "direction": "inbound", "phone": "+7 916 555-01-61", "duration": 8, "started_at": 1_790_000_001}
BODY = json.dumps(CALL).encode()
SUMMARY = {"entry_id": "e-1", "call_direction": 1, "from": {"number": "79165550161"}, "create_time": 1_790_000_001}


async def problem_of(response) -> dict:
    assert response.content_type == "application/problem+json"
    assert "Server" not in response.headers
    told = await response.json(content_type=None)
    assert told["status"] == response.status
    assert {"type", "title", "detail"} <= told.keys()
    return told


@pytest.mark.parametrize(
    ("path", "body", "headers", "content_type"),
    [
        ("/hooks/office", BODY, signed(BODY), "application/json"),
        ("/hooks/office/", BODY, signed(BODY), "application/json"),
        ("/hooks/office/anything?below=it", BODY, signed(BODY), "application/json"),
        ("/hooks/bearer", BODY, {"Authorization": "Bearer open sesame"}, "application/json"),
        ("/hooks/token/c0ffee-and-tea", BODY, {}, "application/json"),
        ("/hooks/both/c0ffee-and-tea", BODY, signed(BODY), "application/json"),
        ("/hooks/mango/events/summary", mango_form(SUMMARY), {}, "text/plain"),
        ("/hooks/mango//events/summary", mango_form(SUMMARY), {}, "text/plain"),
        ("/hooks/mango-token/c0ffee-and-tea/events/summary", mango_form(SUMMARY), {}, "text/plain"),
    ],
)
async def test_a_good_webhook_is_stored_and_answered_as_its_sender_expects(bridge, path, body, headers, content_type):
    async with bridge.post(path, body, {"Content-Type": "text/x-whatever"} | headers) as response:
        assert response.status == 200
        assert response.content_type == content_type
        assert "Server" not in response.headers
    (arrival,) = bridge.inbox.arrivals
    assert isinstance(arrival, FinishedCall)
    assert arrival.webhook.body == body


async def test_an_unknown_source_gets_the_same_answer_as_a_bad_signature(bridge):
    seen = set()
    for path in ("/hooks/office", "/hooks/nobody", "/hooks/token/wrong", "/hooks/mango/events/summary", "/hooks/%FF/x"):
        async with bridge.post(path, BODY, signed(BODY, "another")) as response:
            assert response.status == 401
            await problem_of(response)
            names = tuple(sorted(name for name in response.headers if name != "Date"))
            seen.add((await response.read(), names))
    assert len(seen) == 1
    assert not bridge.inbox.entered.is_set()


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "HEAD"])
async def test_another_method_is_405_and_told_what_is_allowed(bridge, method):
    async with bridge.session.request(method, bridge.url + "/hooks/office") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,OPTIONS,POST"


async def test_a_get_with_a_good_credential_is_405(bridge):
    async with bridge.session.get(bridge.url + "/hooks/token/c0ffee-and-tea") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        await problem_of(response)
    async with bridge.session.get(bridge.url + "/hooks/office") as response:
        assert response.status == 401


@pytest.mark.parametrize("path", ["/", "/hooks", "/hooks/", "/api/v1/calls", "/<script>"])
async def test_any_other_address_is_404_and_not_repeated(bridge, path):
    async with bridge.post(path) as response:
        assert response.status == 404
        assert "script" not in str(await problem_of(response))


@pytest.mark.parametrize("state", ["store", "readiness"])
async def test_when_nothing_can_be_stored_it_is_503_with_a_time_to_come_back(bridge, state):
    if state == "store":
        bridge.inbox.error = StoreUnavailable("connection refused to secret-host")
    else:
        bridge.readiness = Readiness(ok=False, durability="none", problems=("appendonly is off",))
    waits = set()
    for _ in range(40):
        async with bridge.post("/hooks/office", BODY, signed(BODY)) as response:
            assert response.status == 503
            assert response.headers["Connection"] == "close"
            assert "secret-host" not in str(await problem_of(response))
            waits.add(int(response.headers["Retry-After"]))
    assert waits <= set(range(5, 16))
    assert len(waits) > 1


async def test_readyz_tells_the_durability_and_what_is_wrong_and_livez_only_that_we_live(bridge):
    async with bridge.session.get(bridge.url + "/readyz") as response:
        assert response.status == 200
        assert await response.json() == {"ok": True, "durability": "always", "problems": []}
    bridge.readiness = Readiness(ok=False, durability="everysec", problems=("appendfsync is everysec",))
    async with bridge.session.get(bridge.url + "/readyz") as response:
        assert response.status == 503
        told = await problem_of(response)
        assert (told["durability"], told["problems"]) == ("everysec", ["appendfsync is everysec"])
    async with bridge.session.get(bridge.url + "/livez") as response:
        assert response.status == 200
        assert "Server" not in response.headers
    bridge.readiness = READY


async def test_a_mistake_of_ours_is_a_500_without_a_trace_but_with_one_in_the_log(bridge):
    bridge.inbox.error = RuntimeError("our own mistake")
    with structlog.testing.capture_logs() as logged:
        async with bridge.post("/hooks/office", BODY, signed(BODY)) as response:
            assert response.status == 500
            assert "mistake" not in str(await problem_of(response))
    assert [(line["event"], str(line["error"])) for line in logged] == [("webhook.failed", "our own mistake")]


# --- sizes -----------------------------------------------------------------------------------------------------------


def padded(size: int) -> bytes:
    return BODY[:-1] + b" " * (size - len(BODY)) + b"}"


async def chunks(body: bytes):
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@pytest.mark.parametrize("whole", [True, False], ids=["with a length", "in chunks"])
@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/hooks/office", 65_536, 200),
        ("/hooks/office", 65_537, 413),
        ("/hooks/token/c0ffee-and-tea", 262_144, 200),
        ("/hooks/token/c0ffee-and-tea", 262_145, 413),
        ("/hooks/nobody", 65_536, 401),
        ("/hooks/nobody", 65_537, 413),
    ],
)
async def test_a_body_may_be_as_large_as_its_source_allows(bridge, whole, path, size, status):
    body = padded(size)
    async with bridge.session.post(
        bridge.url + path, data=body if whole else chunks(body), headers=signed(body)
    ) as response:
        assert response.status == status
        if status != 200:
            await problem_of(response)
    assert len(bridge.inbox.arrivals) == (status == 200)


@pytest.mark.parametrize("name", ["gzip", "deflate"])
async def test_a_compression_bomb_is_413(bridge, name):
    blank = b" " * 20_000_000
    packed = gzip.compress(blank) if name == "gzip" else zlib.compress(blank)
    assert len(packed) < 65_536
    async with bridge.post("/hooks/office", packed, {"Content-Encoding": name}) as response:
        assert response.status == 413
        await problem_of(response)


async def test_a_compressed_body_is_read_and_its_plain_bytes_are_what_is_signed(bridge):
    async with bridge.post(
        "/hooks/office", gzip.compress(BODY), {"Content-Encoding": "gzip"} | signed(BODY)
    ) as response:
        assert response.status == 200
    assert bridge.inbox.arrivals[0].webhook.body == BODY


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_a_sender_that_goes_away_does_not_cancel_the_write(bridge):
    bridge.inbox.gate = asyncio.Event()
    host, port = bridge.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed(BODY).items())
    writer.write(
        f"POST /hooks/office HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    )
    await bridge.inbox.entered.wait()
    writer.transport.abort()
    await asyncio.sleep(0.05)  # lets the receiver see the reset; the property does not depend on it
    bridge.inbox.gate.set()
    async with asyncio.timeout(5):
        await bridge.inbox.stored.wait()
    assert len(bridge.inbox.arrivals) == 1


async def test_a_stopping_receiver_finishes_what_it_has_read(bridge):
    bridge.inbox.gate = asyncio.Event()
    posting = asyncio.create_task(bridge.session.post(bridge.url + "/hooks/office", data=BODY, headers=signed(BODY)))
    await bridge.inbox.entered.wait()
    stopping = asyncio.create_task(bridge.running.stop())
    await asyncio.sleep(0.05)
    bridge.inbox.gate.set()
    response = await posting
    assert response.status == 200
    response.release()
    await stopping


async def test_nothing_secret_is_logged_on_any_way_out(bridge):
    with structlog.testing.capture_logs() as logged:
        for path in ("/hooks/both/c0ffee-and-tea", "/hooks/both/gue55ed-token", "/hooks/gue55ed-source/x", "/gue55ed"):
            for headers in (signed(BODY), signed(BODY, at=NOW - 999), {"Authorization": "Bearer gue55ed"}):
                async with bridge.post(path, BODY, headers):
                    pass
        async with bridge.post("/hooks/gue55ed-source", padded(70_000)):
            pass
    assert {line["event"] for line in logged} == {"webhook.accepted", "webhook.refused"}
    for private in ("916", "c0ffee", "gue55ed", SECRET, "h-1", "v1,"):
        assert private not in str(logged)


async def test_what_is_turned_away_is_counted_for_its_source_and_names_no_stranger(bridge):
    agent = {"User-Agent": "PBX/1.0 " + "x" * 200}
    tries = [
        ("/hooks/office?token=query-secret", BODY, signed(BODY, "another")),
        ("/hooks/office", BODY, {}),
        ("/hooks/gue55ed-name/path-secret", BODY, {}),
        ("/hooks/token/path-secret", BODY, {}),
        ("/hooks/bearer", BODY, {"Authorization": "Bearer header-secret"}),
        ("/hooks/office", b"x" * 70_000, {}),
        ("/hooks/another-name", b"x" * 70_000, {}),
    ]
    for path, body, headers in tries:
        async with bridge.post(path, body, headers | agent) as response:
            assert response.status in {401, 413}
    async with bridge.session.get(bridge.url + "/hooks/token/c0ffee-and-tea", headers=agent) as response:
        assert response.status == 405
    async with bridge.post("/hooks/office", BODY, signed(BODY)) as response:
        assert response.status == 200
    counts, samples = bridge.refusals.take()
    assert counts == {
        ("office", "bad_signature"): 1,
        ("office", "no_signature"): 1,
        ("office", "body_too_large"): 1,
        ("unknown", "unknown_source"): 1,
        ("unknown", "body_too_large"): 1,
        ("token", "bad_path_token"): 1,
        ("token", "method"): 1,
        ("bearer", "bad_bearer_token"): 1,
    }
    assert len(samples) == len(tries) + 1
    told = str(samples)
    assert "secret" not in told
    assert "name" not in told
    first = samples[0][1]
    assert (first["method"], first["bytes"], first["ip"]) == ("POST", len(BODY), "127.0.0.0/24")
    assert first["agent"].startswith("PBX/1.0 xx")
    assert len(first["agent"]) == 80


async def test_when_nothing_can_be_stored_nobody_was_turned_away(bridge):
    bridge.inbox.error = StoreUnavailable("away")
    async with bridge.post("/hooks/office", BODY, signed(BODY)) as response:
        assert response.status == 503
    assert bridge.refusals.take() == ({}, [])
