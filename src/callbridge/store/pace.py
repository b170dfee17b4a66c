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

PATIENCE: Final = 1.0
"""Seconds ahead for which a slot is reserved; further ahead a pause or a slow-down would come too late."""


class RedisPace:
    """One account's pace: `take` returns when a request may leave."""

    def __init__(self, scripts: Scripts, account: str, requests_per_second: float) -> None:
        self._scripts = scripts
        self._account = account
        self._interval = round(1_000_000 * MARGIN / requests_per_second)
        self._free_at = 0.0

    @property
    def free_in(self) -> float:
        """Seconds until the next slot as far as this process knows; another worker may have taken it."""
        return max(0.0, self._free_at - asyncio.get_running_loop().time())

    async def take(self) -> None:
        """Waits for a slot of our own. Raises `AccountSlowed` where that would take longer than `PATIENCE`, and
        `StoreUnavailable`: without the shared pace nothing is sent.
        """
        while True:
            taken, wait = await self._scripts.run("pace", self._account, self._interval, round(PATIENCE * 1_000_000))
            seconds, interval = wait / 1_000_000, self._interval / 1_000_000
            if taken:
                self._free_at = asyncio.get_running_loop().time() + seconds + interval
            elif seconds > max(PATIENCE, interval):
                raise AccountSlowed(seconds)
            await asyncio.sleep(seconds)
            if taken:
                return

    async def slow(self, seconds: float) -> None:
        """Nobody sends to the account for `seconds`."""
        await self._scripts.run("slow", self._account, round(seconds * 1000))
