"""Failovers through Sentinel: with `redis.replicas` no acknowledged call is lost, and everybody finds the new primary."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from redis.exceptions import RedisError

from callbridge.errors import Misconfigured
from callbridge.receiver import receiver
from callbridge.settings import Settings
from callbridge.store import keys
from callbridge.store.connect import connected, follow_primary, ping, pool_of, sentinels_in
from callbridge.store.records import RedisRecords
from callbridge.store.scripts import Scripts
from callbridge.store.trouble import Trouble, trouble_of
from faults.pair import Pair, pair
from faults.town import a_body
from support.redis_server import accepting
from support.webhooks import SECRET, signed

ROUNDS = 2


class Senders:
    """A steady stream of calls; what was acknowledged is remembered."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self.acknowledged: list[str] = []
        self.refused = 0
        self.next = 0

    async def send_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.gather(*(self._send() for _ in range(3)))
            await asyncio.sleep(0.02)

    async def _send(self) -> None:
        self.next += 1
        ref = f"failover-{self.next}"
        body = a_body(ref)
        headers = signed(body, SECRET, at=time.time(), name=f"msg_{ref}")
        async with self._session.post(f"{self._url}/hooks/office", data=body, headers=headers) as answer:
            if answer.status == 200:
                self.acknowledged.append(ref)
            else:
                assert answer.status == 503
                self.refused += 1


@asynccontextmanager
async def bridge(directory: Path, both: Pair, *, replicas: int, spool: bool) -> AsyncIterator[Senders]:
    settings = Settings.model_validate(
        {
            "data_dir": directory / "var",
            "redis": {
                "url": f"redis+sentinel://{both.address}",
                "replicas": replicas,
                "accept_old": bool(accepting()),
                "timeout": 1.0,
            },
            "receiver": {"port": 0} | ({} if spool else {"spool_size": 0}),
            "accounts": {"main": {"url": "http://127.0.0.1:9", "token": "token-of-the-test"}},
            "sources": {"office": {"provider": "generic", "secret": SECRET}},
        }
    )
    assert settings.redis.url
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(receiver(settings, settings.redis.url.get_secret_value()))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        yield Senders(running.url, session)


async def until_ready(senders: Senders) -> None:
    async with asyncio.timeout(100):
        while True:
            async with senders._session.get(f"{senders._url}/readyz") as answer:
                told = await answer.json()
            if told["ok"] and told["durability"] == "always" and not told.get("spool", {}).get("waiting"):
                return
            await asyncio.sleep(0.1)


async def lost_after(directory: Path, *, replicas: int, spool: bool, rounds: int) -> tuple[set[str], Senders]:
    """Each time the replica is cut off first, so that the primary takes calls that its successor will not have."""
    async with pair(directory / "redis") as both, bridge(directory, both, replicas=replicas, spool=spool) as senders:
        for number in range(rounds):
            await until_ready(senders)
            await senders.send_for(0.3)
            both.primary.line.severed = True
            await senders.send_for(0.5)
            failing = asyncio.create_task(both.fail_over())
            while not failing.done():
                await senders.send_for(0.1)
            await failing
            await senders.send_for(0.3)
            await both.mend(quickly=number < rounds - 1)
        await until_ready(senders)
        await senders.send_for(0.2)
        async with connected(both.primary.server.url) as redis:
            records = RedisRecords(Scripts(redis, keys.root("callbridge")))
            stored = [record.call.ref async for record in records.newest() if record.call]
        assert len(stored) == len(set(stored))
        return set(senders.acknowledged) - set(stored), senders


@pytest.mark.parametrize("spool", [True, False])
async def test_with_replicas_to_confirm_no_acknowledged_call_is_lost_in_a_failover(tmp_path: Path, spool: bool) -> None:
    lost, senders = await lost_after(tmp_path, replicas=1, spool=spool, rounds=ROUNDS)
    assert lost == set()
    assert len(senders.acknowledged) >= 3 * ROUNDS
    assert bool(senders.refused) != spool, "with a spool nobody is refused, without one somebody must be"


async def test_without_them_some_are_which_shows_that_the_test_can_tell(tmp_path: Path) -> None:
    lost, _ = await lost_after(tmp_path, replicas=0, spool=False, rounds=1)
    assert lost


async def test_passwords_for_both_and_the_primary_they_lead_to(tmp_path: Path) -> None:
    address = sentinels_in("redis+sentinel://user:p%40ss@a:1,[::1],c:3/calls/2?sentinel_password=w&sentinel_username=s")
    assert address is not None
    assert address.hosts == (("a", 1), ("::1", 26_379), ("c", 3))
    assert (address.service, address.db) == ("calls", 2)
    assert address.login == {"username": "user", "password": "p@ss"}
    assert address.sentinel_login == {"username": "s", "password": "w"}
    pool = pool_of("redis+sentinel://user:p%40ss@a:1/calls/2?sentinel_password=w", patience=1, connections=2)
    assert pool.connection_kwargs["password"] == "p@ss"
    assert pool.sentinel_manager.sentinels[0].connection_pool.connection_kwargs["password"] == "w"
    async with pair(tmp_path / "redis") as both, connected(f"redis+sentinel://{both.address}") as redis:
        assert await follow_primary(redis) == f"127.0.0.1:{both.primary.line.port}"
        assert await ping(f"redis+sentinel://{both.address}")


async def test_a_service_that_the_sentinels_do_not_know_is_a_failover_under_way(tmp_path: Path) -> None:
    async with (
        pair(tmp_path / "redis") as both,
        connected(f"redis+sentinel://{both.address.replace('/calls', '/other')}") as redis,
    ):
        with pytest.raises(RedisError) as heard:
            await redis.ping()
    assert trouble_of(heard.value) is Trouble.FAILOVER


@pytest.mark.parametrize(
    "url", ["redis+sentinel://a:1", "redis+sentinel://a:1/calls?x=1", "redis+sentinel://a:b/calls"]
)
def test_an_address_without_a_service_or_with_unknown_options_is_refused(url: str) -> None:
    with pytest.raises(Misconfigured):
        pool_of(url, patience=1, connections=1)
