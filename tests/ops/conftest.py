"""A store on a real server with keys of its own, and an inspector over it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from callbridge.ops.inspect import Inspector
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.durability import Asked, stands
from callbridge.store.presence import RedisPresence
from callbridge.store.scripts import Scripts
from support.redis_server import RedisServer
from support.store import Bench


@pytest.fixture
async def bench(redis_server: RedisServer) -> AsyncIterator[Bench]:
    async with connected(redis_server.url) as redis:
        yield Bench(Scripts(redis, keys.root(secrets.token_hex(8))))


@pytest.fixture
def presence(bench: Bench) -> RedisPresence:
    return RedisPresence(bench.scripts.redis, bench.scripts.root)


@pytest.fixture
def inspector(bench: Bench, presence: RedisPresence) -> Inspector:
    redis = bench.scripts.redis
    return Inspector(bench.records, bench.tally, presence, lambda: stands(redis, Asked(accept_old=True)), ("main",))
