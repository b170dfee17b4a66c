"""Bodies and requests made to hurt: never a 5xx, never a trace; the authenticated ones are kept, the others leave nothing."""

from __future__ import annotations

import json
import re

import pytest
import structlog

from callbridge.call import FinishedCall, UndecodableWebhook
from support.webhooks import mango_form, signed

CALL = {"id": "x-1", "direction": "inbound", "phone": "+7 916 555-01-71", "duration": 8, "started_at": 1_790_000_001}
PLAIN = json.dumps(CALL)


def with_field(name: str, raw: str) -> bytes:
    """The call with one field written as `raw` JSON text."""
    return ("{" + ",".join(f'"{k}":{raw if k == name else json.dumps(v)}' for k, v in CALL.items()) + "}").encode()


UNDECODABLE = {
    "P1 empty": b"",
    "P1 spaces": b" \r\n",
    "P1 not json": b"<xml/>",
    "P1 truncated": PLAIN[:-5].encode(),
    "P1 byte order mark": b"\xef\xbb\xbf" + PLAIN.encode(),
    "P1 utf-16": PLAIN.encode("utf-16"),
    "P1 utf-16 big endian": PLAIN.encode("utf-16-be"),
    "P1 utf-32": PLAIN.encode("utf-32"),
    "P1 bad utf-8": PLAIN.encode().replace(b"916", b"\xff\xfe"),
    "P2 deep arrays": b"[" * 30_000,
    "P2 deep closed arrays": b"[" * 30_000 + b"]" * 30_000,
    "P2 deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "P2 deep quotes": b'"' + b'\\"' * 30_000,
    "P2 digits": with_field("duration", "9" * 5_000),
    "P2 infinite": with_field("duration", "1e999"),
    "P2 not a number": with_field("duration", "NaN"),
    "P2 infinity": with_field("started_at", "-Infinity"),
    "P2 digits in text": with_field("duration", '"' + "9" * 5_000 + '"'),
    "P3 same key twice": b'{"id":"one",' + PLAIN[1:].encode(),
    "P4 half pair in the id": with_field("id", '"x\\ud800"'),
    "P5 nul in the id": with_field("id", '"x\\u0000y"'),
    "P5 bidi in the id": with_field("id", '"x\\u202ey"'),
    "P5 line separator in the id": with_field("id", '"x\\u2028y"'),
    "P5 arabic digits": with_field("duration", '"\u0667\u0663"'),
    "P6 ten thousand keys": json.dumps({f"k{i}": 1 for i in range(5_000)}).encode()[:65_000],
    "P6 many values": ("[[" + "0," * 30_000 + "0]]").encode(),
    "P6 long text": with_field("phone", '"' + "1" * 60_000 + '"'),
    "P6 commas": b"[" + b"{}," * 20_000 + b"{}]",
    "P8 form": b"id=1&direction=in",
    "P9 trailing bytes": PLAIN.encode() + b"\x00",
    "P9 two documents": PLAIN.encode() + PLAIN.encode(),
    **{
        f"P12 {name} as {raw[:6]}": with_field(name, raw)
        for name in CALL
        for raw in ("[]", "{}", "true", '"' + "x" * 3_000 + '"')
    },
    "P12 id as null": with_field("id", "null"),
    "P12 duration as null": with_field("duration", "null"),
    "P12 direction as null": with_field("direction", "null"),
    "P12 a number": b"17",
    "P12 text": b'"call"',
    "P12 null": b"null",
}

ACCEPTED = {
    "P4 half pair in a text": with_field("phone", '"+79165550171\\ud800"'),
    "P5 controls in a text": with_field("phone", '"\\u0000+7916\\u202e555\\r\\n0171\\u001b[0m\\u2066"'),
    "P7 colliding keys": (PLAIN[:-1] + "".join(f',"k{i}":0' for i in range(900)) + "}").encode(),
    "P9 expects 100": PLAIN.encode(),
    "P12 more fields": (PLAIN[:-1] + ',"new":{"a":[1,2,{"b":null}]}}').encode(),
    "P12 id as number": with_field("id", "17"),
}


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_an_authenticated_body_without_a_call_is_kept_and_answered_2xx(bridge, name):
    body = UNDECODABLE[name]
    with structlog.testing.capture_logs() as logged:
        async with bridge.post("/hooks/office", body, signed(body)) as response:
            assert response.status == 200
    (arrival,) = bridge.inbox.arrivals
    assert isinstance(arrival, UndecodableWebhook)
    assert arrival.webhook.body in body
    assert 0 < len(arrival.problem) < 100
    assert [line["event"] for line in logged] == ["webhook.accepted"]


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_the_same_body_without_a_credential_is_401_and_leaves_nothing(bridge, name):
    async with bridge.post("/hooks/office", UNDECODABLE[name], signed(b"something else")) as response:
        assert response.status == 401
        assert response.content_type == "application/problem+json"
    assert not bridge.inbox.entered.is_set()


