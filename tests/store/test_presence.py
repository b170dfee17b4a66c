"""Who is alive and drains what: taken over from the dead, never blocked by a living worker that does not drain."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from callbridge.store.presence import GONE_AFTER, RedisPresence

ROOT = "{test}:"


@pytest.fixture
def presence(redis: Redis) -> RedisPresence:
    return RedisPresence(redis, ROOT)


async def test_an_account_has_one_living_drainer(presence: RedisPresence) -> None:
    for worker in ("w1", "w2"):
        await presence.beat(worker, frozenset)
    assert await presence.begin_drain("main", "w1")
    assert not await presence.begin_drain("main", "w2")
    assert await presence.drains() == {"main": "w1"}
    await presence.end_drain("main", "w2")
    assert await presence.drains() == {"main": "w1"}
    await presence.end_drain("main", "w1")
    assert await presence.begin_drain("main", "w2")


async def test_a_dead_drainer_is_taken_over(presence: RedisPresence, redis: Redis) -> None:
    await presence.beat("w1", frozenset)
    assert await presence.begin_drain("main", "w1")
    await redis.zincrby(f"{ROOT}workers", -GONE_AFTER - 1, "w1")
    assert await presence.begin_drain("main", "w2")


async def test_an_entry_whose_end_was_not_heard_goes_with_the_next_heartbeat(presence: RedisPresence) -> None:
    await presence.beat("w1", frozenset)
    await presence.begin_drain("main", "w1")
    await presence.begin_drain("branch", "w1")
    await presence.beat("w2", frozenset)
    assert await presence.drains() == {"main": "w1", "branch": "w1"}
    await presence.beat("w1", lambda: {"branch"})
    assert await presence.drains() == {"branch": "w1"}


async def test_a_worker_that_leaves_is_no_longer_listed(presence: RedisPresence) -> None:
    await presence.beat("w1", frozenset)
    assert set(await presence.workers()) == {"w1"}
    await presence.leave("w1")
    assert await presence.workers() == {}
