"""Adds late recordings to the cards of their calls: takes a note, waits for a slot, marks, posts, ends it.

The small sister of the drain, at the same pace: one note a request, because notes are few and each goes to a card of its own.
What an answer means is decided in `late`; this module reads the clock, draws the jitter and acts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, assert_never

from callbridge import observe
from callbridge.delivery import trial
from callbridge.delivery.late import Again, Ended, Next, answered, looked
from callbridge.delivery.settle import Policy, Slow
from callbridge.errors import AccountSlowed
from callbridge.found import Unreadable
from callbridge.note import LateNote, NoteAnswer, NoteLook
from callbridge.outcome import AccountStopped, NotSent

AT_ONCE: Final = 20
"""Notes between two moments at which a worker can stop."""

MARKS: Final = 3
"""Times that a note is marked anew because its slot went by meanwhile, as for a batch."""

SLACK: Final = 600
"""Seconds before it was posted from which a card's notes are read, beyond what is known of the CRM's clock."""

Permit = Callable[[], Awaitable[object]]


class Queue(Protocol):
    async def take(self) -> LateNote | None: ...
    async def mark(self, note: LateNote) -> bool: ...
    async def end(self, note: LateNote, told: Mapping[str, Any]) -> bool: ...
    async def put_back(self, note: LateNote, delay: float, *, posted: bool, looks: int) -> bool: ...


class Cards(Protocol):
    async def authorise(self, permit: Permit) -> AccountStopped | NotSent | None: ...
    async def add_note(self, note: LateNote, permit: Permit) -> NoteAnswer: ...
    async def find_note(self, note: LateNote, age: float, permit: Permit) -> NoteLook: ...


class Pace(trial.Pace, Protocol):
    async def take(self, *, trial: bool = False) -> float: ...
    def holds(self, slot: float) -> bool: ...
    async def leave(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Noting:
    """One account's late recordings."""

    account: str
    queue: Queue
    cards: Cards
    pace: Pace
    policy: Policy
    jitter: Callable[[], float]

    async def run(self) -> int:
        """Takes due notes, at most `AT_ONCE`; how many there were. Raises `StoreUnavailable`, and `AccountSlowed` after the
        note in hand was put back.
        """
        try:
            return await self._run()
        finally:
            await self.pace.leave()

    async def _run(self) -> int:
        for done in range(AT_ONCE):
            note = await self.queue.take()
            if note is None:
                return done
            try:
                await (self._add(note) if note.posted_at is None else self._look(note))
            except AccountSlowed as slowed:
                posted = note.posted_at is not None
                await self.queue.put_back(note, slowed.seconds, posted=posted, looks=note.looks)
                raise
        return AT_ONCE

    async def _add(self, note: LateNote) -> None:
        began = _now()
        problem = await self.cards.authorise(self._permit)
        for _ in range(MARKS if problem is None else 0):
            slot = await self._permit()
            if not await self.queue.mark(note):
                return  # somebody else has it by now
            if self.pace.holds(slot):
                break
        answer = problem or await self.cards.add_note(note, self._permit)
        now = note.now + _now() - began
        then, effect = answered(answer, note, self.policy, now=now, jitter=self.jitter())
        await self._settle(note, then, type(answer).__name__)
        if isinstance(effect, Slow):
            await self.pace.failed(effect.seconds, effect.why, asked=effect.asked, trial=self.pace.trying)
            observe.event(
                "account.slowed",
                level="warning",
                account=self.account,
                seconds=round(effect.seconds, 2),
                why=effect.why,
            )
        elif note.failures or self.pace.trying:
            await self.pace.answered(trial=self.pace.trying)

    async def _look(self, note: LateNote) -> None:
        age = note.now - (note.posted_at or note.now) + SLACK

        async def renewing_permit() -> None:
            """Before every page, so that a long reading keeps the note ours."""
            await self.queue.mark(note)
            await self._permit()

        look = await self.cards.find_note(note, age, renewing_permit)
        then = looked(look, note, self.policy, now=note.now, jitter=self.jitter())
        await self._settle(note, then, type(look).__name__)
        await trial.tell(self.pace, look.detail if isinstance(look, Unreadable) else None, self.jitter)

    async def _permit(self) -> float:
        return await self.pace.take(trial=True)

    async def _settle(self, note: LateNote, then: Next, answer: str) -> None:
        match then:
            case Ended(told):
                ours = await self.queue.end(note, told)
            case Again(delay, posted, looks):
                ours = await self.queue.put_back(note, delay, posted=posted, looks=looks)
            case _:
                assert_never(then)
        observe.event(
            "note.settled",
            id=note.id,
            account=self.account,
            answer=answer,
            ended=isinstance(then, Ended),
            stale=not ours,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()
