"""The public socket: bytes bounded in size and time go to `accept`, and what comes back becomes a status.

Apart from `accept` because this is all that knows aiohttp. A PBX is answered 2xx only after `accept` returned. Every
error is `application/problem+json` (RFC 9457) made of our own words: nothing that was sent is sent back, by our handlers
or by the protocol under them. A PBX is never told 429: several give a call up at any 4xx.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

import orjson
from aiohttp import ClientPayloadError, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from callbridge import observe
from callbridge.errors import BadWebhook, BodyRefused, MethodRefused, StoreUnavailable
from callbridge.intake.accept import Acceptor
from callbridge.intake.answers import DETAILS, Answer, busy, problem
from callbridge.intake.providers.base import WebhookRequest
from callbridge.intake.proxies import Network, sender_of
from callbridge.intake.refused import UNKNOWN, Refusals, Refused

LINGERING: Final = 2.0
"""Seconds for which a refused sender may go on sending before the connection is closed."""

FIRST_HEAD: Final = 8.0
"""Seconds in which a new connection has to have sent the whole head of its first request. Only one that has shown that it
is a sender may then sit idle for as long as connections are kept.
"""

SHUTDOWN: Final = 10.0
"""Seconds that a stopping server gives to the webhooks it has read."""

FAREWELL: Final = 0.5
"""Seconds in which a stopping server still answers on open connections, each answer the last of its connection: a sender
that is just writing its next webhook hears so instead of finding the line cut."""

LEAVING: Final = web.AppKey("leaving", asyncio.Event)


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether a 2xx may be promised now, at which durability, and if not, why not. `more` joins what /readyz tells."""

    ok: bool
    durability: str
    problems: tuple[str, ...]
    more: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """A listening server."""

    url: str
    stop: Callable[[], Awaitable[None]]
    """Stops listening, lets what has been read finish, closes."""


