"""The drains of one worker: at most one per account, over all workers, and the looks and notes beside them.

A wake-up (an arq job, whose loss costs a second at most) only says "there may be work"; the drain it starts belongs to this
worker and ends when the account has nothing to do. A wake-up during a drain makes it look once more before it ends. Where
more accounts have work than the worker has places, a drain that had its share gives its place to the next and queues again:
the account with the longest backlog must not be the only one that is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from callbridge import observe
from callbridge.errors import AccountSlowed, StoreUnavailable


class Presence(Protocol):
    async def begin_drain(self, account: str, worker: str) -> bool: ...
    async def end_drain(self, account: str, worker: str) -> None: ...


SHARE: Final = 0.5
"""Seconds for which a drain keeps its place while others wait for one: worth a few requests, and soon over."""

Work = Callable[[str], Awaitable[object]]
"""Does one account's work until there is none."""

Crowded = Callable[[], bool]

Draining = Callable[[str, Crowded], Awaitable[object]]
"""Drains one account until there is nothing to do, or it finds the worker crowded: then somebody else has its place."""


class Drains:
    """Runs `drain`, `look` and `note` per account in the background."""

    def __init__(
        self, worker: str, *, drain: Draining, look: Work, note: Work, presence: Presence, at_most: int
    ) -> None:
        self._worker = worker
        self._drain = drain
        self._look = look
        self._note = note
        self._presence = presence
        self._at_most = at_most
        self._running: dict[str, asyncio.Task[None]] = {}
        self._looking: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._woken: set[str] = set()
        self._queue: dict[str, None] = {}
        self._yielded: set[str] = set()
        self._stopping = False

    def running(self) -> frozenset[str]:
        """The accounts that this worker drains now, or is about to."""
        return frozenset(self._running)

    async def wake(self, account: str) -> None:
        """Starts the account's drain unless it runs here or in another living worker; where this worker is full, as soon as
        there is a place.
        """
        if not self._stopping:
            self._woken.add(account)
            if account not in self._running:
                self._queue[account] = None
                self._admit()

    def _admit(self) -> None:
        """Those who only wait for their last answers hold no place."""
        while self._queue and not self._stopping and len(self._running) - len(self._yielded) < self._at_most:
            account = next(iter(self._queue))
            del self._queue[account]
            self._running[account] = asyncio.create_task(self._run(account))

    def _crowded(self, account: str, since: float) -> bool:
        """Whether a drain that has its place since then gives it up now, to the first who waits."""
        if self._queue and asyncio.get_running_loop().time() - since >= SHARE:
            self._yielded.add(account)
            self._admit()
        return account in self._yielded

    async def look(self, account: str) -> None:
        """Starts a read-back for the account unless one is under way here."""
        self._begin(account, "look", self._look)

    async def note(self, account: str) -> None:
        """Starts adding the account's late recordings unless that is under way here."""
        self._begin(account, "note", self._note)

    async def stop(self) -> None:
        """Waits for the drains, which see the same stop signal, and ends the rest: a look that is ended loses nothing, and a
        note in flight is looked for.
        """
        self._stopping = True
        for task in self._looking.values():
            task.cancel()
        tasks = [*self._running.values(), *self._looking.values()]
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, account: str) -> None:
        try:
            while account in self._woken and await self._presence.begin_drain(account, self._worker):
                observe.event("drain.started", level="debug", account=account)
                await self._drain_while_woken(account)
                observe.event("drain.ended", level="debug", account=account)
                if self._stopping or account in self._yielded:
                    break
        except StoreUnavailable as error:
            observe.event("store.unavailable", level="warning", account=account, stage="drain", error=error)
        except Exception as error:  # noqa: BLE001 # a bug in one account's drain must not stop the others
            observe.event("worker.failed", level="error", account=account, stage="drain", error=error)
        finally:
            # After a failure, or where another worker drains, nobody hurries: the sweep rings every second.
            self._woken.discard(account)
            del self._running[account]
            if account in self._yielded:
                self._yielded.discard(account)
                self._woken.add(account)
                self._queue[account] = None
            self._admit()

    async def _drain_while_woken(self, account: str) -> None:
        began = asyncio.get_running_loop().time()
        try:
            while account in self._woken and not self._stopping:
                self._woken.discard(account)
                await self._drain(account, functools.partial(self._crowded, account, began))
                if account in self._yielded:
                    return
        finally:
            with contextlib.suppress(StoreUnavailable):
                await self._presence.end_drain(account, self._worker)

    def _begin(self, account: str, stage: str, work: Work) -> None:
        if not self._stopping and (account, stage) not in self._looking:
            self._looking[account, stage] = asyncio.create_task(self._run_beside(account, stage, work))

    async def _run_beside(self, account: str, stage: str, work: Work) -> None:
        try:
            while await work(account) and not self._stopping:
                pass
        except AccountSlowed as slowed:
            observe.event("account.slowed", account=account, seconds=round(slowed.seconds, 2), stage=stage)
        except StoreUnavailable as error:
            observe.event("store.unavailable", level="warning", account=account, stage=stage, error=error)
        except Exception as error:  # noqa: BLE001 # as above
            observe.event("worker.failed", level="error", account=account, stage=stage, error=error)
        finally:
            self._looking.pop((account, stage), None)
