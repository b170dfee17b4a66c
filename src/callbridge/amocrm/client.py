"""The account's HTTP side: one request, told honestly.

Apart from the pure modules because it is the only one of the folder that touches the network. Its one hard duty is to
know whether a request may have been processed: before the first byte is handed to the socket a failure is `NotSent`
(safe to repeat), after it `NoAnswer`. aiohttp's exceptions do not tell that (a garbage status line arrives as a "400", a
connection closed by the peer as we write like one that was never used), so a trace hook writes it down for each request.

It follows no redirect, so the token goes to the configured host only; it keeps no cookies; it reads at most 2 MB after
decompression. It knows nothing of rates, retries and pauses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Final

import aiohttp
from yarl import URL

from callbridge import __version__
from callbridge.amocrm.classify import bounded, classify
from callbridge.amocrm.notes import Page, Permit, read_back
from callbridge.amocrm.schema import ACCOUNT_PATH, CALLS_PATH, MAX_BATCH, json_object, positive
from callbridge.amocrm.translate import translate
from callbridge.call import Call, CallId
from callbridge.errors import Misconfigured
from callbridge.outcome import (
    AccountStopped,
    Answer,
    NoAnswer,
    NotSent,
    PauseReason,
    PerCall,
    ReadBack,
    Ready,
    SlowDown,
    Translation,
    Unreadable,
    WholeRefused,
)

MAX_ANSWER: Final = 2_000_000
"""Bytes. An answer to 250 calls is below 150 kB, a page of 250 notes below 500 kB."""

IDLE: Final = 5.0
"""Seconds an unused connection is kept. Servers close theirs after 15 to 75: the longer we keep one, the likelier we
write into a connection that is just being closed, and then nobody knows whether the batch was read."""

OnExchange = Callable[[int | None, str | None, float], None]
"""Told after each exchange: HTTP status, the answer's X-Request-Id (what the vendor's support asks for), seconds."""


@dataclass(slots=True)
class _Handover:
    """Whether anything of one request was handed to the socket."""

    begun: bool = False


async def _note_handover(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    if isinstance(context.trace_request_ctx, _Handover):
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
class AccountFound:
    """The address and the token belong to this account. `clock_ahead`: seconds the CRM's clock is ahead of ours."""

    id: int
    name: str
    subdomain: str
    clock_ahead: float | None


@dataclass(frozen=True, slots=True)
class AccountProblem:
    """The account cannot be used now; `reason` where a pause has one, `detail` for people."""

    reason: PauseReason | None
    detail: str


AccountCheck = AccountFound | AccountProblem


@dataclass(frozen=True, slots=True)
class _Heard:
    status: int
    headers: Mapping[str, str]
    body: bytes


