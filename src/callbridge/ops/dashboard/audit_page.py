"""Audit: who did what, newest first, and whether the chain of entries is whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
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


def _facts(entry: AuditEntry) -> list[tuple[str, str]]:
    """What it was about and what came of it, each part on one line."""
    return [*_told(entry.target), *_told(entry.outcome)]


def _told(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        safe = clean(value, str(name))
        text = safe if isinstance(safe, str) else json.dumps(safe, ensure_ascii=False)
        rows.append((without_phones(str(name)), without_phones(text)[:_LONGEST_FACT]))
    return rows


ROUTES: Final = (Route("GET", "/audit", show_audit, Role.OPERATOR),)
