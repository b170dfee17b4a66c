"""Points in time and lengths as PBXs write them [pure].

A format is `auto`, `epoch_s`, `epoch_ms`, `epoch_us`, `iso`, `rfc2822`, or a pattern of YYYY YY MM DD hh mm ss AM zz with
anything between them as it stands: `DD.MM.YYYY hh:mm:ss`. Each part has its fixed width, so a pattern reads in one pass.
Refusals name no value.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final, NoReturn
from zoneinfo import ZoneInfo

from callbridge.presets.expressions import Scalar

NAMED: Final = ("auto", "epoch_s", "epoch_ms", "epoch_us", "iso", "rfc2822")

_PARTS: Final = {"YYYY": 4, "YY": 2, "MM": 2, "DD": 2, "hh": 2, "mm": 2, "ss": 2}
_PART: Final = re.compile(r"YYYY|YY|MM|DD|hh|mm|ss|AM|zz|.", re.DOTALL)
_ISO: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?(?:[.,][0-9]{1,9})?"
    r" ?(?:([Zz])|UTC|([+-][0-9]{2}:?[0-9]{2}))?"
)
_OFFSET: Final = re.compile(r"[+-][0-9]{2}:?[0-9]{2}|Z")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,17}(?:\.[0-9]{0,15})?")
_HMS: Final = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,4}):([0-9]{1,2})(?:[.,][0-9]{1,9})?")

_EPOCHS: Final = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
_MILLISECONDS_FROM, _MICROSECONDS_FROM = 10**11, 10**14
"""As seconds the years 5138 and three million: a larger number is in the smaller unit."""


def number(value: Scalar | None) -> float | None:
    """A number, also written as text; `ValueError` for other text."""
    if value is None or isinstance(value, bool):
        if value is None:
            return None
    elif isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > 1e18:
            raise ValueError("is too large a number")
        return float(value)
    elif _NUMBER.fullmatch(value.strip()):
        return float(value.strip())
    raise ValueError("is a number")


def clock(value: Scalar | None) -> float | None:
    """Seconds written as hh:mm:ss, mm:ss, or as a plain number."""
    parts = _HMS.fullmatch(value.strip()) if isinstance(value, str) else None
    if parts is None:
        try:
            return number(value)
        except ValueError:
            raise ValueError("is a length such as 01:02:03 or 02:03") from None
    hours, minutes, seconds = parts.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)


def check_format(written: str) -> None:
    """`ValueError` says why this is no format."""
    if written in NAMED:
        return
    parts = _PART.findall(written)
    if len(written) > 40 or "MM" not in parts or "DD" not in parts or not {"YYYY", "YY"} & set(parts):
        raise ValueError(f"is one of {', '.join(NAMED)}, or a pattern such as DD.MM.YYYY hh:mm:ss")


def moment(value: Scalar | None, how: str, zone: str) -> float | None:
    """Unix seconds; 0, "" and 0000-00-00 mean absent. What has no offset of its own is a wall clock in `zone`."""
    if value is None or isinstance(value, bool):
        if value is None:
            return None
        raise ValueError("is a point in time")
    if isinstance(value, str) and (len(value) > 64 or value.startswith("0000-00-00")):
        if len(value) > 64:
            raise ValueError("is too long for a point in time")
        return None
    try:
        at = _read(value, how, zone)
    except (ValueError, TypeError, OverflowError, IndexError):  # the standard library's readers raise all of them
        raise ValueError(f"is a point in time ({how})") from None
    return at or None


def told(at: int, pattern: str, zone: str) -> str:
    """The inverse of a pattern: a second as it is written by it in `zone`. Text without any part of a pattern stays."""
    here = datetime.fromtimestamp(at, ZoneInfo(zone))
    parts = _PART.findall(pattern)
    hour = (here.hour + 11) % 12 + 1 if "AM" in parts else here.hour
    offset = here.strftime("%z")
    words = {
        "YYYY": f"{here.year:04}",
        "YY": f"{here.year % 100:02}",
        "MM": f"{here.month:02}",
        "DD": f"{here.day:02}",
        "hh": f"{hour:02}",
        "mm": f"{here.minute:02}",
        "ss": f"{here.second:02}",
        "AM": "PM" if here.hour >= 12 else "AM",
        "zz": f"{offset[:3]}:{offset[3:5]}",
    }
    return "".join(words.get(part, part) for part in parts)


def _read(value: Scalar, how: str, zone: str) -> float:
    if how in _EPOCHS:
        return (number(value) or 0) / _EPOCHS[how]
    if how == "auto" and (not isinstance(value, str) or _NUMBER.fullmatch(value.strip())):
        at = number(value) or 0
        return at / 1_000_000 if at >= _MICROSECONDS_FROM else at / 1_000 if at >= _MILLISECONDS_FROM else at
    text = str(value).strip()
    iso = _ISO.fullmatch(text) if how in {"auto", "iso"} else None
    if iso:
        *parts, zulu, offset = iso.groups()
        mark = "Z" if zulu or text.endswith("UTC") else offset or ""
        return _at([int(part or 0) for part in parts], mark, zone)
    if how in {"auto", "rfc2822"}:
        told = parsedate_to_datetime(text)
        return told.timestamp() if told.tzinfo else told.replace(tzinfo=ZoneInfo(zone)).timestamp()
    if how == "iso":
        raise ValueError
    return _by_pattern(text, how, zone)


def _by_pattern(text: str, pattern: str, zone: str) -> float:
    found: dict[str, int] = {}
    offset, afternoon, at = "", "", 0
    for part in _PART.findall(pattern):
        if part == "zz":
            mark = _OFFSET.match(text, at)
            offset = mark[0] if mark else _refuse()
            at += len(offset)
            continue
        piece = text[at : at + (2 if part == "AM" else _PARTS.get(part, 1))]
        at += len(piece)
        if part == "AM":
            afternoon = piece.upper() if piece.upper() in {"AM", "PM"} else _refuse()
        elif part not in _PARTS:
            _ = piece == part or _refuse()
        else:
            found[part] = _digits(piece, _PARTS[part])
    hour = found.get("hh", 0)
    if afternoon:
        hour = hour % 12 + (12 if afternoon == "PM" else 0)
    year = found["YYYY"] if "YYYY" in found else 2000 + found["YY"]
    parts = [year, found["MM"], found["DD"], hour, found.get("mm", 0), found.get("ss", 0)]
    return _at(parts, offset, zone) if at == len(text) else _refuse()


def _digits(piece: str, width: int) -> int:
    return int(piece) if len(piece) == width and piece.isascii() and piece.isdigit() else _refuse()


def _refuse() -> NoReturn:
    raise ValueError("does not fit the pattern")


def _at(parts: list[int], offset: str, zone: str) -> float:
    """`offset` as Z or +hh:mm beats `zone`. Second 60 is a leap second."""
    year, month, day, hour, minute, second = parts
    east = 0
    if offset not in {"", "Z"}:
        digits = offset[1:].replace(":", "")
        east = (int(digits[:2]) * 60 + int(digits[2:])) * (-60 if offset[0] == "-" else 60)
    told = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=ZoneInfo("UTC" if offset else zone))
    return told.timestamp() - east
