"""Tokens of programs for the API: `cbt_` and 32 random bytes, shown once, kept as a digest, revoked at any time.

As with sessions, what SQL said of one counts for five seconds, and for as long as SQL does not answer.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from callbridge.errors import LedgerUnavailable
from callbridge.ledger.access import Token
from callbridge.ops.access.audit import Audit, actor_of
from callbridge.ops.who import Role, Who

PREFIX: Final = "cbt_"

_LENGTH: Final = len(PREFIX) + 43
_FRESH: Final = 5.0
_USED_EVERY: Final = 60.0
_MOST: Final = 1000


class Book(Protocol):
    async def add_token(self, token: Token, digest: str) -> None: ...
    async def token(self, digest: str) -> Token | None: ...
    async def tokens(self) -> tuple[Token, ...]: ...
    async def use_token(self, token_id: str, at: float) -> None: ...
    async def revoke_token(self, token_id: str, at: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Issued:
    """`secret` is told once, to whoever asked for it."""

    secret: str
    token: Token


@dataclass(slots=True)
class _Looked:
    token: Token
    at: float
    used_at: float


class Tokens:
    """All methods raise `LedgerUnavailable`."""

    def __init__(self, book: Book, audit: Audit, now: Callable[[], float]) -> None:
        self._book = book
        self._audit = audit
        self._now = now
        self._known: dict[str, _Looked] = {}

    async def issue(self, who: Who, name: str, role: Role, *, expires_at: float | None = None) -> Issued:
        """Raises `ValueError` for a name that is none."""
        name = " ".join(name.split())
        if not 0 < len(name) <= 64 or not name.isprintable():
            raise ValueError("a token's name has 1 to 64 characters")
        secret = PREFIX + secrets.token_urlsafe(32)
        made = Token(
            id=secrets.token_hex(6),
            name=name,
            role=role.value,
            created_at=self._now(),
            created_by=actor_of(who),
            expires_at=expires_at,
        )
        await self._book.add_token(made, _digest(secret))
        await self._audit.add(
            who, "token.issue", {"id": made.id, "name": name}, outcome={"role": role, "expires_at": expires_at}
        )
        return Issued(secret, made)

    async def listed(self) -> tuple[Token, ...]:
        """The latest first, those that are over among them."""
        return await self._book.tokens()

    async def revoke(self, who: Who, token_id: str) -> bool:
        """False where there is none, or it was revoked before."""
        done = await self._book.revoke_token(token_id, self._now())
        self._known = {digest: each for digest, each in self._known.items() if each.token.id != token_id}
        if done:
            await self._audit.add(who, "token.revoke", {"id": token_id})
        return done

    async def open(self, secret: str, ip: str | None) -> Who | None:
        if len(secret) != _LENGTH or not secret.startswith(PREFIX):
            return None
        return await self.still(_digest(secret), ip)

    async def still(self, digest: str, ip: str | None = None) -> Who | None:
        now = self._now()
        looked = self._known.get(digest)
        if looked is None or not 0 <= now - looked.at < _FRESH:
            looked = await self._read(digest, looked)
        if looked is None or looked.token.revoked_at is not None:
            return None
        token = looked.token
        if token.expires_at is not None and now >= token.expires_at:
            return None
        if now - looked.used_at >= _USED_EVERY:
            looked.used_at = now
            with suppress(LedgerUnavailable):
                await self._book.use_token(token.id, now)
        return Who(token.name, Role(token.role), "token", ip, digest)

    async def _read(self, digest: str, known: _Looked | None) -> _Looked | None:
        try:
            token = await self._book.token(digest)
        except LedgerUnavailable:
            if known is None:
                raise
            return known
        self._known.pop(digest, None)
        if token is None:
            return None
        used = max(token.used_at or 0.0, known.used_at if known else 0.0)
        looked = self._known[digest] = _Looked(token, self._now(), used)
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]
        return looked


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
