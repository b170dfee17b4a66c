"""The table of routes, enforced: for every route alike, and for whatever is no route.

In this order: does the request go to a name of ours, is there such a route, was it sent from a page of ours, by whom, may he,
has he given his password a short while ago. Only then a handler runs, and whatever it raises becomes an answer. Nothing is
open that the table does not call open.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from callbridge import observe
from callbridge.errors import LedgerUnavailable, StoreUnavailable, Unavailable
from callbridge.ops.access import origins
from callbridge.ops.access.gate import Gate
from callbridge.ops.access.headers import COOKIE, NONCE, PLAIN_COOKIE, SECURE, protect
from callbridge.ops.access.origins import Place
from callbridge.ops.access.refusing import Kind, ask_proof, refuse, seen_page, to_login
from callbridge.ops.api import problems
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Who

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

PEER: Final = web.RequestKey("peer", str)
"""Address of whoever asks."""

_BEGUN: Final = web.RequestKey("begun", bool)
_TRUSTWORTHY: Final = web.RequestKey("trustworthy", bool)
_API: Final = "/api/v1"
_FORMS: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


def guard(
    app: web.Application,
    routes: Sequence[Route],
    *,
    place: Place,
    peer: Callable[[web.Request], str] = lambda request: request.remote or "",
) -> None:
    """Adds the routes to `app`, and what stands before each. `app[CONSOLE]` is needed by the first request. `peer` tells the
    address of whoever asks, where proxies stand in front.
    """
    table: dict[web.AbstractRoute, Route] = {}
    for route in routes:
        table[app.router.add_route(route.method, route.path, route.handler)] = route
        if route.method == hdrs.METH_GET and route.role is None:
            table[app.router.add_route(hdrs.METH_HEAD, route.path, route.handler)] = route
    app.middlewares.append(_Guard(table, place, peer).middleware())
    app.on_response_prepare.append(_prepare)


def cookie_of(request: web.Request) -> str:
    """Name of the session's cookie."""
    return COOKIE if request[SECURE] else PLAIN_COOKIE


async def _prepare(request: web.Request, response: web.StreamResponse) -> None:
    request[_BEGUN] = True
    protect(
        response.headers,
        given=request.get(NONCE),
        secure=request.get(SECURE, False),
        trustworthy=request.get(_TRUSTWORTHY, True),
    )


