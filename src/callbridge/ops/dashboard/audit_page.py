"""Audit: who did what, newest first, and whether the chain of entries is whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from callbridge.ops.access.audit import AuditEntry
from callbridge.ops.dashboard.render import render
from callbridge.ops.dashboard.selecting import line
from callbridge.ops.masking import without_phones
from callbridge.ops.web import CONSOLE, Route
from callbridge.ops.who import Role
from callbridge.redaction import clean

ACTIONS: Final = (
    "account.authorised", "account.authorising", "account.paused", "account.resumed", "call.edited", "call.revealed",
    "calls.exported", "group.marked", "job.cancelled", "job.paused", "job.resumed", "job.started", "login", "logout",
    "number.erased", "number.erasing", "operator.add", "operator.disable", "operator.enable", "operator.set_password",
    "operator.set_role", "session.end", "source.tested", "token.issue", "token.revoke",
)  # fmt: skip
"""Offered in the filter; others can be asked for all the same."""

_ACTION: Final = re.compile(r"[a-z0-9_.]{1,64}")
_SEQ: Final = re.compile(r"[1-9][0-9]{0,14}")
_LONGEST_ACTOR: Final = 80
_LONGEST_FACT: Final = 300
_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,40}")
_PAGES: Final = {"job": "/jobs/", "call": "/calls/"}
_TIMES: Final = ("_at", "until")
_UNTOLD: Final = frozenset({"digest", "chosen"})


async def show_audit(request: web.Request) -> web.StreamResponse:
    console = request.app[CONSOLE]
    try:
        actor = line(request.query, "actor", _LONGEST_ACTOR)
    except ValueError:
        raise web.HTTPBadRequest from None
    action, after = request.query.get("action") or None, request.query.get("after") or None
    if (action and not _ACTION.fullmatch(action)) or (after and not _SEQ.fullmatch(after)):
        raise web.HTTPBadRequest
    page = await console.audit.entries(actor=actor, action=action, before=int(after) if after else None, limit=50)
    wants_check = "check" in request.query
    return render(
        request,
        "audit.html",
        page=page,
        rows=[(entry, _facts(entry)) for entry in page.rows],
        actor=actor,
        action=action,
        actions=sorted({*ACTIONS, action} - {None}),
        checked=wants_check,
        broken=await console.audit.verify() if wants_check else None,
    )


@dataclass(frozen=True, slots=True)
class Fact:
    """One part of what an entry is about, or of what came of it. `at` where it is a time, `path` where a page has more."""

    name: str
    text: str
    at: float | None = None
    path: str | None = None


def _facts(entry: AuditEntry) -> list[Fact]:
    told = (*entry.target.items(), *entry.outcome.items())
    return [_fact(str(name), value) for name, value in told if name not in _UNTOLD]


def _fact(name: str, value: Any) -> Fact:
    if name.endswith(_TIMES) and isinstance(value, int | float):
        return Fact(name, "", at=float(value))
    page = _PAGES.get(name) if isinstance(value, str) and _ID.fullmatch(value) else None
    return Fact(
        without_phones(name), _told(clean(value, name))[:_LONGEST_FACT], path=f"{page}{value}" if page else None
    )


def _told(value: Any) -> str:
    """What is clean already, on one line."""
    match value:
        case None:
            return "\N{EM DASH}"
        case Mapping():
            return (
                ", ".join(f"{without_phones(str(name))}: {_told(each)}" for name, each in value.items())
                or "\N{EM DASH}"
            )
        case list() | tuple():
            return ", ".join(map(_told, value))
        case _:
            return str(value)


ROUTES: Final = (Route("GET", "/audit", show_audit, Role.OPERATOR),)
