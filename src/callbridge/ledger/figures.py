"""Small arithmetic of the ledger [pure]: latency buckets, percentiles, the digest that groups errors, last digits."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from typing import Final

_GROWTH: Final = math.log(1.05)
"""Each bucket ends five percent above the one before: a percentile is off by half of that, and a day of seconds is 350."""

LAST_BUCKET: Final = 500
"""About a year of milliseconds; what took longer is counted there."""


def bucket_of(ms: float) -> int:
    """The latency bucket of a time in milliseconds. Clocks differ, so a negative one happens: it is as good as none."""
    return min(LAST_BUCKET, round(math.log(ms) / _GROWTH)) if ms > 1 else 0


def seconds_of(bucket: int) -> float:
    """What a time in that bucket is taken for."""
    return math.exp(bucket * _GROWTH) / 1000


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """Seconds within which that share of the counted times lay; None where nothing was counted."""
    total = sum(buckets.values())
    if total <= 0:
        return None
    wanted, seen = share * total, 0
    for bucket in sorted(buckets):
        seen += buckets[bucket]
        if seen >= wanted and buckets[bucket]:
            return seconds_of(bucket)
    return seconds_of(max(buckets))


_QUOTED: Final = re.compile(r"\"[^\"]*\"|`[^`]*`|«[^»]*»|“[^”]*”|(?<!\w)'[^']*'(?!\w)")
_WEB: Final = re.compile(r"https?://\S+")
_NUMBERED: Final = re.compile(r"\+?\w*\d\w*")
_HEX: Final = re.compile(r"\b[0-9a-f]{8,}\b|\b[0-9a-f]{4,}(?:-[0-9a-f]{4,}){2,}\b")
_NUMBERS: Final = re.compile(r"#(?:[\s.,:;/()+-]*#)+")


def cause_of(reason: str, detail: str | None) -> str:
    """Twelve characters that are the same for one cause: numbers, ids and quoted values make no difference."""
    text = _QUOTED.sub('""', (detail or "").casefold())
    for shape in (_WEB, _NUMBERED, _HEX):
        text = shape.sub("#", text)
    text = " ".join(_NUMBERS.sub("#", text).split())
    return hashlib.sha256(f"{reason}\x1f{text}".encode("utf-8", "replace")).hexdigest()[:12]


def tail_of(phone: str | None) -> str | None:
    """The digits of a number, last one first: numbers that end alike begin alike. None where there is no digit."""
    return "".join(c for c in reversed(phone or "") if c in "0123456789") or None


def range_of(tail: str) -> tuple[str, str | None]:
    """Tails that begin with `tail` (digits) are from the first of these on and before the second; None: there is no end. A
    range, because an index serves it whatever the database's rules of comparing texts are.
    """
    stem = tail.rstrip("9")
    return tail, f"{stem[:-1]}{int(stem[-1]) + 1}" if stem else None
