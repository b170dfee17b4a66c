"""Replay jobs: what would happen, begin, watch, hold, go on, end."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from callbridge.ops import jobs as desk
from callbridge.ops.api import rows, shown
from callbridge.ops.api.endpoint import Asked, Made, Nothing
from callbridge.ops.api.given import JobBody, JobsQuery, PreviewBody
from callbridge.ops.api.phones import hidden
from callbridge.ops.api.problems import ProblemError
from callbridge.ops.api.refusals import refused
from callbridge.ops.jobs import ByFilter, ByIds, Refusal, Selection
from callbridge.ops.masking import masked, without_phones


async def preview_job(asked: Asked[Nothing, PreviewBody]) -> shown.Preview:
    found = await asked.console.jobs.preview(asked.body.action, _selection(asked.body))
    without = await hidden(asked, rows.phones_in(found.sample), preview=asked.body.action)
    return shown.Preview(
        total=found.total,
        more=found.more,
        by_reason=dict(found.by_reason),
        skipped=dict(found.skipped),
        requests=found.requests,
        seconds=found.seconds,
        fates=dict(found.fates),
        sample=[rows.call(row, hidden=without) for row in found.sample],
        masked=without,
    )


async def start_job(asked: Asked[Nothing, JobBody]) -> Made | shown.Job:
    body, jobs = asked.body, asked.console.jobs
    is_known = await jobs.get(body.id) is not None
    answer = await jobs.start(
        body.id,
        body.action,
        _selection(body),
        body.reason,
        asked.who,
        expected_total=body.confirmed,
        confirmed="" if body.confirmed is None else str(body.confirmed),
    )
    if isinstance(answer, Refusal):
        raise refused(answer)
    return _job(answer) if is_known else Made(_job(answer), HTTPStatus.CREATED)


def _selection(body: PreviewBody | JobBody) -> Selection:
    if body.filter is not None:
        return ByFilter(body.filter.as_filter())
    return ByIds(tuple(dict.fromkeys(body.ids or ())))


async def list_jobs(asked: Asked[JobsQuery, Nothing]) -> shown.Jobs:
    try:
        page = await asked.console.jobs.list(limit=asked.query.limit, after=asked.query.cursor)
    except ValueError:
        raise ProblemError("no_such_page") from None
    return shown.Jobs(items=[_job(row) for row in page.rows], next=page.next)


async def show_job(asked: Asked[Nothing, Nothing]) -> shown.Job:
    return _found(await asked.console.jobs.get(asked.path["id"]))


async def pause_job(asked: Asked[Nothing, Nothing]) -> shown.Job:
    return _found(await asked.console.jobs.pause(asked.path["id"], asked.who))


async def resume_job(asked: Asked[Nothing, Nothing]) -> shown.Job:
    return _found(await asked.console.jobs.resume(asked.path["id"], asked.who))


async def cancel_job(asked: Asked[Nothing, Nothing]) -> shown.Job:
    return _found(await asked.console.jobs.cancel(asked.path["id"], asked.who))


def _found(job: desk.Job | None) -> shown.Job:
    if job is None:
        raise ProblemError("not_found")
    return _job(job)


def _job(job: desk.Job) -> shown.Job:
    chosen = _chosen(job.selection)
    return shown.Job(
        id=job.id,
        action=job.action,
        filter=chosen,
        ids=len(job.selection.ids) if isinstance(job.selection, ByIds) else None,
        reason=without_phones(job.reason),
        actor=job.actor,
        state=job.state,
        total=job.total,
        done=job.done,
        moved=job.moved,
        skipped=dict(job.skipped),
        problem=without_phones(job.problem),
        created_at=job.created_at,
        updated_at=job.updated_at,
    )


def _chosen(selection: Selection) -> dict[str, Any] | None:
    if isinstance(selection, ByIds):
        return None
    wanted = selection.filter
    names = ("account", "source", "direction", "reason", "cause", "text", "since", "until")
    parts = {name: value for name in names if (value := getattr(wanted, name)) is not None}
    if wanted.phone is not None:
        parts["phone"] = masked(wanted.phone)
    return parts | ({"state": list(wanted.states)} if wanted.states else {})
