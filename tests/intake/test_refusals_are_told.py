"""What a receiver turned away is in Redis a moment later, for whoever looks from elsewhere; without Redis it goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp

from callbridge.receiver import receiver
from callbridge.settings import Settings
from callbridge.store.connect import connected
from callbridge.store.keys import root
from callbridge.store.refusals import RedisRefusals
from callbridge.store.scripts import Scripts
from support.redis_server import RedisServer
from support.webhooks import SECRET


def settings_in(path: Path) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": str(path),
            "redis": {"durability": "none"},
            "receiver": {"port": 0},
            "accounts": {"main": {"url": "http://127.0.0.1:1", "token": "token-of-the-test"}},
            "sources": {"office": {"provider": "generic", "secret": SECRET}},
        }
    )


async def test_refusals_reach_redis_while_it_runs_and_when_it_stops(redis_server: RedisServer, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with connected(redis_server.url) as redis:
        await redis.flushall()
        store = RedisRefusals(Scripts(redis, root(settings.redis.prefix)))
        async with receiver(settings, redis_server.url) as running, aiohttp.ClientSession() as session:
            async with session.post(running.url + "/hooks/office", data=b"{}") as response:
                assert response.status == 401
            for _ in range(100):
                if told := await store.read():
                    break
                await asyncio.sleep(0.1)
            assert told["office"].counts == {"no_signature": 1}
            assert told["office"].samples[0]["ip"] == "127.0.0.0/24"
            async with session.post(running.url + "/hooks/nobody", data=b"{}") as response:
                assert response.status == 401
        assert (await store.read())["unknown"].counts == {"unknown_source": 1}
