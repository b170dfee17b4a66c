"""Correcting a dead call: a form with what is known of it, and the call sent again with what an operator changed.

What the PBX sent is kept and stays in sight. The form carries no hidden copy of the call: a field that comes back as it was
shown is no change, so a masked text is never taken for a new one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final, assert_never

from aiohttp import web

from callbridge.call import CallStatus, Direction
from callbridge.ledger.views import CallRow
from callbridge.ops.answers import Amended, NotFit, Refused
from callbridge.ops.dashboard.call_steps import steps
from callbridge.ops.dashboard.render import done, render
from callbridge.ops.dashboard.selecting import texts_of
from callbridge.ops.dashboard.shown_text import Veil
from callbridge.ops.dashboard.story_page import Known, find, not_found
from callbridge.ops.dashboard.viewing import view_of
from callbridge.ops.editing import EDITABLE, FieldProblem
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role

_AT: Final = re.compile(r"\d{9,11}(?:\.\d{1,6})?")
_MOST: Final = 2_100
CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "direction": tuple(Direction),
    "status": tuple(CallStatus),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form. `value` is what stands in it, `hint` what is known where that is not to be seen."""

    name: str
    value: str
    hint: str = ""
    problem: FieldProblem | None = None


async def show_form(request: web.Request) -> web.StreamResponse:
    known = await find(request.app[CONSOLE], request.match_info["id"])
    if known is None:
        return not_found(request)
    if not _fits(request, known.row):
        raise web.HTTPSeeOther(f"/calls/{known.row.id}")
    return _form(request, known, shown(known.row, view_of(request).zone))


async def send_form(request: web.Request) -> web.StreamResponse:
    console = request.app[CONSOLE]
    known = await find(console, request.match_info["id"])
    if known is None:
        return not_found(request)
    form = await texts_of(request)
    typed = {name: form[name].strip()[:_MOST] for name in EDITABLE if name in form}
    at, reason = form.get("updated_at", ""), form.get("reason", "").strip()
    before, zone = shown(known.row, view_of(request).zone), view_of(request).zone
    answer = await console.actions.edit_and_replay(
        request[WHO],
        known.row.id,
        changes(before, typed, zone, unread=known.row.direction is None),
        float(at) if _AT.fullmatch(at) else 0.0,
        reason,
    )
    match answer:
        case Amended():
            raise done(f"/calls/{known.row.id}", "amended")
        case NotFit(problems):
            return _form(request, known, before | typed, problems=problems, reason=reason)
        case Refused():
            return _form(request, known, before | typed, refused=answer, reason=reason)
        case _:
            assert_never(answer)


def _fits(request: web.Request, row: CallRow) -> bool:
    return any(step.code == "edit" and step.why_not is None for step in steps(row, request[WHO].role, ""))


def shown(row: CallRow, zone: tzinfo) -> dict[str, str]:
    """What stands in the form at first. The number does not: what is left empty stays as it is."""
    veil = Veil()
    return {
        "direction": row.direction or "",
        "phone": "",
        "duration": "" if row.duration is None else str(row.duration),
        "started_at": ""
        if row.started_at is None
        else f"{datetime.fromtimestamp(row.started_at, zone):%Y-%m-%dT%H:%M:%S}",
        "status": row.call_status or "",
        "result": veil.line(row.result) or "",
        "link": veil.line(row.link) or "",
        "extension": veil.line(row.extension) or "",
    }


def changes(before: Mapping[str, str], typed: Mapping[str, str], zone: tzinfo, *, unread: bool) -> dict[str, Any]:
    """What differs from what was shown. Of a call that could not be read, everything that was told."""
    found: dict[str, Any] = {}
    for name, value in typed.items():
        if (name == "phone" and not value) or (value == before[name] and not (unread and value)):
            continue
        found[name] = _moment(value, zone) if name == "started_at" else value
    return found


def _moment(typed: str, zone: tzinfo) -> Any:
    """A time of the viewer's; what is none is left to be refused."""
    try:
        at = datetime.fromisoformat(typed)
        return int((at if at.tzinfo else at.replace(tzinfo=zone)).timestamp())
    except (ValueError, OverflowError, OSError):
        return typed


def _form(
    request: web.Request,
    known: Known,
    values: Mapping[str, str],
    *,
    problems: tuple[FieldProblem, ...] = (),
    refused: Refused | None = None,
    reason: str = "",
) -> web.Response:
    row, veil = known.row, Veil()
    by_field = {problem.field: problem for problem in problems}
    fields = [
        Field(name, values[name], (veil.phone(row.phone) or "") if name == "phone" else "", by_field.get(name))
        for name in EDITABLE
    ]
    return render(
        request,
        "edit.html",
        status=409 if refused else 422 if problems else 200,
        row=row,
        fields=fields,
        others=[problem for problem in problems if problem.field not in EDITABLE],
        refused=refused,
        reason=reason,
        choices=CHOICES,
        original=veil.body(known.webhook[1]) if known.webhook else None,
        veil=veil,
        updated_at=f"{row.updated_at:.3f}",
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/calls/{id}/edit", show_form, Role.OPERATOR),
    Route("POST", "/calls/{id}/edit", send_form, Role.OPERATOR),
)
