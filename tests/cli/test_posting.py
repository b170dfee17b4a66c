"""How sample webhooks go over the wire."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callbridge.commands.posting import Rate, post_all
from callbridge.sim.speakers.base import SignedWebhook


async def test_an_address_is_sent_byte_by_byte_as_it_was_signed() -> None:
    seen: list[tuple[str, str, bytes]] = []

    async def hook(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, await request.read()))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", hook)
    suffix = "/tok?from=%2B7916&name=%41+b%20c&empty="
    answers: list[int] = []
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        webhooks = [SignedWebhook("GET", suffix, {}, b""), SignedWebhook("POST", suffix, {}, b"told")]
        await post_all(session, str(server.make_url("/hooks/pbx")), webhooks, answers.append)
    assert seen == [("GET", f"/hooks/pbx{suffix}", b""), ("POST", f"/hooks/pbx{suffix}", b"told")]
    assert answers == [204, 204]


async def test_a_rate_spaces_the_webhooks_of_all_senders_and_zero_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(round(seconds, 3))

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: 1_000.0)
    rate, unlimited = Rate(4), Rate(0)
    for _ in range(4):
        await rate.turn()
        await unlimited.turn()
    assert waits == [0, 0.25, 0.5, 0.75]
