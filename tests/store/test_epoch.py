"""A Redis that lost its memory, or is another: nobody takes what it does not know for new."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from callbridge.claim import Nothing
from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.store.connect import connected
from callbridge.store.epoch import Epoch, difference
from callbridge.store.inbox import RedisInbox
from callbridge.store.queue import RedisQueue
from callbridge.store.scripts import Scripts
from support.builders import a_finished_call
from support.redis_server import RedisServer

ROOT = "{epoch}:"


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    async with connected(redis_server.url) as redis:
        await redis.flushall()
        yield redis


def host(redis: Redis, folder: Path, **options: bool) -> Epoch:
    """A process of the host whose data is in `folder`."""
    return Epoch(redis, ROOT, folder / "epoch", **options)


@pytest.mark.parametrize(
    ("known", "found", "right"),
    [
        (None, {}, True),
        (None, {b"id": b"a"}, True),
        ("a", {b"id": b"a"}, True),
        ("a", {}, False),
        ("a", {b"id": b"b"}, False),
        ("a", {b"id": b"b", b"after:a": b"accepted"}, True),
        ("a", {b"id": b"b", b"after:c": b"accepted"}, False),
        ("a", {b"after:a": b"accepted"}, False),
    ],
)
def test_a_host_goes_on_with_what_it_knows_or_a_person_accepted(known, found, right) -> None:
    assert (difference(known, found) is None) == right


async def test_a_new_redis_gets_a_token_that_every_host_learns(redis: Redis, tmp_path: Path) -> None:
    assert await host(redis, tmp_path / "a").look() is None
    assert await host(redis, tmp_path / "b").look() is None
    tokens = {(tmp_path / name / "epoch").read_text() for name in "ab"}
    assert len(tokens) == 1
    assert tokens.pop().strip() == (await redis.hget(f"{ROOT}epoch", "id")).decode()


async def test_an_emptied_redis_is_noticed_under_a_running_process_and_by_a_new_one(
    redis: Redis, tmp_path: Path
) -> None:
    running = host(redis, tmp_path)
    await running.look()
    await redis.flushall()
    for process in (running, host(redis, tmp_path)):
        problem = await process.look()
        assert problem is not None
        assert "emptied" in problem
        assert "callbridge epoch accept" in problem
        assert not process.allows()
    assert await redis.keys("*") == [], "looking at it must not make it look known"


async def test_another_redis_is_noticed(redis: Redis, tmp_path: Path) -> None:
    process = host(redis, tmp_path)
    await process.look()
    await redis.hset(f"{ROOT}epoch", "id", "somebody else's")
    problem = await process.look()
    assert problem is not None
    assert "another Redis" in problem


async def test_restored_data_is_right_again_by_itself(redis: Redis, tmp_path: Path) -> None:
    process = host(redis, tmp_path)
    await process.look()
    kept = await redis.hgetall(f"{ROOT}epoch")
    await redis.flushall()
    await process.look()
    await redis.hset(f"{ROOT}epoch", mapping=kept)
    assert await process.look() is None
    assert process.allows()


@pytest.mark.parametrize("new", [None, "somebody else's"])
async def test_one_person_s_word_on_one_host_is_enough_for_all(redis: Redis, tmp_path: Path, new: str | None) -> None:
    hosts = [host(redis, tmp_path / name) for name in "abc"]
    for one in hosts:
        await one.look()
    await redis.flushall()
    if new:
        await redis.hset(f"{ROOT}epoch", "id", new)
    assert all([await one.look() for one in hosts])
    await host(redis, tmp_path / "b").accept()
    assert [await one.look() for one in hosts] == [None, None, None]
    assert [await host(redis, tmp_path / name).look() for name in "abc"] == [None, None, None]
    await redis.flushall()
    assert all([await one.look() for one in hosts]), "the word was for that loss, not for the next"


async def test_there_is_nothing_to_accept_where_nothing_is_wrong(redis: Redis, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured):
        await host(redis, tmp_path).accept()
    await host(redis, tmp_path).look()
    with pytest.raises(Misconfigured):
        await host(redis, tmp_path).accept()


async def test_only_looking_from_outside_writes_nothing(redis: Redis, tmp_path: Path) -> None:
    assert await host(redis, tmp_path).differs() is None
    assert await redis.keys("*") == []
    assert not (tmp_path / "epoch").exists()


async def test_a_redis_declared_to_keep_nothing_is_accepted_as_it_comes(redis: Redis, tmp_path: Path) -> None:
    process = host(redis, tmp_path, forgetful=True)
    await process.look()
    await redis.flushall()
    assert await process.look() is None
    assert await process.look() is None


async def test_a_host_that_cannot_write_goes_on(redis: Redis, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    process = Epoch(redis, ROOT, tmp_path / "file" / "epoch")
    assert await process.look() is None
    assert await process.look() is None


async def test_a_redis_that_does_not_answer_is_neither_right_nor_wrong(tmp_path: Path) -> None:
    async with connected("redis://127.0.0.1:1/0", patience=0.5) as redis:
        with pytest.raises(StoreUnavailable):
            await host(redis, tmp_path).look()


async def test_a_worker_takes_no_call_from_a_redis_it_does_not_know(redis: Redis, tmp_path: Path) -> None:
    epoch, scripts = host(redis, tmp_path), Scripts(redis, ROOT)
    queue = RedisQueue(scripts, lease=60, look_in=30, allowed=epoch.allows)
    await epoch.look()
    await redis.flushall()
    await RedisInbox(scripts, lambda: 1_790_000_100.0, lambda _: None).put([a_finished_call()])
    await epoch.look()
    assert await queue.claim("main", 10) == Nothing(None)
    await epoch.accept()
    assert len((await queue.claim("main", 10)).calls) == 1


async def test_a_token_that_no_replica_has_is_not_learnt(redis: Redis, tmp_path: Path) -> None:
    """A failover would bring up a Redis without it, and everybody would stop for an emptied one."""
    cautious = Epoch(redis, ROOT, tmp_path / "epoch", replicas=1)
    with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
        await cautious.look()
    assert not (tmp_path / "epoch").exists()
    assert await host(redis, tmp_path).look() is None
    assert (tmp_path / "epoch").exists()
    assert await cautious.look() is None, "what is known already needs no confirmation"