class _Guard:
    def __init__(
        self, table: Mapping[web.AbstractRoute, Route], place: Place, peer: Callable[[web.Request], str]
    ) -> None:
        self._table = table
        self._place = place
        self._peer = peer

    def middleware(self) -> Middleware:
        @web.middleware
        async def guarded(request: web.Request, handler: Next) -> web.StreamResponse:
            self._mark(request)
            route = self._table.get(request.match_info.route)
            kind: Kind = route.kind if route else _kind_of(request.path)
            try:
                refused = await self._refused(request, route, kind)
                return _sent(await handler(request)) if refused is None else refused
            except web.HTTPException as refusal:
                if refusal.status < 400:
                    raise
                return _in_our_words(request, kind, refusal)
            except StoreUnavailable:
                return _unavailable(request, kind, "store_unavailable")
            except LedgerUnavailable:
                return _unavailable(request, kind, "ledger_unavailable")
            except ConnectionError:  # whoever asked has left
                raise
            except Exception as error:  # noqa: BLE001 - the border: whoever asks gets an answer, the log gets the trace
                observe.event("console.failed", level="error", route=route.path if route else "none", error=error)
                if request.get(_BEGUN):
                    raise ConnectionResetError("the answer had begun") from None
                return refuse(request, kind, "internal")

        return guarded

    def _mark(self, request: web.Request) -> None:
        origin = origins.origin_of(self._place, request.scheme, request.host)
        request[SECURE] = origin.startswith("https://")
        request[_TRUSTWORTHY] = request[SECURE] or origins.is_loopback(request.url.host or "")
        request[PEER] = self._peer(request)

    async def _refused(self, request: web.Request, route: Route | None, kind: Kind) -> web.StreamResponse | None:
        """The answer of a request that reaches no handler; who asks is written into one that does."""
        by_token = hdrs.AUTHORIZATION in request.headers
        # Where nothing is answered by a cookie's power, a foreign name gains nothing: probes and scrapers use such.
        bare = by_token or (route is not None and route.role is None and kind == "plain")
        if not bare and not origins.knows(self._place, request.host):
            return refuse(request, "api" if kind == "api" else "plain", "unknown_host")
        if route is None:
            return await self._no_route(request, kind)
        own = origins.origin_of(self._place, request.scheme, request.host)
        if origins.is_forged(request.method, request.headers, own, by_token=by_token):
            return refuse(request, kind, "other_origin")
        if kind == "page" and by_token:
            return refuse(request, "plain", "forbidden")
        if route.role is not None:
            if kind != "page" and not by_token and origins.is_read_elsewhere(request.headers):
                return refuse(request, kind, "other_origin")
            refused = await self._not_for(request, route, kind)
            if refused is not None:
                return refused
        if kind == "page" and request.can_read_body and request.content_type not in _FORMS:
            return refuse(request, kind, "unsupported_media_type")
        return None

    async def _no_route(self, request: web.Request, kind: Kind) -> web.Response:
        if kind == "page":
            with suppress(Unavailable):  # for the page's frame only
                if who := await _who(request):
                    request[WHO] = who
        error = request.match_info.http_exception
        if isinstance(error, web.HTTPMethodNotAllowed):
            return refuse(
                request, kind, "method_not_allowed", headers={hdrs.ALLOW: ", ".join(sorted(error.allowed_methods))}
            )
        return refuse(request, kind, "not_found")

    async def _not_for(self, request: web.Request, route: Route, kind: Kind) -> web.StreamResponse | None:
        """None for one who may; he is in `request[WHO]` then."""
        try:
            who = await _who(request)
        except LedgerUnavailable:
            if kind != "page":
                raise
            who = None  # the login page says what is wrong
        if who is None:
            return to_login(request) if kind == "page" else refuse(request, kind, "unauthenticated")
        request[WHO] = who
        if route.role is None or not who.role.covers(route.role):
            return refuse(request, kind, "forbidden", role=route.role.value if route.role else "")
        if route.proof and not _gate(request).has_proved(who):
            if kind != "page":
                return refuse(request, kind, "proof_needed")
            return ask_proof(request, await _back(request), by_link=_gate(request).by_link)
        return None


def _gate(request: web.Request) -> Gate:
    return request.app[CONSOLE].gate


async def _who(request: web.Request) -> Who | None:
    """A token where one is sent, whatever cookies come with it, else a session."""
    sent = request.headers.getall(hdrs.AUTHORIZATION, [])
    if sent:
        scheme, _, token = sent[0].partition(" ")
        known = len(sent) == 1 and scheme.lower() == "bearer"
        return await _gate(request).by_token(token.strip(), request[PEER]) if known else None
    cookie = request.cookies.get(cookie_of(request), "")
    return await _gate(request).by_cookie(cookie) if 0 < len(cookie) <= 100 else None


async def _back(request: web.Request) -> str:
    """The page from which something was asked: as htmx tells, else the nearest above it that there is."""
    path = seen_page(request, "") or request.path
    while path.count("/") > 1 or path == request.path:
        asked = request.clone(method=hdrs.METH_GET, rel_url=path)
        if (await request.app.router.resolve(asked)).http_exception is None:
            return origins.inner(path)
        path = path.rpartition("/")[0] or "/"
    return origins.inner(path)


def _sent(answer: web.StreamResponse) -> web.StreamResponse:
    """A redirection that is returned reads as well as one that is raised; the server wants the latter."""
    if isinstance(answer, web.HTTPException):
        raise answer
    return answer


def _kind_of(path: str) -> Kind:
    return "api" if path == _API or path.startswith(f"{_API}/") else "page"


def _in_our_words(request: web.Request, kind: Kind, refusal: web.HTTPException) -> web.Response:
    code = problems.of_status(refusal.status)
    if kind == "plain" or problems.CODES[code][0] != refusal.status:
        return web.Response(status=refusal.status, text=refusal.text)
    allow = refusal.headers.get(hdrs.ALLOW)
    return refuse(request, kind, code, headers={hdrs.ALLOW: allow} if allow else None)


def _unavailable(request: web.Request, kind: Kind, code: str) -> web.Response:
    if request.get(_BEGUN):
        raise ConnectionResetError("the answer had begun")
    return refuse(request, kind, code, headers={hdrs.RETRY_AFTER: str(problems.RETRY_AFTER)})
