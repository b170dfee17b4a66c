"""What became of a small request beside the drain, a look or a refreshed token, where it was the trial of an open breaker.

Where calls are only uncertain, none waits, so the drain tries nothing: then this is how an account is found to work again. To
a closed breaker it says nothing: that the CRM cannot be read is no reason to send it no calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from callbridge.delivery import backoff


class Pace(Protocol):
    @property
    def trying(self) -> bool: ...
    async def failed(self, seconds: float, why: str, *, asked: bool = False, trial: bool = False) -> None: ...
    async def answered(self, *, trial: bool = False) -> None: ...


async def tell(pace: Pace, problem: str | None, jitter: Callable[[], float]) -> None:
    """`problem` is why there was no answer. Raises `StoreUnavailable`."""
    if not pace.trying:
        return
    if problem is None:
        await pace.answered(trial=True)
    else:
        await pace.failed(backoff.outage_wait(1, jitter()), problem, trial=True)
