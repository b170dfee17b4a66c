"""One page of calls within its time, and what to show when the time is over.

How a filter is looked for is decided in `search`. A list that is not found within half of its time is looked for again in
windows of time, each twice as wide as the one before: what lies nearest is found, with a key from which to go on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from callbridge.ledger import search
from callbridge.ledger.cursor import Key
from callbridge.ledger.database import TooSlow
from callbridge.ledger.figures import tail_of
from callbridge.ledger.search import Order, Place, Plan
from callbridge.ledger.tables import CALLS, TALLIES
from callbridge.ledger.told import call_told
from callbridge.ledger.views import CallFilter, CallRow

_HOUR: Final = 3_600_000
_AT_ONCE: Final = 500
"""Ids named in one statement."""


class Reads(Protocol):
    """`database.Ledger`, as far as calls are found by it."""

    def read(self, budget: float = ...) -> AbstractAsyncContextManager[AsyncConnection]: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """`rows` False: the ids will do."""

    wanted: CallFilter
    order: Order
    below: Key | None
    limit: int
    rows: bool = True


@dataclass(frozen=True, slots=True)
class Found:
    """In the list's order. `on` is where to go on from, None where the list ends; `partial`: that was not all that would have
    been on the page.
    """

    keys: tuple[Key, ...]
    rows: tuple[CallRow, ...]
    on: Key | None
    partial: bool = False

    def stands_still(self, asked: Asked) -> bool:
        """Not even the first window could be searched: asking again would not help."""
        return self.partial and self.on == asked.below


class Finder:
    def __init__(self, ledger: Reads) -> None:
        self._ledger = ledger

    async def find(self, asked: Asked, budget: float) -> Found:
        """Raises `LedgerUnavailable`, but never for want of time."""
        try:
            keys, rows = await self._look(asked, None, budget / 2)
        except TooSlow:
            return await self._go_back(asked, budget / 2)
        return _cut(asked, keys, rows)

    async def _go_back(self, asked: Asked, budget: float) -> Found:
        wanted, deadline = asked.wanted, time.monotonic() + budget
        start = asked.below.at if asked.below else round(time.time() * 1000)
        first = 0
        if asked.order == "received":
            start = min(start, search.ms(wanted.until) or start)
            first = max(0, search.ms(wanted.since) or 0)
        keys: list[Key] = []
        rows: list[CallRow] = []
        seen, width = asked.below, _HOUR
        while (left := deadline - time.monotonic()) > 0:
            floor = start - width
            window = replace(asked, below=seen, limit=asked.limit - len(keys))
            try:
                more_keys, more_rows = await self._look(window, floor, left)
            except TooSlow:
                break
            keys += more_keys
            rows += more_rows
            if len(keys) > asked.limit or floor <= first:
                return _cut(asked, keys, rows)
            seen, width = Key(floor, ""), width * 2
        return Found(tuple(keys), tuple(rows), seen, partial=True)

    async def _look(self, asked: Asked, floor: int | None, budget: float) -> tuple[list[Key], list[CallRow]]:
        """One more than was asked for, if there is one."""
        async with self._ledger.read(budget) as connection:
            plan = await planned(connection, asked.wanted, asked.order)
            if not plan.streams:
                return [], []
            statement = search.keys(plan, asked.order, below=asked.below, floor=floor, limit=asked.limit + 1)
            keys = [Key(int(at), name) for at, name in await connection.execute(statement)]
            return keys, await rows_of(connection, [key.id for key in keys]) if asked.rows else []


def _cut(asked: Asked, keys: Sequence[Key], rows: Sequence[CallRow]) -> Found:
    on = keys[asked.limit - 1] if len(keys) > asked.limit else None
    return Found(tuple(keys[: asked.limit]), tuple(rows[: asked.limit]), on)


async def planned(connection: AsyncConnection, wanted: CallFilter, order: Order) -> Plan:
    """Where it matters how many calls there are of a kind, they are counted, as far as it matters."""
    there = await places(connection)
    if order == "settled":
        wanted = search.ended(wanted)
        if not wanted.states:
            return search.NOTHING
    tail = tail_of(wanted.phone)
    rare = tail is not None and wanted.text is None and await _is_few(connection, search.tail_alone(tail))
    plan = search.plan(wanted, there, rare_tail=rare)
    if order == "received" or not plan.broad:
        return plan
    if search.is_tallied(wanted):
        few = search.tallied(wanted, there) <= search.FEW
    else:
        few = await _is_few(connection, plan)
    return plan if few else search.by_end(wanted, there)


async def _is_few(connection: AsyncConnection, plan: Plan) -> bool:
    return bool(plan.streams) and await counted(connection, plan, search.FEW) <= search.FEW


async def counted(connection: AsyncConnection, plan: Plan, at_most: int) -> int:
    """How many calls are meant, counted to one more than `at_most`."""
    if not plan.streams:
        return 0
    return int((await connection.execute(search.counted(plan, at_most))).scalar_one())


async def places(connection: AsyncConnection) -> list[Place]:
    columns = (TALLIES.c.account, TALLIES.c.source, TALLIES.c.state, TALLIES.c.calls)
    found = await connection.execute(select(*columns).where(TALLIES.c.calls > 0))
    return [Place(account, source, state, int(calls)) for account, source, state, calls in found]


async def rows_of(connection: AsyncConnection, ids: Sequence[str]) -> list[CallRow]:
    """In the order of `ids`; those that are not there are left out."""
    rows: dict[str, CallRow] = {}
    for start in range(0, len(ids), _AT_ONCE):
        some = select(CALLS).where(CALLS.c.id.in_(ids[start : start + _AT_ONCE]))
        rows |= {row["id"]: call_told(row) for row in (await connection.execute(some)).mappings()}
    return [rows[call_id] for call_id in ids if call_id in rows]
