"""One account, for real: the store on a redis-server, the simulated CRM over HTTP, wired as in production."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from support.office import Office, open_office
from support.redis_server import RedisServer


@pytest.fixture
async def crm() -> AsyncIterator[CrmSim]:
    sim = CrmSim(SimConfig(contacts=0, rate=0))
    await sim.start()
    yield sim
    await sim.stop()


@pytest.fixture
async def office(redis_server: RedisServer, crm: CrmSim) -> AsyncIterator[Office]:
    async with open_office(redis_server, crm) as office:
        yield office
