"""One transaction of the writer: what Redis shows of some calls, and some batches, into all the tables that tell of them.

Apart from `writer`, which only knows when there is something to write. Old rows are read and new ones written under one lock,
so the counters move by exactly the difference, however many processes write.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from callbridge.ledger.counts import Moves
from callbridge.ledger.database import Dialect
from callbridge.ledger.erasing import bury
from callbridge.ledger.rows import (
    Row,
    Snapshot,
    attempt_row,
    batch_attempts,
    batch_row,
    call_row,
    carried,
    entries,
    erased_row,
    event_row,
    is_stale,
    is_timed,
)
from callbridge.ledger.tables import (
    ATTEMPTS,
    BATCHES,
    BODIES,
    CALLS,
    EVENTS,
    GROUPS,
    LATENCIES,
    MARKS,
    MINUTES,
    TALLIES,
    TOMBSTONES,
)
from callbridge.ledger.upsert import add, put, put_new
from callbridge.outcome import FINAL

WRITTEN: Final = "written"
"""The mark of `tables.MARKS` whose time tells when the ledger last took something in."""

_LOCK: Final = 0x63616C6C62776974
"""PostgreSQL's advisory lock of those who move rows and counters together."""

_ENDED: Final = tuple(state.value for state in FINAL)


async def alone(connection: AsyncConnection, dialect: Dialect) -> None:
    """Until the transaction ends nobody else moves rows and counters. SQLite has one writer anyway."""
    if dialect == "postgresql":
        await connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


