"""The gate: who comes in, by which of the ways there are, and who is still in.

People come by a password, the single admin's of the settings or an operator's own. Where no password is set and the console
listens on loopback only, they come by a link that its terminal shows, good for one time. Programs come by a token. A name
that does not exist, a wrong password and a missing second factor look alike.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from argon2.low_level import Type, hash_secret_raw

from callbridge import observe
from callbridge.errors import LedgerUnavailable, Misconfigured
from callbridge.ledger.access import Strikes
from callbridge.ops.access import operators, passwords, sessions, throttle, tokens
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.operators import Operators
from callbridge.ops.access.passwords import Hashes, WeakPassword
from callbridge.ops.access.sessions import PROVED, SINGLE, Sessions, who_of
from callbridge.ops.access.tokens import Tokens
from callbridge.ops.access.totp import Seal
from callbridge.ops.who import Role, Who

LINK_LIVES: Final = 900.0
"""Seconds."""

_MOST_ORIGINS: Final = 10_000


class Book(operators.Book, sessions.Book, tokens.Book, Protocol):
    async def strike(
        self,
        keys: Sequence[str],
        decide: Callable[[Mapping[str, Strikes]], Mapping[str, Strikes]],
        *,
        forget_before: float,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Came:
    """`cookie` opens the session: told once."""

    cookie: str
    who: Who


@dataclass(frozen=True, slots=True)
class Turned:
    """Not let in. `wait` are the seconds for which nobody of that origin is, 0.0 where trying again is possible at once."""

    wait: float = 0.0


class Gate:
    """`operators`, `sessions` and `tokens` are what its pages list and change."""

    def __init__(
        self,
        book: Book,
        audit: Audit,
        now: Callable[[], float],
        *,
        password: str | None,
        loopback_only: bool,
        sealing_keys: Sequence[str] = (),
        tell_link: Callable[[str], None] | None = None,
        hashes: Hashes | None = None,
    ) -> None:
        """Takes a tenth of a second, for hashing. `tell_link` shows a new link's token where only the owner of the terminal
        sees it. Raises `Misconfigured` for a password that is too weak, and where there is none though others can connect.
        """
        if password is not None:
            _refuse_weak(password)
        elif not loopback_only:
            raise Misconfigured("console.password is needed where console.host is not a loopback address")
        self._book = book
        self._audit = audit
        self._now = now
        self._hashes = hashes or Hashes()
        self._single = None if password is None else self._hashes.now(password)
        self._tell_link = tell_link
        self._link: tuple[str, float] | None = None
        self._told_at = float("-inf")
        self._strikes: dict[str, Strikes] = {}
        self.by_link = password is None
        self.loopback_only = loopback_only
        self.sessions = Sessions(book, now, _key(password))
        self.tokens = Tokens(book, audit, now)
        self.operators = Operators(book, audit, now, hashes=self._hashes, seal=Seal(sealing_keys))
        self.operators.on_change = self.sessions.forget

    # --- coming in

    async def login(self, name: str, password: str, code: str, ip: str, agent: str | None) -> Came | Turned:
        """`name` empty is the single admin. Raises `LedgerUnavailable` for everybody else while SQL is away."""
        name = name.strip().casefold() or SINGLE
        origin = throttle.origin_of(name, ip)
        if wait := await self._strike(origin):
            observe.event("console.login", level="warning", ok=False, reason="throttled", ip=ip)
            return Turned(wait)
        if name == SINGLE:
            role = Role.ADMIN if await self._hashes.fits(self._single, password) else None
        else:
            role = await self._of_operator(name, password, code)
        if role is None:
            observe.event("console.login", level="warning", ok=False, reason="wrong", ip=ip)
            return Turned()
        await self._forgive(origin)
        return await self._begin(name, role, ip, agent)

    async def redeem(self, link: str, ip: str, agent: str | None) -> Came | None:
        """None for a link that is not the one, was used, or is too old."""
        wanted, until = self._link or ("", 0.0)
        right = hmac.compare_digest(wanted.encode(), link.encode("utf-8", "replace"))
        if not wanted or not right or self._now() >= until:
            observe.event("console.login", level="warning", ok=False, reason="link", ip=ip)
            return None
        self._link = None
        return await self._begin(SINGLE, Role.ADMIN, ip, agent)

    def new_link(self) -> str:
        """A token for `/login?link=`, in place of the one before. Raises `Misconfigured` where a password is set."""
        if not self.by_link:
            raise Misconfigured("console.password is set: there are no login links")
        token = secrets.token_urlsafe(24)
        self._link = (token, self._now() + LINK_LIVES)
        return token

    def renew_link(self) -> bool:
        """Shows a new link in the terminal, for whoever sits there; at most every ten seconds."""
        now = self._now()
        if self._tell_link is None or not self.by_link or now - self._told_at < 10.0:
            return False
        self._told_at = now
        self._tell_link(self.new_link())
        return True

    async def by_cookie(self, cookie: str) -> Who | None:
        """Raises `LedgerUnavailable` where SQL is away and the session is not known here."""
        session = await self.sessions.open(cookie)
        return None if session is None else who_of(session)

    async def by_token(self, token: str, ip: str) -> Who | None:
        """Raises `LedgerUnavailable` likewise."""
        return await self.tokens.open(token, ip)

    # --- being in

    async def still(self, who: Who) -> bool:
        """Whether `who` may still do what he might when he came: for answers that last, asked every few seconds. A viewer
        who only watches counts as there, for a screen on the wall; others are idle while they do nothing.
        """
        if who.by == "shell":
            return True
        try:
            now = await self._again(who)
        except LedgerUnavailable:  # nobody here has heard of it
            return False
        return now is not None and now.role is who.role

    async def _again(self, who: Who) -> Who | None:
        digest = who.session or ""
        if who.by == "token":
            return await self.tokens.still(digest, who.ip)
        session = await self.sessions.still(digest, in_use=who.role is Role.VIEWER)
        return None if session is None else who_of(session)

    def has_proved(self, who: Who) -> bool:
        """Whether the password was given a short while ago. Tokens and the command line have none to give."""
        return who.by != "session" or 0 <= self._now() - who.proved_at < PROVED

    async def prove(self, who: Who, password: str, ip: str) -> bool | Turned:
        """The password once more. Where people come by links, a new link does instead."""
        origin = throttle.origin_of(who.name, ip)
        if wait := await self._strike(origin):
            return Turned(wait)
        if who.name == SINGLE:
            right = await self._hashes.fits(self._single, password)
        else:
            right = await self.operators.knows(who.name, password)
        if not right or who.session is None:
            observe.event("console.login", level="warning", ok=False, reason="proof", operator=who.name, ip=ip)
            return False
        await self._forgive(origin)
        await self.sessions.prove(who.session)
        return True

    async def logout(self, who: Who) -> None:
        if who.session is not None and who.by == "session":
            await self.sessions.end(who.session)
            with suppress(LedgerUnavailable):
                await self._audit.add(who, "logout", {})

    async def end_session(self, who: Who, digest: str) -> bool:
        """Ends somebody's session; False where there is none."""
        ended = await self.sessions.end(digest)
        if ended:
            await self._audit.add(who, "session.end", {"session": digest[:12]})
        return ended

    # --- inside

    async def _begin(self, name: str, role: Role, ip: str, agent: str | None) -> Came:
        cookie, session = await self.sessions.begin(name, role, ip, agent and agent[:255])
        who = who_of(session)
        observe.event("console.login", ok=True, operator=name, role=role.value, ip=ip)
        with suppress(LedgerUnavailable):
            await self._audit.add(who, "login", {}, outcome={"role": role})
        return Came(cookie, who)

    async def _of_operator(self, name: str, password: str, code: str) -> Role | None:
        try:
            return await self.operators.let_in(name, password, code)
        except LedgerUnavailable:
            await self._hashes.fits(None, password)
            raise

    async def _strike(self, origin: throttle.Origin) -> float:
        """Counts a try; the seconds to wait, 0.0 where it may go on."""
        now, wait = self._now(), 0.0

        def decide(known: Mapping[str, Strikes]) -> Mapping[str, Strikes]:
            nonlocal wait
            decided = throttle.attempt(known, origin, now)
            wait = decided if isinstance(decided, float) else 0.0
            return {} if isinstance(decided, float) else decided

        await self._count(origin, decide)
        return wait

    async def _forgive(self, origin: throttle.Origin) -> None:
        now = self._now()
        await self._count(origin, lambda known: throttle.pardon(known, origin, now))

    async def _count(
        self, origin: throttle.Origin, decide: Callable[[Mapping[str, Strikes]], Mapping[str, Strikes]]
    ) -> None:
        """In SQL; while that is away this process counts for itself."""
        try:
            await self._book.strike(origin.keys, decide, forget_before=self._now() - throttle.FORGET_AFTER)
        except LedgerUnavailable:
            self._strikes |= decide(self._strikes)
            while len(self._strikes) > _MOST_ORIGINS:
                del self._strikes[next(iter(self._strikes))]


def _refuse_weak(password: str) -> None:
    try:
        passwords.check(password, SINGLE)
    except WeakPassword as weak:
        raise Misconfigured(f"console.password: {weak}") from None


def _key(password: str | None) -> bytes:
    """What binds the single admin's sessions to his password, whichever console they are of. Slow on purpose: beside a
    stolen session and a copy of the database it would be a way to try passwords.
    """
    given = (password or "").encode("utf-8", "replace")
    return hash_secret_raw(given, b"callbridge console", 3, 65_536, 4, 32, Type.ID)
