"""The judge and its helpers: what they are to find, they find; what is well, they leave alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from redis.asyncio import Redis

from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from faults.checker import Evidence, busiest_second, judge
from faults.consistency import inconsistencies
from faults.powercut import ForgetfulRedis
from faults.proxy import Mode, proxied
from faults.walk import Walk
from support.redis_server import RedisServer

ROOT = "{harness}:"


def evidence(**changes: Any) -> Evidence:
    row = {"id": "c1", "ref": "r1", "uniq": "u1", "state": "delivered", "note_id": 7}
    defaults: dict[str, Any] = {
        "sent": frozenset({"r1"}), "acknowledged": frozenset({"r1"}), "rows": [row], "notes": [{"uniq": "u1", "id": 7}],
    }  # fmt: skip
    return Evidence(**(defaults | changes))


def row(**changes: Any) -> dict[str, Any]:
    return {"id": "c1", "ref": "r1", "uniq": "u1", "state": "delivered", "note_id": 7} | changes


def test_a_call_that_was_delivered_once_is_what_was_promised() -> None:
    assert judge(evidence()).violations == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": [], "notes": []}, "nowhere"),
        ({"rows": [row(), row(id="c2", uniq="u2", state="dead")]}, "more than once"),
        ({"rows": [row(ref="r2")], "acknowledged": frozenset()}, "never sent"),
        ({"rows": [row(state="sending")]}, "stuck"),
        ({"notes": [{"uniq": "u1", "id": 7}, {"uniq": "u1", "id": 8}]}, "too many"),
        ({"notes": []}, "no note"),
        ({"rows": [row(note_id=8)]}, "names note 8"),
        ({"rows": [row(state="dead")]}, "is dead, and the CRM has note"),
        ({"notes": [{"uniq": "u1", "id": 7}, {"uniq": "u9", "id": 9}]}, "belong to no call"),
        ({"request_times": [[0.0, 0.5, 0.99]], "rate": 2}, "3 requests in one second"),
    ],
)
def test_what_does_not_add_up_is_said(changes: dict[str, Any], says: str) -> None:
    (violation,) = judge(evidence(**changes)).violations
    assert says in violation


def test_the_busiest_second_slides() -> None:
    assert busiest_second([0.0, 0.9, 1.0, 1.8, 3.0]) == 3
    assert busiest_second([]) == 0


@pytest.fixture
async def walked(redis_server: RedisServer) -> AsyncIterator[Redis]:
    async with connected(redis_server.url) as redis:
        await redis.flushall()
        await Walk(Scripts(redis, ROOT), Random(3)).run(300)
        yield redis


async def test_a_store_in_which_every_move_was_made_fits_together(walked: Redis) -> None:
    assert await inconsistencies(walked, ROOT) == []


async def first(redis: Redis, name: str) -> bytes:
    (member,) = await redis.zrange(f"{ROOT}{name}", 0, 0)
    return bytes(member)


async def _into(redis: Redis, one: str, other: str) -> None:
    await redis.zadd(f"{ROOT}{other}", {await first(redis, one): 1})


async def _field_gone(redis: Redis, key: str) -> None:
    await redis.hdel(key, (await redis.hkeys(key))[0])


async def _call_gone(redis: Redis) -> None:
    await redis.delete(f"{ROOT}call:{(await first(redis, 'index')).decode()}")


async def _changed(redis: Redis, name: str, value: str | None) -> None:
    key = f"{ROOT}call:{(await first(redis, 'delivered')).decode()}"
    await (redis.hdel(key, name) if value is None else redis.hset(key, name, value))


async def _story_gone(redis: Redis) -> None:
    await redis.delete(f"{ROOT}story:{(await first(redis, 'delivered')).decode()}")


HARM: dict[str, Callable[[Redis], Any]] = {
    "a set lost its call": lambda redis: redis.zpopmin(f"{ROOT}delivered"),
    "a call stands in two sets": lambda redis: _into(redis, "delivered", "dead"),
    "a call is in no index": lambda redis: redis.zpopmin(f"{ROOT}index"),
    "a body is gone": lambda redis: _field_gone(redis, f"{ROOT}bodies"),
    "a dedupe key is gone": lambda redis: _field_gone(redis, f"{ROOT}keys"),
    "a call is gone": _call_gone,
    "a state is another": lambda redis: _changed(redis, "st", "dead"),
    "a note id is missing": lambda redis: _changed(redis, "ni", None),
    "a count is off": lambda redis: redis.hincrby(f"{ROOT}counts", "office:stored", 1),
    "a story is gone": _story_gone,
    "a late note has no content": lambda redis: redis.zadd(f"{ROOT}late:main", {"nobody.abc": 1}),
    "retrying holds a stranger": lambda redis: redis.sadd(f"{ROOT}retrying", "nobody"),
    "an account is not listed": lambda redis: redis.srem(f"{ROOT}accounts", "main"),
}


@pytest.mark.parametrize("harm", HARM)
async def test_whatever_does_not_fit_together_is_found(harm: str, walked: Redis) -> None:
    await HARM[harm](walked)
    assert await inconsistencies(walked, ROOT)


@pytest.mark.parametrize("mode", [Mode.REFUSE, Mode.BLACKHOLE, Mode.RESET, Mode.DROP_REPLIES, Mode.CUT])
async def test_the_proxy_spoils_what_goes_through_it(mode: Mode, redis_server: RedisServer) -> None:
    async with proxied(redis_server.port) as proxy:
        assert await _ping(proxy.port) == b"+PONG\r\n"
        proxy.set(mode, 2)
        assert await _ping(proxy.port) != b"+PONG\r\n"
        proxy.set(Mode.PASS)
        assert await _ping(proxy.port) == b"+PONG\r\n"


@pytest.mark.parametrize("mode", [Mode.LATENCY, Mode.SLICE])
async def test_the_proxy_may_also_only_be_slow(mode: Mode, redis_server: RedisServer) -> None:
    async with proxied(redis_server.port) as proxy:
        proxy.set(mode, 0.05)
        assert await _ping(proxy.port) == b"+PONG\r\n"


async def _ping(port: int) -> bytes:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PING\r\n")
        try:
            return await asyncio.wait_for(reader.readuntil(b"\r\n"), 0.5)
        finally:
            writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return b""


async def test_a_disk_that_forgets_forgets(tmp_path: Path) -> None:
    """See N5 for the bridge on it; here, that an unsynced write is really gone, and a synced one is not."""
    for level, kept in (("always", 200), ("no", 0)):
        (tmp_path / level).mkdir()
        server = await asyncio.to_thread(ForgetfulRedis, tmp_path / level, "--appendfsync", level)
        try:
            async with connected(server.url) as redis:
                for number in range(200):
                    await redis.set(f"k{number}", number)
            await asyncio.to_thread(server.cut)
            await asyncio.to_thread(server.start)
            async with connected(server.url) as redis:
                assert await redis.dbsize() == kept
        finally:
            await asyncio.to_thread(server.stop)
