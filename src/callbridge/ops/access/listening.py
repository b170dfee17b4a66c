"""The console's socket: what is wrong below HTTP's meaning is answered with the same headers, in our own words, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from callbridge import observe
from callbridge.ops.access.headers import protect

SHUTDOWN: Final = 5.0
"""Seconds that a stopping console gives to the answers it has begun."""

_KEEPALIVE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Listening:
    url: str
    stop: Callable[[], Awaitable[None]]


class _Connection(web.RequestHandler):
    """aiohttp's connection, but for what it says of requests that are none: it quotes them."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it quotes the request
    ) -> web.StreamResponse:
        if exc is not None and not isinstance(exc, (HttpProcessingError, ConnectionError)):
            observe.event("console.failed", level="error", route="none", error=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun")
        answer = web.Response(status=status, text="This is no request that the console reads.\n")
        protect(answer.headers, given=None, secure=request.secure, trustworthy=True)
        answer.headers[hdrs.SERVER] = "callbridge"  # else the server adds its own name and version
        answer.force_close()
        return answer


async def listen(app: web.Application, host: str, port: int) -> Listening:
    """`port` 0 takes a free one."""
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=SHUTDOWN)
    await runner.setup()
    loop = asyncio.get_running_loop()

    def connection() -> web.RequestHandler:
        assert runner.server is not None  # noqa: S101 - for the type checker: `setup` made it
        return _Connection(
            runner.server,
            loop=loop,
            keepalive_timeout=_KEEPALIVE,
            access_log=None,  # type: ignore[arg-type] # aiohttp's way to switch it off
        )

    try:
        listener = await loop.create_server(connection, host, port, backlog=128)
    except BaseException:
        await runner.cleanup()
        raise
    name, bound = listener.sockets[0].getsockname()[:2]

    async def stop() -> None:
        listener.close()
        await runner.cleanup()

    return Listening(f"http://{f'[{name}]' if ':' in name else name}:{bound}", stop)
