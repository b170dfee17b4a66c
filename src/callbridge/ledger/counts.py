"""What a row adds to the ledger's counters [pure]: a change moves them by what the new row adds less what the old one did.

So a change that is taken in twice moves nothing the second time. Counted rows are rows that are there; minutes and latencies
are history: they stay when a call is erased or its row is pruned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from callbridge.ledger.figures import bucket_of

IN_TIME: Final = 60_000
"""Milliseconds from webhook to CRM that count as in time."""

_MINUTE: Final = 60_000
_ENDS: Final = frozenset({"delivered", "unmatched", "dead", "ignored"})

Row = Mapping[str, Any]


class Moves:
    """Differences to add to the counters, by their keys; those that came to nothing are left out."""

    def __init__(self) -> None:
        self._tallies: Counter[tuple[str, str, str]] = Counter()
        self._minutes: Counter[tuple[int, str, str]] = Counter()
        self._latencies: Counter[tuple[int, int]] = Counter()

    def move(self, old: Row | None, new: Row, *, timed: bool) -> None:
        """`timed` says that a delivery tells how fast we are: not where people or a missing contact took their time."""
        if old is not None:
            self._tallies[_place(old)] -= 1
        self._tallies[_place(new)] += 1
        if old is None:
            self._minutes[_minute(new["received_at"]), new["account"], "received"] += 1
        if new["state"] == "erased":
            return
        # A delivered call is never anything else again, unless Redis was restored from before that: its speed stands.
        if old is not None and old["state"] == new["state"] == "delivered":
            return
        if old is not None and old["state"] in _ENDS:
            self._minutes[_minute(old["settled_at"]), old["account"], old["state"]] -= 1
        if new["state"] in _ENDS:
            self._minutes[_minute(new["settled_at"]), new["account"], new["state"]] += 1
        if new["state"] == "delivered" and timed:
            took = new["settled_at"] - new["received_at"]
            self._latencies[_minute(new["settled_at"]), bucket_of(took)] += 1
            if took <= IN_TIME:
                self._minutes[_minute(new["settled_at"]), new["account"], "in_time"] += 1

    def gone(self, row: Row) -> None:
        """The row is deleted."""
        self._tallies[_place(row)] -= 1

    @property
    def tallies(self) -> list[dict[str, Any]]:
        return [
            {"account": account, "source": source, "state": state, "calls": calls}
            for (account, source, state), calls in sorted(self._tallies.items())
            if calls
        ]

    @property
    def minutes(self) -> list[dict[str, Any]]:
        return [
            {"minute": minute, "account": account, "what": what, "calls": calls}
            for (minute, account, what), calls in sorted(self._minutes.items())
            if calls
        ]

    @property
    def latencies(self) -> list[dict[str, Any]]:
        return [
            {"minute": minute, "bucket": bucket, "calls": calls}
            for (minute, bucket), calls in sorted(self._latencies.items())
            if calls
        ]


def _place(row: Row) -> tuple[str, str, str]:
    return row["account"], row["source"], row["state"]


def _minute(ms: int) -> int:
    return ms // _MINUTE
