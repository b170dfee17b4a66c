"""The ledger's suite runs twice: on SQLite, and on a real PostgreSQL."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.tables import METADATA
from support.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    # Not below pytest's own directory, into which the user postgres may not look; and a socket's path has to be short.
    with tempfile.TemporaryDirectory(prefix="pg") as directory:
        Path(directory).chmod(0o755)
        server = PostgresServer(Path(directory))
        yield server
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An address for each dialect; its tables may hold what an earlier test left."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/var/ledger.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    """Empty and of the wanted revision."""
    async with open_ledger(url) as opened:
        if opened.dialect == "postgresql":
            async with opened.begin() as connection:
                tables = ", ".join(f'"{name}"' for name in METADATA.tables)
                await connection.execute(text(f"TRUNCATE {tables}"))
        yield opened
