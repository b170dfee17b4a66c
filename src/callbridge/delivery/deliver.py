"""The drain of one account: claim, translate, wait for a slot, mark, post, settle, say so.

One drain runs per account, several of its requests may be under way, many drains run side by side. Everything slow happens
before the mark; between the mark and the settlement a call may be in the CRM, and if we die there it is looked for, not
sent again. What an answer means is decided in `settle`; this module reads the clock, draws the jitter and acts.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never

from callbridge import observe
from callbridge.call import Call, CallId
from callbridge.claim import Claim, Claimed, Nothing, Paused
from callbridge.delivery.books import Books
from callbridge.delivery.learnt import Learnt, Terms
from callbridge.delivery.ports import Crm, Pace, Queue, Select
from callbridge.delivery.record import Sent, Why, record_of
from callbridge.delivery.settle import STOP_LOSS, GoOn, Plan, plan, untranslated
from callbridge.delivery.split import halves
from callbridge.delivery.strangers import Round, Strangers
from callbridge.errors import AccountSlowed, StoreUnavailable
from callbridge.outcome import NotForCrm, Ready, Translation
from callbridge.posted import Posted

LEAD = 0.03
"""Seconds before its slot at which a batch is claimed and translated, so that the slot is not spent on that."""

LINGER = 0.05
"""Seconds until the next due call for which a drain stays: shorter than being woken again."""

LOOK_EVERY = 0.1
"""Seconds between two looks for new calls while a request is under way."""

STAY = 2.0
"""Seconds for which a drain waits out a slow-down: nothing could be sent meanwhile anyway."""

NAP = 0.25
"""Seconds after which a waiting drain looks whether it is to stop, or others need its place."""

MARKS = 3
"""Times that a late batch is marked anew. Where the store is always that slow, the rate is out of reach anyway."""


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
        select: Select,
        stopping: asyncio.Event,
        jitter: Callable[[], float],
        new_batch: Callable[[], str],
    ) -> None:
        self._account = account
        self._queue = queue
        self._crm = crm
        self._pace = pace
        self._terms = terms
        self._select = select
        self._stopping = stopping
        self._jitter = jitter
        self._new_batch = new_batch
        self._books = Books(account, queue=queue, lease=terms.lease)
        self._learnt = Learnt(account, queue=queue, pace=pace, terms=terms)
        self._strangers = Strangers(account, queue=queue, crm=crm)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._store_ahead = 0.0

    async def run(self, crowded: Callable[[], bool] = lambda: False) -> None:
        """Until nothing is due, or others need its place: `crowded`. Raises `StoreUnavailable` after the requests in flight
        are settled as well as possible.
        """
        try:
            while not self._stopping.is_set() and not crowded() and await self._step():
                pass
        finally:
            if self._in_flight:
                await asyncio.wait(self._in_flight)

    async def _step(self) -> bool:
        """One turn of the drain; False when there is nothing to do now."""
        if len(self._in_flight) >= self._terms.max_in_flight:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            return True
        if (early := self._pace.free_in - LEAD) > 0:
            await asyncio.sleep(min(early, NAP))
            if early > NAP:
                return True
        size = self._learnt.size.now
        match await self._queue.claim(self._account, size):
            case Claim() as claim:
                self._store_ahead = claim.now - asyncio.get_running_loop().time()
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
        await asyncio.sleep(min(ask_in, NAP))
        return True

    async def _begin(self, claim: Claim, *, full: bool) -> None:
        """Translates, waits for a slot, and lets the request go its way."""
        translations = {call.id: self._translated(call.call) if call.call else None for call in claim.calls}
        ready = {call_id: item for call_id, item in translations.items() if isinstance(item, Ready)}
        unsent = [settled for call_id, item in translations.items() if (settled := untranslated(call_id, item))]
        if unsent:
            await self._books.record(claim, Plan(GoOn(), tuple(unsent)), {})
        batch = [call for call in claim.calls if call.id in ready]
        if not batch:
            if claim.probe:
                await self._queue.reprobe(self._account)
            return
        slot = await self._slot(claim, batch)
        if slot is None:
            await self._leave(claim)
            return
        task = asyncio.create_task(self._send_all(claim, batch, ready, slot, full=full))
        self._in_flight.add(task)
        task.add_done_callback(self._landed)

    def _translated(self, call: Call) -> Translation:
        """Decided now, not at receipt: by now all legs that were waited for have come."""
        selected = self._select(call)
        return selected if isinstance(selected, NotForCrm) else self._crm.translate(selected)

    async def _slot(self, claim: Claim, calls: Sequence[Claimed], batch: str | None = None) -> float | None:
        """Sees to a token and waits for a slot. Where there is none, because the account was slowed meanwhile or the store is
        silent, the calls go back: None. Nothing of them was sent, not even if they are marked for `batch`.
        """
        permit = functools.partial(self._pace.take, trial=claim.trial)
        try:
            problem = await self._crm.authorise(permit)
            if problem is None:
                return await permit()
            failures, policy = claim.failures, self._terms.policy
            planned = plan(problem, calls, policy, now=claim.now, failures=failures, jitter=self._jitter())
            await self._books.record(claim, planned, {"batch": batch})
            await self._learnt.react(claim, problem, planned, {}, sent=len(calls), full=False)
        except AccountSlowed:
            await self._books.put_back(claim, calls, batch)
        except StoreUnavailable as error:
            observe.event("store.unavailable", level="warning", account=self._account, stage="pace", error=error)
            await self._books.put_back(claim, calls, batch)
        return None

    async def _leave(self, claim: Claim) -> None:
        """The trial of an open breaker, where it came to nothing."""
        if claim.trial:
            with contextlib.suppress(StoreUnavailable):
                await self._pace.leave()

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
        """One batch, and what its answers ask for under the same lease: where it is refused without a name, its halves, until
        the culprits stand alone; and strangers as incoming leads.
        """
        why: Why = "probe" if claim.probe else "trial" if claim.trial else "full" if full else "due"
        waiting = await self._send(claim, Round(calls, ready, why=why), slot, full=full)
        begun: list[Round] = []
        try:
            while waiting:
                batch = waiting.pop()
                begun.append(batch)
                rest = [call for later in waiting for call in later.calls]
                if self._learnt.refusals >= STOP_LOSS:
                    await self._queue.release(claim.fence, [call.id for call in [*batch.calls, *rest]])
                    return
                await self._queue.renew(claim.fence, [call.id for call in rest], self._terms.lease)
                next_slot = await self._slot(claim, [*batch.calls, *rest])
                if next_slot is None:
                    return
                waiting += await self._send(claim, batch, next_slot)
        finally:
            self._strangers.part([*begun, *waiting])
            await self._leave(claim)

    async def _send(self, claim: Claim, sent: Round, slot: float, *, full: bool = False) -> list[Round]:
        """One request, settled. Returns what is to be sent next, the last first, still ours."""
        batch = self._new_batch()
        calls = await self._books.mark(claim, sent.calls, batch)
        for _ in range(MARKS):
            if not calls or self._pace.holds(slot):
                break
            # Marking took too long, or this process was stopped: others may have the slots since, or the calls.
            next_slot = await self._slot(claim, calls, batch)
            if next_slot is None:
                return []
            slot, calls = next_slot, await self._books.mark(claim, calls, batch)
        if not calls:
            return []
        loop = asyncio.get_running_loop()
        began = loop.time()
        if sent.leads:
            permit = functools.partial(self._pace.take, trial=claim.trial)
            posted = await self._strangers.post(calls, sent.ready, permit)
        else:
            posted = await self._crm.post({call.id: sent.ready[call.id] for call in calls})
        answer, seconds = posted.answer, loop.time() - began
        planned = plan(
            answer,
            calls,
            self._terms.policy,
            now=claim.now + seconds,
            failures=claim.failures,
            jitter=self._jitter(),
            refusals=self._learnt.refusals,
            probe=claim.probe is not None,
            closed=self._strangers.closed,
        )
        facts: dict[str, Any] = {
            "batch": batch,
            "size": len(calls),
            "seconds": round(seconds, 3),
            "answer": type(answer).__name__,
        }
        if posted.evidence and posted.evidence.status:
            facts["status"] = posted.evidence.status
        if sent.leads:
            facts["as"] = "lead"
        await self._books.record(claim, planned, facts, self._told(batch, sent, calls, seconds, posted))
        await self._learnt.react(claim, answer, planned, facts, sent=len(calls), full=full)
        if planned.split:
            observe.event("batch.halved", account=self._account, batch=batch, size=len(calls))
            return [Round(half, sent.ready, sent.leads, "half", batch) for half in reversed(halves(calls))]
        if not planned.strangers:
            return []
        strangers, waits = self._strangers.meet([call for call in calls if call.id in planned.strangers], batch)
        await self._books.record(claim, Plan(GoOn(), waits), facts)
        return strangers

    def _told(self, batch: str, sent: Round, calls: Sequence[Claimed], seconds: float, posted: Posted) -> bytes | None:
        """The record of a request that was answered now, by the store's clock as far as it is known here."""
        at = asyncio.get_running_loop().time() + self._store_ahead
        ids = [call.id for call in calls]
        return record_of(Sent(batch, self._account, at, sent.leads, sent.why, sent.parent, seconds, ids), posted)