class AmoAccount:
    """One amoCRM account: translates calls into its words, posts them, reads them back."""

    def __init__(
        self,
        name: str,
        url: str,
        token: str,
        *,
        users: Mapping[str, Mapping[str, int]],
        session: aiohttp.ClientSession,
        request_timeout: float,
        connect_timeout: float,
        now: Callable[[], float],
        on_exchange: OnExchange | None = None,
    ) -> None:
        """`users` maps source names to their extensions' user ids; `session` comes from `build_session`."""
        if _TRACE not in session.trace_configs:
            raise ValueError("without the trace of build_session nobody can tell whether a request was sent")
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise Misconfigured(f"accounts.{name}.token is not a token: it has spaces or other unusual characters")
        self.name = name
        try:
            self._base = str(URL(url)).rstrip("/")
        except ValueError as error:
            raise Misconfigured(f"accounts.{name}.url is not an address") from error
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._users = users
        self._session = session
        self._timeout = aiohttp.ClientTimeout(
            total=request_timeout, connect=connect_timeout, sock_connect=connect_timeout
        )
        self._now = now
        self._on_exchange = on_exchange
        self._ahead: float | None = None

    def translate(self, call: Call) -> Translation:
        return translate(call, self._users.get(call.source, {}))

    async def post(self, items: Mapping[CallId, Ready]) -> Answer:
        """One request with all of `items`; exactly one answer, never an exception but cancellation."""
        ids = {ready.uniq: id_ for id_, ready in items.items()}
        if not 0 < len(ids) == len(items) <= MAX_BATCH:
            raise ValueError(f"a batch holds 1 to {MAX_BATCH} calls with a uniq each")
        body = b"[" + b",".join(ready.item for ready in items.values()) + b"]"
        heard = await self._exchange("POST", CALLS_PATH, body)
        if not isinstance(heard, _Heard):
            return heard
        return classify(heard.status, heard.headers, heard.body, ids, now=self._now())

    async def read_back(self, uniqs: Collection[str], age: float, permit: Permit) -> ReadBack | Unreadable:
        """Which of `uniqs` have notes written in the last `age` seconds; every request first awaits `permit`.

        The CRM compares with its own clock. Where that is behind ours we look as much further back; where we do not know it
        yet, because nothing was heard since the start, one request asks.
        """
        if self._ahead is None:
            await permit()
            await self._exchange("GET", ACCOUNT_PATH)
        since = self._now() + min(0.0, self._ahead or 0.0) - age
        return await read_back(self._get, uniqs, int(since), permit)

    async def check(self) -> AccountCheck:
        """Does this token open this account? One request, nothing written."""
        heard = await self._exchange("GET", ACCOUNT_PATH)
        if not isinstance(heard, _Heard):
            return AccountProblem(None, heard.detail)
        facts = json_object(heard.body) if heard.status == 200 else None
        if facts is not None and (number := positive(facts.get("id"))) is not None:
            name, subdomain = (bounded(str(facts.get(key) or "")) for key in ("name", "subdomain"))
            return AccountFound(number, name, subdomain, self._clock_ahead(heard.headers))
        answer = classify(heard.status, heard.headers, heard.body, {}, now=self._now())
        match answer:
            case AccountStopped(reason, detail):
                return AccountProblem(reason, detail)
            case NotSent(detail) | NoAnswer(detail) | WholeRefused(detail):
                return AccountProblem(None, detail)
            case SlowDown():
                return AccountProblem(None, f"HTTP {heard.status}: too many requests")
            case PerCall():
                return AccountProblem(PauseReason.WRONG_HOST, "something answers, but not as an amoCRM account")

    async def _get(self, path: str) -> Page | NotSent | NoAnswer:
        heard = await self._exchange("GET", path)
        return Page(heard.status, heard.body) if isinstance(heard, _Heard) else heard

    async def _exchange(self, method: str, path: str, body: bytes | None = None) -> _Heard | NotSent | NoAnswer:
        handover = _Handover()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        status: int | None = None
        request_id: str | None = None
        try:
            async with self._session.request(
                method,
                URL(self._base + path, encoded=True),
                data=body,
                headers=self._headers,
                allow_redirects=False,
                timeout=self._timeout,
                trace_request_ctx=handover,
            ) as response:
                status = response.status
                request_id = bounded(response.headers.get("X-Request-Id", "")) or None
                content, whole = await _read(response)
        except (aiohttp.ClientError, OSError) as error:
            detail = bounded(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
            if not handover.begun:
                return NotSent(detail)
            return NoAnswer(detail, too_heavy=isinstance(error, TimeoutError))
        finally:
            if self._on_exchange is not None:
                self._on_exchange(status, request_id, loop.time() - begun)
        if not whole and 200 <= status < 300:
            return NoAnswer(f"HTTP {status} with more than {MAX_ANSWER} bytes")
        ahead = self._clock_ahead(response.headers)
        self._ahead = self._ahead if ahead is None else ahead
        return _Heard(status, response.headers, content)

    def _clock_ahead(self, headers: Mapping[str, str]) -> float | None:
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
