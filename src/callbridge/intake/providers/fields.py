"""Reading one field of a webhook leniently [pure]: what a sloppy script wrote, where its meaning is clear.

Numbers may come as text and ids as numbers; null and "" mean absent. Anything else is a `ValueError` that names the
field and never repeats the value. Apart from the providers because they disagree about names, not about values.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from callbridge.call import MAX_PHONE, MAX_REF, MAX_STARTED_AT, MIN_STARTED_AT, is_web_link, plain_text
from callbridge.intake.decode import Json

MAX_EXTENSION: Final = 254
"""Characters of what names an employee: the longest is an e-mail address (RFC 5321)."""

MILLISECONDS_FROM: Final = 10**11
"""As seconds this is the year 5138, so from here on a timestamp is in milliseconds."""

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{0,15})?")
_UNESCAPED: Final = re.compile(r"[ \"'<>]")
"""File names put into an address as they are. A backslash is not among them: browsers take it for a slash."""

_HIDDEN: Final = frozenset(
    {"anonymous", "unknown", "hidden", "private", "restricted", "blocked", "unavailable", "withheld"}
)
"""What PBXs write in place of a number that the caller does not show."""

_TIME: Final = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})[Tt ]([0-9]{2}):?([0-9]{2}):?([0-9]{2})(?:[.,][0-9]+)?"
    r" ?(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2}))?"
)


def identity(value: Json, name: str) -> str:
    """An id, unchanged but for spaces around it: two ids must never become one.

    A number with a fraction is refused, because its last zeros are already lost: 17.10 and 17.1 are two calls.
    """
    if type(value) is int:
        return str(value)
    if value is None or value == "":
        raise ValueError(f"{name} is missing")
    if type(value) is not str:
        raise ValueError(f"{name} is text or a whole number")
    text = value.strip()
    if text != plain_text(text) or "\ufffd" in text:
        raise ValueError(f"{name} holds control or formatting characters")
    if not 1 <= len(text) <= MAX_REF:
        raise ValueError(f"{name} is 1 to {MAX_REF} characters")
    return text


def text(value: Json, name: str) -> str | None:
    """Text without control characters, of any length."""
    if value is None:
        return None
    if type(value) is str:
        return plain_text(value) or None
    if type(value) is int:
        return str(value)
    if type(value) is float and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    raise ValueError(f"{name} is text")


def exact_text(value: Json, name: str, limit: int) -> str | None:
    """Text that means something else without its tail: too long is refused."""
    found = text(value, name)
    if found is not None and len(found) > limit:
        raise ValueError(f"{name} is at most {limit} characters")
    return found


def cut_text(value: Json, name: str, limit: int) -> str | None:
    """Text whose tail nobody misses."""
    found = text(value, name)
    return found if found is None or len(found) <= limit else found[:limit].rstrip()


def phone(value: Json, name: str) -> str:
    """A number as the PBX wrote it; "" where it is absent or hidden, however that is said."""
    found = exact_text(value, name, MAX_PHONE)
    return "" if found is None or found.lower() in _HIDDEN else found


def is_internal(number: str, digits: int) -> bool:
    """Whether a number has the length of an extension: at most `digits`, nothing but digits."""
    return number.isascii() and number.isdigit() and len(number) <= digits


def whole(value: Json, name: str) -> int | None:
    """A number, rounded down."""
    if value is None:
        return None
    if type(value) is int:
        return value
    if type(value) is float:
        return math.floor(value)
    if type(value) is str:
        written = value.strip()
        if not written:
            return None
        if _NUMBER.fullmatch(written):
            return math.floor(float(written))
    raise ValueError(f"{name} is a number")


def moment(value: Json, name: str, zone: str) -> int | None:
    """A point in time as Unix seconds: seconds, milliseconds, or RFC 3339; 0 means absent.

    RFC 3339 demands an offset; where a script left it out, the time is the PBX's wall clock in `zone`. Without dashes and
    colons it is the same time in the short form of ISO 8601.
    """
    parts = _TIME.fullmatch(value.strip()) if type(value) is str else None
    at = _wall_clock(parts, name, zone) if parts else _epoch(value, name)
    if not at:
        return None
    if not MIN_STARTED_AT <= at < MAX_STARTED_AT:
        raise ValueError(f"{name} is a time between the years 2000 and 2100")
    return at


def link(value: Json) -> str | None:
    """An http(s) URL, what a sloppy script left unescaped in it escaped. Anything else is no link, and a call is worth more
    than its link.
    """
    found = value.strip() if type(value) is str else ""
    if is_web_link(found):
        return found
    scheme, slashes, rest = found.partition("://")
    host, slash, path = rest.partition("/")
    escaped = f"{scheme}{slashes}{host}{slash}{_UNESCAPED.sub(lambda match: quote(match[0]), path)}"
    return escaped if is_web_link(escaped) else None


def _epoch(value: Json, name: str) -> int | None:
    try:
        at = whole(value, name)
    except ValueError:
        raise ValueError(f"{name} is Unix seconds or an RFC 3339 time") from None
    return at // 1000 if at is not None and at >= MILLISECONDS_FROM else at


def _wall_clock(parts: re.Match[str], name: str, zone: str) -> int:
    year, month, day, hour, minute, second, utc, sign, offset_hours, offset_minutes = parts.groups()
    wall = "UTC" if utc or sign else zone
    east = 0
    if sign:
        east = (int(offset_hours) * 60 + int(offset_minutes)) * (-60 if sign == "-" else 60)
    try:  # second 60 is a leap second
        at = datetime(
            int(year), int(month), int(day), int(hour), int(minute), min(int(second), 59), tzinfo=ZoneInfo(wall)
        )
        return int(at.timestamp()) - east
    except (ValueError, OverflowError):
        raise ValueError(f"{name} is Unix seconds or an RFC 3339 time") from None
