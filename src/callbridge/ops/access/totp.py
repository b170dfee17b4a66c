"""Second factor: codes of six digits that change every half minute (RFC 6238), each good for one login [pure].

An operator's row holds `STEP:SEALED`: the step whose code was used last, and the secret, sealed with `sealing.key`.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

STEP: Final = 30
"""Seconds."""

_DIGITS: Final = 6
_CLOCKS_DIFFER_BY: Final = 1
"""Steps."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an operator enters into the app; shown once."""

    secret: str
    uri: str


def enrolment(name: str) -> Enrolment:
    secret = base64.b32encode(secrets.token_bytes(20)).decode()
    return Enrolment(secret, f"otpauth://totp/callbridge:{quote(name)}?secret={secret}&issuer=callbridge")


def code_at(secret: str, step: int) -> str:
    """Raises `ValueError` for what is no secret."""
    digest = hmac.new(base64.b32decode(secret), struct.pack(">Q", step), "sha1").digest()
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}d}"


def step_of(secret: str, code: str, now: float, after: int = 0) -> int | None:
    """Which step's code that is, None for a wrong one and for one that was used: a step not beyond `after`."""
    given = "".join(code.split()).encode("utf-8", "replace")
    here = int(now // STEP)
    found = None
    for step in range(here - _CLOCKS_DIFFER_BY, here + _CLOCKS_DIFFER_BY + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), given) and step > after:
            found = step
    return found


class Seal:
    """The first key seals; each of them opens. Without any nothing is sealed: there is no second factor then."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None

    @property
    def is_there(self) -> bool:
        return self._fernet is not None

    def pack(self, secret: str, step: int) -> str:
        if self._fernet is None:
            raise ValueError("no key")
        return f"{step}:{self._fernet.encrypt(secret.encode()).decode()}"

    def unpack(self, stored: str) -> tuple[str, int] | None:
        """None for what these keys do not open: nobody gets in by it."""
        step, _, sealed = stored.partition(":")
        try:
            return (self._fernet.decrypt(sealed.encode()).decode(), int(step)) if self._fernet else None
        except (InvalidToken, ValueError):
            return None
