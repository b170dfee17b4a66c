"""Broken webhooks of every provider at the running receiver: never a 5xx or a trace, and what was authenticated is kept."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from urllib.parse import quote

import aiohttp
import pytest
import structlog
from yarl import URL

from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.intake.accept import Acceptor
from callbridge.intake.http import Readiness, build_app, serve
from callbridge.intake.providers import check_source, provider_named
from support.mutations import mutated
from support.webhooks import FIXTURES, Fixture, MemoryInbox, fixtures

NAMES = sorted(path.name for path in FIXTURES.iterdir() if next(path.glob("*.headers.json"), None))
READY = Readiness(ok=True, durability="always", problems=())
VARIANTS = 8
"""Mutations of each fixture."""


@asynccontextmanager
async def a_receiver(cases: list[Fixture], inbox: MemoryInbox) -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """One source for each fixture: f0, f1, ..."""
    sources = {f"f{place}": replace(case.source, name=f"f{place}") for place, case in enumerate(cases)}
    app = build_app(Acceptor(sources, inbox, lambda: cases[0].now), ready=lambda: READY)
    running = await serve(app, "127.0.0.1", 0, farewell=0.0)
    try:
        async with aiohttp.ClientSession() as session:
            yield running.url, session
    finally:
        await running.stop()


async def send_all(name: str, inbox: MemoryInbox) -> list[int]:
    """The statuses of the answers to all mutations of the provider's fixtures."""
    cases = [case for case in fixtures(name) if can_start(case)]
    everything = [case.request for other in NAMES for case in fixtures(other)]
    dice, statuses = Random(zlib.crc32(name.encode())), []
    async with a_receiver(cases, inbox) as (url, session):
        for place, case in enumerate(cases):
            for _ in range(VARIANTS):
                request = mutated(case.request, everything, dice)
                token = (case.source.path_token,) if case.source.path_token else ()
                below = "".join(f"/{quote(segment, safe='')}" for segment in (*token, *request.path))
                query = request.target.partition("?")[2]
                address = URL(f"{url}/hooks/f{place}{below}" + (f"?{query}" if query else ""), encoded=True)
                headers = {header: value for header, value in request.headers.items() if fits_a_header(value)}
                async with session.request(
                    request.method,
                    address,
                    data=request.body or None,
                    headers=headers,
                    skip_auto_headers=["content-type"],
                ) as answer:
                    await answer.read()
                    statuses.append(answer.status)
    return statuses


def can_start(case: Fixture) -> bool:
    """Some fixtures show a source that the receiver refuses to start with."""
    try:
        check_source(case.source)
    except Misconfigured:
        return False
    return True


def fits_a_header(value: str) -> bool:
    return bool(value) and value.isprintable() and value.isascii()


@pytest.mark.parametrize("name", NAMES)
async def test_a_broken_webhook_is_never_a_5xx(name: str) -> None:
    with structlog.testing.capture_logs() as logged:
        statuses = await send_all(name, MemoryInbox())
    assert set(statuses) <= {200, 201, 202, 204, 401, 405}
    assert "webhook.failed" not in {line["event"] for line in logged}


@pytest.mark.parametrize("name", NAMES)
async def test_whatever_was_authenticated_is_kept_or_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in {provider_named(case.source.provider) for case in fixtures(name)}:
        monkeypatch.setattr(type(provider), "verify", lambda *_: None)
    inbox = MemoryInbox()
    with structlog.testing.capture_logs() as logged:
        statuses = await send_all(name, inbox)
    taken = [status for status in statuses if status < 300]
    assert set(statuses) <= {200, 201, 202, 204, 401, 405}  # a path token, a network, a method may be wrong still
    assert len(inbox.arrivals) >= len(taken) > 0
    assert "webhook.failed" not in {line["event"] for line in logged}


async def test_a_fault_would_be_seen_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above can fail: what is not foreseen is a 500, what cannot be stored a 503."""
    assert 503 in await send_all("generic", MemoryInbox(error=StoreUnavailable("on purpose")))
    monkeypatch.setattr(type(provider_named("generic")), "verify", lambda *_: 1 / 0)
    assert 500 in await send_all("generic", MemoryInbox())