class Writing:
    """Collects what there is to write. `now` is in milliseconds."""

    def __init__(self, connection: AsyncConnection, dialect: Dialect, now: int) -> None:
        self._connection = connection
        self._dialect = dialect
        self._now = now
        self._moves = Moves()
        self._calls: list[dict[str, Any]] = []
        self._bodies: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._attempts: dict[tuple[str, str], dict[str, Any]] = {}
        self._dead: dict[tuple[str, str, str], int] = {}

    async def write(
        self, snapshots: Sequence[Snapshot], missing: Collection[str], batches: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        """Returns ids of calls that are erased and stand in Redis with their contents all the same."""
        await alone(self._connection, self._dialect)
        ids = [snapshot.record.id for snapshot in snapshots]
        olds = await self._rows(ids)
        erased = await self._tombs({*ids, *(call_id for batch in batches for call_id in carried(batch))})
        known = await self._known(olds)
        undead: list[str] = [s.record.id for s in snapshots if s.record.id in erased and s.record.state != "erased"]
        fresh = {s.record.id for s in snapshots if s.record.state == "erased"}
        for snapshot in snapshots:
            call_id = snapshot.record.id
            if call_id in erased and snapshot.record.state != "erased":
                self._keep_erased(snapshot, olds.get(call_id))
            else:
                self._take(snapshot, olds.get(call_id), known.get(call_id, set()))
        await self._put(BATCHES, [batch_row(batch, erased=erased) for batch in batches], new_only=True)
        await self._put(ATTEMPTS, [row for batch in batches for row in batch_attempts(batch)], new_only=True)
        await self._put(CALLS, self._calls)
        await self._put(BODIES, self._bodies, unless_same="envelope")
        await self._put(EVENTS, self._events, new_only=True)
        await self._put(ATTEMPTS, list(self._attempts.values()))
        await bury(self._connection, self._dialect, fresh | set(undead), self._now)
        await self._forgotten(missing)
        await self._reopen()
        await count(self._connection, self._dialect, self._moves)
        await self._put(MARKS, [{"name": WRITTEN, "value": "", "changed_at": self._now}])
        return undead

    def _take(self, snapshot: Snapshot, old: Row | None, known: set[tuple[int, int]]) -> None:
        call_id, bare = snapshot.record.id, snapshot.record.state == "erased"
        told = dict(entries(snapshot))
        for key, entry in told.items():
            if key in known:
                continue
            self._events.append(event_row(call_id, key, entry, bare=bare))
            if attempt := attempt_row(call_id, entry, bare=bare):
                self._attempts[attempt["batch_id"], call_id] = attempt
        row = call_row(snapshot, old)
        if old is not None and is_stale(old, row, told=told.keys(), known=known):
            return
        if old is None or row != dict(old):
            self._calls.append(row)
            self._moves.move(old, row, timed=is_timed(snapshot))
        if row["state"] == "dead" and (old is None or old["state"] != "dead" or old["settled_at"] != row["settled_at"]):
            group = (row["account"], row["reason"] or "", row["cause"] or "")
            self._dead[group] = max(self._dead.get(group, 0), row["settled_at"])
        if snapshot.sealed is not None and not bare:
            self._bodies.append({"call_id": call_id, "envelope": snapshot.sealed, "received_at": row["received_at"]})

    def _keep_erased(self, snapshot: Snapshot, old: Row | None) -> None:
        """Redis has it again, restored from before the erasure: nothing of that gets here."""
        row = erased_row(old or call_row(snapshot, None), self._now)
        if old is None or row != dict(old):
            self._calls.append(row)
            self._moves.move(old, row, timed=False)

    async def _rows(self, ids: Sequence[str]) -> dict[str, Row]:
        found = await self._connection.execute(select(CALLS).where(CALLS.c.id.in_(ids)))
        return {row["id"]: dict(row) for row in found.mappings()}

    async def _tombs(self, ids: Collection[str]) -> set[str]:
        found = await self._connection.execute(select(TOMBSTONES.c.call_id).where(TOMBSTONES.c.call_id.in_(ids)))
        return set(found.scalars())

    async def _known(self, ids: Collection[str]) -> dict[str, set[tuple[int, int]]]:
        known: dict[str, set[tuple[int, int]]] = {}
        columns = select(EVENTS.c.call_id, EVENTS.c.at, EVENTS.c.n).where(EVENTS.c.call_id.in_(ids))
        for call_id, at, n in await self._connection.execute(columns):
            known.setdefault(call_id, set()).add((at, n))
        return known

    async def _put(
        self, table: Any, rows: list[dict[str, Any]], *, new_only: bool = False, unless_same: str | None = None
    ) -> None:
        if rows:
            statement = (
                put_new(self._dialect, table)
                if new_only
                else put(self._dialect, table, rows[0], unless_same=unless_same)
            )
            await self._connection.execute(statement, rows)

    async def _forgotten(self, missing: Collection[str]) -> None:
        """Redis lets go of a call on its own accord only once it ended and the ledger has it."""
        if missing:
            ours = CALLS.c.id.in_(missing) & CALLS.c.state.in_(_ENDED) & CALLS.c.forgotten_at.is_(None)
            await self._connection.execute(update(CALLS).where(ours).values(forgotten_at=self._now))

    async def _reopen(self) -> None:
        """A cause that was said to be put right has buried another call since."""
        if not self._dead:
            return
        same = (
            (GROUPS.c.account == bindparam("in_account"))
            & (GROUPS.c.reason == bindparam("in_reason"))
            & (GROUPS.c.cause == bindparam("in_cause"))
            & (GROUPS.c.status == "fixed")
            & (GROUPS.c.changed_at < bindparam("at"))
        )
        rows = [
            {"in_account": account, "in_reason": reason, "in_cause": cause, "at": at}
            for (account, reason, cause), at in sorted(self._dead.items())
        ]
        opened = update(GROUPS).where(same).values(status="open", changed_at=self._now, changed_by=None)
        await self._connection.execute(opened, rows)


async def count(connection: AsyncConnection, dialect: Dialect, moves: Moves) -> None:
    tables: Iterable[tuple[Any, list[dict[str, Any]]]] = (
        (TALLIES, moves.tallies),
        (MINUTES, moves.minutes),
        (LATENCIES, moves.latencies),
    )
    for table, rows in tables:
        if rows:
            await connection.execute(add(dialect, table, "calls"), rows)
