"""A call to Redis that is given up in the middle: the next one on that connection gets its own answer, not the last one's."""

from __future__ import annotations

import asyncio
import random

import pytest
from redis.asyncio import Redis

from callbridge.errors import StoreUnavailable
from callbridge.store.connect import pool_of
from callbridge.store.inbox import RedisInbox
from callbridge.store.scripts import Scripts
from support.builders import a_finished_call
from support.redis_server import RedisServer

TIMES = 1_000


@pytest.mark.parametrize("replicas", [0, 1])
async def test_given_up_anywhere_a_thousand_times_no_answer_is_mixed_up(
    redis_server: RedisServer, replicas: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callbridge.store.scripts.REPLICAS_WITHIN", 1)
    pool = pool_of(redis_server.url, patience=2, connections=3)
    redis = Redis(connection_pool=pool)
    await redis.flushall()
    scripts = Scripts(redis, "{cancelled}:")
    dice = random.Random(20)
    given_up = 0

    async def ask(number: int) -> None:
        """Each source's counter is its own: a reply of another would be another number."""
        source = f"source-{number % 7}"
        await scripts.run("count", source, replicas=replicas)

    async def echo(number: int) -> None:
        assert await redis.echo(f"{number}") == b"%d" % number

    for number in range(TIMES):
        tasks = [asyncio.create_task(ask(number)), asyncio.create_task(echo(number))]
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
        if dice.random() < 0.3:
            await asyncio.sleep(dice.random() / 2_000)
        tasks[number % 2].cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            given_up += isinstance(result, asyncio.CancelledError)
            assert result is None or isinstance(result, asyncio.CancelledError | StoreUnavailable), result
    assert given_up > TIMES / 5, "nothing was given up in the middle"
    # No connection is lost to the pool, and each says what it is asked.
    echoes = await asyncio.gather(*(redis.echo(f"after-{n}") for n in range(50)))
    assert echoes == [b"after-%d" % n for n in range(50)]
    assert len(pool._in_use_connections) == 0
    await pool.aclose()


async def test_a_sender_that_gives_up_does_not_give_up_for_the_others(redis_server: RedisServer) -> None:
    pool = pool_of(redis_server.url, patience=2, connections=3)
    redis = Redis(connection_pool=pool)
    await redis.flushall()
    inbox = RedisInbox(Scripts(redis, "{cancelled}:"), lambda: 1_790_000_100.0, lambda _: None)
    dice = random.Random(21)
    kinds: list[str] = []
    for number in range(TIMES // 4):
        both = [
            asyncio.create_task(inbox.put([a_finished_call(ref=f"{name}-{number}")])) for name in ("stays", "leaves")
        ]
        for _ in range(dice.randrange(8)):
            await asyncio.sleep(0)
        both[1].cancel()
        (receipt,) = await both[0]
        kinds.append(receipt.kind.value)
        await asyncio.wait(both)
    assert kinds == ["stored"] * (TIMES // 4)
    await pool.aclose()
