"""Where a page ends, as text that is handed out and comes back [pure].

A cursor names the last row by what the list is ordered by, and not by a number of rows: rows that come or go meanwhile make
no other row appear twice or not at all.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

import orjson

_MAX: Final = 200
_BIG: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Key:
    """A place in a list ordered by time, latest first, then by id: milliseconds, and an id, or nothing: the end of what
    lies at that time or later.
    """

    at: int
    id: str


def write(kind: str, key: Key) -> str:
    """`kind` names the list's order: a cursor of another one is refused."""
    return base64.urlsafe_b64encode(orjson.dumps([kind, key.at, key.id])).rstrip(b"=").decode()


def read(kind: str, cursor: str) -> Key:
    """Raises `ValueError` for what `write` did not write for such a list."""
    wrong = ValueError("the cursor is not one of this list")
    if len(cursor) > _MAX or not cursor.isascii():
        raise wrong
    try:
        told = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise wrong from None
    match told:
        case [str(of), int(at), str(name)] if of == kind and type(at) is int and abs(at) <= _BIG and "\0" not in name:
            return Key(at, name)
        case _:
            raise wrong
