"""Takes changes from Redis into the ledger, at least once and counted once, and goes on by itself after an outage.

A change names a call; what is written is how the call stands in Redis by then, so a change that comes twice, late or out of
order does no harm. Only once a transaction is committed are its changes done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from callbridge import observe
from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger.database import Ledger, Unwritable
from callbridge.ledger.rows import Snapshot
from callbridge.ledger.writing import Writing

TAKE: Final = 500
"""Changes in one transaction."""

WAIT: Final = 1.0
"""Seconds to wait for the first of them."""

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0


class Change(Protocol):
    """One entry of the stream: a call that changed, or a batch that was answered."""

    @property
    def entry(self) -> str: ...
    @property
    def call_id(self) -> str | None: ...
    @property
    def batch(self) -> Mapping[str, Any] | None: ...


class Changes(Protocol):
    async def take(self, count: int, wait: float) -> Sequence[Change]: ...
    async def done(self, entries: Sequence[str]) -> None: ...


class Records(Protocol):
    async def snapshots(self, ids: Sequence[str]) -> Sequence[Snapshot]: ...


async def _nobody(_ids: Sequence[str]) -> None:
    return


class Writer:
    """`now` gives Unix seconds. `on_undead` is told of calls that are erased and stand in Redis with their contents, because
    that was restored from before; it may raise `StoreUnavailable`, and is told again.
    """

    def __init__(
        self,
        ledger: Ledger,
        changes: Changes,
        records: Records,
        now: Callable[[], float],
        on_undead: Callable[[Sequence[str]], Awaitable[None]] = _nobody,
    ) -> None:
        self._ledger = ledger
        self._changes = changes
        self._records = records
        self._now = now
        self._on_undead = on_undead

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set. What is away is waited for; where it left off, it goes on."""
        pause = 0.0
        while not stopping.is_set():
            try:
                await self.step()
                pause = 0.0
                continue
            except StoreUnavailable as error:
                observe.event("store.unavailable", level="warning", stage="ledger", error=error)
            except LedgerUnavailable as error:
                observe.event("ledger.unavailable", level="warning", stage="write", error=error)
            pause = min(_LONGEST_PAUSE, pause * 2 or _FIRST_PAUSE)
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue

    async def step(self) -> int:
        """Takes in what there is, up to `TAKE` changes; waits a little where there is nothing. Returns how many it took."""
        changes = await self._changes.take(TAKE, WAIT)
        if not changes:
            return 0
        try:
            await self._write(changes)
        except Unwritable:
            await self._write_singly(changes)
        await self._changes.done([change.entry for change in changes])
        return len(changes)

    async def _write(self, changes: Sequence[Change]) -> None:
        ids = list(dict.fromkeys(change.call_id for change in changes if change.call_id))
        batches = list({str(change.batch.get("id")): change.batch for change in changes if change.batch}.values())
        snapshots = await self._records.snapshots(ids) if ids else []
        missing = set(ids) - {snapshot.record.id for snapshot in snapshots}
        async with self._ledger.begin() as connection:
            writing = Writing(connection, self._ledger.dialect, round(self._now() * 1000))
            try:
                undead = await writing.write(snapshots, missing, batches)
            except (KeyError, TypeError, ValueError) as error:
                raise Unwritable(f"write: what Redis holds cannot be read ({type(error).__name__})") from error
        if undead:
            await self._on_undead(undead)

    async def _write_singly(self, changes: Sequence[Change]) -> None:
        """One change that cannot be written must not hold up the rest. Its call stays in Redis, which forgets only what the
        ledger has.
        """
        for change in changes:
            try:
                await self._write([change])
            except Unwritable as error:
                observe.event(
                    "ledger.unwritable", level="error", id=change.call_id, batch=_name_of(change.batch), error=error
                )


def _name_of(batch: Mapping[str, Any] | None) -> str | None:
    return str(batch.get("id"))[:40] if batch else None
