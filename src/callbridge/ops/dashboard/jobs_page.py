"""Replay jobs: what one decision about many calls would do, then how far it is; held, resumed and ended here.

A preview makes the job's id, and starting it twice with that id is starting it once: a double click, a reload and the back
button do no harm. What was counted travels with the form, so that what the button says is what is touched.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never
from urllib.parse import parse_qsl

from aiohttp import web
from multidict import MultiDict, MultiMapping

from callbridge.ops.dashboard.call_query import pairs
from callbridge.ops.dashboard.render import done, render
from callbridge.ops.dashboard.selecting import filter_of, ids_of, is_whole, line, query_of, texts_of
from callbridge.ops.dashboard.viewing import local_path, words
from callbridge.ops.dashboard.words import Words
from callbridge.ops.job_plan import CONFIRMED_ABOVE
from callbridge.ops.jobs import ByFilter, ByIds, Job, JobAction, Refusal, Selection
from callbridge.ops.masking import masked, without_phones
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role

UNDER_WAY: Final = frozenset({"preparing", "running"})
_ID: Final = re.compile(r"[0-9A-Za-z_-]{8,40}")
_LONGEST_REASON: Final = 500
_NOT_DIGITS: Final = re.compile(r"[^0-9]+")
_DANGEROUS: Final = frozenset({JobAction.DISCARD, JobAction.GIVE_UP, JobAction.RESEND})
_CURSOR: Final = re.compile(r"[0-9A-Za-z_=.~-]{1,512}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a form or a link is about. `back` is the page it came from."""

    action: JobAction
    selection: Selection
    back: str

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The same as hidden fields. The filter is one of them: calls have a reason, and so has what is done to them."""
        match self.selection:
            case ByIds(ids):
                chosen = [("id", call_id) for call_id in ids]
            case ByFilter(wanted):
                chosen = [("calls", query_of(wanted))]
            case _:
                assert_never(self.selection)
        return [("action", self.action.value), *chosen, ("back", self.back)]


def _asked(given: MultiMapping[str], request: web.Request, told: MultiMapping[str]) -> Asked:
    """`told` holds the filter. Raises `ValueError`. A filter that says nothing is none: everything there is has to be asked
    for by its state.
    """
    action = JobAction(given.get("action", ""))
    ids = ids_of(given)
    wanted = filter_of(told, request, request.app[CONSOLE].now())
    if bool(ids) == bool(pairs(wanted)):
        raise ValueError("id")
    return Asked(action, ByIds(ids) if ids else ByFilter(wanted), local_path(given.get("back", "") or _home(action)))


def _home(action: JobAction) -> str:
    match action:
        case JobAction.REPLAY | JobAction.DISCARD:
            return "/dead"
        case JobAction.RETRY | JobAction.LEAD | JobAction.GIVE_UP:
            return "/parked"
        case JobAction.RESEND | JobAction.MARK_DELIVERED:
            return "/uncertain"
        case _:
            assert_never(action)


async def preview_job(request: web.Request) -> web.StreamResponse:
    """By POST too, where calls were ticked one by one; it changes nothing either way."""
    given: MultiMapping[str] = request.query if request.method == "GET" else await texts_of(request)
    try:
        asked = _asked(given, request, given)
    except ValueError:
        raise web.HTTPBadRequest from None
    return await show_preview(request, asked, str(uuid.uuid4()))


async def show_preview(
    request: web.Request, asked: Asked, job_id: str, *, problem: str | None = None, reason: str = ""
) -> web.Response:
    """What would happen, and the form that makes it happen."""
    preview = await request.app[CONSOLE].jobs.preview(asked.action, asked.selection)
    t = words(request)
    hidden = [("job", job_id), ("expected", str(preview.total)), *asked.fields]
    return render(
        request,
        "job_preview.html",
        status=409 if problem else 200,
        preview=preview,
        job_action=asked.action.value,
        calls=_calls(asked.selection),
        named=len(asked.selection.ids) if isinstance(asked.selection, ByIds) else None,
        rows=_filter_words(asked.selection, t),
        title=t(f"jobs.title.{asked.action}", count=preview.total),
        text=t(f"jobs.says.{asked.action}"),
        action="/jobs",
        label=t(f"jobs.do.{asked.action}", count=preview.total),
        back=asked.back,
        fields=hidden,
        tone="danger" if asked.action in _DANGEROUS else "primary",
        wants_reason=True,
        reason=reason or t(f"jobs.suggest.{asked.action}"),
        type_in=str(preview.total) if preview.total > CONFIRMED_ABOVE else None,
        problem=problem,
    )


async def start_job(request: web.Request) -> web.StreamResponse:
    form = await texts_of(request)
    try:
        asked = _asked(form, request, MultiDict(parse_qsl(form.get("calls", ""))))
        reason = line(form, "reason", _LONGEST_REASON) or ""
        expected = int(form.get("expected", "")[:9])
    except ValueError:
        raise web.HTTPBadRequest from None
    job_id, typed = form.get("job", ""), _NOT_DIGITS.sub("", form.get("typed", "")[:40])
    if not _ID.fullmatch(job_id):
        raise web.HTTPBadRequest
    answer = await request.app[CONSOLE].jobs.start(
        job_id,
        asked.action,
        asked.selection,
        reason,
        request[WHO],
        expected_total=expected,
        confirmed=typed,
    )
    if isinstance(answer, Refusal):
        return await show_preview(request, asked, job_id, problem=_refused(answer, words(request)), reason=reason)
    raise web.HTTPSeeOther(f"/jobs/{answer.id}")


def _refused(refusal: Refusal, t: Words) -> str:
    return t.first(f"jobs.refused.{refusal.code}", "jobs.refused.refused", count=refusal.facts.get("now", 0))


async def show_job(request: web.Request) -> web.StreamResponse:
    """With `part` only what goes on changing: a page that is open asks for it every second."""
    job = await _found(request)
    facts = {"job": job, **_told(job, words(request), request.app[CONSOLE].now())}
    return render(request, "job_part.html" if "part" in request.query else "job.html", **facts)


def _told(job: Job, t: Words, now: float) -> Mapping[str, Any]:
    took = max(0.0, (now if job.state in UNDER_WAY else job.updated_at) - job.created_at)
    left = job.total - job.done
    return {
        "under_way": job.state in UNDER_WAY,
        "calls": _calls(job.selection),
        "rows": _filter_words(job.selection, t),
        "named": len(job.selection.ids) if isinstance(job.selection, ByIds) else None,
        "took": took,
        "remaining": took / job.done * left if job.state == "running" and job.done and left else None,
    }


async def list_jobs(request: web.Request) -> web.StreamResponse:
    after = request.query.get("after")
    if after is not None and not _CURSOR.fullmatch(after):
        raise web.HTTPBadRequest
    try:
        page = await request.app[CONSOLE].jobs.list(limit=50, after=after)
    except ValueError:
        raise web.HTTPBadRequest from None
    return render(request, "jobs.html", page=page, under_way=UNDER_WAY)


async def change_job(request: web.Request) -> web.StreamResponse:
    jobs, job_id, who = request.app[CONSOLE].jobs, request.match_info["id"], request[WHO]
    verb = request.match_info["verb"]
    if not _ID.fullmatch(job_id):
        raise web.HTTPNotFound
    match verb:
        case "pause":
            job = await jobs.pause(job_id, who)
        case "resume":
            job = await jobs.resume(job_id, who)
        case _:
            job = await jobs.cancel(job_id, who)
    if job is None:
        raise web.HTTPNotFound
    raise done(f"/jobs/{job.id}", f"job_{verb}")


async def _found(request: web.Request) -> Job:
    job_id = request.match_info["id"]
    job = await request.app[CONSOLE].jobs.get(job_id) if _ID.fullmatch(job_id) else None
    if job is None:
        raise web.HTTPNotFound
    return job


def _calls(selection: Selection) -> str | None:
    """Query of the list of these calls; None where no query names them."""
    return query_of(selection.filter) if isinstance(selection, ByFilter) and is_whole(selection.filter) else None


def _filter_words(selection: Selection, t: Words) -> list[tuple[str, str]]:
    """The filter for people: each part's name and value."""
    if isinstance(selection, ByIds):
        return []
    shown: dict[str, list[str]] = {}
    for name, value in pairs(selection.filter):
        shown.setdefault(name, []).append(_part(name, value, t))
    return [(t(f"jobs.part.{name}"), ", ".join(values)) for name, values in shown.items()]


def _part(name: str, value: str, t: Words) -> str:
    if name in {"state", "reason", "direction"}:
        return t.code(name, value)
    return masked(value) if name == "phone" else without_phones(value)


ROUTES: Final = (
    Route("GET", "/jobs", list_jobs, Role.VIEWER),
    Route("GET", "/jobs/new", preview_job, Role.OPERATOR),
    Route("POST", "/jobs/new", preview_job, Role.OPERATOR),
    Route("POST", "/jobs", start_job, Role.OPERATOR),
    Route("GET", "/jobs/{id}", show_job, Role.VIEWER),
    Route("POST", "/jobs/{id}/{verb:pause|resume|cancel}", change_job, Role.OPERATOR),
)
