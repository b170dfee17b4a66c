"""A receiver on a real socket, with an inbox in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import pytest

from callbridge.intake.accept import Acceptor
from callbridge.intake.http import Readiness, Running, build_app, serve
from callbridge.intake.refused import Refusals
from support.webhooks import NOW, OLD_SECRET, SECRET, MemoryInbox, a_mango_source, a_source

READY = Readiness(ok=True, durability="always", problems=())

SOURCES = {
    source.name: source
    for source in (
        a_source(name="office", secrets=(SECRET, OLD_SECRET)),
        a_source(name="bearer", auth="bearer", secrets=("open sesame",)),
        a_source(name="token", secrets=(), path_token="c0ffee-and-tea", max_body=262_144),
        a_source(name="both", path_token="c0ffee-and-tea", hold=120.0),
        a_mango_source(name="mango"),
        a_mango_source(name="mango-token", path_token="c0ffee-and-tea"),
    )
}


@dataclass
class Bridge:
    """The running receiver; `readiness` and `inbox` may be changed under it."""

    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    readiness: Readiness = READY
    refusals: Refusals = field(default_factory=Refusals)
    running: Running | None = None
    session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        return self.running.url

    def post(self, path: str, body: bytes = b"", headers: dict[str, str] | None = None):
        return self.session.post(self.url + path, data=body, headers=headers)

    async def raw(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Writes `parts` on a connection of its own and reads until the receiver closes it."""
        address = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        reading = asyncio.create_task(_all_of(reader))
        try:
            for part in parts:
                if reading.done():
                    break
                with contextlib.suppress(ConnectionError):
                    writer.write(part)
                await asyncio.sleep(pause)
            async with asyncio.timeout(20):  # a guard: the receiver's own limits are far below
                return await reading
        finally:
            reading.cancel()
            writer.close()


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    """What came until the end, or until the line was cut."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            received += chunk
    return received


async def _bridge(*, body_timeout: float, keepalive: float, farewell: float = 0.0) -> AsyncIterator[Bridge]:
    bridge = Bridge()
    app = build_app(
        Acceptor(SOURCES, bridge.inbox, lambda: NOW),
        ready=lambda: bridge.readiness,
        body_timeout=body_timeout,
        max_body=65_536,
        refusals=bridge.refusals,
    )
    bridge.running = await serve(app, "127.0.0.1", 0, keepalive=keepalive, farewell=farewell)
    async with aiohttp.ClientSession() as bridge.session:
        yield bridge
    await bridge.running.stop()


@pytest.fixture
async def bridge() -> AsyncIterator[Bridge]:
    async for made in _bridge(body_timeout=5.0, keepalive=15.0):
        yield made


@pytest.fixture
async def impatient() -> AsyncIterator[Bridge]:
    """A receiver that gives a sender a fraction of a second."""
    async for made in _bridge(body_timeout=0.2, keepalive=0.3):
        yield made


@pytest.fixture
async def polite() -> AsyncIterator[Bridge]:
    """A receiver that still answers for a moment when it stops."""
    async for made in _bridge(body_timeout=5.0, keepalive=15.0, farewell=0.5):
        yield made