@pytest.mark.parametrize("name", UNDECODABLE)
async def test_inside_a_signed_mango_form_it_is_kept_too(bridge, name):
    told = UNDECODABLE[name].decode("utf-8", "replace")
    form = mango_form(told)[:65_536]
    async with bridge.post("/hooks/mango/events/summary", form) as response:
        assert response.status == (200 if len(mango_form(told)) <= 65_536 else 401)
    if response.status == 200:
        (arrival,) = bridge.inbox.arrivals
        assert isinstance(arrival, UndecodableWebhook)
        assert arrival.webhook.body == form


@pytest.mark.parametrize("name", ACCEPTED)
async def test_what_only_looks_hostile_becomes_a_call(bridge, name):
    body = ACCEPTED[name]
    headers = signed(body) | ({"Expect": "100-continue"} if "100" in name else {})
    async with bridge.post("/hooks/office", body, headers) as response:
        assert response.status == 200
    (arrival,) = bridge.inbox.arrivals
    assert isinstance(arrival, FinishedCall)
    assert arrival.call.phone.isprintable()


HEAD = b"POST /hooks/office HTTP/1.1\r\nHost: x\r\n"

BAD_REQUESTS = {
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 3 + b"\r\n\r\n",
    "no version": b"POST /hooks/office-CANARY\r\n\r\n",
    "length and chunked": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "signed length": HEAD + b"Content-Length: +2\r\n\r\nab",
    "negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "other coding": HEAD + b"Transfer-Encoding: CANARY\r\n\r\n0\r\n\r\n",
    "bad header": HEAD + b"CANARY\x00: x\r\n\r\n",
    "long header": HEAD + b"X: " + b"CANARY" * 3_000 + b"\r\n\r\n",
    "many headers": HEAD + b"".join(b"X-%d: CANARY\r\n" % i for i in range(300)) + b"\r\n",
    "long path": b"POST /" + b"CANARY" * 3_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: CANARY\r\nConnection: close\r\n\r\n",
    "connect": b"CONNECT CANARY:80 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "absolute": b"POST http://CANARY/elsewhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "bad address": b"POST http://[CANARY HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "bad host": b"POST /hooks/office HTTP/1.1\r\nHost: [CANARY\r\nConnection: close\r\n\r\n",
    "bad escapes": b"POST /hooks/%ZZ%FF%00CANARY?%ZZ=%FF HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "upgrade": HEAD + b"Connection: Upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
    "expects something": HEAD + b"Expect: CANARY\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "bad chunk": HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nCANARY\r\nabc\r\n0\r\n\r\n",
    "not gzip": HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: 6\r\n\r\nCANARY",
    "cut gzip": HEAD + b"Content-Encoding: gzip\r\nConnection: close\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
    "unknown packing": HEAD + b"Content-Encoding: CANARY\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    "odd charset": HEAD + b"Content-Type: text/x; charset=CANARY\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    "bad header bytes": HEAD + b"webhook-id: \xff\xfe\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
async def test_a_bad_request_gets_a_clean_problem_or_a_closed_connection(bridge, name):
    with structlog.testing.capture_logs() as logged:
        answer = await bridge.raw(BAD_REQUESTS[name])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.match(rb"HTTP/(1\.1|1\.0|0\.9) 4", head), answer
    assert b"application/problem+json" in head
    assert b"\r\nServer:" not in head
    assert json.loads(body)["status"] == int(head[9:12])
    assert b"CANARY" not in answer
    assert "CANARY" not in str(logged)
    assert "webhook.failed" not in str(logged)
    assert not bridge.inbox.arrivals