class _Connection(web.RequestHandler):
    """aiohttp's connection, with our words for what it refuses by itself: bad HTTP, unknown paths, methods, expectations."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        kept_for = self._keepalive_timeout
        self._keepalive_timeout = min(FIRST_HEAD, kept_for)  # it is read once here, and again after each request
        super().connection_made(transport)
        self._keepalive_timeout = kept_for

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        if isinstance(exc, HttpProcessingError):
            observe.event("webhook.refused", source="unknown", reason=type(exc).__name__, status=status)
        else:
            observe.event("webhook.failed", level="error", error=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        return problem(status if status in DETAILS else 500, close=True)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):
            allow = resp.headers.get(hdrs.ALLOW)
            resp = problem(resp.status if resp.status in DETAILS else 400, {hdrs.ALLOW: allow} if allow else None)
        return await super().finish_response(request, resp, start_time)


class _Receiver:
    """The handlers, and what they need."""

    def __init__(
        self,
        acceptor: Acceptor,
        ready: Callable[[], Readiness],
        body_timeout: float,
        max_body: int,
        peer: Callable[[web.Request], str],
        refusals: Refusals,
    ) -> None:
        self._acceptor = acceptor
        self._peer = peer
        self._refusals = refusals
        self._ready = ready
        self._body_timeout = body_timeout
        self._max_body = max_body
        self.leaving = asyncio.Event()

    async def webhook(self, request: web.Request) -> web.Response:
        if not self._ready().ok:
            return busy()
        path = request.match_info
        source = path["source"]
        try:
            limit = self._acceptor.max_body(source)
            body = await self._body(request, self._max_body if limit is None else limit)
            accepted = await self._acceptor.accept(
                source,
                WebhookRequest(
                    request.method,
                    tuple(segment for segment in path["below"].split("/") if segment),
                    request.query if request.rel_url.raw_query_string else {},
                    request.headers,
                    body,
                    request.raw_path,
                    f"{request.scheme}://{request.host}",
                    self._peer(request),
                ),
            )
        except BodyRefused as refused:
            known = source if limit is not None else UNKNOWN
            observe.event("webhook.refused", source=known, reason=refused.reason, status=refused.status)
            self._count(request, known, refused)
            return problem(refused.status, close=True)
        except MethodRefused as refused:
            self._count(request, source, refused)
            return problem(refused.status, {hdrs.ALLOW: ", ".join(refused.allowed)})
        except BadWebhook as refused:
            self._count(request, source if limit is not None else UNKNOWN, refused)
            return problem(refused.status, {hdrs.WWW_AUTHENTICATE: "Bearer"})
        except StoreUnavailable:
            return busy()
        except Exception as error:  # noqa: BLE001 - the border: whatever it is, the sender gets a clean answer and we the trace
            observe.event("webhook.failed", level="error", source=source if limit is not None else UNKNOWN, error=error)
            return problem(500)
        reply = accepted.reply
        answer = Answer(
            status=reply.status, body=reply.body, headers={hdrs.CONTENT_TYPE: reply.content_type, **reply.headers}
        )
        if self.leaving.is_set():
            answer.force_close()
        return answer

    def _count(self, request: web.Request, source: str, refused: BadWebhook) -> None:
        agent, size = request.headers.get(hdrs.USER_AGENT, ""), request.content_length or request.content.total_bytes
        told = Refused(source, refused.reason, time.time(), request.method, size, self._peer(request), agent)
        self._refusals.add(told)

    async def _body(self, request: web.Request, limit: int) -> bytes:
        """The whole body, at most `limit` bytes after decompression, within an absolute deadline."""
        content = request.content
        try:
            if (request.content_length or 0) > limit:
                _too_large()
            if content.is_eof():  # it came with the headers, as most do: no timer
                body = content.read_nowait()
                if len(body) > limit:
                    _too_large()
                return body
            gathered = bytearray()
            async with asyncio.timeout(self._body_timeout):
                while chunk := await content.readany():
                    gathered += chunk
                    if len(gathered) > limit:
                        _too_large()
            return bytes(gathered)
        except TimeoutError:
            raise BodyRefused("body_too_slow", 408) from None
        except (web.RequestPayloadError, ClientPayloadError, HttpProcessingError, ConnectionError) as error:
            raise BodyRefused("body_broken_off", 400) from error

    async def alive(self, _request: web.Request) -> web.Response:
        return Answer(body=b'{"ok":true}', headers={hdrs.CONTENT_TYPE: "application/json"})

    async def readiness(self, _request: web.Request) -> web.Response:
        state = self._ready()
        told = {"ok": state.ok, "durability": state.durability, "problems": state.problems, **state.more}
        if not state.ok:
            return problem(503, more=told)
        return Answer(body=orjson.dumps(told), headers={hdrs.CONTENT_TYPE: "application/json"})


def build_app(
    acceptor: Acceptor,
    *,
    ready: Callable[[], Readiness],
    body_timeout: float = 5.0,
    max_body: int = 65_536,
    trusted_proxies: Sequence[Network] = (),
    refusals: Refusals | None = None,
) -> web.Application:
    """`max_body` is for sources that do not exist; each real one brings its own limit. `refusals` are counted there."""

    def peer(request: web.Request) -> str:
        return sender_of(request, trusted_proxies)

    receiver = _Receiver(acceptor, ready, body_timeout, max_body, peer, refusals or Refusals())
    app = web.Application()
    app[LEAVING] = receiver.leaving
    for method in (hdrs.METH_POST, hdrs.METH_GET, hdrs.METH_OPTIONS):
        app.router.add_route(method, "/hooks/{source}{below:(?:/.*)?}", receiver.webhook)
    app.router.add_route(hdrs.METH_GET, "/livez", receiver.alive)
    app.router.add_route(hdrs.METH_GET, "/readyz", receiver.readiness)
    return app


async def serve(
    app: web.Application, host: str, port: int, keepalive: float = 15.0, farewell: float = FAREWELL
) -> Running:
    """Listens; `port` 0 takes a free one. A connection that sits idle or never ends its headers is closed after
    `keepalive` seconds. `farewell`: see FAREWELL.
    """
    runner = web.AppRunner(app, handler_cancellation=False, shutdown_timeout=SHUTDOWN)
    await runner.setup()
    loop = asyncio.get_running_loop()

    def connection() -> web.RequestHandler:
        assert runner.server is not None  # noqa: S101 - for the type checker: `setup` made it
        return _Connection(
            runner.server,
            loop=loop,
            keepalive_timeout=keepalive,
            lingering_time=LINGERING,
            access_log=None,  # type: ignore[arg-type] # aiohttp's way to switch it off
        )

    try:
        listener = await loop.create_server(connection, host, port, backlog=1024)
    except BaseException:
        await runner.cleanup()
        raise
    name, bound = listener.sockets[0].getsockname()[:2]

    async def stop() -> None:
        listener.close()
        app[LEAVING].set()
        await asyncio.sleep(farewell)
        await runner.cleanup()

    return Running(f"http://{f'[{name}]' if ':' in name else name}:{bound}", stop)


def _too_large() -> NoReturn:
    raise BodyRefused("body_too_large", 413)
