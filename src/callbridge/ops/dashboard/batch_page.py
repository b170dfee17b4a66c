"""Batch X-ray: which calls went together in a request, why it left when it did, what each got, how a poisoned one was found.

Only the history has it. A batch that was refused whole is shown with all that came of it, down to the call that stood alone
at the end.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from callbridge.ledger.views import Attempt, BatchRow, BatchXray, CallRow
from callbridge.ops.dashboard.call_steps import Step, card_url, offered, steps
from callbridge.ops.dashboard.calls_page import without_empty
from callbridge.ops.dashboard.render import render
from callbridge.ops.dashboard.shown_text import Veil
from callbridge.ops.dashboard.story_page import not_found
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role

PAGE: Final = 50
ANSWERS: Final = ("PerCall", "WholeRefused", "SlowDown", "AccountStopped", "TokenRefused", "NotSent", "NoAnswer")
MOST_BRANCHES: Final = 40
"""Batches of which the halves are looked up: a culprit among 250 stands alone after eight."""

MOST_DEEP: Final = 12

Fetch = Callable[[str], Awaitable[BatchXray | None]]

_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,40}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


@dataclass(frozen=True, slots=True)
class Branch:
    """A batch in the tree of halves, with how deep it stands and, where it is at its end, the call that stood alone."""

    row: BatchRow
    depth: int
    alone: str | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    call: CallRow
    got: Attempt
    steps: tuple[Step, ...]
    card: str | None


async def list_batches(request: web.Request) -> web.StreamResponse:
    if "" in request.query.values():
        raise web.HTTPSeeOther(without_empty(request))
    console, query = request.app[CONSOLE], request.query
    account, answer = query.get("account") or None, query.get("answer") or None
    account = account if account and _NAME.fullmatch(account) else None
    answer = answer if answer in ANSWERS else None
    try:
        page = await console.ledger.batches(
            account=account, answer=answer, after=query.get("after") or None, limit=PAGE
        )
    except ValueError:  # a cursor that is none
        raise web.HTTPSeeOther("/batches") from None
    return render(
        request,
        "batches.html",
        page=page,
        account=account,
        answer=answer,
        accounts=sorted({*console.settings.accounts, *([account] if account else [])}),
        answers=ANSWERS,
        veil=Veil(),
    )


async def show_batch(request: web.Request) -> web.StreamResponse:
    console, role, veil = request.app[CONSOLE], request[WHO].role, Veil()
    batch_id = request.match_info["id"]
    found = await console.ledger.batch(batch_id) if _ID.fullmatch(batch_id) else None
    if found is None:
        return not_found(request)
    back = f"/batches/{batch_id}"
    carried = [
        Carried(row, got, offered(steps(row, role, back), 2), card_url(console.settings.accounts, row))
        for row, got in sorted(found.calls, key=lambda pair: _URGENCY.get(pair[1].became, 9))
    ]
    return render(
        request,
        "batch.html",
        batch=found.row,
        carried=carried,
        tree=await tree(await _origin(found, console.ledger.batch), console.ledger.batch),
        request_body=veil.packed(found.request),
        response_body=veil.packed(found.response),
        veil=veil,
    )


_URGENCY: Final = {"dead": 0, "uncertain": 1, "parked": 2, "halved": 3, "waiting": 4, "unmatched": 5}
"""What needs a person stands first."""


async def _origin(found: BatchXray, fetch: Fetch) -> BatchXray:
    """The batch of which this one came, as far up as it is known."""
    for _ in range(MOST_DEEP):
        above = await fetch(found.row.parent) if found.row.parent else None
        if above is None:
            break
        found = above
    return found


async def tree(root: BatchXray, fetch: Fetch) -> list[Branch]:
    """The batch and all that came of it, depth first, in order of time; empty where nothing did."""
    if not root.halves:
        return []
    branches: list[Branch] = []
    left = MOST_BRANCHES

    async def grow(xray: BatchXray, depth: int) -> None:
        nonlocal left
        alone = xray.calls[0][0].id if xray.row.size == 1 and xray.calls and xray.row.answer == "WholeRefused" else None
        branches.append(Branch(xray.row, depth, alone))
        for half in xray.halves:
            below = None
            if half.answer == "WholeRefused" and left > 0:
                left -= 1
                below = await fetch(half.id)
            if below is None or depth >= MOST_DEEP:
                branches.append(Branch(half, depth + 1))
            else:
                await grow(below, depth + 1)

    await grow(root, 0)
    return branches


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/batches", list_batches, Role.VIEWER),
    Route("GET", "/batches/{id}", show_batch, Role.VIEWER),
)
