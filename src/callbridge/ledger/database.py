"""The ledger's database: one text of SQL for SQLite and PostgreSQL, with time limits, and errors in our words.

Nothing is connected before it is used, so a database that is away delays nobody's start. On SQLite there is one connection
that writes and a few that only read; a reader never waits for the writer. On PostgreSQL all come from one pool.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import URL, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from callbridge.errors import Misconfigured
from callbridge.ledger import migrating
from callbridge.ledger.migrating import WANTED_REVISION
from callbridge.ledger.trouble import Clash, TooSlow, Unwritable, our_words

__all__ = ["WANTED_REVISION", "Clash", "Dialect", "Ledger", "TooSlow", "Unwritable", "open_ledger"]

Dialect = Literal["sqlite", "postgresql"]

READ_BUDGET: Final = 1.0
"""Seconds that a page's statement may take."""

LONGEST: Final = 30.0
"""Seconds after which any statement is given up: a server that is gone does not say so."""

_BUSY: Final = 5.0
"""Seconds that a writer waits for another process that writes."""

_READERS: Final = 4
_STEPS: Final = 20_000
"""Steps of SQLite's machine between two looks at the clock: a fraction of a millisecond."""

_LOCK: Final = 0x63616C6C62726467
"""PostgreSQL's advisory lock under which the schema is changed: `callbrdg` in ASCII."""

_POSTGRESQL_OPTIONS: Final = frozenset({"host", "port", "ssl", "sslmode"})


class Ledger:
    """Hands out connections. Whatever goes wrong in a block of one of them is a `LedgerUnavailable`."""

    def __init__(self, url: URL, dialect: Dialect) -> None:
        self.dialect = dialect
        self._url = url
        self.engine = _sqlite(url, readers=False) if dialect == "sqlite" else _postgresql(url)
        self._reading = _sqlite(url, readers=True) if dialect == "sqlite" else self.engine

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that writes, and is undone if the block raises. On SQLite it has the database to itself."""
        with our_words("write"):
            async with self.engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self, budget: float = READ_BUDGET) -> AsyncIterator[AsyncConnection]:
        """One state of the database, to read only. Each statement is ended after `budget` seconds with `TooSlow`."""
        with our_words("read"):
            async with self._reading.connect() as connection:
                if self.dialect == "sqlite":
                    await connection.execution_options(budget=budget)
                else:
                    await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                    await connection.execute(
                        text("SELECT set_config('statement_timeout', :ms, true)"),
                        {"ms": str(max(1, round(budget * 1000)))},
                    )
                yield connection

    def connect(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A read that may take long: an export, a check of the whole audit."""
        return self.read(LONGEST)

    async def migrate(self) -> bool:
        """Brings the schema to what this version wants; says whether anything had to be done. Several processes may try at
        once. Raises `Misconfigured` for a database that a newer version has written.
        """
        if await self.revision() == WANTED_REVISION:
            return False
        # On PostgreSQL by a connection of its own: a change may take longer than any statement otherwise may.
        engine = self.engine if self.dialect == "sqlite" else _postgresql(self._url, longest=None)
        with our_words("migrate"):
            try:
                async with engine.begin() as connection:
                    if self.dialect == "postgresql":
                        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
                    return await connection.run_sync(migrating.upgrade)
            finally:
                if engine is not self.engine:
                    await engine.dispose()

    async def revision(self) -> str | None:
        """The schema's version, None before the first `migrate`."""
        async with self.read() as connection:
            return await connection.run_sync(migrating.revision_of)

    async def size(self) -> int:
        """Bytes of the database."""
        pages = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        async with self.read() as connection:
            question = pages if self.dialect == "sqlite" else "SELECT pg_database_size(current_database())"
            return int((await connection.execute(text(question))).scalar_one())

    async def scrub(self) -> None:
        """What was deleted before is not in SQLite's log any more either, as far as no reader holds on to it."""
        if self.dialect == "sqlite":
            with our_words("scrub"):
                async with self.engine.connect() as connection:
                    raw = await connection.get_raw_connection()
                    driver: Any = raw.driver_connection
                    await driver.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")

    async def close(self) -> None:
        await self._reading.dispose()
        await self.engine.dispose()


