"""Where acknowledged arrivals wait on this host's disk while Redis cannot take them.

One SQLite file per host, shared by all its receivers: every append is on the disk (`synchronous=FULL`) before it returns, a
torn end is SQLite's business, and a file that cannot be read any more is set aside and what is readable in it is kept. Rows
are taken under a lease, so that two receivers do not hand the same rows to Redis; if they do, the store finds them known.
A lock beside the file lets one in at a time, so that nobody writes into a file that was set aside.

Blocking code for one thread; `spooling` gives it one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from callbridge import observe
from callbridge.errors import StoreUnavailable

SPOOL_FILE: Final = "spool.db"
"""Its name in the data directory."""

PATIENCE: Final = 1.0
"""Seconds that SQLite waits for whoever else has the file open: a person with its shell."""

FULL: Final = 256 * 1024
"""Bytes of room below which the spool counts as full: the largest webhook has to fit."""

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
    """What waits: how many arrivals, and since when (Unix seconds) the oldest. `damaged` are the files that were set aside,
    `room` how many bytes may still come.
    """

    waiting: int
    oldest_at: float | None
    damaged: int = 0
    room: int | None = field(default=None, compare=False)

    @property
    def full(self) -> bool:
        return self.room is not None and self.room < FULL


EMPTY: Final = SpoolStanding(0, None)


class SpoolFile:
    """All methods raise `StoreUnavailable` when the disk, or another process on the file, says no."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._fresh = path.with_suffix(".fresh")
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._checked = 0

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
        """Raises `StoreUnavailable` too where the file could be read and not written."""
        with self._transaction() as connection:
            return _standing(connection, self._path)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._locked():
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
            with contextlib.suppress(
                sqlite3.Error, OSError
            ):  # a disk that cannot do that either: tried again next time
                self._replace()
            raise StoreUnavailable(f"spool: {error}") from error
        except OSError as error:
            raise StoreUnavailable(f"spool: {error}") from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Each waits for its turn in the kernel: SQLite's own waiting starves one among several busy receivers."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and _inode(self._path) != self._inode:
            self.close()  # another receiver has set the file aside
        if self._connection is None:
            if not self._path.exists():  # its replacement was cut short between two renames
                with contextlib.suppress(FileNotFoundError):
                    self._fresh.replace(self._path)
            with contextlib.suppress(FileExistsError):  # calls are private: nobody else on the host reads them
                os.close(os.open(self._path, os.O_CREAT | os.O_EXCL, 0o600))
            self._inode = _inode(self._path)
            # Reading all of a large file takes seconds: once a process and file is enough.
            self._connection = _connected(self._path, self._max_bytes, check=self._checked != self._inode)
            self._checked = self._inode
        return self._connection

    def _replace(self) -> None:
        """Sets a damaged file aside under its name plus a number; what can still be read of it goes into a new one."""
        damaged = self._inode
        self.close()
        with self._locked():
            if _inode(self._path) != damaged:
                return  # another receiver was quicker
            saved = _salvaged(self._path)
            self._fresh.unlink(missing_ok=True)
            os.close(os.open(self._fresh, os.O_CREAT | os.O_EXCL, 0o600))
            with contextlib.closing(_connected(self._fresh, self._max_bytes, check=False)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO arrivals (id, at, packed) VALUES (?, ?, ?)", saved)
                connection.execute("COMMIT")
            aside = next(path for n in range(1, 10_000) if not (path := self._aside(n)).exists())
            for ending in ("", "-wal", "-shm"):  # the latter belong to the damaged file and would ruin a new one
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self._path}{ending}").rename(f"{aside}{ending}")
            self._fresh.replace(self._path)
        observe.event("spool.damaged", level="error", file=str(aside), saved=len(saved))

    def _aside(self, number: int) -> Path:
        return self._path.with_suffix(f".damaged-{number}")


def read_standing(path: Path) -> SpoolStanding:
    """How the spool of this host stands, for whoever only looks. Raises `StoreUnavailable` for an unreadable file."""
    if not path.exists():
        return EMPTY
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=PATIENCE)) as connection:
            return replace(_standing(connection, path), room=None)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"spool: {error}") from error


def _standing(connection: sqlite3.Connection, path: Path) -> SpoolStanding:
    waiting, oldest = connection.execute("SELECT count(*), min(at) FROM arrivals").fetchone()
    used, free, most, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "max_page_count", "page_size")
    )
    damaged = sum(1 for file in path.parent.glob(f"{path.stem}.damaged-*") if file.suffix[-1].isdigit())
    return SpoolStanding(waiting, oldest, damaged, room=(most - used + free) * size)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _connected(path: Path, max_bytes: int, *, check: bool) -> sqlite3.Connection:
    # Used by one thread at a time, but not always by the one that opened it.
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        (page,) = connection.execute("PRAGMA page_size").fetchone()
        connection.execute(f"PRAGMA max_page_count = {max(16, max_bytes // page)}")
        connection.execute(_TABLE)
        _begin_late(connection)
        if check:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)  # noqa: TRY301 - it is what SQLite itself raises a moment later
    except BaseException:
        connection.close()
        raise
    return connection


def _begin_late(connection: sqlite3.Connection) -> None:
    """Numbers of a new file begin above all of an older one, whose rows another receiver may still have in hand: it must not
    remove others by their numbers.
    """
    connection.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT 'arrivals', ? WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence)",
        (time.time_ns() // 1000,),
    )


def _salvaged(path: Path) -> list[tuple[int, float, bytes]]:
    """Rows that can be read from either end."""
    saved: dict[int, tuple[int, float, bytes]] = {}
    for way in ("ASC", "DESC"):
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(path, timeout=PATIENCE)) as connection,
        ):
            for row in connection.execute(f"SELECT id, at, packed FROM arrivals ORDER BY id {way}"):  # noqa: S608 - a constant
                saved[row[0]] = row
    return [saved[number] for number in sorted(saved)]
