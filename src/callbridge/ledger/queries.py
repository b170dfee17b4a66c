"""What pages, the API and jobs ask the ledger. Reads only; every statement has a bound on its rows and on its time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol

from sqlalchemy import func, select, tuple_

from callbridge.ledger import charts, cursor, groups, search
from callbridge.ledger.database import LONGEST, READ_BUDGET, WANTED_REVISION, TooSlow
from callbridge.ledger.finding import Asked, Finder, Found, Reads, counted, places, planned, rows_of
from callbridge.ledger.search import Order
from callbridge.ledger.tables import ATTEMPTS, BATCHES, BODIES, CALLS, EVENTS, MARKS
from callbridge.ledger.told import attempt_told, batch_told, call_told, event_told, seconds
from callbridge.ledger.views import (
    Attempt,
    BatchRow,
    BatchXray,
    CallFilter,
    CallRow,
    Counted,
    ErrorGroup,
    Facets,
    LedgerStanding,
    Page,
    ParkedNumber,
    Point,
    Speed,
    Told,
)
from callbridge.ledger.writing import WRITTEN

MOST_ROWS: Final = 200
_CHUNK: Final = 1_000
"""Calls found at once where nobody waits for a page."""

_MOST_ENTRIES: Final = 1_000
"""Of a call's story, of its requests, of a batch's calls."""

_BATCHES: Final = "batches"
"""What a cursor of that list calls it."""

_BATCH_COLUMNS: Final = tuple(column for column in BATCHES.c if column.name not in {"request", "response"})
"""All but the bodies, which lists do not show."""


class Database(Reads, Protocol):
    """`database.Ledger`, as far as it is read."""

    async def revision(self) -> str | None: ...
    async def size(self) -> int: ...


class Queries:
    """All methods raise `LedgerUnavailable`; those that take a cursor raise `ValueError` for one that is none of theirs."""

    def __init__(self, ledger: Database, budget: float = READ_BUDGET) -> None:
        self._ledger = ledger
        self._finder = Finder(ledger)
        self._budget = budget

    async def calls(
        self, wanted: CallFilter, *, after: str | None = None, limit: int = 50, order: Order = "received"
    ) -> Page[CallRow]:
        """Latest first. By `settled` only what has ended is listed."""
        below = None if after is None else cursor.read(order, after)
        found = await self._finder.find(Asked(wanted, order, below, _page_of(limit)), self._budget)
        return Page(found.rows, None if found.on is None else cursor.write(order, found.on), found.partial)

    async def count(self, wanted: CallFilter, at_most: int = 10_000) -> Counted:
        """What cannot be counted in the time there is, is more than nothing."""
        try:
            async with self._ledger.read(self._budget) as connection:
                if search.is_tallied(wanted):
                    calls = search.tallied(wanted, await places(connection))
                else:
                    plan = await planned(connection, wanted, "received")
                    calls = await counted(connection, plan, at_most)
        except TooSlow:
            return Counted(0, more=True)
        return Counted(min(calls, at_most), calls > at_most)

    async def ids(self, wanted: CallFilter, *, at_most: int) -> tuple[list[str], bool]:
        """Latest received first, and whether there are more. Takes the time it takes, some at a time."""
        ids: list[str] = []
        async with aclosing(self._all(wanted, _CHUNK, rows=False)) as pages:
            async for found in pages:
                ids += [key.id for key in found.keys]
                if len(ids) > at_most:
                    break
        return ids[:at_most], len(ids) > at_most

    async def export(self, wanted: CallFilter, chunk: int = _CHUNK) -> AsyncGenerator[list[CallRow], None]:
        """All that match, latest received first. Takes the time it takes, a chunk at a time."""
        async with aclosing(self._all(wanted, chunk, rows=True)) as pages:
            async for found in pages:
                if found.rows:
                    yield list(found.rows)

    async def _all(self, wanted: CallFilter, chunk: int, *, rows: bool) -> AsyncGenerator[Found, None]:
        asked = Asked(wanted, "received", None, chunk, rows)
        while True:
            found = await self._finder.find(asked, LONGEST)
            if found.stands_still(asked):
                raise TooSlow("read: ended at its time limit")
            yield found
            if found.on is None:
                return
            asked = Asked(wanted, "received", found.on, chunk, rows)

    async def rows(self, ids: Sequence[str]) -> dict[str, CallRow]:
        """By id; what the ledger has not is left out."""
        async with self._ledger.read(self._budget) as connection:
            return {row.id: row for row in await rows_of(connection, [i for i in ids if search.is_storable(i)])}

    async def facets(self) -> Facets:
        """Reasons are left out where they cannot be counted in the time there is."""
        async with self._ledger.read(self._budget) as connection:
            there = await places(connection)
        by_reason = select(CALLS.c.reason, func.count()).where(CALLS.c.reason.is_not(None)).group_by(CALLS.c.reason)
        try:
            async with self._ledger.read(self._budget / 2) as connection:
                reasons = {reason: int(calls) for reason, calls in await connection.execute(by_reason)}
        except TooSlow:
            reasons = {}
        return Facets(
            states=search.totals((place.state, place.calls) for place in there),
            accounts=search.totals((place.account, place.calls) for place in there),
            sources=search.totals((place.source, place.calls) for place in there),
            reasons=search.totals(reasons.items()),
        )

    async def call(self, call_id: str) -> Told | None:
        """The latest thousand entries of its story, oldest first, and so its requests."""
        if not search.is_storable(call_id):
            return None
        async with self._ledger.read(self._budget) as connection:
            row = (await connection.execute(select(CALLS).where(CALLS.c.id == call_id))).mappings().first()
            if row is None:
                return None
            story = (
                select(EVENTS)
                .where(EVENTS.c.call_id == call_id)
                .order_by(EVENTS.c.at.desc(), EVENTS.c.n.desc())
                .limit(_MOST_ENTRIES)
            )
            events = (await connection.execute(story)).mappings().all()
            requests = (
                select(ATTEMPTS)
                .where(ATTEMPTS.c.call_id == call_id)
                .order_by(ATTEMPTS.c.at.desc(), ATTEMPTS.c.batch_id.desc())
                .limit(_MOST_ENTRIES)
            )
            attempts = (await connection.execute(requests)).mappings().all()
            known = select(*_BATCH_COLUMNS).where(BATCHES.c.id.in_([attempt["batch_id"] for attempt in attempts]))
            batches = {batch["id"]: batch_told(batch) for batch in (await connection.execute(known)).mappings()}
            body = select(BODIES.c.envelope).where(BODIES.c.call_id == call_id)
            envelope = (await connection.execute(body)).scalar()
        return Told(
            row=call_told(row),
            story=tuple(event_told(event) for event in reversed(events)),
            attempts=tuple(attempt_told(attempt, batches.get(attempt["batch_id"])) for attempt in reversed(attempts)),
            envelope=envelope,
        )

    async def batch(self, batch_id: str) -> BatchXray | None:
        if not search.is_storable(batch_id):
            return None
        async with self._ledger.read(self._budget) as connection:
            found = (await connection.execute(select(BATCHES).where(BATCHES.c.id == batch_id))).mappings().first()
            if found is None:
                return None
            row = batch_told(found)
            carried = select(ATTEMPTS).where(ATTEMPTS.c.batch_id == batch_id).order_by(ATTEMPTS.c.call_id)
            attempts = (await connection.execute(carried.limit(_MOST_ENTRIES))).mappings().all()
            calls = await rows_of(connection, [attempt["call_id"] for attempt in attempts])
            came = select(*_BATCH_COLUMNS).where(BATCHES.c.parent == batch_id).order_by(BATCHES.c.at, BATCHES.c.id)
            halves = (await connection.execute(came.limit(_MOST_ENTRIES))).mappings().all()
        got: dict[str, Attempt] = {attempt["call_id"]: attempt_told(attempt, row) for attempt in attempts}
        return BatchXray(
            row=row,
            calls=tuple((call, got[call.id]) for call in calls),
            halves=tuple(batch_told(half) for half in halves),
            request=found["request"],
            response=found["response"],
        )

    async def batches(
        self, *, account: str | None = None, answer: str | None = None, after: str | None = None, limit: int = 50
    ) -> Page[BatchRow]:
        """Latest first."""
        below = None if after is None else cursor.read(_BATCHES, after)
        if not all(text is None or search.is_storable(text) for text in (account, answer)):
            return Page((), None)
        b, size = BATCHES.c, _page_of(limit)
        statement: Any = select(b.id, b.at).order_by(b.at.desc(), b.id.desc()).limit(size + 1)
        if answer is not None:
            statement = statement.where(b.answer == answer)
        if account is not None:
            # The rarer of the two leads: most requests are answered in one way, and most offices have one account.
            statement = statement.where((b.account if answer is None else func.coalesce(b.account, "")) == account)
        if below is not None:
            statement = statement.where(tuple_(b.at, b.id) < tuple_(below.at, below.id))
        async with self._ledger.read(self._budget) as connection:
            keys = [cursor.Key(at, name) for name, at in await connection.execute(statement)]
            shown = select(*_BATCH_COLUMNS).where(b.id.in_([key.id for key in keys[:size]]))
            rows = {row["id"]: batch_told(row) for row in (await connection.execute(shown)).mappings()}
        more = cursor.write(_BATCHES, keys[size - 1]) if len(keys) > size else None
        return Page(tuple(rows[key.id] for key in keys[:size]), more)

    async def groups(self, *, account: str | None = None, status: str | None = None) -> tuple[ErrorGroup, ...]:
        """Dead calls by cause, most calls first, the first 200 causes. `status` is what people said of it."""
        if not all(text is None or search.is_storable(text) for text in (account, status)):
            return ()
        async with self._ledger.read(self._budget) as connection:
            return await groups.error_groups(connection, account=account, status=status)

    async def parked_numbers(self, limit: int = 50, *, account: str | None = None) -> tuple[ParkedNumber, ...]:
        """Numbers of parked calls, those with the most calls first."""
        if account is not None and not search.is_storable(account):
            return ()
        async with self._ledger.read(self._budget) as connection:
            return await groups.parked_numbers(connection, _page_of(limit), account)

    async def chart(self, *, since: float, until: float, step: int, account: str | None = None) -> tuple[Point, ...]:
        """See `charts.chart`. Raises `ValueError` for a step or a span that it does not draw."""
        async with self._ledger.read(self._budget) as connection:
            return await charts.chart(connection, since=since, until=until, step=step, account=account)

    async def speed(self, *, since: float, until: float) -> Speed:
        async with self._ledger.read(self._budget) as connection:
            return await charts.speed(connection, since=since, until=until)

    async def standing(self) -> LedgerStanding:
        """`behind` and `lag` are Redis's to tell, and 0 here."""
        revision, size = await self._ledger.revision(), await self._ledger.size()
        async with self._ledger.read(self._budget) as connection:
            there = await places(connection)
            mark = select(MARKS.c.changed_at).where(MARKS.c.name == WRITTEN)
            written = (await connection.execute(mark)).scalar()
        states = search.totals((place.state, place.calls) for place in there)
        return LedgerStanding(
            revision=revision,
            wanted=WANTED_REVISION,
            calls=sum(states.values()),
            behind=0,
            lag=0.0,
            written_at=None if written is None else seconds(written),
            size=size,
            by_state=states,
        )


def _page_of(limit: int) -> int:
    return min(max(limit, 1), MOST_ROWS)
