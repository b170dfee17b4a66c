"""How long things are kept, and what is taken out: pruning by age, what Redis may forget, erasure by phone number.

Everything goes in small transactions, each of which leaves the ledger whole, so a job that was killed is simply run again.
What is not settled for good (dead calls too: somebody has to see to them) is never pruned, nor is anything that Redis still
has. The counted rows of `tallies` follow what is deleted; the charts' minutes stay for as long as the longest-kept call.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import ColumnElement, Table, delete, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from callbridge.call import CallId
from callbridge.ledger.counts import Moves
from callbridge.ledger.database import Ledger
from callbridge.ledger.erasing import bury
from callbridge.ledger.figures import range_of, tail_of
from callbridge.ledger.rows import erased_row
from callbridge.ledger.tables import ATTEMPTS, BATCHES, BODIES, CALLS, EVENTS, LATENCIES, MINUTES, TOMBSTONES
from callbridge.ledger.upsert import put
from callbridge.ledger.writing import alone, count

_SETTLED: Final = ("delivered", "unmatched", "ignored", "erased")
"""What ended for good. Of dead calls the last word is not spoken."""

_FORGETTABLE: Final = ("delivered", "unmatched", "ignored")
"""Not the erased ones either: Redis holds nothing of them but what keeps them erased."""

_SHARED_DIGITS: Final = 10
"""Two spellings of a number have the last ten digits in common; shorter ones are compared whole."""

_AT_ONCE: Final = 100
"""Calls erased in one transaction."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Seconds for which things are kept after the end of a call; `body` is webhooks, requests and answers as they were."""

    body: float
    delivered: float
    unmatched: float
    ignored: float

    def of(self, state: str) -> float:
        match state:
            case "unmatched":
                return self.unmatched
            case "ignored":
                return self.ignored
            case _:
                return self.delivered

    @property
    def longest(self) -> float:
        return max(self.body, self.delivered, self.unmatched, self.ignored)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went. `more` says that there is more to go: prune again."""

    calls: int
    bodies: int
    batches: int
    minutes: int
    more: bool


async def prune(ledger: Ledger, now: float, keep: Retention, limit: int = 500) -> Pruned:
    """At most `limit` of each kind, one transaction a kind."""
    bodies = await _prune_bodies(ledger, _ms(now - keep.body), limit)
    requests = await _prune_requests(ledger, _ms(now - keep.body), limit)
    calls, full = 0, False
    for state in _SETTLED:
        went = await _prune_calls(ledger, state, _ms(now - keep.of(state)), limit)
        calls, full = calls + went, full or went == limit
    batches = await _prune_batches(ledger, _ms(now - keep.longest), limit)
    minutes = await _prune_minutes(ledger, _ms(now - keep.longest) // 60_000, limit)
    more = full or limit in {bodies, requests, batches} or minutes >= limit
    return Pruned(calls, bodies + requests, batches, minutes, more)


async def _prune_bodies(ledger: Ledger, before: int, limit: int) -> int:
    over = CALLS.c.state.in_(_SETTLED) & CALLS.c.forgotten_at.is_not(None)
    old = (
        select(BODIES.c.call_id)
        .join(CALLS, CALLS.c.id == BODIES.c.call_id)
        .where(BODIES.c.received_at < before, over)
        .order_by(BODIES.c.received_at)
        .limit(limit)
    )
    async with ledger.begin() as connection:
        ids = (await connection.execute(old)).scalars().all()
        return await _delete(connection, BODIES, BODIES.c.call_id.in_(ids)) if ids else 0


async def _prune_requests(ledger: Ledger, before: int, limit: int) -> int:
    old = (
        select(BATCHES.c.id)
        .where(BATCHES.c.request.is_not(None) | BATCHES.c.response.is_not(None), BATCHES.c.at < before, ~_open_call())
        .order_by(BATCHES.c.at)
        .limit(limit)
    )
    async with ledger.begin() as connection:
        ids = (await connection.execute(old)).scalars().all()
        if ids:
            bare = update(BATCHES).where(BATCHES.c.id.in_(ids)).values(request=None, response=None)
            await connection.execute(bare)
    return len(ids)


def _open_call() -> ColumnElement[bool]:
    """Whether the batch carried a call that is not settled for good."""
    of_it = (ATTEMPTS.c.batch_id == BATCHES.c.id) & (CALLS.c.id == ATTEMPTS.c.call_id)
    return exists().where(of_it, CALLS.c.state.not_in(_SETTLED)).correlate(BATCHES)


async def _prune_calls(ledger: Ledger, state: str, before: int, limit: int) -> int:
    """Calls of which Redis has nothing any more: what it still has would come back with the next change."""
    over = CALLS.c.forgotten_at.is_not(None) if state in _FORGETTABLE else CALLS.c.settled_at.is_not(None)
    old = (
        select(CALLS.c.id, CALLS.c.account, CALLS.c.source, CALLS.c.state)
        .where(CALLS.c.state == state, CALLS.c.settled_at < before, over)
        .order_by(CALLS.c.settled_at)
        .limit(limit)
    )
    async with ledger.begin() as connection:
        await alone(connection, ledger.dialect)
        moves = Moves()
        ids = []
        for row in (await connection.execute(old)).mappings():
            moves.gone(dict(row))
            ids.append(row["id"])
        if not ids:
            return 0
        for table, column in ((EVENTS, EVENTS.c.call_id), (ATTEMPTS, ATTEMPTS.c.call_id), (BODIES, BODIES.c.call_id)):
            await _delete(connection, table, column.in_(ids))
        await _delete(connection, CALLS, CALLS.c.id.in_(ids))
        await count(connection, ledger.dialect, moves)
    return len(ids)


async def _prune_batches(ledger: Ledger, before: int, limit: int) -> int:
    """Requests of which every call is gone."""
    carries = exists().where(ATTEMPTS.c.batch_id == BATCHES.c.id).correlate(BATCHES)
    old = select(BATCHES.c.id).where(BATCHES.c.at < before, ~carries).order_by(BATCHES.c.at).limit(limit)
    async with ledger.begin() as connection:
        ids = (await connection.execute(old)).scalars().all()
        return await _delete(connection, BATCHES, BATCHES.c.id.in_(ids)) if ids else 0


async def _prune_minutes(ledger: Ledger, before: int, limit: int) -> int:
    """Whole minutes, as many as hold about `limit` rows."""
    went = 0
    async with ledger.begin() as connection:
        for table in (MINUTES, LATENCIES):
            minute = table.c.minute
            old = select(minute).where(minute < before).order_by(minute).offset(limit - 1).limit(1)
            last = (await connection.execute(old)).scalar()
            went += await _delete(connection, table, minute < before if last is None else minute <= last)
    return went


async def _delete(connection: AsyncConnection, table: Table, which: ColumnElement[bool]) -> int:
    return (await connection.execute(delete(table).where(which))).rowcount


# --- what Redis may forget -------------------------------------------------------------------------------------------


class Forgetting(Protocol):
    """Redis, told which calls the ledger has."""

    async def forget(self, ids: Sequence[CallId]) -> frozenset[CallId]: ...


class Seen(Protocol):
    @property
    def id(self) -> CallId: ...


class Shown(Protocol):
    @property
    def record(self) -> Seen: ...


class Records(Protocol):
    async def snapshots(self, ids: Sequence[str]) -> Sequence[Shown]: ...


async def forgettable(ledger: Ledger, before: float, limit: int = 200) -> list[CallId]:
    """Calls that ended before that time, whole in the ledger and still in Redis; the oldest first."""
    whole = exists().where(BODIES.c.call_id == CALLS.c.id).correlate(CALLS)
    old = (
        select(CALLS.c.id)
        .where(CALLS.c.forgotten_at.is_(None), CALLS.c.settled_at < _ms(before), CALLS.c.state.in_(_FORGETTABLE), whole)
        .order_by(CALLS.c.settled_at)
        .limit(limit)
    )
    async with ledger.read() as connection:
        return [CallId(call_id) for call_id in (await connection.execute(old)).scalars()]


async def mark_forgotten(ledger: Ledger, ids: Collection[str], now: float) -> None:
    """Redis has nothing of these calls any more."""
    if ids:
        async with ledger.begin() as connection:
            mark = update(CALLS).where(CALLS.c.id.in_(ids), CALLS.c.forgotten_at.is_(None))
            await connection.execute(mark.values(forgotten_at=_ms(now)))


async def forget(
    ledger: Ledger, redis: Forgetting, records: Records, *, before: float, now: float, limit: int = 200
) -> int:
    """One round of it: returns how many calls Redis has no more; 0 when there is nothing to do. Raises `StoreUnavailable` or
    `LedgerUnavailable`; what Redis forgot and the ledger does not know of yet is found gone in the next round.
    """
    ids = await forgettable(ledger, before, limit)
    if not ids:
        return 0
    gone: set[str] = set(await redis.forget(ids))
    if rest := [call_id for call_id in ids if call_id not in gone]:
        still = {shown.record.id for shown in await records.snapshots(rest)}
        gone |= set(rest) - still
    await mark_forgotten(ledger, gone, now)
    return len(gone)


# --- erasure ---------------------------------------------------------------------------------------------------------


class Erasing(Protocol):
    """Redis, told which calls to empty; what is on its way to the CRM it leaves for later."""

    async def erase(self, ids: Sequence[CallId]) -> frozenset[CallId]: ...


async def erase(ledger: Ledger, phone: str, now: float, redis: Erasing) -> list[CallId]:
    """Takes every call with that number out of Redis and then out of the ledger, but that there was one. In that order: what
    was not told to Redis is found again by its number. A call on its way is emptied when the writer sees it next.
    """
    tail = tail_of(phone)
    if tail is None:
        return []
    erased: list[CallId] = []
    while ids := await _with_number(ledger, tail):
        await redis.erase(ids)
        await _erase(ledger, ids, _ms(now))
        erased += ids
    await ledger.scrub()
    return erased


async def erase_ids(ledger: Ledger, ids: Sequence[CallId], now: float) -> None:
    """The ledger's part of it for calls that are named; what it has not heard of gets its tombstone all the same."""
    for start in range(0, len(ids), _AT_ONCE):
        await _erase(ledger, ids[start : start + _AT_ONCE], _ms(now))


