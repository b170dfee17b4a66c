"""One account, for real: the store on a redis-server, the simulated CRM over HTTP, wired as in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from callbridge.amocrm.client import build_session
from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from callbridge.store.connect import connected
from callbridge.wiring import AccountWork, open_store
from support.office import Office, office_settings
from support.redis_server import RedisServer


@pytest.fixture
async def crm() -> AsyncIterator[CrmSim]:
    sim = CrmSim(SimConfig(contacts=0, rate=0))
    await sim.start()
    yield sim
    await sim.stop()


@pytest.fixture
async def office(redis_server: RedisServer, crm: CrmSim) -> AsyncIterator[Office]:
    async with connected(redis_server.url) as redis:
        await redis.flushall()
    settings = office_settings(crm.url)
    stopping = asyncio.Event()
    async with open_store(settings, redis_server.url) as store, build_session() as session:
        yield Office(settings, store, AccountWork("main", settings, store, session, stopping), crm, stopping)
