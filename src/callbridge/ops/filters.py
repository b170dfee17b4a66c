"""Which calls are meant: one filter for lists, replays and discards, and the ways people write a moment.

Apart from `inspect` because a filter is also what a bulk action acts on: what a list showed is what the action touches. It
reads a stored record and nothing else; `now` and the time zone are told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final, get_args

from callbridge.call import MAX_STARTED_AT, MIN_STARTED_AT
from callbridge.outcome import FINAL, PublicState, State
from callbridge.store.records import Record
from callbridge.values import parse_duration

STATES: Final[tuple[PublicState, ...]] = get_args(PublicState)

_UNIX_SECONDS: Final = re.compile(r"\d{9,10}(?:\.\d+)?", re.ASCII)
_NOT_DIGITS: Final = re.compile(r"[^0-9]+")


@dataclass(frozen=True, slots=True)
class Filter:
    """Every part that is set must hold. `phone` is the last digits of the number as it was received; `since` and `until`
    are Unix seconds and bound the receipt, `until` not included.
    """

    state: PublicState | None = None
    account: str | None = None
    source: str | None = None
    phone: str | None = None
    since: float | None = None
    until: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.phone is not None and not (self.phone.isascii() and self.phone.isdigit()):
            raise ValueError("phone is digits")

    @property
    def final_state(self) -> State | None:
        """The final state whose calls alone can match; those stand in a set of their own."""
        return next((state for state in FINAL if state.value == self.state), None)

    def admits(self, record: Record) -> bool:
        wanted = ((self.state, record.state), (self.account, record.account), (self.source, record.source))
        if any(want is not None and want != has for want, has in (*wanted, (self.reason, record.reason))):
            return False
        if self.phone is not None and not (record.call and digits(record.call.phone).endswith(self.phone)):
            return False
        return not self.is_too_early(record.received_at) and (self.until is None or record.received_at < self.until)

    def is_too_early(self, at: float) -> bool:
        return self.since is not None and at < self.since


def digits(phone: str) -> str:
    return _NOT_DIGITS.sub("", phone)


def state_named(written: str) -> PublicState:
    """Raises `ValueError` where there is no such state."""
    for state in STATES:
        if state == written:
            return state
    raise ValueError(f"is one of {', '.join(STATES)}")


def last_digits(written: str) -> str:
    """What `--phone` means: the digits in it. Raises `ValueError` where there are none."""
    if found := digits(written):
        return found
    raise ValueError("is a phone number or its last digits")


def moment(written: str, *, now: float, zone: tzinfo | None = None) -> float:
    """Unix seconds of `2h` (ago), of `2026-03-01` or `2026-03-01T08:30+03:00`, and of Unix seconds themselves.

    A date without a zone is in `zone`, the computer's own if None. Raises `ValueError` with what may be written.
    """
    text = written.strip()
    if _UNIX_SECONDS.fullmatch(text):
        return float(text)
    if text[-1:].isalpha() and isinstance(ago := parse_duration(text), float):
        return now - ago
    try:
        parsed = datetime.fromisoformat(text)
        at = (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError):
        at = 0.0
    if MIN_STARTED_AT <= at < MAX_STARTED_AT:
        return at
    raise ValueError("is a time such as 2h (ago), 2026-03-01, 2026-03-01T08:30 or Unix seconds")
