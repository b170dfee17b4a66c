"""Accounts: whether each is sent to, how fast, what lets us in; holding one, letting it go on, authorising it anew.

The figures are the overview's, so the page is there while Redis is not, and says how old they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from callbridge.ops import accounts as desk
from callbridge.ops.accounts import NotAuthorised
from callbridge.ops.actions import Refused
from callbridge.ops.dashboard.dossier import dossier
from callbridge.ops.dashboard.render import done, render
from callbridge.ops.dashboard.selecting import line, texts_of
from callbridge.ops.dashboard.viewing import words
from callbridge.ops.letting_in import authorised_now
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role
from callbridge.store.tally import AccountTally

PAUSES: Final = {"": None, "900": 900.0, "3600": 3600.0, "14400": 14_400.0, "86400": 86_400.0}
"""How long a pause lasts, as the form has it."""

_LONGEST_REASON: Final = 200
_LONGEST_ADDRESS: Final = 8192
_BROUGHT: Final = ("code", "state", "referer", "error")
"""What the CRM's page sends the browser back with."""


@dataclass(frozen=True, slots=True)
class Shown:
    """`has_figures` is false where nothing is known of the account's calls: its numbers are no zeros then."""

    row: desk.Row
    url: str | None
    oldest: float | None
    uses_oauth: bool
    has_figures: bool


async def show_accounts(request: web.Request) -> web.StreamResponse:
    console = request.app[CONSOLE]
    overview = await console.overviews.latest()
    tallies = {row.account: row for row in overview.status.tally.accounts} if overview.status else {}
    shown = []
    for name in sorted({*console.settings.accounts, *tallies}):
        account = console.settings.accounts.get(name)
        authorised = await authorised_now(name, account, console.actions.door, console.now()) if account else None
        tally = tallies.get(name) or AccountTally(name, 0, 0, 0, None, None)
        row = desk.row(tally, account, authorised)
        url = row.url or (account.url if account else None)
        uses_oauth = account.uses_oauth if account else False
        shown.append(Shown(row, url, tally.oldest_waiting, uses_oauth, bool(overview.status)))
    return render(request, "accounts.html", shown=shown, o=overview)


# --- pause, resume ---------------------------------------------------------------------------------------------------


async def ask_pause(request: web.Request) -> web.StreamResponse:
    return _pause_form(request, _account(request))


def _pause_form(request: web.Request, name: str, problem: str | None = None, reason: str = "") -> web.Response:
    t = words(request)
    return render(
        request,
        "account_pause.html",
        status=400 if problem else 200,
        title=t("accounts_page.pause_title", account=name),
        text=t("accounts_page.pause_text"),
        action=f"/accounts/{name}/pause",
        label=t("accounts_page.pause"),
        back="/accounts",
        fields=(),
        tone="danger",
        wants_reason=True,
        reason=reason,
        type_in=None,
        problem=problem,
        pauses=PAUSES,
    )


async def pause_account(request: web.Request) -> web.StreamResponse:
    name, form = _account(request), await texts_of(request)
    seconds = form.get("seconds", "")
    try:
        reason = line(form, "reason", _LONGEST_REASON)
    except ValueError:
        raise web.HTTPBadRequest from None
    if seconds not in PAUSES:
        raise web.HTTPBadRequest
    if reason is None:
        return _pause_form(request, name, words(request)("desk.say_why"))
    answer = await request.app[CONSOLE].actions.pause_account(request[WHO], name, reason, PAUSES[seconds])
    request.app[CONSOLE].overviews.outdate()
    raise done("/accounts", "refused" if isinstance(answer, Refused) else "account_paused")


async def resume_account(request: web.Request) -> web.StreamResponse:
    answer = await request.app[CONSOLE].actions.resume_account(request[WHO], _account(request))
    request.app[CONSOLE].overviews.outdate()
    raise done("/accounts", "refused" if isinstance(answer, Refused) else "account_resumed")


# --- authorise -------------------------------------------------------------------------------------------------------


async def begin_authorising(request: web.Request) -> web.StreamResponse:
    """A page with the CRM's address, not a way there: a form of ours leads to pages of ours only."""
    name = _account(request)
    found = await request.app[CONSOLE].actions.begin_authorising(request[WHO], name)
    if isinstance(found, Refused):
        raise done("/accounts", "refused")
    return _consent_page(request, consent=found, account=name)


async def show_return(request: web.Request) -> web.StreamResponse:
    """Where the CRM's page sends the browser. Looking changes nothing: the button does."""
    brought = {name: request.query[name] for name in _BROUGHT if name in request.query}
    return _consent_page(request, brought=brought)


async def finish_authorising(request: web.Request) -> web.StreamResponse:
    form = await texts_of(request)
    pasted = form.get("address", "").strip()[:_LONGEST_ADDRESS]
    brought: Mapping[str, str] = dict(parse_qsl(urlsplit(pasted).query)) if _is_address(pasted) else form
    given = {name: brought[name] for name in _BROUGHT if name in brought}
    answer = await request.app[CONSOLE].actions.finish_authorising(request[WHO], given)
    t = words(request)
    match answer:
        case Refused(code, _):
            return _consent_page(
                request, problem=t.first(f"accounts_page.refused.{code}", "accounts_page.refused.other")
            )
        case NotAuthorised(problem):
            return _consent_page(request, problem=problem)
        case _:
            raise done("/accounts", "account_authorised")


def _is_address(pasted: str) -> bool:
    try:
        return bool(urlsplit(pasted).query)
    except ValueError:
        return False


def _consent_page(
    request: web.Request,
    *,
    consent: str | None = None,
    account: str | None = None,
    brought: Mapping[str, str] | None = None,
    problem: str | None = None,
) -> web.Response:
    return render(
        request,
        "authorise.html",
        status=409 if problem else 200,
        consent=consent,
        account=account,
        brought=brought,
        problem=problem,
    )


# --- for the vendor's support ----------------------------------------------------------------------------------------


async def show_dossier(request: web.Request) -> web.StreamResponse:
    console, name = request.app[CONSOLE], _account(request)
    overview = await console.overviews.latest()
    tallies = overview.status.tally.accounts if overview.status else ()
    tally = next((row for row in tallies if row.account == name), None)
    page = await console.ledger.batches(account=name, limit=20)
    text = dossier(console.settings.accounts[name], tally, page.rows, now=console.now(), t=words(request))
    return render(request, "dossier.html", account=name, text=text)


def _account(request: web.Request) -> str:
    name = request.match_info["account"]
    if name not in request.app[CONSOLE].settings.accounts:
        raise web.HTTPNotFound
    return name


ROUTES: Final = (
    Route("GET", "/accounts", show_accounts, Role.VIEWER),
    Route("GET", "/accounts/{account}/pause", ask_pause, Role.ADMIN),
    Route("POST", "/accounts/{account}/pause", pause_account, Role.ADMIN),
    Route("POST", "/accounts/{account}/resume", resume_account, Role.ADMIN),
    Route("POST", "/accounts/{account}/authorise", begin_authorising, Role.ADMIN),
    Route("GET", "/accounts/{account}/dossier", show_dossier, Role.OPERATOR),
    Route("GET", "/oauth", show_return, Role.ADMIN),
    Route("POST", "/oauth", finish_authorising, Role.ADMIN),
)
