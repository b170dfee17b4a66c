"""Gates over a real database, and a console of a few pages behind one."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import text

from callbridge.ledger.access import AccessBook, AuditBook
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.tables import METADATA
from callbridge.ops.access import gate as gate_module
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.gate import Gate
from support.access import Clock, Outage, Site, make_gate, serve
from support.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="pg") as directory:
        Path(directory).chmod(0o755)
        server = PostgresServer(Path(directory))
        yield server
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url


@pytest.fixture
async def each_ledger(url: str) -> AsyncIterator[Ledger]:
    """Empty, on either database."""
    async with open_ledger(url) as opened:
        if opened.dialect == "postgresql":
            async with opened.begin() as connection:
                tables = ", ".join(f'"{name}"' for name in METADATA.tables)
                await connection.execute(text(f"TRUNCATE {tables}"))
        yield opened


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _quick_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one is slow on purpose; `test_the_key_of_the_admins_sessions_is_that_of_his_password` is about it."""
    monkeypatch.setattr(gate_module, "_key", lambda password: hashlib.sha256((password or "").encode()).digest())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def book(ledger: Ledger) -> Outage:
    return Outage(AccessBook(ledger))


@pytest.fixture
def audit(ledger: Ledger, clock: Clock, book: Outage) -> Audit:
    return Audit(Outage(AuditBook(ledger), book), clock)


@pytest.fixture
def gate(book: Outage, audit: Audit, clock: Clock) -> Gate:
    return make_gate(book, audit, clock)


@pytest.fixture
async def site(
    gate: Gate, book: Outage, audit: Audit, clock: Clock, http: aiohttp.ClientSession
) -> AsyncIterator[Site]:
    listening, done = await serve(gate)
    yield Site(gate, book, audit, clock, http, listening, done)
    await listening.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session
