"""Senders that never finish are cut off."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
import structlog

from callbridge.intake import http
from support.webhooks import signed

HEAD = b"POST /hooks/office HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "start",
    [HEAD + b"Content-Length: 1000\r\n\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"],
    ids=["with a length", "in chunks"],
)
async def test_a_body_that_does_not_come_is_408_and_the_connection_is_closed(impatient, start):
    with structlog.testing.capture_logs() as logged:
        answer = await impatient.raw(start)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"Connection: close" in head
    assert json.loads(body)["status"] == 408
    assert [(line["event"], line["reason"]) for line in logged] == [("webhook.refused", "body_too_slow")]
    assert not impatient.inbox.entered.is_set()


async def test_a_body_that_is_announced_too_large_is_not_waited_for(impatient):
    assert (await impatient.raw(HEAD + b"Content-Length: 65537\r\n\r\n")).startswith(b"HTTP/1.1 413 ")


async def test_a_dripping_body_does_not_move_the_deadline(impatient):
    answer = await impatient.raw(HEAD + b"Content-Length: 1000\r\n\r\n", *[b" "] * 1000, pause=0.02)
    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "start", [b"", b"P", HEAD, HEAD + b"X: y\r\n"], ids=["nothing", "a byte", "a line", "a header"]
)
async def test_headers_that_never_end_close_the_connection(impatient, start):
    assert await impatient.raw(start) == b""


async def test_dripping_headers_do_not_keep_a_connection(impatient):
    drip = [b"X"] * 1000
    assert await impatient.raw(HEAD, *drip, pause=0.02) == b""


async def test_an_idle_connection_is_closed_after_its_answer(impatient):
    answer = await impatient.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_dripping_headers_of_a_second_request_do_not_keep_a_connection(impatient):
    drip = [b"X"] * 1000
    answer = await impatient.raw(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", HEAD, *drip, pause=0.02)
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_sender_that_breaks_off_in_its_body_leaves_nothing(impatient):
    host, port = impatient.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    with structlog.testing.capture_logs() as logged:
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()
        async with asyncio.timeout(5):
            while not logged:  # noqa: ASYNC110 - the log has no event to wait for
                await asyncio.sleep(0.01)
    assert [line["event"] for line in logged] == ["webhook.refused"]
    assert not impatient.inbox.entered.is_set()


async def test_a_stopping_receiver_answers_what_comes_on_open_connections_and_says_that_it_is_the_last(polite):
    async with polite.session.get(f"{polite.url}/livez") as before:
        assert before.status == 200
    stopping = asyncio.create_task(polite.running.stop())
    await asyncio.sleep(0.05)
    body = b'{"id": "farewell-1", "direction": "inbound", "phone": "+74955550134", "duration": 3}'
    async with polite.post("/hooks/office", body, signed(body)) as last:
        assert (last.status, last.headers["Connection"]) == (200, "close")
    with pytest.raises(aiohttp.ClientConnectorError):
        await polite.session.get(f"{polite.url}/livez")
    await stopping


async def test_a_first_request_has_less_time_than_a_connection_that_has_proved_itself(polite, monkeypatch):
    """`polite` keeps idle connections far longer than the test waits."""
    monkeypatch.setattr(http, "FIRST_HEAD", 0.2)
    async with asyncio.timeout(5):  # a connection that has proved itself is kept for fifteen
        for start in (b"", HEAD + b"X: y\r\n"):
            assert await polite.raw(start) == b""
    reader, writer = await asyncio.open_connection(*polite.url.removeprefix("http://").split(":"))
    for _ in range(2):
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await reader.readexactly(len(b'{"ok":true}'))
        await asyncio.sleep(0.4)
    writer.close()
