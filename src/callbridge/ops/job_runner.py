"""Does the work of jobs, a slice of each in turn: so a small one does not wait for a large one, and a webhook for neither.

A slice is marked before the store is told of it and written down afterwards. Who is killed in between leaves the mark; the
next one tells the store the same again, which moves what is still there, and calls the rest `moved_or_gone`: moved by the
one who was killed, as a rule, and if not, by whoever else was faster.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol, assert_never, cast

from callbridge import observe
from callbridge.call import CallId
from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger.jobs import JobBook, JobRow
from callbridge.ops.job_form import told, without_numbers
from callbridge.ops.job_plan import Job, JobAction, JobState, Selection, left
from callbridge.ops.who import Role, Who
from callbridge.store.doubts import Verdict
from callbridge.store.repair import MAX_MOVED

LEASE: Final = 30.0
"""Seconds for which a job is one process's without another word from it."""

BREATHER: Final = 0.02
IDLE: Final = 0.5
_AT_ONCE: Final = 5000
"""Calls put down in one transaction."""

MOVED: Final = "moved"
GONE: Final = "moved_or_gone"


class Repair(Protocol):
    async def replay(self, ids: Sequence[CallId], by: str, why: str) -> frozenset[CallId]: ...
    async def discard(self, ids: Sequence[CallId], by: str, why: str) -> frozenset[CallId]: ...


class Mending(Protocol):
    async def unpark(
        self, ids: Sequence[CallId], how: Literal["retry", "lead", "give_up"], by: str, why: str
    ) -> frozenset[CallId]: ...


class Doubts(Protocol):
    async def resolve(
        self, verdict: Verdict, ids: Sequence[CallId], *, by: str, why: str, after: float
    ) -> frozenset[CallId]: ...


@dataclass(frozen=True, slots=True)
class Hands:
    """The store's verbs; all raise `StoreUnavailable`. Uncertain calls are decided after `unknown_after` seconds."""

    repair: Repair
    mending: Mending
    doubts: Doubts
    unknown_after: float

    async def move(self, action: JobAction, ids: Sequence[CallId], by: str, why: str) -> frozenset[CallId]:
        """At most `MAX_MOVED` calls; returns those that were moved."""
        match action:
            case JobAction.REPLAY:
                return await self.repair.replay(ids, by, why)
            case JobAction.DISCARD:
                return await self.repair.discard(ids, by, why)
            case JobAction.RETRY:
                return await self.mending.unpark(ids, "retry", by, why)
            case JobAction.LEAD:
                return await self.mending.unpark(ids, "lead", by, why)
            case JobAction.GIVE_UP:
                return await self.mending.unpark(ids, "give_up", by, why)
            case JobAction.RESEND:
                return await self.doubts.resolve(Verdict.RESEND, ids, by=by, why=why, after=self.unknown_after)
            case JobAction.MARK_DELIVERED:
                return await self.doubts.resolve(Verdict.DELIVERED, ids, by=by, why=why, after=self.unknown_after)
            case _:
                assert_never(action)


