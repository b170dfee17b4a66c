"""One call's story: where it stands and what is next, all that happened to it, what was received, posted and answered.

The queue knows it first and the history longest; the page puts both together, and does with one of them where the other does
not answer. Numbers are masked until an operator asks for this call's: that is written down before it is shown, and shown in
the answer to that request only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import hdrs, web

from callbridge.call import CallId, is_web_link
from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger.views import Attempt, CallRow, Told
from callbridge.ops.dashboard.call_rows import row_of_story
from callbridge.ops.dashboard.call_steps import Step, card_url, steps
from callbridge.ops.dashboard.match_view import Explained, explained
from callbridge.ops.dashboard.render import render
from callbridge.ops.dashboard.shown_text import Veil
from callbridge.ops.dashboard.story_view import Evidence, Happening, evidence, merged, timeline, webhook_in
from callbridge.ops.dashboard.viewing import view_of
from callbridge.ops.inspect import Story
from callbridge.ops.web import CONSOLE, WHO, Console, Route
from callbridge.ops.who import Role

_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,40}")


@dataclass(frozen=True, slots=True)
class Known:
    """A call as far as anybody knows it. `attempts` and `webhook` (event and body) are None where they are not known now."""

    row: CallRow
    story: tuple[Mapping[str, Any], ...]
    attempts: tuple[Attempt, ...] | None
    webhook: tuple[str, bytes] | None
    store_away: bool
    ledger_away: bool


@dataclass(frozen=True, slots=True)
class Page:
    """What the template shows. Texts in it are as they may be seen."""

    call: CallRow
    steps: tuple[Step, ...]
    card: str | None
    number: str | None
    happened: tuple[Happening, ...]
    event: str | None
    size: int
    body: str | None
    evidence: Evidence | None
    link: str | None
    explained: Explained | None
    paused: str | None
    known: Known
    veil: Veil


async def show_call(request: web.Request) -> web.StreamResponse:
    known = await find(request.app[CONSOLE], request.match_info["id"])
    return not_found(request) if known is None else await _shown(request, known, Veil())


async def reveal(request: web.Request) -> web.StreamResponse:
    """The same page with the number, this once."""
    call_id = request.match_info["id"]
    console = request.app[CONSOLE]
    known = await find(console, call_id)
    revealed = await console.actions.reveal(request[WHO], call_id) if known else None
    if known is None or revealed is None:
        return not_found(request)
    response = await _shown(request, known, Veil(lifted=True))
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    return response


async def find(console: Console, call_id: str) -> Known | None:
    """Raises `StoreUnavailable` or `LedgerUnavailable` where the one that does not answer might know of it."""
    if not _ID.fullmatch(call_id):
        return None
    store_away: StoreUnavailable | None = None
    ledger_away: LedgerUnavailable | None = None
    live: Story | None = None
    told: Told | None = None
    try:
        live = await console.inspector.call(CallId(call_id))
    except StoreUnavailable as error:
        store_away = error
    try:
        told = await console.ledger.call(call_id)
    except LedgerUnavailable as error:
        ledger_away = error
    if live is None and told is None:
        if away := ledger_away or store_away:
            raise away
        return None
    return _known(live, told, store_away=store_away is not None, ledger_away=ledger_away is not None)


def _known(live: Story | None, told: Told | None, *, store_away: bool, ledger_away: bool) -> Known:
    row = row_of_story(live, told.row if told else None) if live else told.row if told else None
    if row is None:
        raise ValueError("nobody knows of it")
    kept = [{"at": row.received_at, "what": "received"}, *(told.story if told else ())]
    return Known(
        row=row,
        story=tuple(merged(live.happened if live else (), kept)),
        attempts=None if ledger_away else told.attempts if told else (),
        webhook=(live.event, live.body) if live and live.body else webhook_in(told.envelope if told else None),
        store_away=store_away,
        ledger_away=ledger_away,
    )


async def _shown(request: web.Request, known: Known, veil: Veil) -> web.Response:
    console, row = request.app[CONSOLE], known.row
    erased = row.state == "erased"
    event, body = known.webhook if known.webhook and not erased else (None, None)
    page = Page(
        call=row,
        steps=() if known.store_away else steps(row, request[WHO].role, f"/calls/{row.id}"),
        card=card_url(console.settings.accounts, row),
        number=veil.phone(row.phone),
        happened=timeline(known.story, known.attempts or (), veil, bare=erased),
        event=veil.line(event),
        size=len(body or b""),
        body=None if body is None else veil.body(body),
        evidence=None if erased else await _evidence(console, known, veil),
        link=playable(row.link, veil),
        explained=explained(console, row, lifted=veil.lifted),
        paused=await _paused(console, row),
        known=known,
        veil=veil,
    )
    return render(request, "story.html", page=page, call_id=row.id)


def playable(link: str | None, veil: Veil) -> str | None:
    """The recording's address where nothing in it has to stay hidden."""
    if not link or not is_web_link(link):
        return None
    return link if veil.lifted or veil.line(link) == link else None


async def _evidence(console: Console, known: Known, veil: Veil) -> Evidence | None:
    """Of the latest request."""
    if not known.attempts:
        return None
    latest = max(known.attempts, key=lambda attempt: attempt.at)
    try:
        return evidence(await console.ledger.batch(latest.batch_id), known.row.uniq, veil)
    except LedgerUnavailable:
        return None


async def _paused(console: Console, row: CallRow) -> str | None:
    """Why the call's account stands still, if it does and that concerns the call."""
    if row.state not in {"queued", "retrying", "uncertain", "parked"}:
        return None
    status = (await console.overviews.latest()).status
    accounts = status.tally.accounts if status else ()
    return next((each.pause.reason for each in accounts if each.account == row.account and each.pause), None)


def not_found(request: web.Request) -> web.Response:
    t = view_of(request).words
    return render(
        request,
        "problem.html",
        status=404,
        title=t("problem.not_found_title"),
        text=t("problem.not_found_text"),
        detail=None,
        next_href="/calls",
        next_label=t("calls.title"),
    )


ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", "/calls/{id}", show_call, Role.VIEWER),
    Route("POST", "/calls/{id}/reveal", reveal, Role.OPERATOR),
)
