"""How many calls go into one request [pure].

Batches form by themselves: the first call goes at once, what comes while a request waits for its slot goes together. Only
the upper bound is a decision. It starts careful, doubles while full batches are answered cleanly, and halves when a request
was too heavy for the CRM, because every call of an unread answer has to be looked for one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

START = 50
"""The vendor's advice for a request that does not time out."""


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The bound in force, between 1 and `at_most`."""

    at_most: int
    calls: int = START

    def __post_init__(self) -> None:
        if not self.at_most >= 1 or self.calls < 1:
            raise ValueError("a batch holds at least one call")

    @property
    def now(self) -> int:
        return min(self.calls, self.at_most)

    def answered(self, *, full: bool) -> BatchSize:
        """A request was answered; only one that was full when it left proves that more would go."""
        return replace(self, calls=min(self.now * 2, self.at_most)) if full else self

    def too_heavy(self, sent: int) -> BatchSize:
        """A request of `sent` calls took too long."""
        return replace(self, calls=max(1, min(self.now, sent) // 2))
