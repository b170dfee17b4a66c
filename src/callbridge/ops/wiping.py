"""Takes a phone number out of Redis and the ledger, after the ledger has heard of every call that Redis has.

Apart from `ledger.keeping`, which finds calls by their number in the ledger alone: one that came a moment ago, or while no
console ran, would not be found there. The command line and the console both do it this way.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from callbridge.call import CallId
from callbridge.errors import LedgerUnavailable
from callbridge.ledger import keeping
from callbridge.ledger.database import Ledger
from callbridge.ledger.writer import Writer
from callbridge.store.changes import RedisChanges
from callbridge.store.forgetting import RedisForgetting
from callbridge.store.records import RedisRecords
from callbridge.store.scripts import Scripts

CATCH_UP: Final = 120.0
"""Seconds for which the ledger may take to know what Redis has."""


class Wiping:
    """`consumer` is the name under which it reads changes, no other process's. All raise `StoreUnavailable` and
    `LedgerUnavailable`; what was erased stays so, and it may be asked again.
    """

    def __init__(self, ledger: Ledger, scripts: Scripts, consumer: str, patience: float = CATCH_UP) -> None:
        self._ledger = ledger
        self._forgetting = RedisForgetting(scripts)
        self._changes = RedisChanges(scripts, consumer)
        self._writer = Writer(ledger, self._changes, RedisRecords(scripts), time.time, self._bury)
        self._patience = patience

    async def _bury(self, ids: Sequence[str]) -> None:
        await self._forgetting.erase([CallId(call_id) for call_id in ids])

    async def catch_up(self) -> None:
        """Up to what Redis had when this began: calls go on coming. What others have taken in hand is waited for."""
        begun = time.monotonic()
        while True:
            elapsed = time.monotonic() - begun
            behind = await self._changes.behind()
            if behind.oldest is None or behind.oldest < elapsed:
                return
            if elapsed > self._patience:
                raise LedgerUnavailable(
                    "it does not catch up with Redis: see `callbridge ledger status`, then try again"
                )
            await self._writer.step()

    async def wipe(self, phone: str) -> list[CallId]:
        """The calls that had the number. One that a worker had at that moment is emptied once it is back."""
        await self.catch_up()
        erased = await keeping.erase(self._ledger, phone, time.time(), self._forgetting)
        await self.catch_up()
        await self._ledger.scrub()
        return erased

    async def rewrite_log(self) -> bool:
        """See `RedisForgetting.rewrite_log`."""
        return await self._forgetting.rewrite_log()
