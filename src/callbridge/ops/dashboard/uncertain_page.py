"""Uncertain: calls that may or may not be in the CRM, those being looked for and those of which nobody found out.

Looking is the bridge's own work; a person says what became of a call once it has been looked for long enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from callbridge.ledger.views import CallFilter, CallRow, Counted
from callbridge.ops.dashboard.render import render
from callbridge.ops.dashboard.selecting import one_of, query_of
from callbridge.ops.web import CONSOLE, Console, Route
from callbridge.ops.who import Role
from callbridge.outcome import Reason

_PAGE: Final = 25
"""Rows of one list: each is asked for its story."""

_LEFT: Final = frozenset({"sending", "replayed", "claimed"})


@dataclass(frozen=True, slots=True)
class Doubtful:
    """From `decidable_at` on a person may decide; `is_yours`: he may now. `batch` is the request that carried it last."""

    row: CallRow
    since: float
    decidable_at: float
    is_yours: bool
    batch: str | None


@dataclass(frozen=True, slots=True)
class Lane:
    code: str
    rows: tuple[Doubtful, ...]
    counted: Counted
    calls: str
    next: str | None


async def show_uncertain(request: web.Request) -> web.StreamResponse:
    console = request.app[CONSOLE]
    account = one_of(request.query, "account", console.settings.accounts)
    wanted = {
        "dead": CallFilter(states=("dead",), account=account, reason=Reason.UNKNOWN_OUTCOME.value),
        "uncertain": CallFilter(states=("uncertain",), account=account),
    }
    shown = one_of(request.query, "lane", tuple(wanted))
    after = request.query.get("after") if shown else None
    try:
        lanes = [await _lane(console, code, each, after) for code, each in wanted.items() if shown in {None, code}]
    except ValueError:
        raise web.HTTPBadRequest from None
    return render(
        request,
        "uncertain.html",
        lanes=lanes,
        account=account,
        accounts=sorted(console.settings.accounts),
        looked_for=console.settings.delivery.unknown_after,
    )


async def _lane(console: Console, code: str, wanted: CallFilter, after: str | None) -> Lane:
    page = await console.ledger.calls(wanted, after=after, limit=_PAGE)
    rows = await asyncio.gather(*(_doubtful(console, row) for row in page.rows))
    counted = await console.ledger.count(wanted)
    return Lane(code, tuple(rows), counted, query_of(wanted), page.next)


async def _doubtful(console: Console, row: CallRow) -> Doubtful:
    told = await console.ledger.call(row.id)
    since = _since(told.story if told else (), row.updated_at)
    last = max(told.attempts, key=lambda attempt: attempt.at, default=None) if told else None
    early = row.state == "uncertain"
    decidable = since + console.settings.delivery.unknown_after if early else row.updated_at
    return Doubtful(row, since, decidable, not early or decidable <= console.now(), last.batch_id if last else None)


def _since(story: Sequence[Mapping[str, Any]], otherwise: float) -> float:
    """When it became uncertain after it had left last: looks that found nothing come after that."""
    since: float | None = None
    for entry in story:
        what = entry.get("what")
        if what in _LEFT:
            since = None
        elif what == "uncertain" and since is None:
            since = float(entry.get("at", otherwise))
    return otherwise if since is None else since


ROUTES: Final = (Route("GET", "/uncertain", show_uncertain, Role.VIEWER),)
