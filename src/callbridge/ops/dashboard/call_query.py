"""Which calls a page is asked for [pure]: the query of its URL as a filter, and a filter as a query.

The names are those of the API: `state` (several), `account`, `source`, `direction`, `reason`, `cause`, `phone`, `text`,
`since`, `until`. A search box has one more, `q`, which is a phone's last digits or the whole of an id. Whoever lists calls,
or acts on all that match, reads and writes them here, so that what a list shows is what an action touches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from multidict import MultiMapping

from callbridge.call import phone_tail
from callbridge.ledger.views import CallFilter
from callbridge.ops.filters import STATES, Filter, moment

NAMES: Final = ("state", "account", "source", "direction", "reason", "cause", "phone", "text", "since", "until")
DIRECTIONS: Final = ("inbound", "outbound", "internal")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
_CAUSE: Final = re.compile(r"[0-9A-Za-z_-]{1,16}")
_PHONE: Final = re.compile(r"[\d\s+()./-]{3,30}", re.ASCII)
_DIGITS: Final = range(3, 16)
_MAX_TEXT: Final = 255


@dataclass(frozen=True, slots=True)
class Asked:
    """`wrong` names the parts of the query that say nothing; they are left out of the filter."""

    filter: CallFilter
    q: str = ""
    wrong: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        return self.filter != CallFilter()


def asked(query: MultiMapping[str], *, now: float, zone: tzinfo | None = None) -> Asked:
    """Never raises: a link may have been made by anybody."""
    reading = _Reading(query)
    q = reading.line("q")
    phone, text = searched(q)
    states = tuple(dict.fromkeys(state for state in STATES if state in query.getall("state", [])))
    if any(state and state not in STATES for state in query.getall("state", [])):
        reading.wrong.append("state")
    wanted = CallFilter(
        states=states,
        account=reading.matching("account", _NAME),
        source=reading.matching("source", _NAME),
        direction=reading.one_of("direction", DIRECTIONS),
        reason=reading.matching("reason", _CODE),
        cause=reading.matching("cause", _CAUSE),
        phone=phone or reading.digits("phone"),
        text=text or reading.line("text") or None,
        since=reading.moment("since", now, zone),
        until=reading.moment("until", now, zone),
    )
    return Asked(wanted, q, tuple(reading.wrong))


def searched(q: str) -> tuple[str | None, str | None]:
    """What was typed into the search box: a phone's last digits, else a text."""
    if not q:
        return None, None
    digits = phone_tail(q)
    if _PHONE.fullmatch(q) and "." not in q and len(digits) >= _DIGITS.start and _digits_in(q) < _DIGITS.stop:
        return digits, None
    return None, q


def pairs(wanted: CallFilter) -> list[tuple[str, str]]:
    """The filter as parts of a query. Times are absolute: the same calls tomorrow."""
    rows: list[tuple[str, str]] = [("state", state) for state in wanted.states]
    for name in NAMES[1:]:
        value = getattr(wanted, name)
        if value is not None:
            rows.append((name, f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)))
    return rows


def live_filter(wanted: CallFilter) -> Filter | None:
    """The same for the queue itself, which knows of less; None where it cannot tell."""
    if wanted.cause or wanted.text or wanted.direction or len(wanted.states) > 1:
        return None
    return Filter(
        state=wanted.states[0] if wanted.states else None,
        account=wanted.account,
        source=wanted.source,
        phone=wanted.phone,
        since=wanted.since,
        until=wanted.until,
        reason=wanted.reason,
    )


def local_time(at: float | None, zone: tzinfo) -> str:
    """For a field of a form that takes a time of the viewer's."""
    if at is None:
        return ""
    try:
        return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%dT%H:%M")
    except (ValueError, OverflowError, OSError):
        return ""


def plain(query: Mapping[str, str], names: Iterable[str] = (*NAMES, "q", "from")) -> list[tuple[str, str]]:
    """The parts of a query that a form carries on as it is."""
    wanted = frozenset(names)
    return [(name, value) for name, value in query.items() if name in wanted and value]


class _Reading:
    """One query being read; collects what is wrong with it."""

    def __init__(self, query: MultiMapping[str]) -> None:
        self._query = query
        self.wrong: list[str] = []

    def line(self, name: str) -> str:
        value = self._query.get(name, "").strip()
        if len(value) > _MAX_TEXT or not (value.isprintable()):
            self.wrong.append(name)
            return ""
        return value

    def matching(self, name: str, pattern: re.Pattern[str]) -> str | None:
        value = self.line(name)
        if value and not pattern.fullmatch(value):
            self.wrong.append(name)
            return None
        return value or None

    def one_of(self, name: str, known: Iterable[str]) -> str | None:
        value = self.line(name)
        if value and value not in known:
            self.wrong.append(name)
            return None
        return value or None

    def digits(self, name: str) -> str | None:
        value = phone_tail(self.line(name))
        if self._query.get(name) and not value:
            self.wrong.append(name)
        return value or None

    def moment(self, name: str, now: float, zone: tzinfo | None) -> float | None:
        value = (self.line("from") if name == "since" else "") or self.line(name)
        if not value:
            return None
        try:
            return moment(value, now=now, zone=zone)
        except ValueError:
            self.wrong.append(name)
            return None


def _digits_in(words: str) -> int:
    return sum(character.isdecimal() for character in words)
