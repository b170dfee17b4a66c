"""A running simulator, and a client that speaks to it as a bridge would."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import orjson
import pytest

from callbridge.sim.crm import CrmSim, SimConfig

KNOWN, STRANGER = "+79005550101", "+79005550199"


class Clock:
    """Unix time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Bridge:
    """One client of one simulator."""

    def __init__(self, sim: CrmSim, session: aiohttp.ClientSession, clock: Clock) -> None:
        self.sim, self.session, self.clock = sim, session, clock

    async def request(
        self, method: str, path: str, body: Any = None, *, token: str = "a-token", **options: Any
    ) -> tuple[int, Any, Any]:
        """Status, headers, and the body as JSON where it is JSON, else as bytes."""
        data = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        url = self.sim.url + path
        async with self.session.request(
            method, url, data=data, headers=headers, allow_redirects=False, **options
        ) as response:
            raw = await response.read()
            kind = response.headers.get("Content-Type", "")
            try:
                return response.status, response.headers, orjson.loads(raw) if "json" in kind else raw
            except orjson.JSONDecodeError:
                return response.status, response.headers, raw

    async def get(self, path: str, **options: Any) -> tuple[int, Any, Any]:
        return await self.request("GET", path, **options)

    async def post(self, *calls: Any, **options: Any) -> tuple[int, Any, Any]:
        return await self.request("POST", "/api/v4/calls", list(calls), **options)


Start = Callable[..., Awaitable[Bridge]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start simulators with options; one known number (`KNOWN`) unless `contacts` says otherwise."""
    async with AsyncExitStack() as stack:

        async def started(**options: Any) -> Bridge:
            clock = Clock()
            sim = CrmSim(SimConfig(**({"contacts": 0, "rate": 0, "clock": clock} | options)))
            await sim.start()
            stack.push_async_callback(sim.stop)
            sim.add_contact(KNOWN, name="Known")
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return Bridge(sim, session, clock)

        yield started


@pytest.fixture
async def bridge(start: Start) -> Bridge:
    return await start()


@pytest.fixture
def make_call() -> Callable[..., dict[str, Any]]:
    def build(uniq: str = "office-1", phone: str = KNOWN, **changes: Any) -> dict[str, Any]:
        call: dict[str, Any] = {
            "direction": "inbound",
            "uniq": uniq,
            "duration": 41,
            "source": "office",
            "phone": phone,
            "request_id": uniq,
        }
        return {key: value for key, value in (call | changes).items() if value != "ABSENT"}

    return build
