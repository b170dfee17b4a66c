"""Access: operators with their roles, who is logged in, and tokens of programs.

Each change asks for a password that was given a short while ago. A token is shown in the answer that made it, once.
"""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web
from multidict import MultiDict

from callbridge.ops.access.operators import NotPossible, Operators
from callbridge.ops.access.passwords import WeakPassword
from callbridge.ops.access.tokens import Issued
from callbridge.ops.dashboard.render import done, render
from callbridge.ops.dashboard.selecting import texts_of
from callbridge.ops.dashboard.viewing import words
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role, Who

LIVES: Final = {"30": 30, "90": 90, "365": 365, "": None}
"""Days after which a token ends, as the form has them."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_TOKEN: Final = re.compile(r"[0-9a-f]{12}")
_LONGEST_NAME: Final = 64
_DAY: Final = 86_400.0


async def show_access(request: web.Request) -> web.StreamResponse:
    return await _page(request)


async def _page(
    request: web.Request,
    *,
    issued: Issued | None = None,
    problem: str | None = None,
    given: str = "",
) -> web.Response:
    """`given` is the name that was typed, so that it need not be typed again; a password is never sent back."""
    gate = request.app[CONSOLE].gate
    return render(
        request,
        "access.html",
        status=400 if problem else 200,
        operators=await gate.operators.listed(),
        sessions=await gate.sessions.listed(),
        tokens=await gate.tokens.listed(),
        roles=[role.value for role in Role],
        lives=LIVES,
        issued=issued,
        problem=problem,
        given=given,
        at=request.app[CONSOLE].now(),
    )


# --- operators -------------------------------------------------------------------------------------------------------


async def add_operator(request: web.Request) -> web.StreamResponse:
    form = await texts_of(request)
    name, role = form.get("name", "").strip(), _role(form)
    try:
        await request.app[CONSOLE].gate.operators.add(request[WHO], name, role, form.get("password", ""))
    except (NotPossible, WeakPassword) as refused:
        return await _refused(request, refused, name)
    raise done("/access", "operator_added")


async def change_operator(request: web.Request) -> web.StreamResponse:
    form, verb, name = await texts_of(request), request.match_info["verb"], request.match_info["name"]
    try:
        await _change(request.app[CONSOLE].gate.operators, request[WHO], name, verb, form)
    except (NotPossible, WeakPassword) as refused:
        return await _refused(request, refused)
    raise done("/access", "operator_changed")


async def _change(operators: Operators, who: Who, name: str, verb: str, form: MultiDict[str]) -> None:
    match verb:
        case "disable":
            await operators.disable(who, name)
        case "enable":
            await operators.enable(who, name)
        case "role":
            await operators.set_role(who, name, _role(form))
        case _:
            await operators.set_password(who, name, form.get("password", ""))


def _role(form: MultiDict[str]) -> Role:
    try:
        return Role(form.get("role", ""))
    except ValueError:
        raise web.HTTPBadRequest from None


async def _refused(request: web.Request, refused: NotPossible | WeakPassword, name: str = "") -> web.Response:
    t = words(request)
    return await _page(
        request, problem=t.first(f"access.refused.{refused.code}", "access.refused.other"), given=name[:_LONGEST_NAME]
    )


# --- sessions and tokens ---------------------------------------------------------------------------------------------


async def end_session(request: web.Request) -> web.StreamResponse:
    digest = (await texts_of(request)).get("session", "")
    if not _DIGEST.fullmatch(digest):
        raise web.HTTPBadRequest
    ended = await request.app[CONSOLE].gate.end_session(request[WHO], digest)
    raise done("/access", "session_ended" if ended else "nothing")


async def issue_token(request: web.Request) -> web.StreamResponse:
    """Answers with the page itself: the token is in no address, and a reload asks before it makes another."""
    form, console = await texts_of(request), request.app[CONSOLE]
    days = form.get("days", "")
    if days not in LIVES:
        raise web.HTTPBadRequest
    life = LIVES[days]
    ends = console.now() + life * _DAY if life else None
    try:
        issued = await console.gate.tokens.issue(request[WHO], form.get("name", ""), _role(form), expires_at=ends)
    except ValueError:
        return await _page(request, problem=words(request)("access.refused.bad_token_name"))
    return await _page(request, issued=issued)


async def revoke_token(request: web.Request) -> web.StreamResponse:
    token_id = (await texts_of(request)).get("token", "")
    if not _TOKEN.fullmatch(token_id):
        raise web.HTTPBadRequest
    revoked = await request.app[CONSOLE].gate.tokens.revoke(request[WHO], token_id)
    raise done("/access", "token_revoked" if revoked else "nothing")


ROUTES: Final = (
    Route("GET", "/access", show_access, Role.ADMIN),
    Route("POST", "/access/operators", add_operator, Role.ADMIN, proof=True),
    Route(
        "POST", "/access/operators/{name}/{verb:disable|enable|role|password}", change_operator, Role.ADMIN, proof=True
    ),
    Route("POST", "/access/sessions/end", end_session, Role.ADMIN, proof=True),
    Route("POST", "/access/tokens", issue_token, Role.ADMIN, proof=True),
    Route("POST", "/access/tokens/revoke", revoke_token, Role.ADMIN, proof=True),
)
