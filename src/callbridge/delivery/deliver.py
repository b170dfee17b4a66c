"""The drain of one account: claim, translate, wait for a slot, mark, post, settle, say so.

One drain runs per account, several of its requests may be under way, many drains run side by side. Everything slow happens
before the mark; between the mark and the settlement a call may be in the CRM, and if we die there it is looked for, not
sent again. What an answer means is decided in `settle`; this module reads the clock, draws the jitter and acts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, assert_never

from callbridge import observe
from callbridge.call import Call, CallId
from callbridge.claim import Claim, Claimed, Nothing, Paused
from callbridge.delivery.learnt import Learnt, Terms
from callbridge.delivery.settle import STOP_LOSS, GoOn, Plan, plan, untranslated
from callbridge.delivery.split import halves
from callbridge.errors import AccountSlowed, StoreUnavailable
from callbridge.outcome import Answer, PauseReason, Ready, Settlement, Translation


class Queue(Protocol):
    async def claim(self, account: str, size: int) -> Claim | Paused | Nothing: ...
    async def mark_sending(self, fence: int, ids: Sequence[CallId], *, batch: str, lease: float) -> set[CallId]: ...
    async def settle(self, fence: int, settlements: Sequence[Settlement], facts: Mapping[str, Any]) -> set[CallId]: ...
    async def release(self, fence: int, ids: Sequence[CallId]) -> int: ...
    async def renew(self, fence: int, ids: Sequence[CallId], lease: float) -> None: ...
    async def reprobe(self, account: str) -> None: ...
    async def pause(self, account: str, reason: PauseReason, detail: str, first: float, at_most: float) -> bool: ...
    async def resume(self, account: str) -> float | None: ...


class Crm(Protocol):
    def translate(self, call: Call) -> Translation: ...
    async def post(self, items: Mapping[CallId, Ready]) -> Answer: ...


class Pace(Protocol):
    @property
    def free_in(self) -> float: ...
    async def take(self) -> float: ...
    def holds(self, slot: float) -> bool: ...
    async def slow(self, seconds: float, why: str) -> None: ...
    async def steady(self) -> None: ...


LEAD = 0.03
"""Seconds before its slot at which a batch is claimed and translated, so that the slot is not spent on that."""

LINGER = 0.05
"""Seconds until the next due call for which a drain stays: shorter than being woken again."""

LOOK_EVERY = 0.1
"""Seconds between two looks for new calls while a request is under way."""

STAY = 2.0
"""Seconds for which a drain waits out a slow-down: nothing could be sent meanwhile anyway."""

MARKS = 3
"""Times that a late batch is marked anew. Where the store is always that slow, the rate is out of reach anyway."""

RECORD_PAUSE = 0.2


class Drain:
    """Drains one account until nothing is due or `stopping` is set. `run` may be called again and again; what it learnt
    about the account (batch size, failures in a row) stays.
    """

    def __init__(
        self,
        account: str,
        *,
        queue: Queue,
        crm: Crm,
        pace: Pace,
        terms: Terms,
        stopping: asyncio.Event,
        jitter: Callable[[], float],
        new_batch: Callable[[], str],
    ) -> None:
        self._account = account
        self._queue = queue
        self._crm = crm
        self._pace = pace
        self._terms = terms
        self._stopping = stopping
        self._jitter = jitter
        self._new_batch = new_batch
        self._learnt = Learnt(account, queue=queue, pace=pace, terms=terms)
        self._in_flight: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Raises `StoreUnavailable` after the requests in flight are settled as well as possible."""
        try:
            while not self._stopping.is_set() and await self._step():
                pass
        finally:
            if self._in_flight:
                await asyncio.wait(self._in_flight)

    async def _step(self) -> bool:
        """One turn of the drain; False when there is nothing to do now."""
        if len(self._in_flight) >= self._terms.max_in_flight:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            return True
        await asyncio.sleep(max(0.0, self._pace.free_in - LEAD))
        size = self._learnt.size.now
        match await self._queue.claim(self._account, size):
            case Claim() as claim:
                if claim.probe:
                    observe.event("account.probed", account=self._account)
                await self._begin(claim, full=len(claim.calls) == size)
                return True
            case Nothing(next_due):
                return await self._idle(next_due)
            case Paused(ask_in):
                return await self._idle(ask_in, stay=STAY)
            case other:
                assert_never(other)

    async def _idle(self, ask_in: float | None, stay: float = LINGER) -> bool:
        """Waits for what is in flight, or a moment; False when there is nothing to stay for."""
        if self._in_flight:
            # Not for the answer alone: a call that comes meanwhile must not wait for somebody else's slow request.
            wait = LOOK_EVERY if ask_in is None else min(ask_in, LOOK_EVERY)
            await asyncio.wait(self._in_flight, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            return True
        if ask_in is None or ask_in > stay:
            return False
        await asyncio.sleep(ask_in)
        return True

    async def _begin(self, claim: Claim, *, full: bool) -> None:
        """Translates, waits for a slot, and lets the request go its way."""
        translations = {call.id: self._crm.translate(call.call) if call.call else None for call in claim.calls}
        ready = {call_id: item for call_id, item in translations.items() if isinstance(item, Ready)}
        unsent = [settled for call_id, item in translations.items() if (settled := untranslated(call_id, item))]
        if unsent:
            await self._record(claim, Plan(GoOn(), tuple(unsent)), {})
        batch = [call for call in claim.calls if call.id in ready]
        if not batch:
            if claim.probe:
                await self._queue.reprobe(self._account)
            return
        slot = await self._slot(claim, batch)
        if slot is None:
            return
        task = asyncio.create_task(self._send_all(claim, batch, ready, slot, full=full))
        self._in_flight.add(task)
        task.add_done_callback(self._landed)

    async def _slot(self, claim: Claim, calls: Sequence[Claimed]) -> float | None:
        """Waits for a slot. Where there is none, because the account was slowed meanwhile or the store is silent, the calls
        go back: None. Nothing of them was sent.
        """
        try:
            return await self._pace.take()
        except AccountSlowed:
            await self._record(claim, Plan(GoOn(), released=tuple(call.id for call in calls)), {})
        except StoreUnavailable as error:
            observe.event("store.unavailable", level="warning", account=self._account, stage="pace", error=error)
            await self._record(claim, Plan(GoOn(), released=tuple(call.id for call in calls)), {})
        return None

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        if task.cancelled() or not (error := task.exception()):
            return
        if isinstance(error, StoreUnavailable):
            observe.event("store.unavailable", level="warning", account=self._account, stage="send", error=error)
        else:
            observe.event("worker.failed", level="error", account=self._account, stage="send", error=error)

    async def _send_all(
        self, claim: Claim, calls: Sequence[Claimed], ready: Mapping[CallId, Ready], slot: float, *, full: bool
    ) -> None:
        """One batch, and where it is refused without a name, its halves, until the culprits stand alone."""
        split = await self._send(claim, calls, ready, slot, full=full)
        waiting = [*reversed(halves(split))] if split else []
        while waiting:
            batch = waiting.pop()
            rest = [call for part in waiting for call in part]
            if self._learnt.refusals >= STOP_LOSS:
                await self._queue.release(claim.fence, [call.id for call in [*batch, *rest]])
                return
            await self._queue.renew(claim.fence, [call.id for call in rest], self._terms.lease)
            next_slot = await self._slot(claim, [*batch, *rest])
            if next_slot is None:
                return
            if split := await self._send(claim, batch, ready, next_slot):
                waiting += reversed(halves(split))

    async def _send(
        self,
        claim: Claim,
        calls: Sequence[Claimed],
        ready: Mapping[CallId, Ready],
        slot: float,
        *,
        full: bool = False,
    ) -> Sequence[Claimed]:
        """One request, settled. Returns the calls that are to be sent again in halves, still ours."""
        batch = self._new_batch()
        calls = await self._mark(claim, calls, batch)
        for _ in range(MARKS):
            if not calls or self._pace.holds(slot):
                break
            # Marking took too long, or this process was stopped: others may have the slots since, or the calls.
            next_slot = await self._slot(claim, calls)
            if next_slot is None:
                return []
            slot, calls = next_slot, await self._mark(claim, calls, batch)
        if not calls:
            return []
        loop = asyncio.get_running_loop()
        began = loop.time()
        answer = await self._crm.post({call.id: ready[call.id] for call in calls})
        seconds = loop.time() - began
        planned = plan(
            answer,
            calls,
            self._terms.policy,
            now=claim.now + seconds,
            failures=claim.failures,
            jitter=self._jitter(),
            refusals=self._learnt.refusals,
            probe=claim.probe is not None,
        )
        facts = {"batch": batch, "size": len(calls), "seconds": round(seconds, 3), "answer": type(answer).__name__}
        await self._record(claim, planned, facts)
        await self._learnt.react(claim, answer, planned, facts, sent=len(calls), full=full)
        if planned.split:
            observe.event("batch.halved", account=self._account, batch=batch, size=len(calls))
        return calls if planned.split else []

    async def _mark(self, claim: Claim, calls: Sequence[Claimed], batch: str) -> list[Claimed]:
        """Those of the calls that are still ours, marked as sending. Where the store is silent nothing is sent, and the
        calls go back as soon as it speaks.
        """
        ids = [call.id for call in calls]
        try:
            ours = await self._queue.mark_sending(claim.fence, ids, batch=batch, lease=self._terms.lease)
        except StoreUnavailable as error:
            observe.event("store.unavailable", level="warning", account=self._account, stage="mark", error=error)
            await self._record(claim, Plan(GoOn(), released=tuple(ids)), {})
            return []
        return [call for call in calls if call.id in ours]

    async def _record(self, claim: Claim, planned: Plan, facts: Mapping[str, Any]) -> None:
        """Settles in the store, again and again while the lease lasts: a result in memory is worth keeping. After that the
        calls are uncertain, and the CRM is asked what it has.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._terms.lease
        stale: set[CallId] | None = None
        while True:
            try:
                if stale is None:
                    stale = await self._queue.settle(claim.fence, planned.settlements, facts)
                await self._queue.release(claim.fence, planned.released)
                break
            except StoreUnavailable as error:
                if loop.time() + RECORD_PAUSE >= deadline:
                    observe.event(
                        "store.unavailable", level="error", account=self._account, stage="settle", error=error
                    )
                    return
                await asyncio.sleep(RECORD_PAUSE)
        for settled in planned.settlements:
            observe.event(
                "call.settled",
                id=settled.id,
                account=self._account,
                state=settled.state,
                reason=settled.reason,
                batch=facts.get("batch"),
                stale=settled.id in stale,
            )
