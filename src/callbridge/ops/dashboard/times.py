"""Times as people read them [pure]: how long ago, and when in the viewer's zone; UTC on top for whoever compares logs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from callbridge.ops.dashboard.words import Words

_ZONE: Final = re.compile(r"[A-Za-z]{1,20}(?:[/_+-][A-Za-z0-9]{1,20}){0,4}")


@dataclass(frozen=True, slots=True)
class Moment:
    """One time in its forms: `iso` for machines, `utc` for the hover, `local` in full, `short` without what goes without
    saying, `ago` as a distance.
    """

    iso: str
    utc: str
    local: str
    short: str
    ago: str


def zone_of(cookie: str | None) -> ZoneInfo:
    """The zone that the browser told, else UTC."""
    cookie = unquote(cookie or "")
    if cookie and len(cookie) < 64 and _ZONE.fullmatch(cookie):
        try:
            return ZoneInfo(cookie)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            pass
    return ZoneInfo("UTC")


def moment(at: float, *, now: float, zone: ZoneInfo, words: Words) -> Moment:
    universal = datetime.fromtimestamp(min(max(at, 0.0), 253_402_300_799.0), UTC)
    here, today = universal.astimezone(zone), datetime.fromtimestamp(now, zone)
    if here.date() == today.date():
        short = f"{here:%H:%M:%S}"
    elif here.year == today.year:
        short = f"{here:%d.%m %H:%M}" if words.language == "ru" else f"{here:%d %b %H:%M}"
    else:
        short = f"{here:%d.%m.%Y}" if words.language == "ru" else f"{here:%d %b %Y}"
    return Moment(
        iso=f"{universal:%Y-%m-%dT%H:%M:%SZ}",
        utc=f"{universal:%Y-%m-%d %H:%M:%S} UTC",
        local=f"{here:%Y-%m-%d %H:%M:%S}",
        short=short,
        ago=ago(now - at, words),
    )


def ago(seconds: float, words: Words) -> str:
    """A distance from now; ahead of now where it is negative."""
    if -1 < seconds < 1:
        return words("unit.now")
    distance = words.span(max(1, round(abs(seconds))))
    return words("unit.ago", span=distance) if seconds > 0 else words("unit.ahead", span=distance)
