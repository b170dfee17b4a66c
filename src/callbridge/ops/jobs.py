"""One decision about many calls: what it would do, then the work in the background, held, resumed and ended as people like.

What the preview counted is what the job touches: the calls are chosen once, when it starts, and a filter that matches another
number of them by then is refused. A job has the id that its asker chose, so asking twice is asking once. The store's verbs
only move what still stands where the action can be done: whoever does a slice again, or at the same time, moves nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from callbridge.ledger.jobs import JobBook, JobRow
from callbridge.ledger.views import Page
from callbridge.ops.choosing import Choice, Rows
from callbridge.ops.job_form import without_numbers, written
from callbridge.ops.job_plan import (
    CONFIRMED_ABOVE,
    MOST_NAMED,
    ByFilter,
    ByIds,
    Job,
    JobAction,
    JobPreview,
    Lane,
    Refusal,
    Selection,
)
from callbridge.ops.job_runner import Hands, Runner, is_chosen, job_of
from callbridge.ops.who import Role, Who

__all__ = [
    "ByFilter", "ByIds", "Hands", "Job", "JobAction", "JobPreview", "Jobs", "Lane", "Refusal", "Selection",
]  # fmt: skip

_ID: Final = re.compile(r"[0-9A-Za-z_-]{8,40}")
_LONGEST_REASON: Final = 500


class Audit(Protocol):
    async def add(
        self,
        who: Who,
        action: str,
        target: Mapping[str, Any],
        *,
        reason: str | None = None,
        count: int | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> int: ...


class Jobs:
    """`lanes` are the accounts of the settings; `runner` names this process. All raise `LedgerUnavailable`; `run` alone
    waits until the ledger, and Redis, are back.
    """

    def __init__(
        self,
        book: JobBook,
        rows: Rows,
        hands: Hands,
        audit: Audit,
        *,
        lanes: Mapping[str, Lane],
        now: Callable[[], float],
        runner: str,
    ) -> None:
        self._book = book
        self._choice = Choice(rows, lanes)
        self._audit = audit
        self._now = now
        self._runner = Runner(book, hands, self._choice.ids, self._began, now, runner)

    async def preview(self, action: JobAction, selection: Selection) -> JobPreview:
        return await self._choice.preview(action, selection)

    async def start(
        self,
        job_id: str,
        action: JobAction,
        selection: Selection,
        reason: str,
        who: Who,
        *,
        expected_total: int | None = None,
        confirmed: str = "",
    ) -> Job | Refusal:
        """`expected_total` is what the preview told, `confirmed` what was typed: above `CONFIRMED_ABOVE` calls that has to be
        their number, and where it is their number, it does not matter what the preview told.
        """
        asked = written(action, selection)
        if refusal := _unfit(job_id, selection, reason, who):
            return refusal
        if (before := await self._book.get(job_id)) is not None:
            return _same(before, action, asked)
        ids = await self._choice.ids(action, selection)
        if refusal := _unagreed(len(ids), expected_total, confirmed.strip()):
            return refusal
        now = self._now()
        row = JobRow(
            job_id, action.value, asked, reason.strip(), who.name, "preparing", len(ids), 0, 0, {}, None, now, now
        )
        found, added = await self._runner.add(row, ids, who)
        return job_of(found) if added else _same(found, action, asked)

    async def get(self, job_id: str) -> Job | None:
        row = await self._book.get(job_id)
        return job_of(row) if row else None

    async def list(self, limit: int = 50, after: str | None = None) -> Page[Job]:
        """Newest first. Raises `ValueError` for an `after` that opens no page."""
        page = await self._book.page(limit, after)
        return Page(tuple(map(job_of, page.rows)), page.next)

    async def pause(self, job_id: str, who: Who) -> Job | None:
        """It goes no further than the slice under way. These three leave a job alone that is past it already."""
        return await self._put(job_id, who, ("running",), "paused", "job.paused")

    async def resume(self, job_id: str, who: Who) -> Job | None:
        before = await self._book.get(job_id)
        chosen = before is not None and is_chosen(before)
        return await self._put(job_id, who, ("paused", "failed") if chosen else ("paused",), "running", "job.resumed")

    async def cancel(self, job_id: str, who: Who) -> Job | None:
        """What it has moved stays moved."""
        return await self._put(job_id, who, ("preparing", "running", "paused", "failed"), "cancelled", "job.cancelled")

    async def run(self, stopping: asyncio.Event) -> None:
        """Works on jobs, also on those that another process began and did not end, until `stopping` is set."""
        await self._runner.run(stopping)

    async def _put(self, job_id: str, who: Who, of: Sequence[str], to: str, action: str) -> Job | None:
        before = await self._book.get(job_id)
        if before is None or before.state not in of or not who.role.covers(Role.OPERATOR):
            return job_of(before) if before else None
        outcome = {"before": before.state, "after": to, "done": before.done}
        await self._audit.add(who, action, {"job": job_id}, count=before.total, outcome=outcome)
        await self._book.move(job_id, of, to, now=self._now())
        return await self.get(job_id)

    async def _began(self, row: JobRow, who: Who) -> None:
        target = {"job": row.id, "action": row.action} | without_numbers(row.filter)
        await self._audit.add(who, "job.started", target, reason=row.reason, count=row.total)


def _unfit(job_id: str, selection: Selection, reason: str, who: Who) -> Refusal | None:
    if not who.role.covers(Role.OPERATOR):
        return Refusal("an operator may do that", "forbidden")
    if not _ID.fullmatch(job_id):
        return Refusal("the job's id is 8 to 40 letters, digits, _ and -", "bad_id")
    if not reason.strip() or len(reason) > _LONGEST_REASON:
        return Refusal(f"say why, in {_LONGEST_REASON} characters at most", "no_reason")
    if isinstance(selection, ByIds) and len(selection.ids) > MOST_NAMED:
        return Refusal(f"at most {MOST_NAMED} calls are named one by one: use a filter", "too_many")
    return None


def _unagreed(total: int, expected: int | None, confirmed: str) -> Refusal | None:
    agreed = confirmed == str(total)
    if not total:
        return Refusal("no call is left with which that can be done", "nothing", {"now": 0})
    if expected is not None and expected != total and not agreed:
        told_ = f"it was about {expected} calls, and there are {total} now: look again"
        return Refusal(told_, "changed", {"now": total, "expected": expected})
    if total > CONFIRMED_ABOVE and not agreed:
        return Refusal(f"type the number of calls, {total}, to confirm", "unconfirmed", {"now": total})
    return None


def _same(before: JobRow, action: JobAction, asked: Mapping[str, Any]) -> Job | Refusal:
    """The job that has the id, if it is what was asked for."""
    if (before.action, before.filter.get("digest")) != (action.value, asked["digest"]):
        return Refusal("that id is another job's", "id_taken")
    return job_of(before)
