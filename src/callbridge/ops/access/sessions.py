"""Sessions of people: kept in SQL by a digest, ended by idleness, age, and whoever has a say.

What SQL said of a session counts for five seconds, and for as long as SQL does not answer: nobody can end a session
elsewhere meanwhile. An admin who logs in just then gets a session of this process, which SQL takes over once it is back.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from callbridge.errors import LedgerUnavailable
from callbridge.ledger.access import Session
from callbridge.ops.who import Role, Who

SINGLE: Final = "admin"
"""The operator of `console.password`, and of login links. He has no row."""

IDLE: Final = 1800.0
ABSOLUTE: Final = 43_200.0
PROVED: Final = 300.0
"""Seconds for which a password that was given allows the gravest actions."""

_FRESH: Final = 5.0
_SEEN_EVERY: Final = 60.0
_MOST: Final = 10_000
"""Sessions remembered here; beyond that the ones that were looked at longest ago are read again."""


class Book(Protocol):
    async def add_session(self, session: Session, *, idle_since: float, begun_since: float) -> None: ...
    async def session(self, digests: Sequence[str]) -> Session | None: ...
    async def sessions(self) -> tuple[Session, ...]: ...
    async def change_session(self, digest: str, changes: Mapping[str, float]) -> None: ...
    async def end_session(self, digest: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class _Looked:
    session: Session
    at: float


def is_over(session: Session, now: float) -> bool:
    return now - session.seen_at >= IDLE or now - session.created_at >= ABSOLUTE


def who_of(session: Session) -> Who:
    role = Role(session.role)
    return Who(session.operator, role, "session", session.ip, session.digest, session.proved_at)


class Sessions:
    """All methods but `end` raise `LedgerUnavailable` where what they were asked cannot be known without SQL."""

    def __init__(self, book: Book, now: Callable[[], float], key: bytes) -> None:
        """`key` comes of the single admin's password: with another password his sessions of before are none."""
        self._book = book
        self._now = now
        self._key = key
        self._known: dict[str, _Looked] = {}
        self._afloat: set[str] = set()
        self._ended: dict[str, None] = {}

    async def begin(self, operator: str, role: Role, ip: str | None, agent: str | None) -> tuple[str, Session]:
        """A new session, and the cookie that opens it: told once, kept nowhere."""
        cookie, now = secrets.token_urlsafe(32), self._now()
        digest = self._digests(cookie)[operator == SINGLE]
        session = Session(digest, operator, role.value, now, now, now, ip, agent)
        try:
            await self._add(session)
        except LedgerUnavailable:
            if operator != SINGLE:
                raise
            self._afloat.add(digest)
        self._remember(session)
        return cookie, session

    async def open(self, cookie: str) -> Session | None:
        """The session of a cookie, which is thereby in use."""
        session = await self._look(self._digests(cookie))
        return None if session is None else await self._seen(session)

    async def still(self, digest: str, *, in_use: bool = False) -> Session | None:
        session = await self._look((digest,))
        return await self._seen(session) if session and in_use else session

    async def prove(self, digest: str) -> None:
        now = self._now()
        if looked := self._known.get(digest):
            self._remember(replace(looked.session, proved_at=now))
        if digest not in self._afloat:
            await self._book.change_session(digest, {"proved_at": now})

    async def end(self, digest: str) -> bool:
        """Ended here at once, and in SQL as soon as it is there."""
        known = self._known.pop(digest, None)
        afloat = digest in self._afloat
        self._afloat.discard(digest)
        try:
            return await self._book.end_session(digest) or afloat
        except LedgerUnavailable:
            self._ended[digest] = None
            while len(self._ended) > _MOST:
                del self._ended[next(iter(self._ended))]
            return known is not None

    def forget(self, operator: str) -> None:
        """What is known of an operator's sessions is read again: something was decided about him."""
        self._known = {digest: each for digest, each in self._known.items() if each.session.operator != operator}

    async def listed(self) -> tuple[Session, ...]:
        now = self._now()
        return tuple(each for each in await self._book.sessions() if not is_over(each, now))

    def _digests(self, cookie: str) -> tuple[str, str]:
        """As an operator's, and as the single admin's."""
        given = cookie.encode("utf-8", "replace")
        return hashlib.sha256(given).hexdigest(), hmac.new(self._key, given, "sha256").hexdigest()

    async def _look(self, digests: Sequence[str]) -> Session | None:
        now = self._now()
        known = next((self._known[digest] for digest in digests if digest in self._known), None)
        if known is not None and 0 <= now - known.at < _FRESH:
            session: Session | None = known.session
        else:
            session = await self._read(digests, known)
        if session is None or is_over(session, now):
            if session is not None:
                await self.end(session.digest)
            return None
        return session

    async def _read(self, digests: Sequence[str], known: _Looked | None) -> Session | None:
        if any([await self._is_ended(digest) for digest in digests]):
            return None
        try:
            session = await self._book.session(digests)
            if session is None and known is not None and known.session.digest in self._afloat:
                session = known.session
                await self._add(session)
        except LedgerUnavailable:
            if known is None:
                raise
            return known.session
        if session is None:
            for digest in digests:
                self._known.pop(digest, None)
        else:
            self._afloat.discard(session.digest)
            self._remember(session)
        return session

    async def _is_ended(self, digest: str) -> bool:
        """Whether it was ended while SQL was away, and has to be ended there, too."""
        if digest not in self._ended:
            return False
        with suppress(LedgerUnavailable):
            await self._book.end_session(digest)
            del self._ended[digest]
        return True

    async def _seen(self, session: Session) -> Session:
        now = self._now()
        if now - session.seen_at < _SEEN_EVERY:
            return session
        seen = replace(session, seen_at=now)
        self._remember(seen)
        with suppress(LedgerUnavailable):
            await self._book.change_session(session.digest, {"seen_at": now})
        return seen

    async def _add(self, session: Session) -> None:
        now = self._now()
        await self._book.add_session(session, idle_since=now - IDLE, begun_since=now - ABSOLUTE)

    def _remember(self, session: Session) -> None:
        self._known.pop(session.digest, None)
        self._known[session.digest] = _Looked(session, self._now())
        while len(self._known) > _MOST:
            gone = next(iter(self._known))
            del self._known[gone]
            self._afloat.discard(gone)
