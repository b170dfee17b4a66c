"""What has to go in time: Redis forgets what the ledger has, the ledger what is older than it is kept, and what was erased
stays erased on both sides, whichever of them was restored from a backup.

Small steps with a pause between them, so that a console that comes back after a month does not hold up its own pages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from callbridge import observe
from callbridge.call import CallId
from callbridge.console_settings import LedgerSettings
from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger import keeping
from callbridge.ledger.database import Ledger

EVERY: Final = 60.0
"""Seconds between two rounds."""

STEPS: Final = 50
"""Steps of each kind in one round, 200 to 500 calls each; the rest waits for the next."""

BREATHER: Final = 0.05
GRAVES: Final = 1000


class Forgetting(Protocol):
    async def forget(self, ids: Sequence[CallId]) -> frozenset[CallId]: ...
    async def drop_remnants(self, before: float, limit: int) -> int: ...
    async def erase(self, ids: Sequence[CallId]) -> frozenset[CallId]: ...
    async def tombstones(self) -> Sequence[CallId]: ...


class Housekeeping:
    """`now` gives Unix seconds."""

    def __init__(
        self,
        ledger: Ledger,
        forgetting: Forgetting,
        records: keeping.Records,
        keep: LedgerSettings,
        now: Callable[[], float],
    ) -> None:
        self._ledger = ledger
        self._forgetting = forgetting
        self._records = records
        self._keep = keep
        self._now = now

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set; what is away now is tried in the next round."""
        while not stopping.is_set():
            try:
                await self.round()
            except StoreUnavailable as error:
                observe.event("store.unavailable", level="warning", stage="housekeeping", error=error)
            except LedgerUnavailable as error:
                observe.event("ledger.unavailable", level="warning", stage="housekeeping", error=error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), EVERY)

    async def round(self) -> None:
        """Raises `StoreUnavailable`, `LedgerUnavailable`; what was done stays done."""
        await self._keep_erased()
        forgotten = await self._forget()
        pruned = await self._prune()
        if forgotten or pruned:
            observe.event("ledger.tidied", forgotten=forgotten, pruned=pruned)

    async def _keep_erased(self) -> None:
        """Each side is told of the graves of the other: one of them may have come back from before."""
        told = await self._forgetting.tombstones()
        known: set[CallId] = set()
        after = ""
        while page := await keeping.tombstones(self._ledger, after=after, limit=GRAVES):
            known.update(page)
            after = page[-1]
        if missing := [call_id for call_id in told if call_id not in known]:
            await keeping.erase_ids(self._ledger, missing, self._now())
            await self._ledger.scrub()
        here = set(told)
        back = [call_id for call_id in known if call_id not in here]
        for start in range(0, len(back), 200):
            await self._forgetting.erase(back[start : start + 200])

    async def _forget(self) -> int:
        gone = 0
        for _ in range(STEPS):
            now = self._now()
            before = now - self._keep.forget_after
            went = await keeping.forget(self._ledger, self._forgetting, self._records, before=before, now=now)
            gone += went
            if not went:
                break
            await asyncio.sleep(BREATHER)
        await self._forgetting.drop_remnants(self._now() - self._keep.remember, 1000)
        return gone

    async def _prune(self) -> int:
        keep = keeping.Retention(
            body=self._keep.keep_bodies,
            delivered=self._keep.keep_delivered,
            unmatched=self._keep.keep_unmatched,
            ignored=self._keep.keep_ignored,
        )
        gone = 0
        for _ in range(STEPS):
            pruned = await keeping.prune(self._ledger, self._now(), keep)
            gone += pruned.calls
            if not pruned.more:
                break
            await asyncio.sleep(BREATHER)
        return gone
