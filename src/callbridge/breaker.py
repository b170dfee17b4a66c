"""When an account is left alone, and how fast it is sent to otherwise [pure].

    closed     requests go at the account's pace
    open       after five requests in a row that failed, or half of ten and more within a minute: nobody sends to it
    half open  its wait is over: one small request is under way, all others wait for what becomes of it

A failed trial begins a longer wait, an answered one closes. `Breaker` is what the workers share about one account; the store
keeps it and hands out the slots, and with them the trial. Failed is what never arrived, was not answered, or was turned away
for speed. A refusal is an answer.

The pace is a share of the configured rate. We never exceed that, so a CRM that asks for fewer requests all the same has
others to serve (or the setting is too high): the share halves, and comes back by a twentieth for each second in which
requests are answered. Halving meets a limit of any size in four steps. Coming back takes ten seconds from half: long enough
that most requests of that time are taken, short enough that a neighbour's burst costs no more than it lasts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

FAILURES_IN_A_ROW: Final = 5
WINDOW: Final = 60.0
REQUESTS_TO_JUDGE: Final = 10
FAILED_SHARE: Final = 0.5

SHORTEST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds between opening and a trial; each failed trial doubles it. What the CRM asks for is longer, if it is."""

TRIAL_CALLS: Final = 5
"""Calls in a trial: as many have to be looked for if it is not answered either."""

RAMP_AFTER: Final = 5.0
"""Seconds for which it was open; after less than that nobody else has piled up requests for the CRM's return."""

RAMP: Final = 30.0
"""Seconds for which one request a second is sent to a CRM that has just come back."""

RAMP_BACKLOG: Final = 50
"""Waiting calls above which the way back is slow. What fits into one request harms nobody."""

LOWEST_SHARE: Final = 1 / 16
COMES_BACK: Final = 1 / 20
"""Of the configured rate, for each second in which requests are answered."""

_REMEMBERED: Final = 100
"""Failures within the window; that many open any breaker but one at hundreds of requests a second."""


class Phase(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """Unix seconds of the store's clock. `row` counts requests that failed in a row; `failures` counts those that were under
    way together once, which is what a wait grows by. `why` is what the last of them was told.
    """

    opened: float | None = None
    why: str = ""
    row: int = 0
    failures: int = 0
    until: float = 0.0
    wait: float = 0.0
    failed_at: tuple[float, ...] = ()
    share: float = 1.0
    share_at: float = 0.0
    ramp_until: float = 0.0

    def failed(
        self, now: float, *, wait: float, why: str, requests: int, asked: bool = False, trial: bool = False
    ) -> Breaker:
        """A request failed. `wait` is for how long its answer asks to be left alone, `requests` how many there were in the
        window, `asked` whether it was turned away for speed, `trial` whether it was the trial.
        """
        together = self.until > now
        slower = self._slower(now) if asked and not together else self
        failed_at = (*(at for at in self.failed_at if now - WINDOW < at <= now), now)[-_REMEMBERED:]
        after = replace(
            slower,
            why=why,
            row=self.row + 1,
            failures=self.failures + (not together),
            until=max(self.until, now + wait),
            failed_at=failed_at,
        )
        if self.opened is not None:
            # One that left before it opened says nothing about how it is now.
            return _left_alone(after, now, max(wait, min(LONGEST_WAIT, 2 * self.wait))) if trial else after
        # Requests are counted when they leave, failures when they are known: the fewer of both may be behind.
        judged = max(requests, len(failed_at))
        mostly = judged >= REQUESTS_TO_JUDGE and len(failed_at) >= FAILED_SHARE * judged
        if after.row >= FAILURES_IN_A_ROW or mostly:
            return replace(_left_alone(after, now, max(wait, SHORTEST_WAIT)), opened=now, ramp_until=0.0)
        return after

    def answered(self, now: float, *, backlog: int, trial: bool = False) -> Breaker:
        """A request was answered; `backlog` calls wait."""
        if self.opened is None:
            return replace(self._faster(now), why="", row=0, failures=0)
        if not trial:
            return self
        ramps = now - self.opened >= RAMP_AFTER and backlog > RAMP_BACKLOG
        return Breaker(until=self.until, share=self.share, share_at=now, ramp_until=now + RAMP if ramps else 0.0)

    def _slower(self, now: float) -> Breaker:
        return replace(self, share=max(LOWEST_SHARE, self.share / 2), share_at=now)

    def _faster(self, now: float) -> Breaker:
        """However many answers a second brings, and however long ago the last came: a second's worth at most."""
        if self.share >= 1:
            return self
        seconds = min(max(now - self.share_at, 0.0), 1.0)
        return replace(self, share=min(1.0, self.share + COMES_BACK * seconds), share_at=now)


def _left_alone(breaker: Breaker, now: float, wait: float) -> Breaker:
    return replace(breaker, until=max(breaker.until, now + wait), wait=wait)