@asynccontextmanager
async def open_ledger(url: str, *, migrate: bool = True) -> AsyncIterator[Ledger]:
    """The ledger at `url`. With `migrate` its schema is brought up to date first, and the database has to be there for that;
    without, nothing is connected yet. Raises `Misconfigured` for an address that is none of ours.
    """
    ledger = Ledger(*_address(url))
    try:
        if migrate:
            await ledger.migrate()
        yield ledger
    finally:
        await ledger.close()


def _address(url: str) -> tuple[URL, Dialect]:
    """What `url` names. The refusals do not repeat it: it may hold a password."""
    wanted = "is sqlite:///path/to/file.db or postgresql://user:password@host/database"
    try:
        parsed = make_url(url)
        _ = parsed.port
    except (ArgumentError, ValueError) as error:
        raise Misconfigured(f"ledger.url {wanted}") from error
    match parsed.drivername:
        case "sqlite":
            if parsed.host or parsed.query or not parsed.database or parsed.database == ":memory:":
                raise Misconfigured(f"ledger.url {wanted}: SQLite wants the path of a file and nothing else")
            return parsed.set(drivername="sqlite+aiosqlite"), "sqlite"
        case "postgresql" | "postgres":
            if unknown := sorted(set(parsed.query) - _POSTGRESQL_OPTIONS):
                raise Misconfigured(
                    f"ledger.url: unknown option {unknown[0][:40]!r}; there are {', '.join(sorted(_POSTGRESQL_OPTIONS))}"
                )
            if "sslmode" in parsed.query:  # libpq's name for what asyncpg calls ssl
                parsed = parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": parsed.query["sslmode"]})
            return parsed.set(drivername="postgresql+asyncpg"), "postgresql"
        case _:
            raise Misconfigured(f"ledger.url {wanted}")


def _postgresql(url: URL, *, longest: float | None = LONGEST) -> AsyncEngine:
    try:
        return create_async_engine(
            url,
            hide_parameters=True,
            pool_size=5,
            max_overflow=5,
            pool_timeout=_BUSY,
            pool_pre_ping=True,  # a server that was restarted costs nobody an error
            connect_args={"timeout": 5, "command_timeout": longest},
        )
    except ModuleNotFoundError as error:
        raise Misconfigured("ledger.url: PostgreSQL needs the extra: pip install 'callbridge[postgresql]'") from error


def _sqlite(url: URL, *, readers: bool) -> AsyncEngine:
    engine = create_async_engine(
        url,
        hide_parameters=True,
        pool_size=_READERS if readers else 1,
        max_overflow=0,
        pool_timeout=_BUSY,
        connect_args={"timeout": _BUSY},
    )
    path = Path(url.database or "")

    def prepare(*_: Any) -> None:
        """The file is the owner's alone, and so is what SQLite lays beside it: it takes the file's own mode for that.

        One that is there is not opened: to close it again would take away the locks that SQLite holds on it in this process,
        and another process would then throw away the log that we go on writing to.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))

    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, and not by the driver's guess
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = OFF",
            "cache_size = -16000",
            "secure_delete = ON",  # what is erased is not in the file any more
        ):
            cursor.execute(f"PRAGMA {pragma}")
        if readers:
            cursor.execute("PRAGMA query_only = ON")
            clock = record.info["clock"] = _Clock()
            connection.run_async(lambda driver: driver.set_progress_handler(clock.is_over, _STEPS))
        cursor.close()

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN" if readers else "BEGIN IMMEDIATE")

    def executing(connection: Any, *_: Any) -> None:
        connection.info["clock"].start(connection.get_execution_options().get("budget", LONGEST))

    event.listen(engine.sync_engine, "do_connect", prepare)
    event.listen(engine.sync_engine, "connect", connected)
    event.listen(engine.sync_engine, "begin", begin)
    if readers:
        event.listen(engine.sync_engine, "before_cursor_execute", executing)
    return engine


class _Clock:
    """Ends a statement of SQLite that has had its time: asked by SQLite itself while it works."""

    def __init__(self) -> None:
        self._until = float("inf")

    def start(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def is_over(self) -> bool:
        return time.monotonic() > self._until