class Runner:
    """`chosen` says which calls a job is about, `began` writes into the audit that it began; both raise `LedgerUnavailable`.
    `name` is this process's alone.
    """

    def __init__(
        self,
        book: JobBook,
        hands: Hands,
        chosen: Callable[[JobAction, Selection], Awaitable[Sequence[str]]],
        began: Callable[[JobRow, Who], Awaitable[None]],
        now: Callable[[], float],
        name: str,
    ) -> None:
        self._book = book
        self._hands = hands
        self._chosen = chosen
        self._began = began
        self._now = now
        self._name = name[:64]
        self._adding: set[str] = set()
        self._held_up = False

    async def add(self, row: JobRow, ids: Sequence[str], who: Who) -> tuple[JobRow, bool]:
        """The job of that id, and whether it is this one. What fails in the middle is prepared anew by whoever comes next."""
        self._adding.add(row.id)
        try:
            found, added = await self._book.add(row, self._name, self._now() + LEASE)
            if not added:
                return found, False
            await self._begin(found, ids, who)
            return await self._book.get(row.id) or found, True
        finally:
            self._adding.discard(row.id)

    async def run(self, stopping: asyncio.Event) -> None:
        try:
            while not stopping.is_set():
                wait = BREATHER if await self.step() else IDLE
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), wait)
        finally:
            with contextlib.suppress(LedgerUnavailable):
                await self._book.let_go(self._name)

    async def step(self) -> bool:
        """One slice of each job that is nobody else's; whether there was one. Never raises."""
        worked = False
        try:
            for job_id in await self._book.open_ones():
                if job_id not in self._adding:
                    worked = await self._one(job_id) or worked
        except LedgerUnavailable as error:
            self._hold_up(error)
        return worked

    async def _one(self, job_id: str) -> bool:
        row = await self._book.hold(job_id, self._name, now=self._now(), seconds=LEASE)
        if row is None:
            return False
        try:
            if row.state == "preparing":
                await self._prepare(row)
            else:
                await self._work(row)
        except StoreUnavailable as error:
            self._hold_up(error)
            await self._book.trouble(job_id, "store_unavailable")
            return False
        except LedgerUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours in one job must not end all the others
            observe.event("job.ended", level="error", job=job_id, state="failed", error=error)
            await self._book.move(job_id, ("preparing", "running"), "failed", now=self._now(), problem="crashed")
        self._held_up = False
        return True

    async def _prepare(self, row: JobRow) -> None:
        """Chooses the calls anew where whoever began was interrupted; not one of them was touched."""
        if not await self._book.clear(row.id, self._name):
            return
        job = job_of(row)
        ids = await self._chosen(job.action, job.selection)
        if len(ids) != row.total:
            await self._book.move(row.id, ("preparing",), "failed", now=self._now(), problem="changed")
            return
        await self._begin(row, ids, Who(row.actor, Role.OPERATOR, "shell"))

    async def _begin(self, row: JobRow, ids: Sequence[str], who: Who) -> None:
        await self._began(row, who)
        for start in range(0, len(ids), _AT_ONCE):
            part, until = ids[start : start + _AT_ONCE], self._now() + LEASE
            if not await self._book.fill(row.id, self._name, start, part, held_until=until):
                return
        chosen = without_numbers(row.filter) | {"chosen": True}
        if await self._book.ready(row.id, self._name, chosen, now=self._now()):
            observe.event("job.began", job=row.id, action=row.action, calls=len(ids), owner=row.actor)

    async def _work(self, row: JobRow) -> None:
        part = await self._book.begin_slice(row, self._name, MAX_MOVED)
        if part is None:
            return
        action = JobAction(row.action)
        ids = [CallId(call_id) for call_id in part.ids]
        moved = await self._hands.move(action, ids, row.actor, row.reason)
        stayed = GONE if part.again else left(action)
        results = [MOVED if call_id in moved else stayed for call_id in ids]
        wrote = await self._book.end_slice(row, self._name, results, now=self._now())
        if wrote and row.done + len(ids) >= row.total:
            observe.event("job.ended", job=row.id, state="done", calls=row.moved + len(moved), owner=row.actor)

    def _hold_up(self, error: StoreUnavailable | LedgerUnavailable) -> None:
        """Tells once that something is away, however often it is tried."""
        if self._held_up:
            return
        self._held_up = True
        match error:
            case StoreUnavailable():
                observe.event("store.unavailable", level="warning", stage="jobs", error=error)
            case LedgerUnavailable():
                observe.event("ledger.unavailable", level="warning", stage="jobs", error=error)
            case _:
                assert_never(error)


def job_of(row: JobRow) -> Job:
    return Job(
        id=row.id,
        action=JobAction(row.action),
        selection=told(row.filter),
        reason=row.reason,
        actor=row.actor,
        state=cast("JobState", row.state),
        total=row.total,
        done=row.done,
        moved=row.moved,
        skipped=row.skipped,
        problem=row.problem,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def is_chosen(row: JobRow) -> bool:
    """Whether its calls were all put down: a job that was interrupted before that cannot go on."""
    return bool(row.filter.get("chosen"))
