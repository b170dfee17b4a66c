"""One request to an account, told honestly.

The only module of the folder, beside the token endpoint, that touches the network. Its one hard duty is to know whether a
request may have been processed: before the first byte is handed to the socket a failure is `NotSent` (safe to repeat), after
it `NoAnswer`. aiohttp's exceptions do not tell that (a garbage status line arrives as a "400", a connection closed by the
peer as we write like one that was never used), so a trace hook writes it down for each request.

It follows no redirect, so the token goes to the account's host only; it keeps no cookies; it reads at most 2 MB after
decompression. It knows nothing of what is asked, nor of rates, retries and pauses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Final

import aiohttp
from yarl import URL

from callbridge import __version__
from callbridge.amocrm.classify import bounded
from callbridge.amocrm.tokens import Access
from callbridge.outcome import NoAnswer, NotSent

MAX_ANSWER: Final = 2_000_000
"""Bytes. An answer to 250 calls is below 150 kB, a page of 250 notes below 500 kB."""

IDLE: Final = 5.0
"""Seconds an unused connection is kept. Servers close theirs after 15 to 75: the longer we keep one, the likelier we
write into a connection that is just being closed, and then nobody knows whether the batch was read."""

OnExchange = Callable[[int | None, str | None, float], None]
"""Told after each exchange: HTTP status, the answer's X-Request-Id (what the vendor's support asks for), seconds."""


@dataclass(slots=True)
class Trace:
    """What is known of one request while it is under way, and stays known of one that ends badly: whether anything of it was
    handed to the socket, and of an answer its HTTP status and X-Request-Id.
    """

    begun: bool = False
    status: int | None = None
    request_id: str | None = None


async def _note_handover(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    if isinstance(context.trace_request_ctx, Trace):
        context.trace_request_ctx.begun = True


_TRACE: Final = aiohttp.TraceConfig()
_TRACE.on_request_headers_sent.append(_note_handover)
_TRACE.on_request_chunk_sent.append(_note_handover)


def build_session(*, connections: int = 256) -> aiohttp.ClientSession:
    """The session that all accounts of a process share. `delivery` bounds the requests under way; `connections` is the
    last line for file descriptors. Call it inside the running loop, close it last."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, limit_per_host=0, keepalive_timeout=IDLE, ttl_dns_cache=60),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": f"callbridge/{__version__}"},
        trust_env=False,
        trace_configs=[_TRACE],
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Requests of one account. `ahead`: seconds by which the CRM's clock was ahead of ours when it was last heard."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        request_timeout: float,
        connect_timeout: float,
        now: Callable[[], float],
        on_exchange: OnExchange | None = None,
    ) -> None:
        """`session` comes from `build_session`."""
        if _TRACE not in session.trace_configs:
            raise ValueError("without the trace of build_session nobody can tell whether a request was sent")
        self._session = session
        self._timeout = aiohttp.ClientTimeout(
            total=request_timeout, connect=connect_timeout, sock_connect=connect_timeout
        )
        self._now = now
        self._on_exchange = on_exchange
        self.ahead: float | None = None

    async def request(
        self, access: Access, method: str, path: str, body: bytes | None = None, *, trace: Trace | None = None
    ) -> Heard | NotSent | NoAnswer:
        """`trace` is filled in, whatever comes of the request."""
        trace = trace or Trace()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with self._session.request(
                method,
                URL(access.url + path, encoded=True),
                data=body,
                headers={"Authorization": f"Bearer {access.token}", "Content-Type": "application/json"},
                allow_redirects=False,
                timeout=self._timeout,
                trace_request_ctx=trace,
            ) as response:
                trace.status = status = response.status
                trace.request_id = bounded(response.headers.get("X-Request-Id", "")) or None
                content, whole = await _read(response)
        except (aiohttp.ClientError, OSError) as error:
            detail = bounded(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
            if not trace.begun:
                return NotSent(detail)
            return NoAnswer(detail, too_heavy=isinstance(error, TimeoutError))
        finally:
            if self._on_exchange is not None:
                self._on_exchange(trace.status, trace.request_id, loop.time() - begun)
        if not whole and 200 <= status < 300:
            return NoAnswer(f"HTTP {status} with more than {MAX_ANSWER} bytes")
        ahead = self.clock_ahead(response.headers)
        self.ahead = self.ahead if ahead is None else ahead
        return Heard(status, response.headers, content)

    def clock_ahead(self, headers: Mapping[str, str]) -> float | None:
        try:
            return parsedate_to_datetime(headers["Date"]).timestamp() - self._now()
        except (KeyError, ValueError, OverflowError):
            return None


async def _read(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The body up to the bound, and whether that was all. Decompression happens chunk by chunk, inside the bound."""
    content = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        content += chunk
        if len(content) > MAX_ANSWER:
            response.close()
            return bytes(content[:MAX_ANSWER]), False
    return bytes(content), True
