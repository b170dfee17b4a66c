"""An account that OAuth opens, drained for real: Redis, the simulated CRM over HTTP, wired as in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography.fernet import Fernet

from callbridge.amocrm.exchange import build_session
from callbridge.amocrm.tokens import Granted
from callbridge.credentials import application, token_endpoint, token_vault
from callbridge.errors import StoreUnavailable
from callbridge.outcome import PauseReason, State
from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from callbridge.store.connect import connected
from callbridge.store.tokens import RedisTokens
from callbridge.wiring import AccountWork, open_store
from support.office import Office, office_settings
from support.redis_server import RedisServer

OAUTH = {
    "token": None,
    "client_id": "office",
    "client_secret": "canary-secret",
    "redirect_uri": "https://b.example/oauth",
}


@asynccontextmanager
async def an_office(
    redis_server: RedisServer, directory: Path, *, authorised: bool = True, **options: Any
) -> AsyncIterator[Office]:
    sim = CrmSim(
        SimConfig(**({"contacts": 0, "rate": 0, "client_id": "office", "client_secret": "canary-secret"} | options))
    )
    await sim.start()
    async with connected(redis_server.url) as redis:
        await redis.flushall()
    sealing = {"key": Fernet.generate_key().decode()}
    settings = office_settings(sim.url, account=OAUTH, sealing=sealing, data_dir=directory)
    stopping = asyncio.Event()
    try:
        async with open_store(settings, redis_server.url) as store, build_session() as session:
            work = AccountWork("main", settings, store, session, stopping)
            place = Office(settings, store, work, sim, stopping)
            if authorised:
                await authorise(place)
            yield place
            await work.close()
    finally:
        await sim.stop()


async def authorise(place: Office) -> None:
    app = application(place.settings.accounts["main"])
    assert app
    async with build_session() as session:
        granted = await token_endpoint(app, place.settings, session).exchange(place.crm.url, place.crm.consent())
    assert isinstance(granted, Granted)
    vault = token_vault("main", place.settings, place.store.scripts)
    kept = await vault.load()
    pair = granted.pair(
        now=place.crm.clock(), generation=kept.generation + 1 if kept else 1, url=place.crm.url, home=place.crm.url
    )
    assert await vault.save(pair)


async def pause_of(place: Office) -> PauseReason | None:
    pause = await place.store.tally.pause_of("main")
    return pause.reason if pause else None


async def attempts(place: Office) -> list[int]:
    return [(await place.get(call_id)).attempts for call_id in place.ids]


async def test_calls_are_delivered_and_a_401_in_between_costs_one_refresh_and_no_attempt(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with an_office(redis_server, tmp_path) as place:
        await place.known_calls(2)
        await place.work.drain()
        place.crm.desk.tokens.expire_access()
        await place.known_calls(3)
        await place.work.drain()
        assert await place.states() == [State.DELIVERED] * 5
        assert place.crm.desk.tokens.refreshed == 1
        assert await attempts(place) == [1] * 5
        assert len(place.crm.notes) == 5
        assert await pause_of(place) is None


async def test_without_an_authorisation_the_account_waits_with_that_reason_and_loses_nothing(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with an_office(redis_server, tmp_path, authorised=False) as place:
        await place.known_calls(3)
        await place.work.drain()
        assert await pause_of(place) is PauseReason.REAUTHORISE
        assert await place.states() == ["queued"] * 3
        assert not place.crm.requests
        await authorise(place)
        await place.store.queue.resume("main")
        await place.work.drain()
        assert await place.states() == [State.DELIVERED] * 3
        assert await attempts(place) == [1] * 3


async def test_a_revoked_pair_stops_the_account_and_its_probe_finds_the_new_one(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with an_office(redis_server, tmp_path) as place:
        place.crm.desk.tokens.revoke()
        await place.known_calls(2)
        await place.work.drain()
        assert await pause_of(place) is PauseReason.REAUTHORISE
        await authorise(place)
        await place.store.queue.resume("main")
        await place.store.queue.pause("main", PauseReason.REAUTHORISE, "revoked", 0.01, 60)
        await asyncio.sleep(0.03)
        await place.work.drain()
        await place.work.drain()
        assert await pause_of(place) is None
        assert await place.states() == [State.DELIVERED] * 2


async def test_a_refresh_that_gives_no_verdict_slows_the_account_and_pauses_nothing(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    async with an_office(redis_server, tmp_path) as place:
        await place.work.keep_authorised()
        place.crm.desk.tokens.expire_access()
        place.crm.arm("503-before@tokens=4")
        await place.known_calls(2)
        for _ in range(200):
            await place.work.drain()
            if await place.states() == [State.DELIVERED] * 2:
                break
            await asyncio.sleep(0.02)
        assert await place.states() == [State.DELIVERED] * 2
        assert await pause_of(place) is None
        assert await attempts(place) == [1] * 2


async def test_where_the_store_of_tokens_is_silent_the_calls_go_back_unsent(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = RedisTokens.load
    silent = True

    async def load(self: RedisTokens) -> bytes | None:
        nonlocal silent
        if silent:
            silent = False
            raise StoreUnavailable("token: away")
        return await genuine(self)

    async with an_office(redis_server, tmp_path) as place:
        monkeypatch.setattr(RedisTokens, "load", load)
        await place.known_calls(2)
        await place.work.drain()
        assert not silent
        assert await place.states() == [State.DELIVERED] * 2
        assert await attempts(place) == [1] * 2


async def test_an_idle_account_keeps_its_authorisation(redis_server: RedisServer, tmp_path: Path) -> None:
    async with an_office(redis_server, tmp_path, token_life=1.0) as place:
        await asyncio.sleep(0.85)
        assert await place.work.keep_authorised()
        assert place.crm.desk.tokens.refreshed == 1


async def test_a_look_pauses_an_account_that_nobody_lets_in(redis_server: RedisServer, tmp_path: Path) -> None:
    async with an_office(redis_server, tmp_path, authorised=False) as place:
        assert await place.work.look() == 0
        assert await pause_of(place) is PauseReason.REAUTHORISE


async def test_all_requests_of_an_integration_keep_to_its_rate(redis_server: RedisServer, tmp_path: Path) -> None:
    """I6: refreshes, questions and calls count together, whatever the token."""
    async with an_office(redis_server, tmp_path, rate=500) as place:
        for _ in range(3):
            place.crm.desk.tokens.expire_access()
            await place.known_calls(4)
            await place.work.drain()
        assert {seen.token for seen in place.crm.requests} == {place.crm.requests[0].token}
        assert place.crm.desk.journal.summary()["too_many"] == 0


async def test_no_log_ever_shows_a_token_a_code_or_a_secret(redis_server: RedisServer, tmp_path: Path) -> None:
    """Before anything is redacted: what is not said need not be hidden."""
    try:
        with structlog.testing.capture_logs() as log:
            async with an_office(redis_server, tmp_path, grace_refresh=True) as place:
                for fault in (
                    "502-after@tokens=1",
                    "503-before@tokens=1",
                    "reset-after@tokens=1",
                    "revoked=2",
                    "ban=50ms",
                ):
                    place.crm.arm(fault)
                    place.crm.desk.tokens.expire_access()
                    await place.known_calls(1)
                    await place.work.drain()
                    await place.work.look()
                place.crm.desk.tokens.revoke()
                await place.store.queue.resume("main")
                await place.work.drain()
                tokens = place.crm.desk.tokens
                secrets = [
                    *tokens._by_access,
                    *tokens._grants,
                    *tokens._codes,
                    "canary-secret",
                    *place.settings.sealing.keys,
                ]
    finally:
        structlog.reset_defaults()
    said = str(log)
    assert {"token.refreshed", "token.rejected", "account.paused"} <= {line["event"] for line in log}
    assert len(secrets) > 6
    assert [secret for secret in secrets if secret in said] == []
