"""Passwords: which are refused, and how the others are kept.

Length is what counts, fifteen characters or more; what is left of a password once its well-known parts, rows of keys and
repetitions are taken out has to be long enough, too. The list is on board: a password is shown to nobody. Hashing is
argon2id, done in a thread, two at a time: each takes 64 MiB.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from callbridge.errors import CallbridgeError

SHORTEST: Final = 15
LONGEST: Final = 1024

_OWN_CHARACTERS: Final = 8
_DISTINCT: Final = 6
_AT_ONCE: Final = 2

_READ_AS: Final = str.maketrans("@4301!$57", "aaeoiisst")
"""What is written for a letter, and read as that by whoever guesses."""

T = TypeVar("T")


class WeakPassword(CallbridgeError):
    """A password that is not taken; the message says why. `code` is stable: too_short, too_long, common."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def check(password: str, *own: str) -> None:
    """Raises `WeakPassword`. `own` are names that are no secret to whoever guesses: the operator's."""
    if len(password) < SHORTEST:
        raise WeakPassword("too_short", f"a password has {SHORTEST} characters or more; several words make a good one")
    if len(password) > LONGEST:
        raise WeakPassword("too_long", f"a password has {LONGEST} characters at most")
    if len(set(password)) < _DISTINCT or len(_left_of(password, own)) < _OWN_CHARACTERS:
        raise WeakPassword("common", "the password is made of well-known words, rows of keys or repetitions: too easy")


def _left_of(password: str, own: tuple[str, ...]) -> str:
    """The characters that nobody would guess from the others."""
    lowered = password.casefold()
    known = sorted({*_common(), *(name.casefold() for name in own if len(name) > 2)}, key=len, reverse=True)
    shortest = lowered
    for text in (lowered, lowered.translate(_READ_AS)):
        left = text
        for part in known:
            left = left.replace(part, "\0")
        left = _repeated(left.replace("\0", ""))
        shortest = min(shortest, _unstepped(left), key=len)
    return shortest


def _repeated(text: str) -> str:
    """One of what is there twice or more in a row."""
    return re.sub(r"(.{1,32}?)\1+", r"\1", text)


def _unstepped(text: str) -> str:
    """Without characters that follow from the one before: the same, the next, the last."""
    return "".join(here for before, here in zip(" " + text, text, strict=False) if abs(ord(here) - ord(before)) > 1)


@cache
def _common() -> frozenset[str]:
    listed = files("callbridge.ops.access").joinpath("common.txt").read_text("utf-8")
    words = (line.split() for line in listed.splitlines() if not line.startswith("#"))
    return frozenset(word for line in words for word in line)


class Hashes:
    """Makes and compares hashes. A name that does not exist costs as much as one that does."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_urlsafe())
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def now(self, password: str) -> str:
        """At once, holding up whoever calls: for a start."""
        return self._hasher.hash(_bytes(password))

    async def of(self, password: str) -> str:
        return await self._apart(lambda: self._hasher.hash(_bytes(password)))

    async def fits(self, stored: str | None, password: str) -> bool:
        """`stored` None fits nothing, and takes as long to say so."""
        given = password[: LONGEST + 1]
        right = await self._apart(lambda: self._verified(stored or self._nobody, given))
        return right and stored is not None and len(password) <= LONGEST

    def is_outdated(self, stored: str) -> bool:
        return self._hasher.check_needs_rehash(stored)

    async def _apart(self, work: Callable[[], T]) -> T:
        async with self._turn:
            return await asyncio.to_thread(work)

    def _verified(self, stored: str, given: str) -> bool:
        try:
            return self._hasher.verify(stored, _bytes(given))
        except (Argon2Error, InvalidHashError):
            return False


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "replace")
