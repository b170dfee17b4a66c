"""A receiver whose Redis is away, silent, full, busy, demoted or emptied: every sender is answered, and nothing is lost.

Real parts: a redis-server, a receiver on a socket, and a proxy between them that misbehaves.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callbridge.receiver import receiver
from callbridge.settings import Settings
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.records import RedisRecords
from callbridge.store.scripts import Scripts
from faults.proxy import Mode, Proxy, proxied
from faults.town import a_body
from support.redis_server import RedisServer, accepting
from support.webhooks import SECRET, signed

GUARD = 5.0
"""Seconds after which a sender of these tests gives up; the receiver answers within a third of that."""


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callbridge.receiver.LOOK_EVERY", 0.4)
    monkeypatch.setattr("callbridge.intake.http.FAREWELL", 0.0)


@dataclass
class Door:
    """A receiver in this process, and what its senders were told."""

    url: str
    server: RedisServer
    proxy: Proxy
    session: aiohttp.ClientSession
    answers: Counter[int] = field(default_factory=Counter)
    acknowledged: list[str] = field(default_factory=list)

    async def send(self, *refs: str) -> None:
        await asyncio.gather(*(self._send(ref) for ref in refs))

    async def _send(self, ref: str) -> None:
        body = a_body(ref)
        headers = signed(body, SECRET, at=time.time(), name=f"msg_{ref}")
        async with self.session.post(f"{self.url}/hooks/office", data=body, headers=headers) as answer:
            self.answers[answer.status] += 1
            if answer.status == 200:
                self.acknowledged.append(ref)
            else:
                assert answer.headers["Retry-After"]

    async def readyz(self) -> dict[str, Any]:
        async with self.session.get(f"{self.url}/readyz") as answer:
            told: dict[str, Any] = await answer.json()
            assert told["ok"] == (answer.status == 200)
            return told

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """What readyz tells as soon as it is so."""
        told: dict[str, Any] = {}
        try:
            async with asyncio.timeout(20):
                while not condition(told := await self.readyz()):  # noqa: ASYNC110 - nobody tells us
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"it did not happen: {told}") from None
        return told

    async def well(self) -> None:
        """Redis is back, and has what was spooled."""
        await self.until(lambda told: told["durability"] == "always" and not told.get("spool", {}).get("waiting"))

    async def stored(self) -> list[str]:
        async with connected(self.server.url, patience=10) as redis:
            records = RedisRecords(Scripts(redis, keys.root("callbridge")))
            return sorted([record.call.ref async for record in records.newest() if record.call])

    def direct(self) -> Any:
        """To the server itself, past the proxy."""
        return connected(self.server.url, patience=10)


Opening = Callable[..., Awaitable[Door]]


@pytest.fixture
async def opening(tmp_path: Path) -> AsyncIterator[Opening]:
    async with AsyncExitStack() as stack:

        async def open_door(*, spool: bool = True, absent: bool = False, **redis: Any) -> Door:
            server = RedisServer(tmp_path)
            if absent:
                server.kill()
            stack.callback(server.stop)
            proxy = await stack.enter_async_context(proxied(server.port))
            settings = Settings.model_validate(
                {
                    "data_dir": tmp_path / "var",
                    "redis": {"accept_old": bool(accepting()), "timeout": 1.0} | redis,
                    "receiver": {"port": 0} | ({} if spool else {"spool_size": 0}),
                    "accounts": {"main": {"url": "http://127.0.0.1:9", "token": "token-of-the-test"}},
                    "sources": {"office": {"provider": "generic", "secret": SECRET}},
                }
            )
            running = await stack.enter_async_context(receiver(settings, f"redis://127.0.0.1:{proxy.port}/0"))
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=GUARD)))
            return Door(running.url, server, proxy, session)

        yield open_door


def refs(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


WRONG = [
    (Mode.REFUSE, 0),
    (Mode.BLACKHOLE, 0),
    (Mode.RESET, 0),
    (Mode.DROP_REPLIES, 0),
    (Mode.LATENCY, 3.0),
    (Mode.CUT, 3),
]


@pytest.mark.parametrize(("mode", "amount"), WRONG)
async def test_whatever_is_between_us_and_redis_every_call_is_taken_and_ends_up_there_once(
    opening: Opening, mode: Mode, amount: float
) -> None:
    door = await opening()
    await door.send(*refs("before", 10))
    door.proxy.set(mode, amount)
    for part in range(3):  # before the receiver has noticed, and after
        await door.send(*refs(f"during-{part}", 10))
        await asyncio.sleep(0.4)
    await door.until(lambda told: told["durability"] == "spool")
    await door.send(*refs("noticed", 10))
    door.proxy.set(Mode.PASS)
    await door.well()
    await door.send(*refs("after", 10))
    assert door.answers == {200: 60}
    assert await door.stored() == sorted(door.acknowledged)


async def test_one_byte_at_a_time_is_slow_and_right(opening: Opening) -> None:
    door = await opening()
    door.proxy.set(Mode.SLICE)
    await door.send(*refs("sliced", 10))
    door.proxy.set(Mode.PASS)
    await door.well()
    assert door.answers == {200: 10}
    assert await door.stored() == sorted(door.acknowledged)


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.BLACKHOLE, Mode.DROP_REPLIES])
async def test_without_a_spool_senders_hear_503_and_what_was_acknowledged_is_there(
    opening: Opening, mode: Mode
) -> None:
    door = await opening(spool=False)
    await door.send(*refs("before", 5))
    door.proxy.set(mode)
    await door.send(*refs("during", 5))
    told = await door.until(lambda told: not told["ok"])
    assert told["durability"] == "unknown"
    await door.send(*refs("noticed", 5))
    door.proxy.set(Mode.PASS)
    await door.until(lambda told: told["ok"])
    await door.send(*refs("during", 5), *refs("noticed", 5))
    assert door.answers == {200: 15, 503: 10}
    assert await door.stored() == sorted({*refs("before", 5), *refs("during", 5), *refs("noticed", 5)})


async def test_a_redis_that_dies_and_comes_back_finds_everything_in_order(opening: Opening) -> None:
    door = await opening()
    for part in range(3):
        door.server.kill()
        await door.send(*refs(f"dead-{part}", 10))
        await door.until(lambda told: told["durability"] == "spool")
        await asyncio.to_thread(door.server.start)
        await door.well()
        await door.send(*refs(f"alive-{part}", 10))
    assert door.answers == {200: 60}
    assert await door.stored() == sorted(door.acknowledged)


async def test_a_receiver_that_starts_before_its_redis_takes_calls_at_once(opening: Opening) -> None:
    door = await opening(absent=True)
    assert (await door.readyz())["durability"] == "spool"
    await door.send(*refs("early", 10))
    await asyncio.to_thread(door.server.start)
    await door.well()
    assert door.answers == {200: 10}
    assert await door.stored() == sorted(door.acknowledged)


async def test_memory_has_to_fall_well_below_the_mark_before_redis_gets_calls_again(opening: Opening) -> None:
    door = await opening()
    async with door.direct() as redis:
        used = int((await redis.info("memory"))["used_memory"])
        await redis.config_set("maxmemory", int(used / 0.9))
        await door.until(lambda told: told["durability"] == "spool")
        await redis.config_set("maxmemory", int(used / 0.78))
        await asyncio.sleep(1.5)
        assert (await door.readyz())["durability"] == "spool"
        await redis.config_set("maxmemory", int(used / 0.5))
        await door.well()
        await redis.config_set("maxmemory", int(used / 0.78))
        told = await door.until(lambda told: any("% of maxmemory" in warning for warning in told["warnings"]))
        assert told["durability"] == "always"


async def _full(redis: Redis) -> Callable[[], Awaitable[Any]]:
    await redis.config_set("maxmemory", 1)
    return lambda: redis.config_set("maxmemory", 0)


async def _demoted(redis: Redis) -> Callable[[], Awaitable[Any]]:
    await redis.replicaof("127.0.0.1", 1)
    return lambda: redis.replicaof("NO", "ONE")


async def _alone(redis: Redis) -> Callable[[], Awaitable[Any]]:
    await redis.config_set("min-replicas-to-write", 1)
    return lambda: redis.config_set("min-replicas-to-write", 0)


async def _busy(redis: Redis) -> Callable[[], Awaitable[Any]]:
    await redis.config_set("lua-time-limit", 10)
    slow = asyncio.create_task(redis.eval("while true do end", 0))
    await asyncio.sleep(0.2)

    async def end() -> None:
        port = redis.connection_pool.connection_kwargs["port"]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"SCRIPT KILL\r\n")
        await writer.drain()
        await asyncio.gather(slow, return_exceptions=True)
        writer.close()

    return end


PASSING = [
    (_full, "maxmemory"),
    (_demoted, "failover"),
    (_alone, "min-replicas-to-write"),
    (_busy, "busy"),
]


@pytest.mark.parametrize(("trouble", "word"), PASSING)
async def test_what_passes_by_itself_is_named_and_spooled_over(opening: Opening, trouble: Any, word: str) -> None:
    door = await opening()
    await door.send(*refs("before", 5))
    async with door.direct() as redis:
        end = await trouble(redis)
        await door.send(*refs("during", 10))
        told = await door.until(lambda told: told["durability"] == "spool")
        assert any(word in problem for problem in told["problems"]), told
        await door.send(*refs("noticed", 10))
        assert (await door.readyz())["spool"]["waiting"] >= 10
        await end()
    await door.well()
    assert door.answers == {200: 25}
    assert await door.stored() == sorted(door.acknowledged)


async def test_forgotten_scripts_are_not_even_noticed(opening: Opening) -> None:
    door = await opening()
    async with door.direct() as redis:
        for part in range(5):
            await redis.script_flush()
            await door.send(*refs(f"part-{part}", 5))
    assert (await door.readyz())["spool"]["waiting"] == 0
    assert door.answers == {200: 25}


async def _password(redis: Redis) -> None:
    await redis.config_set("requirepass", "changed")
    await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def _lazy(redis: Redis) -> None:
    await redis.config_set("appendfsync", "everysec")


async def _evicting(redis: Redis) -> None:
    await redis.config_set("maxmemory-policy", "allkeys-lru")


async def _emptied(redis: Redis) -> None:
    await redis.flushall()


async def _replaced(redis: Redis) -> None:
    await redis.flushall()
    await redis.hset(f"{keys.root('callbridge')}epoch", "id", "another")


REFUSING = [
    (_password, "configuration error"),
    (_lazy, "appendfsync always"),
    (_evicting, "maxmemory-policy"),
    (_emptied, "emptied"),
    (_replaced, "another Redis"),
]


@pytest.mark.parametrize(("change", "words"), REFUSING)
async def test_what_a_person_has_to_change_is_named_and_nobody_is_told_yes(
    opening: Opening, change: Any, words: str
) -> None:
    door = await opening()
    await door.send(*refs("before", 5))
    async with door.direct() as redis:
        await change(redis)
        told = await door.until(lambda told: not told["ok"])
        assert any(words in problem for problem in told["problems"]), told
        await door.send(*refs("refused", 5))
        assert (await door.readyz())["spool"]["waiting"] == 0, "the spool is not for that"
    assert door.answers == {200: 5, 503: 5}


async def test_an_emptied_redis_gets_nothing_from_the_spool_either(opening: Opening) -> None:
    door = await opening()
    await door.send("known")
    door.proxy.set(Mode.REFUSE)
    await door.until(lambda told: told["durability"] == "spool")
    await door.send("spooled")
    async with door.direct() as redis:
        await redis.flushall()
        door.proxy.set(Mode.PASS)
        await door.until(lambda told: not told["ok"])
        assert await redis.keys("*") == []
    assert (await door.readyz())["spool"]["waiting"] == 1


async def test_too_few_replicas_for_an_acknowledgement_are_spooled_over(opening: Opening) -> None:
    door = await opening(replicas=1)
    told = await door.until(lambda told: told["durability"] == "spool")
    assert any("redis.replicas" in problem for problem in told["problems"])
    await door.send(*refs("alone", 5))
    assert door.answers == {200: 5}
    assert await door.stored() == []


async def test_a_hidden_configuration_is_refused_and_accepted_on_trust_as_unverified(opening: Opening) -> None:
    door = await opening(trust_unverified=True)
    async with door.direct() as redis:
        await redis.acl_setuser("default", categories=["+@all"], commands=["-config"])
        told = await door.until(lambda told: told["durability"] == "unverified")
        assert told["ok"]
        assert any("on trust" in warning for warning in told["warnings"])


async def test_the_hosts_spool_is_told_to_redis_when_it_is_back(opening: Opening) -> None:
    door = await opening()
    door.proxy.set(Mode.REFUSE)
    await door.until(lambda told: told["durability"] == "spool")
    await door.send(*refs("away", 3))
    door.proxy.set(Mode.PASS)
    await door.well()

    async def told() -> bool:
        async with door.direct() as redis:
            try:
                return bool(await redis.hlen(f"{keys.root('callbridge')}spools"))
            except RedisError:
                return False

    async with asyncio.timeout(20):
        while not await told():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.05)