async def tombstones(ledger: Ledger, *, after: str = "", limit: int = 1000) -> list[CallId]:
    """Ids of erased calls in order, those behind `after`."""
    page = select(TOMBSTONES.c.call_id).where(TOMBSTONES.c.call_id > after).order_by(TOMBSTONES.c.call_id).limit(limit)
    async with ledger.read() as connection:
        return [CallId(call_id) for call_id in (await connection.execute(page)).scalars()]


async def _with_number(ledger: Ledger, tail: str) -> list[CallId]:
    if len(tail) < _SHARED_DIGITS:
        which: ColumnElement[bool] = CALLS.c.tail == tail
    else:
        first, end = range_of(tail[:_SHARED_DIGITS])
        which = CALLS.c.tail >= first if end is None else (CALLS.c.tail >= first) & (CALLS.c.tail < end)
    async with ledger.read(10) as connection:
        found = await connection.execute(select(CALLS.c.id).where(which).limit(_AT_ONCE))
        return [CallId(call_id) for call_id in found.scalars()]


async def _erase(ledger: Ledger, ids: Sequence[CallId], now: int) -> None:
    async with ledger.begin() as connection:
        await alone(connection, ledger.dialect)
        moves, rows = Moves(), []
        for found in (await connection.execute(select(CALLS).where(CALLS.c.id.in_(ids)))).mappings():
            old = dict(found)
            rows.append(erased_row(old, now))
            moves.move(old, rows[-1], timed=False)
        if rows:
            statement: Any = put(ledger.dialect, CALLS, rows[0])
            await connection.execute(statement, rows)
        await bury(connection, ledger.dialect, ids, now)
        await count(connection, ledger.dialect, moves)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
