"""Jobs over many calls, as the ledger keeps them: what was asked, which calls that meant, and what became of each.

The list of calls is fixed before the first of them is touched, so a job that was killed goes on where it was. Who works on a
job is decided by one conditional UPDATE, so two consoles never do the same slice; whoever lost a job finds out when he
writes down what he did, and nothing is counted twice.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, delete, insert, or_, select, tuple_, update

from callbridge.ledger.database import Ledger
from callbridge.ledger.tables import JOB_CALLS, JOBS
from callbridge.ledger.upsert import put_new
from callbridge.ledger.views import Page

TRYING: Final = "trying"
"""The result of a call from before the store is told until what it did is written down."""

WORKED_ON: Final = ("preparing", "running")


@dataclass(frozen=True, slots=True)
class JobRow:
    """`filter` is JSON of whoever asked. Unix seconds."""

    id: str
    action: str
    filter: Mapping[str, Any]
    reason: str
    actor: str
    state: str
    total: int
    done: int
    moved: int
    skipped: Mapping[str, int]
    problem: str | None
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Slice:
    """Calls of a job in their order. `again`: somebody was at them before, and did not tell what he did."""

    start: int
    ids: tuple[str, ...]
    again: bool


class JobBook:
    """All methods raise `LedgerUnavailable`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def add(self, row: JobRow, runner: str, held_until: float) -> tuple[JobRow, bool]:
        """The job of that id, and whether it is this one: `runner` has it then."""
        values = {
            "id": row.id, "action": row.action, "filter": json.dumps(row.filter), "reason": row.reason,
            "actor": row.actor[:64], "state": row.state, "total": row.total, "done": 0, "moved": 0, "skipped": "{}",
            "created_at": _ms(row.created_at), "updated_at": _ms(row.created_at), "runner": runner,
            "held_until": _ms(held_until),
        }  # fmt: skip
        async with self._ledger.begin() as connection:
            added = await connection.execute(put_new(self._ledger.dialect, JOBS).values(values))
            found = (await connection.execute(select(JOBS).where(JOBS.c.id == row.id))).one()
        return _row(found), added.rowcount == 1

    async def get(self, job_id: str) -> JobRow | None:
        async with self._ledger.read() as connection:
            found = (await connection.execute(select(JOBS).where(JOBS.c.id == job_id))).one_or_none()
        return _row(found) if found else None

    async def page(self, limit: int, after: str | None) -> Page[JobRow]:
        """Newest first. Raises `ValueError` for what opens no page."""
        order = (JOBS.c.created_at, JOBS.c.id)
        wanted = select(JOBS).order_by(*(column.desc() for column in order)).limit(limit + 1)
        if after is not None:
            at, _, job_id = after.partition("-")
            if not (at.isascii() and at.isdigit() and len(at) <= 15):
                raise ValueError("opens no page")
            wanted = wanted.where(tuple_(*order) < tuple_(int(at), job_id))
        async with self._ledger.read() as connection:
            found = (await connection.execute(wanted)).all()
        rows = found[:limit]
        following = f"{rows[-1].created_at}-{rows[-1].id}" if len(found) > limit else None
        return Page(tuple(map(_row, rows)), following)

    async def open_ones(self, limit: int = 50) -> list[str]:
        """Jobs that somebody has to work on, oldest first."""
        wanted = (
            select(JOBS.c.id).where(JOBS.c.state.in_(WORKED_ON)).order_by(JOBS.c.created_at, JOBS.c.id).limit(limit)
        )
        async with self._ledger.read() as connection:
            return list((await connection.execute(wanted)).scalars())

    async def hold(self, job_id: str, runner: str, *, now: float, seconds: float) -> JobRow | None:
        """The job, for `runner` alone until `seconds` from now; None where another has it, or nothing is to be done."""
        free = or_(JOBS.c.runner == runner, JOBS.c.held_until.is_(None), JOBS.c.held_until < _ms(now))
        take = update(JOBS).where(JOBS.c.id == job_id, JOBS.c.state.in_(WORKED_ON), free)
        async with self._ledger.begin() as connection:
            taken = await connection.execute(take.values(runner=runner, held_until=_ms(now + seconds)))
            if taken.rowcount != 1:
                return None
            return _row((await connection.execute(select(JOBS).where(JOBS.c.id == job_id))).one())

    async def let_go(self, runner: str) -> None:
        """Whatever `runner` has is free at once."""
        async with self._ledger.begin() as connection:
            await connection.execute(update(JOBS).where(JOBS.c.runner == runner).values(held_until=None))

    async def clear(self, job_id: str, runner: str) -> bool:
        """Takes out the calls that an interrupted preparation has put in. False where `runner` does not have the job."""
        async with self._ledger.begin() as connection:
            if not await self._has(connection, job_id, runner, "preparing"):
                return False
            await connection.execute(delete(JOB_CALLS).where(JOB_CALLS.c.job_id == job_id))
        return True

    async def fill(self, job_id: str, runner: str, start: int, ids: Sequence[str], *, held_until: float) -> bool:
        """Adds calls from position `start` on while the job is prepared. False where it is not, or not by `runner`."""
        rows = [{"job_id": job_id, "position": start + n, "call_id": call_id} for n, call_id in enumerate(ids)]
        async with self._ledger.begin() as connection:
            keep = update(JOBS).where(*_of(job_id, runner, "preparing")).values(held_until=_ms(held_until))
            if (await connection.execute(keep)).rowcount != 1:
                return False
            if rows:
                await connection.execute(insert(JOB_CALLS), rows)
        return True

    async def ready(self, job_id: str, runner: str, asked: Mapping[str, Any], *, now: float) -> bool:
        """All calls are in: `asked` takes the place of the filter, and the job runs."""
        begun = update(JOBS).where(*_of(job_id, runner, "preparing"))
        async with self._ledger.begin() as connection:
            done = await connection.execute(
                begun.values(state="running", filter=json.dumps(asked), problem=None, updated_at=_ms(now))
            )
        return done.rowcount == 1

    async def move(self, job_id: str, of: Collection[str], to: str, *, now: float, problem: str | None = None) -> bool:
        """Whether the job was in one of those states, and is in `to` now."""
        change = update(JOBS).where(JOBS.c.id == job_id, JOBS.c.state.in_(of))
        async with self._ledger.begin() as connection:
            done = await connection.execute(change.values(state=to, problem=problem, updated_at=_ms(now)))
        return done.rowcount == 1

    async def trouble(self, job_id: str, problem: str | None) -> None:
        """What holds the job up for now."""
        async with self._ledger.begin() as connection:
            await connection.execute(update(JOBS).where(JOBS.c.id == job_id).values(problem=problem))

    async def begin_slice(self, row: JobRow, runner: str, size: int) -> Slice | None:
        """The next calls, marked as being tried before anybody touches them; None where `runner` has lost the job."""
        here = (JOB_CALLS.c.job_id == row.id) & (JOB_CALLS.c.position >= row.done)
        wanted = select(JOB_CALLS.c.call_id, JOB_CALLS.c.result).where(here).order_by(JOB_CALLS.c.position)
        async with self._ledger.begin() as connection:
            if not await self._has(connection, row.id, runner, "running", done=row.done):
                return None
            found = (await connection.execute(wanted.limit(size))).all()
            again = bool(found) and found[0].result == TRYING
            if again:  # not one more than was tried: of the others it is known that nobody was at them
                found = [call for call in found if call.result == TRYING]
            else:
                mark = update(JOB_CALLS).where(here, JOB_CALLS.c.position < row.done + len(found))
                await connection.execute(mark.values(result=TRYING))
        return Slice(row.done, tuple(call.call_id for call in found), again)

    async def end_slice(self, row: JobRow, runner: str, results: Sequence[str], *, now: float) -> bool:
        """Writes down one result for each call of the slice that began at `row.done`. False where another did already."""
        counts = Counter(results)
        moved = counts.pop("moved", 0)
        skipped = Counter(row.skipped) + counts
        done = row.done + len(results)
        change = update(JOBS).where(JOBS.c.id == row.id, JOBS.c.runner == runner, JOBS.c.done == row.done)
        async with self._ledger.begin() as connection:
            values = {"done": done, "moved": row.moved + moved, "skipped": json.dumps(skipped), "problem": None}
            if (await connection.execute(change.values(**values, updated_at=_ms(now)))).rowcount != 1:
                return False
            for result in {*results}:
                places = [row.done + n for n, found in enumerate(results) if found == result]
                put = update(JOB_CALLS).where(JOB_CALLS.c.job_id == row.id, JOB_CALLS.c.position.in_(places))
                await connection.execute(put.values(result=result[:32]))
            over = update(JOBS).where(JOBS.c.id == row.id, JOBS.c.state == "running", JOBS.c.total <= done)
            await connection.execute(over.values(state="done"))
        return True

    async def _has(self, connection: Any, job_id: str, runner: str, state: str, done: int | None = None) -> bool:
        """Whether `runner` has it; nobody else can take it before the transaction ends."""
        wanted = [*_of(job_id, runner, state)] + ([] if done is None else [JOBS.c.done == done])
        touched = await connection.execute(update(JOBS).where(*wanted).values(runner=runner))
        return bool(touched.rowcount == 1)


def _of(job_id: str, runner: str, state: str) -> tuple[ColumnElement[bool], ...]:
    return JOBS.c.id == job_id, JOBS.c.runner == runner, JOBS.c.state == state


def _row(found: Row[Any]) -> JobRow:
    return JobRow(
        id=found.id,
        action=found.action,
        filter=json.loads(found.filter),
        reason=found.reason,
        actor=found.actor,
        state=found.state,
        total=found.total,
        done=found.done,
        moved=found.moved,
        skipped=json.loads(found.skipped),
        problem=found.problem,
        created_at=found.created_at / 1000,
        updated_at=found.updated_at / 1000,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
