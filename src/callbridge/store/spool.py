"""Where acknowledged arrivals wait on this host's disk while Redis cannot take them.

One SQLite file per host, shared by all its receivers: every append is on the disk (`synchronous=FULL`) before it returns, a
torn end is SQLite's business, and a file that cannot be read any more is set aside and what is readable in it is kept. Rows
are taken under a lease, so that two receivers do not hand the same rows to Redis; if they do, the store finds them known.

Blocking code for one thread; `spooling` gives it one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from callbridge import observe
from callbridge.errors import StoreUnavailable

SPOOL_FILE: Final = "spool.db"
"""Its name in the data directory."""

PATIENCE: Final = 1.0
"""Seconds that one process waits for another to finish writing."""

_TABLE: Final = """
    CREATE TABLE IF NOT EXISTS arrivals (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at REAL NOT NULL,
        taken_until REAL NOT NULL DEFAULT 0,
        packed BLOB NOT NULL
    )
"""


@dataclass(frozen=True, slots=True)
class SpoolStanding:
    """What waits: how many arrivals, and since when (Unix seconds) the oldest."""

    waiting: int
    oldest_at: float | None


EMPTY: Final = SpoolStanding(0, None)


class SpoolFile:
    """All methods raise `StoreUnavailable` when the disk, or another process on the file, says no."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None

    def append(self, rows: Sequence[bytes], now: float) -> None:
        """Durable when it returns, all of them or none."""
        with self._transaction() as connection:
            connection.executemany("INSERT INTO arrivals (at, packed) VALUES (?, ?)", [(now, row) for row in rows])

    def take(self, most: int, now: float, lease: float) -> list[tuple[int, bytes]]:
        """The oldest rows that nobody else has, ours for `lease` seconds."""
        with self._transaction() as connection:
            rows = connection.execute(
                "SELECT id, packed FROM arrivals WHERE taken_until <= ? ORDER BY id LIMIT ?", (now, most)
            ).fetchall()
            connection.executemany(
                "UPDATE arrivals SET taken_until = ? WHERE id = ?", [(now + lease, number) for number, _ in rows]
            )
        return rows

    def remove(self, numbers: Sequence[int]) -> None:
        with self._transaction() as connection:
            connection.executemany("DELETE FROM arrivals WHERE id = ?", [(number,) for number in numbers])

    def give_back(self, numbers: Sequence[int]) -> None:
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE arrivals SET taken_until = 0 WHERE id = ?", [(number,) for number in numbers]
            )

    def standing(self) -> SpoolStanding:
        with self._transaction() as connection:
            waiting, oldest = connection.execute("SELECT count(*), min(at) FROM arrivals").fetchone()
        return SpoolStanding(waiting, oldest)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._opened()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:  # full, locked, read-only, gone: may be over next time
            self.close()
            raise StoreUnavailable(f"spool: {error}") from error
        except sqlite3.DatabaseError as error:
            self.close()
            self._set_aside()
            raise StoreUnavailable(f"spool: {error}") from error
        except OSError as error:
            raise StoreUnavailable(f"spool: {error}") from error

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):  # calls are private: nobody else on the host reads them
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
            try:
                self._connection = _connected(self._path, self._max_bytes)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._set_aside()
                self._connection = _connected(self._path, self._max_bytes)
        return self._connection

    def _set_aside(self) -> None:
        """A damaged file keeps its name plus a number; what can still be read of it goes into a new one."""
        aside = next(path for n in range(1, 10_000) if not (path := self._path.with_suffix(f".damaged-{n}")).exists())
        self._path.rename(aside)
        for ending in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{ending}").rename(f"{aside}{ending}")
        saved = _salvaged(aside)
        observe.event("spool.damaged", level="error", file=str(aside), saved=len(saved))
        with contextlib.closing(_connected(self._path, self._max_bytes)) as fresh, fresh:
            fresh.executemany("INSERT INTO arrivals (at, packed) VALUES (?, ?)", saved)


def read_standing(path: Path) -> SpoolStanding:
    """How the spool of this host stands, for whoever only looks. Raises `StoreUnavailable` for an unreadable file."""
    if not path.exists():
        return EMPTY
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
            waiting, oldest = connection.execute("SELECT count(*), min(at) FROM arrivals").fetchone()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"spool: {error}") from error
    return SpoolStanding(waiting, oldest)


def _connected(path: Path, max_bytes: int) -> sqlite3.Connection:
    # Used by one thread at a time, but not always by the one that opened it.
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count = {max(16, max_bytes // page)}")
        connection.execute(_TABLE)
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)  # noqa: TRY301 - it is what SQLite itself raises a moment later
    except BaseException:
        connection.close()
        raise
    return connection


def _salvaged(path: Path) -> list[tuple[float, bytes]]:
    saved: list[tuple[float, bytes]] = []
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(path, timeout=PATIENCE)) as connection,
    ):
        saved.extend(connection.execute("SELECT at, packed FROM arrivals ORDER BY id"))
    return saved
