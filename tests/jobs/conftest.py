"""A Redis with keys of its own, a ledger in a file, and jobs over both."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ops.jobs import Jobs
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from support.jobs import Audit, jobs_of
from support.redis_server import RedisServer
from support.store import Bench


@pytest.fixture
async def bench(redis_server: RedisServer) -> AsyncIterator[Bench]:
    async with connected(redis_server.url) as redis:
        yield Bench(Scripts(redis, keys.root(secrets.token_hex(8))))


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    async with open_ledger(ledger_url) as opened:
        yield opened


@pytest.fixture
def audit() -> Audit:
    return Audit()


@pytest.fixture
def jobs(ledger: Ledger, bench: Bench, audit: Audit) -> Jobs:
    return jobs_of(ledger, bench.scripts, "one", audit)


@pytest.fixture
def running() -> Any:
    @asynccontextmanager
    async def run(*jobs: Jobs) -> AsyncIterator[None]:
        stopping = asyncio.Event()
        tasks = [asyncio.create_task(each.run(stopping)) for each in jobs]
        yield
        stopping.set()
        await asyncio.gather(*tasks)

    return run
