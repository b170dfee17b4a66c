"""How many calls go into one request [pure].

Batches form by themselves: the first call goes at once, what comes while a request waits for its slot goes together. Only
the upper bound is a decision. It starts careful and doubles while full batches are answered cleanly. Every call of an unread
answer has to be looked for one by one, so after one the batches are small for a while, and smaller still where the request
was too heavy for the CRM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

START = 50
"""The vendor's advice for a request that does not time out."""

CAREFUL = 10
CAREFUL_FOR = 20
"""Most calls in a request, and answered requests for which that holds: accidents seldom come alone."""


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The bound in force, between 1 and `at_most`. It does not grow for `careful` more requests."""

    at_most: int
    calls: int = START
    careful: int = 0

    def __post_init__(self) -> None:
        if not self.at_most >= 1 or self.calls < 1:
            raise ValueError("a batch holds at least one call")

    @property
    def now(self) -> int:
        return min(self.calls, self.at_most)

    def answered(self, *, full: bool) -> BatchSize:
        """A request was answered; only one that was full when it left proves that more would go."""
        if self.careful:
            return replace(self, careful=self.careful - 1)
        return replace(self, calls=min(self.now * 2, self.at_most)) if full else self

    def unanswered(self, sent: int, *, too_heavy: bool) -> BatchSize:
        """Nobody can tell what became of a request of `sent` calls; `too_heavy`: it took too long."""
        calls = max(1, min(self.now, sent) // 2) if too_heavy else self.now
        return replace(self, calls=min(calls, CAREFUL), careful=CAREFUL_FOR)
