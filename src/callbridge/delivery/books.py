"""What a drain writes down about its calls: marked before they leave, settled or put back after, said in the log.

Apart from the drain because this is where the store may be away: nothing is sent that could not be marked, and a result in
memory is worth keeping.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from callbridge import observe
from callbridge.call import CallId
from callbridge.claim import Claim, Claimed
from callbridge.delivery.settle import GoOn, Plan
from callbridge.errors import StoreUnavailable
from callbridge.outcome import Settlement

AGAIN: Final = 0.2
"""Seconds between two attempts to write a result down."""


class Queue(Protocol):
    async def mark_sending(self, fence: int, ids: Sequence[CallId], *, batch: str, lease: float) -> set[CallId]: ...
    async def settle(
        self, fence: int, settlements: Sequence[Settlement], facts: Mapping[str, Any], *, batch: bytes | None = None
    ) -> set[CallId]: ...
    async def tell(self, batch: bytes) -> None: ...
    async def release(self, fence: int, ids: Sequence[CallId], batch: str | None = None) -> int: ...


class Books:
    """Those of one account. `lease` is seconds."""

    def __init__(self, account: str, *, queue: Queue, lease: float) -> None:
        self._account = account
        self._queue = queue
        self._lease = lease

    async def mark(self, claim: Claim, calls: Sequence[Claimed], batch: str) -> list[Claimed]:
        """Those of the calls that are still ours, marked as sending. Where the store is silent nothing is sent, and the
        calls go back as soon as it speaks.
        """
        ids = [call.id for call in calls]
        try:
            ours = await self._queue.mark_sending(claim.fence, ids, batch=batch, lease=self._lease)
        except StoreUnavailable as error:
            observe.event("store.unavailable", level="warning", account=self._account, stage="mark", error=error)
            await self.put_back(claim, calls, batch)
            return []
        return [call for call in calls if call.id in ours]

    async def put_back(self, claim: Claim, calls: Sequence[Claimed], batch: str | None = None) -> None:
        """Nothing was sent with `batch`, even where they are marked for it."""
        await self.record(claim, Plan(GoOn(), released=tuple(call.id for call in calls)), {"batch": batch})

    async def record(self, claim: Claim, planned: Plan, facts: Mapping[str, Any], request: bytes | None = None) -> None:
        """Carried out in the store, again and again while the lease lasts. After that the calls are uncertain, and the CRM is
        asked what it has. `facts` tell about the request, with its `batch`; `request` is its own record, which is written
        with the calls it settles, or by itself, and perhaps twice.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._lease
        batch = facts.get("batch")
        along, alone = (request, None) if planned.settlements else (None, request)
        stale: set[CallId] | None = None
        while True:
            try:
                if stale is None:
                    stale = await self._queue.settle(claim.fence, planned.settlements, facts, batch=along)
                await self._queue.release(claim.fence, planned.released, None if planned.read else batch)
                if alone is not None:
                    await self._queue.tell(alone)
                break
            except StoreUnavailable as error:
                if loop.time() + AGAIN >= deadline:
                    observe.event(
                        "store.unavailable", level="error", account=self._account, stage="settle", error=error
                    )
                    return
                await asyncio.sleep(AGAIN)
        for settled in planned.settlements:
            observe.event(
                "call.settled",
                id=settled.id,
                account=self._account,
                state=settled.state,
                reason=settled.reason,
                batch=batch,
                stale=settled.id in stale,
            )
