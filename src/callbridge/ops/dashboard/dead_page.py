"""Dead letters: the calls that only a person can move, by cause, with what people have said of each cause."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, cast
from urllib.parse import urlencode

from aiohttp import web

from callbridge.ledger.views import CallFilter, ErrorGroup
from callbridge.ops.answers import Refused
from callbridge.ops.dashboard.render import done, render
from callbridge.ops.dashboard.selecting import filter_of, line, one_of, query_of, texts_of
from callbridge.ops.job_plan import JobAction, fate_by_reason, is_possible
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role

Status = Literal["open", "acknowledged", "fixed"]
STATUSES: Final = ("open", "acknowledged", "fixed")
_LONGEST_NOTE: Final = 500


@dataclass(frozen=True, slots=True)
class Shown:
    """A group with the query of its calls; `can_replay` is false where there is nothing that could be sent."""

    group: ErrorGroup
    calls: str
    can_replay: bool


async def show_dead(request: web.Request) -> web.StreamResponse:
    console = request.app[CONSOLE]
    account = one_of(request.query, "account", console.settings.accounts)
    status = one_of(request.query, "status", STATUSES)
    groups = await console.ledger.groups(account=account)
    shown = tuple(_shown(group) for group in groups if status in {None, group.status})
    return render(
        request,
        "dead.html",
        groups=shown,
        account=account,
        wanted=status,
        counts=Counter(group.status for group in groups),
        total=len(groups),
        accounts=sorted(console.settings.accounts),
        everything=_everything(shown, account) if status is None else None,
    )


def _shown(group: ErrorGroup) -> Shown:
    wanted = CallFilter(states=("dead",), account=group.account, reason=group.reason, cause=group.cause)
    return Shown(group, query_of(wanted), is_possible(fate_by_reason(JobAction.REPLAY, group.reason)))


def _everything(shown: Sequence[Shown], account: str | None) -> tuple[int, str] | None:
    """How many calls one replay of the whole list takes, and its query; None where that says nothing new."""
    fit = [each.group.calls for each in shown if each.can_replay]
    if len(fit) < 2:
        return None
    return sum(fit), query_of(CallFilter(states=("dead",), account=account))


async def mark_group(request: web.Request) -> web.StreamResponse:
    """Says where a cause stands. The list's own filter, `list_account` and `list_status`, stays."""
    form = await texts_of(request)
    console = request.app[CONSOLE]
    status = one_of(form, "status", STATUSES)
    try:
        group = filter_of(form, request, console.now())
        note = line(form, "note", _LONGEST_NOTE)
    except ValueError:
        raise web.HTTPBadRequest from None
    if status is None or group.account is None or group.reason is None or group.cause is None:
        raise web.HTTPBadRequest
    answer = await console.actions.mark_group(
        request[WHO], group.account, group.reason, group.cause, cast("Status", status), note
    )
    kept = {
        "account": one_of(form, "list_account", console.settings.accounts),
        "status": one_of(form, "list_status", STATUSES),
    }
    query = urlencode({name: value for name, value in kept.items() if value})
    code = "refused" if isinstance(answer, Refused) else f"group_{status}"
    raise done(f"/dead?{query}" if query else "/dead", code)


ROUTES: Final = (
    Route("GET", "/dead", show_dead, Role.VIEWER),
    Route("POST", "/dead/mark", mark_group, Role.OPERATOR),
)
