"""The pace of each account, shared by every worker: who may send when.

A slot is a moment in time. Slots stand `interval` apart, none is saved up, and a worker that took one waits for it. What the
CRM sees is what we hand out plus the noise of the way there, so slots stand a little further apart than the limit asks.
"""

from __future__ import annotations

import asyncio
from typing import Final

from callbridge.errors import AccountSlowed
from callbridge.store.scripts import Scripts

MARGIN: Final = 1.04
"""Eight requests then span 1.04 s instead of 1.00 s: forty milliseconds of noise cannot make a second hold eight of them."""

LATE: Final = 0.025
"""Seconds after its slot at which a request may still leave: well inside the margin. Later the slot is given up."""

MISSES: Final = 4
"""Slots in a row that may be missed. Where Redis is slower than that for good, the limit is out of reach anyway."""

PATIENCE: Final = 1.0
"""Seconds ahead for which a slot is reserved; further ahead a pause or a slow-down would come too late."""


class RedisPace:
    """One account's pace. A slot is a moment of the event loop's clock; whoever is late for it takes another one."""

    def __init__(self, scripts: Scripts, account: str, requests_per_second: float) -> None:
        self._scripts = scripts
        self._account = account
        self._interval = round(1_000_000 * MARGIN / requests_per_second)
        self._free_at = 0.0

    @property
    def free_in(self) -> float:
        """Seconds until the next slot as far as this process knows; another worker may have taken it."""
        return max(0.0, self._free_at - _now())

    async def take(self) -> float:
        """Waits for a slot of our own and returns its moment. Raises `AccountSlowed` where that would take longer than
        `PATIENCE`, and `StoreUnavailable`: without the shared pace nothing is sent.
        """
        missed = 0
        while True:
            asked_at = _now()
            taken, wait = await self._scripts.run("pace", self._account, self._interval, round(PATIENCE * 1_000_000))
            seconds: float = wait / 1_000_000
            interval = self._interval / 1_000_000
            if not taken and seconds > max(PATIENCE, interval):
                raise AccountSlowed(seconds)
            # Redis gave the slot somewhere between question and answer. Counted from the question it is early at worst, so
            # that an answer which was long on its way is late, as it should be.
            slot = asked_at + seconds
            await asyncio.sleep(slot - _now() if taken else seconds)
            if taken:
                self._free_at = slot + interval
                missed += 1
                if self.holds(slot) or missed == MISSES:
                    return slot

    def holds(self, slot: float) -> bool:
        """Whether a request may still leave in this slot."""
        return _now() - slot <= LATE

    async def slow(self, seconds: float, why: str) -> None:
        """Nobody sends to the account for `seconds`."""
        await self._scripts.run("slow", self._account, round(seconds * 1000), why[:300])

    async def steady(self) -> None:
        """The account answers again."""
        await self._scripts.run("steady", self._account)


def _now() -> float:
    return asyncio.get_running_loop().time()
