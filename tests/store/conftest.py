"""The store's conformance suite runs twice: on fakeredis, which runs our Lua itself, and on a real redis-server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from support.redis_server import RedisServer
from support.store import Bench

ROOT = "{test}:"


@pytest.fixture(params=["fakeredis", "server"])
async def redis(request: pytest.FixtureRequest, redis_server: RedisServer) -> AsyncIterator[Redis]:
    if request.param == "fakeredis":
        fake = FakeAsyncRedis()
        yield fake
        await fake.aclose()
    else:
        async with connected(redis_server.url) as real:
            await real.flushall()
            yield real


@pytest.fixture
async def scripts(request: pytest.FixtureRequest, redis: Redis) -> Scripts:
    return Scripts(redis, ROOT, flags=False if isinstance(redis, FakeAsyncRedis) else None)


@pytest.fixture
def bench(scripts: Scripts) -> Bench:
    return Bench(scripts)
