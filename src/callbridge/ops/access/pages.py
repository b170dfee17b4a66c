"""The pages of coming and going: login, login by a link, the password once more, logout.

A link is opened by GET, which changes nothing: programs that look at links before their readers do would use it up. The page
has a button that does.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Final

from aiohttp import hdrs, web

from callbridge.errors import LedgerUnavailable
from callbridge.ops.access.enforce import PEER, cookie_of
from callbridge.ops.access.gate import Came, Gate, Turned
from callbridge.ops.access.headers import SECURE
from callbridge.ops.access.origins import inner
from callbridge.ops.access.sessions import ABSOLUTE
from callbridge.ops.dashboard.render import done, render
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role


async def show_login(request: web.Request) -> web.StreamResponse:
    return _login_page(request, link=request.query.get("link", ""), back=inner(request.query.get("next")))


async def log_in(request: web.Request) -> web.StreamResponse:
    form, gate = await request.post(), _gate(request)
    name, password, code, link = (_text(form.get(field)) for field in ("name", "password", "code", "link"))
    back, agent = inner(_text(form.get("next"))), request.headers.get(hdrs.USER_AGENT)
    try:
        if gate.by_link and link:
            came: Came | Turned = await gate.redeem(link, request[PEER], agent) or Turned()
        else:
            came = await gate.login(name, password, code, request[PEER], agent)
    except LedgerUnavailable:
        return _login_page(request, status=503, problem="ledger_away", name=name, back=back)
    match came:
        case Came():
            return await _let_in(request, came, back)
        case Turned(wait) if wait > 0:
            page = _login_page(request, status=429, problem="wait", wait=wait, name=name, back=back)
            page.headers[hdrs.RETRY_AFTER] = str(math.ceil(wait))
            return page
        case Turned():
            return _login_page(request, status=403, problem="link_over" if link else "wrong", name=name, back=back)


async def show_link(request: web.Request) -> web.StreamResponse:
    """A new link, for whoever sees the console's terminal."""
    shown = _gate(request).renew_link()
    return _login_page(request, problem=None if shown else "link_not_shown", notice="link_shown" if shown else None)


async def log_out(request: web.Request) -> web.StreamResponse:
    await _gate(request).logout(request[WHO])
    response = web.HTTPSeeOther("/login")
    response.del_cookie(cookie_of(request), path="/", secure=request[SECURE], httponly=True, samesite="Strict")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


async def show_proof(request: web.Request) -> web.StreamResponse:
    return _proof_page(request, inner(request.query.get("next")))


async def prove(request: web.Request) -> web.StreamResponse:
    form, gate = await request.post(), _gate(request)
    back = inner(_text(form.get("next")))
    outcome = await gate.prove(request[WHO], _text(form.get("password")), request[PEER])
    match outcome:
        case True:
            return done(back, "proved")
        case Turned(wait):
            page = _proof_page(request, back, status=429, problem="wait", wait=wait)
            page.headers[hdrs.RETRY_AFTER] = str(math.ceil(wait))
            return page
        case _:
            return _proof_page(request, back, status=403, problem="wrong_password")


async def _let_in(request: web.Request, came: Came, path: str) -> web.StreamResponse:
    """A session that was open in this browser ends: what knew its cookie knows nothing any more."""
    gate, old = _gate(request), request.cookies.get(cookie_of(request), "")
    if 0 < len(old) <= 100:
        with suppress(LedgerUnavailable):
            before = await gate.by_cookie(old)
            if before is not None and before.session is not None:
                await gate.sessions.end(before.session)
    response = web.HTTPSeeOther(path)
    response.set_cookie(
        cookie_of(request),
        came.cookie,
        max_age=int(ABSOLUTE),
        path="/",
        secure=request[SECURE],
        httponly=True,
        samesite="Strict",
    )
    return response


def _login_page(
    request: web.Request,
    *,
    status: int = 200,
    problem: str | None = None,
    notice: str | None = None,
    wait: float = 0.0,
    name: str = "",
    link: str = "",
    back: str = "/",
) -> web.Response:
    return render(
        request,
        "login.html",
        status=status,
        by_link=_gate(request).by_link,
        problem=problem,
        notice=notice,
        wait=wait,
        name=name[:64],
        link=link[:100],
        next=back,
    )


def _proof_page(
    request: web.Request, back: str, *, status: int = 200, problem: str | None = None, wait: float = 0.0
) -> web.Response:
    by_link = _gate(request).by_link
    return render(request, "proof.html", status=status, next=back, by_link=by_link, problem=problem, wait=wait)


def _gate(request: web.Request) -> Gate:
    return request.app[CONSOLE].gate


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


ROUTES: Final = (
    Route("GET", "/login", show_login, None),
    Route("POST", "/login", log_in, None),
    Route("POST", "/login/link", show_link, None),
    Route("POST", "/logout", log_out, Role.VIEWER),
    Route("GET", "/proof", show_proof, Role.VIEWER),
    Route("POST", "/proof", prove, Role.VIEWER),
)
