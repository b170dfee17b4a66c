"""The list of calls: facets, search, what is wrong with each and what to do, in one row.

It comes from the ledger, which is a moment behind the queue and says so. While the ledger does not answer, the queue itself
is listed instead, as far as it goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Protocol

from aiohttp import web
from multidict import MultiDict

from callbridge.errors import LedgerUnavailable
from callbridge.ledger.views import CallFilter, CallRow, Counted, Facets, LedgerStanding, Page
from callbridge.ops.dashboard.call_query import DIRECTIONS, Asked, asked, live_filter, local_time
from callbridge.ops.dashboard.call_rows import row_of
from callbridge.ops.dashboard.call_steps import Step, bulk, card_url, offered, steps
from callbridge.ops.dashboard.render import render
from callbridge.ops.dashboard.shown_text import Veil
from callbridge.ops.dashboard.viewing import view_of
from callbridge.ops.filters import STATES, Filter
from callbridge.ops.inspect import Listed
from callbridge.ops.web import CONSOLE, WHO, Console, Route
from callbridge.ops.who import Role

PAGE: Final = 50
RECENT: Final = ("1h", "24h", "7d", "30d")
"""Times that the list offers, as they are written in the URL."""

LIVE_PATIENCE: Final = 1.5
"""Seconds for which the queue is walked in search of calls that match."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the list."""

    call: CallRow
    steps: tuple[Step, ...]
    card: str | None

    @property
    def failed(self) -> bool:
        return self.call.state in {"dead", "parked", "uncertain", "unmatched"}


@dataclass(frozen=True, slots=True)
class Listing:
    """What is shown; `counted` and `facets` are None where only the queue answers, `unfit` where it cannot tell either."""

    page: Page[CallRow]
    counted: Counted | None = None
    facets: Facets | None = None
    standing: LedgerStanding | None = None
    unfit: bool = False


class Live(Protocol):
    def calls(self, wanted: Filter, limit: int | None = None) -> AsyncIterator[Listed]: ...


async def list_calls(request: web.Request) -> web.StreamResponse:
    if "" in request.query.values():
        raise web.HTTPSeeOther(without_empty(request))
    console, view = request.app[CONSOLE], view_of(request)
    wanted = asked(request.query, now=console.now(), zone=view.zone)
    after = request.query.get("after") or None
    try:
        listing = await _from_ledger(console, wanted.filter, after)
        live = False
    except LedgerUnavailable:
        listing, live = await _from_queue(console, wanted.filter), True
    except ValueError:  # a cursor that is none: a link that was cut short
        raise web.HTTPSeeOther(_first_page(request)) from None
    accounts, role, back = console.settings.accounts, request[WHO].role, str(request.rel_url)
    return render(
        request,
        "calls.html",
        wanted=wanted,
        listing=listing,
        live=live,
        entries=[Entry(row, offered(steps(row, role, back), 2), card_url(accounts, row)) for row in listing.page.rows],
        facets=_choices(wanted, listing.facets, console),
        bulk=bulk(wanted.filter, back),
        back=back,
        from_=local_time(wanted.filter.since, view.zone) if request.query.get("from") else "",
        until=local_time(wanted.filter.until, view.zone),
        veil=Veil(),
    )


async def _from_ledger(console: Console, wanted: CallFilter, after: str | None) -> Listing:
    page, counted, facets, overview = await asyncio.gather(
        console.ledger.calls(wanted, after=after, limit=PAGE),
        console.ledger.count(wanted),
        console.ledger.facets(),
        console.overviews.latest(),
    )
    return Listing(page, counted, facets, overview.standing)


async def _from_queue(console: Console, wanted: CallFilter) -> Listing:
    """Raises `StoreUnavailable`: then neither answers."""
    narrowed = live_filter(wanted)
    if narrowed is None:
        return Listing(Page((), None), unfit=True)
    found, partial = await _live(console.inspector, narrowed, PAGE)
    return Listing(Page(tuple(map(row_of, found)), None, partial))


async def _live(inspector: Live, wanted: Filter, limit: int) -> tuple[list[Listed], bool]:
    found: list[Listed] = []
    calls: Any = inspector.calls(wanted, limit + 1)
    try:
        async with asyncio.timeout(LIVE_PATIENCE), aclosing(calls):
            async for call in calls:
                if len(found) == limit:
                    return found, True
                found.append(call)
    except TimeoutError:
        return found, True
    return found, False


def _choices(wanted: Asked, facets: Facets | None, console: Console) -> dict[str, Any]:
    """What each filter offers, with how many calls there are of it over all; what is chosen is offered in any case."""
    known = facets or Facets(
        {}, dict.fromkeys(console.settings.accounts, 0), dict.fromkeys(console.settings.sources, 0), {}
    )
    chosen = wanted.filter

    def offered(counts: Any, value: str | None) -> dict[str, int]:
        return dict(sorted((({value: 0} if value else {}) | dict(counts)).items()))

    return {
        "states": [(state, known.states.get(state, 0)) for state in STATES],
        "accounts": offered(known.accounts, chosen.account),
        "sources": offered(known.sources, chosen.source),
        "reasons": offered(known.reasons, chosen.reason),
        "directions": DIRECTIONS,
        "recent": RECENT,
        "counted": facets is not None,
    }


def without_empty(request: web.Request) -> str:
    """The address that a form of many fields means: short enough to be sent to somebody."""
    query = MultiDict((name, value) for name, value in request.query.items() if value)
    return str(request.rel_url.with_query(query))


def _first_page(request: web.Request) -> str:
    query = MultiDict((name, value) for name, value in request.query.items() if name != "after")
    return str(request.rel_url.with_query(query))


ROUTES: Final[tuple[Route, ...]] = (Route("GET", "/calls", list_calls, Role.VIEWER),)
