"""No matching entity: calls that wait for their contact, by number, with why none was found and what to do about it.

A number stands in no link and in no form here, since both are seen by those who may not see it: its calls are named by the
latest of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web
from multidict import MultiMapping

from callbridge.call import phone_tail
from callbridge.ledger.views import CallFilter, ParkedNumber
from callbridge.ops.dashboard.jobs_page import Asked, show_preview
from callbridge.ops.dashboard.render import render
from callbridge.ops.dashboard.selecting import ids_of, one_of, query_of, texts_of
from callbridge.ops.fates import Match, match_explained, new_contact_link
from callbridge.ops.job_plan import MOST_NAMED, ByIds, JobAction
from callbridge.ops.web import CONSOLE, WHO, Console, Route
from callbridge.ops.who import Role
from callbridge.source_settings import SourceSettings

SHOWN: Final = 100
_ACTIONS: Final = {each.value: each for each in (JobAction.RETRY, JobAction.LEAD, JobAction.GIVE_UP)}


@dataclass(frozen=True, slots=True)
class Shown:
    """`of` names the number's calls; `contact` is the CRM's form for a new contact, without the number; `gives_up_at` is when
    the oldest call stops to wait, None where the account has no such time.
    """

    number: ParkedNumber
    match: Match
    of: str
    calls: str
    contact: str | None
    gives_up_at: float | None


async def show_parked(request: web.Request) -> web.StreamResponse:
    console = request.app[CONSOLE]
    account = one_of(request.query, "account", console.settings.accounts)
    numbers = await console.ledger.parked_numbers(SHOWN, account=account)
    wanted = CallFilter(states=("parked",), account=account)
    counted = await console.ledger.count(wanted)
    return render(
        request,
        "parked.html",
        numbers=[_shown(console, number) for number in numbers],
        account=account,
        accounts=sorted(console.settings.accounts),
        counted=counted,
        calls=query_of(wanted),
        is_cut=len(numbers) == SHOWN,
    )


def _shown(console: Console, number: ParkedNumber) -> Shown:
    account = console.settings.accounts.get(number.account)
    tail = phone_tail(number.phone)[-4:]
    wanted = CallFilter(states=("parked",), account=number.account, phone=tail or None)
    return Shown(
        number=number,
        match=match_explained(number.phone, _internal_digits(console, number.account)),
        of=number.newest_id,
        calls=query_of(wanted),
        contact=new_contact_link(account.url, None) if account else None,
        gives_up_at=number.oldest_at + account.no_match.window if account else None,
    )


def _internal_digits(console: Console, account: str) -> int:
    """The longest extension of the sources that send to the account: which of them it was does not matter to a person."""
    alone = len(console.settings.accounts) == 1
    given: Sequence[SourceSettings] = [
        source for source in console.settings.sources.values() if source.account == account or alone
    ]
    return max((source.internal_digits for source in given), default=6)


async def preview_parked(request: web.Request) -> web.StreamResponse:
    """A job about the calls of some numbers; by POST where several are ticked. It changes nothing either way."""
    given: MultiMapping[str] = request.query if request.method == "GET" else await texts_of(request)
    action = one_of(given, "action", _ACTIONS)
    try:
        ids = ids_of(given)
    except ValueError:
        raise web.HTTPBadRequest from None
    if action is None or not ids:
        raise web.HTTPBadRequest
    calls: dict[str, None] = {}
    for newest in ids:
        calls |= dict.fromkeys(await _calls_like(request.app[CONSOLE], newest))
    if not calls:
        raise web.HTTPNotFound
    asked = Asked(_ACTIONS[action], ByIds(tuple(calls)[:MOST_NAMED]), "/parked")
    return await show_preview(request, asked, str(uuid.uuid4()))


async def _calls_like(console: Console, call_id: str) -> list[str]:
    """All parked calls of the account with the same number, which the CRM compares by its last digits."""
    found = await console.ledger.call(call_id)
    if found is None:
        return []
    row = found.row
    wanted = CallFilter(states=("parked",), account=row.account)
    tail = phone_tail(row.phone or "")
    if not tail:
        return [call_id]
    ids, _ = await console.ledger.ids(replace(wanted, phone=tail), at_most=MOST_NAMED)
    return ids


async def show_contact(request: web.Request) -> web.StreamResponse:
    """The number in full, for whoever is about to create its contact; that he saw it is in the audit."""
    console = request.app[CONSOLE]
    try:
        [call_id] = ids_of(await texts_of(request))
    except ValueError:
        raise web.HTTPBadRequest from None
    revealed = await console.actions.reveal(request[WHO], call_id)
    found = await console.ledger.call(call_id)
    if revealed is None or found is None:
        raise web.HTTPNotFound
    account = console.settings.accounts.get(found.row.account)
    link = new_contact_link(account.url, revealed.phone) if account else None
    return render(request, "contact.html", phone=revealed.phone, link=link, row=found.row)


ROUTES: Final = (
    Route("GET", "/parked", show_parked, Role.VIEWER),
    Route("GET", "/parked/job", preview_parked, Role.OPERATOR),
    Route("POST", "/parked/job", preview_parked, Role.OPERATOR),
    Route("POST", "/parked/contact", show_contact, Role.OPERATOR),
)
