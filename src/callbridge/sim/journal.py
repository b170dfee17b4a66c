"""What the simulator saw [pure]: every request with its time, answer and calls, within bounds.

Apart from the server because it is the witness of a rehearsal: figures such as "requests in any sliding second" are
measured here, at the receiving end. Tokens are kept as fingerprints only.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from callbridge.sim.limits import Peak

MAX_UNIQS = 2_000_000
"""Call ids remembered over all requests: a request may carry 250 of them."""


@dataclass(slots=True)
class Seen:
    """One request. `status` is what went out on the wire; None while nothing has, or where the connection was broken."""

    number: int
    at: float
    monotonic: float
    method: str
    path: str
    query: str
    token: str
    items: int = 0
    uniqs: tuple[str, ...] = ()
    status: int | None = None
    faults: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def fingerprint(token: str) -> str:
    """Tells tokens apart without showing them."""
    return hashlib.sha256(token.encode()).hexdigest()[:12] if token else "none"


class Journal:
    """The requests in order; beyond the limits the oldest are dropped and counted."""

    def __init__(self, limit: int) -> None:
        self.total = 0
        self.dropped = 0
        self._limit = limit
        self._seen: deque[Seen] = deque()
        self._uniqs = 0
        self._by_status: Counter[str] = Counter()
        self._peaks: dict[str, Peak] = {}
        self._peak = Peak()

    def __iter__(self) -> Iterator[Seen]:
        return iter(self._seen)

    def arrive(self, at: float, monotonic: float, method: str, path: str, query: str, token: str) -> Seen:
        self.total += 1
        seen = Seen(self.total, at, monotonic, method, path, query, fingerprint(token))
        self._peaks.setdefault(seen.token, Peak()).arrive(at)
        self._peak.arrive(at)
        self._seen.append(seen)
        self._trim()
        return seen

    def carried(self, seen: Seen, items: int, uniqs: tuple[str, ...]) -> None:
        seen.items, seen.uniqs = items, uniqs
        self._uniqs += len(uniqs)
        self._trim()

    def answered(self, seen: Seen, status: int | None) -> None:
        seen.status = status
        self._by_status["broken" if status is None else str(status)] += 1

    def summary(self) -> dict[str, Any]:
        return {
            "requests": self.total,
            "requests_dropped_from_log": self.dropped,
            "by_status": dict(sorted(self._by_status.items())),
            "too_many": self._by_status["429"],
            "max_requests_in_a_second": self._peak.highest,
            "max_requests_in_a_second_by_token": {token: peak.highest for token, peak in self._peaks.items()},
        }

    def _trim(self) -> None:
        while len(self._seen) > self._limit or (self._uniqs > MAX_UNIQS and len(self._seen) > 1):
            self._uniqs -= len(self._seen.popleft().uniqs)
            self.dropped += 1
