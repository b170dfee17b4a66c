"""Posts strangers as incoming leads, for one drain: after `/calls` knew nobody by their number, under the same lease.

What goes when is decided in `leads`; here the answers are heard and told on. Apart from the drain, whose requests they
become: this holds what outlives a request, the numbers that have a lead on its way and whether the account takes any.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from callbridge import observe
from callbridge.call import Call, CallId
from callbridge.claim import Claimed
from callbridge.delivery.leads import MAX_LEADS, Door, about_one, number_of, one_a_number
from callbridge.delivery.ports import Permit
from callbridge.delivery.record import Why
from callbridge.errors import StoreUnavailable
from callbridge.outcome import Ready, Reason, Settlement, State
from callbridge.posted import Posted

AGAIN_IN: Final = 2.0
"""Seconds until the next call of a number that has a lead on its way asks for the contact that the lead brings."""


@dataclass(frozen=True, slots=True)
class Round:
    """Calls for one request, and their items in its words: those of `/calls`, or of incoming leads. `why` just these, and
    `parent`: see `record`.
    """

    calls: Sequence[Claimed]
    ready: Mapping[CallId, Ready]
    leads: bool = False
    why: Why = "due"
    parent: str | None = None


class Queue(Protocol):
    async def leads_closed(self, account: str, why: str) -> None: ...


class Crm(Protocol):
    def as_lead(self, call: Call) -> Ready: ...
    async def post_leads(self, items: Mapping[CallId, Ready], permit: Permit) -> Posted: ...


class Strangers:
    def __init__(self, account: str, *, queue: Queue, crm: Crm) -> None:
        self._account = account
        self._queue = queue
        self._crm = crm
        self._door = Door()
        self._on_their_way: set[str] = set()

    @property
    def closed(self) -> str | None:
        """Why the account takes no leads now."""
        return self._door.closed(asyncio.get_running_loop().time())

    def meet(self, calls: Sequence[Claimed], batch: str | None = None) -> tuple[list[Round], tuple[Settlement, ...]]:
        """Who goes now, which `part` ends, and what becomes of the others meanwhile. They were unknown in `batch`."""
        now, later = one_a_number(calls, self._on_their_way)
        self._on_their_way.update(map(number_of, now))
        items = {call.id: self._crm.as_lead(call.call) for call in now if call.call}
        parts = [now[start : start + MAX_LEADS] for start in range(0, len(now), MAX_LEADS)]
        waits = (Settlement(c.id, State.WAITING, Reason.NO_MATCHING_ENTITY, delay=AGAIN_IN) for c in later)
        rounds = [Round(part, items, leads=True, why="strangers", parent=batch) for part in parts]
        return rounds, tuple(waits)

    def part(self, rounds: Iterable[Round]) -> None:
        """These are over, or will not be."""
        self._on_their_way.difference_update(number_of(call) for each in rounds if each.leads for call in each.calls)

    async def post(self, calls: Sequence[Claimed], ready: Mapping[CallId, Ready], permit: Permit) -> Posted:
        """One request with the calls as leads, its slot already taken, and after a refusal one more, for `permit`."""
        posted = await self._crm.post_leads({call.id: ready[call.id] for call in calls}, permit)
        answer = about_one(posted.answer, calls)
        if self._door.heard(answer, asyncio.get_running_loop().time()):
            why = self._door.why
            level: observe.Level = "warning" if why else "info"
            observe.event("leads.closed" if why else "leads.open", level=level, account=self._account, detail=why)
            with contextlib.suppress(StoreUnavailable):
                await self._queue.leads_closed(self._account, why or "")
        return replace(posted, answer=answer)
