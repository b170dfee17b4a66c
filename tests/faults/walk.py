"""A history of a store, made by dice: every move that a receiver, workers, looks and operators can make, one after the other.

It is what torn files and restored backups are cut out of: a store in which each kind of move has been made.
"""

from __future__ import annotations

from random import Random
from typing import Any

from callbridge.call import CallId
from callbridge.claim import Claim
from callbridge.outcome import Delivered, Settlement, State
from callbridge.store.inbox import RedisInbox
from callbridge.store.queue import RedisQueue
from callbridge.store.repair import RedisRepair
from callbridge.store.scripts import Scripts
from support.builders import a_finished_call, a_recording

AFTER_SENDING = (
    State.DELIVERED, State.DELIVERED, State.DELIVERED, State.UNMATCHED, State.PARKED, State.UNCERTAIN, State.DEAD,
    State.WAITING,
)  # fmt: skip


class Walk:
    """`steps` moves by `dice` through the store behind `scripts`."""

    def __init__(self, scripts: Scripts, dice: Random) -> None:
        self._dice = dice
        self._inbox = RedisInbox(scripts, lambda: 1_790_000_100.0, lambda _: None)
        self._queue = RedisQueue(scripts, lease=0.001, look_in=0.001)
        self._repair = RedisRepair(scripts)
        self._refs = 0
        self._notes = 7_000
        self._held: list[Claim] = []
        self._ids: list[CallId] = []

    async def run(self, steps: int) -> None:
        moves: list[Any] = [
            self._put,
            self._put,
            self._recording,
            self._claim,
            self._send,
            self._send,
            self._settle,
            self._look,
        ]
        moves += [self._queue.reclaim, self._revive, self._replay, self._release, self._pause]
        for _ in range(steps):
            await self._dice.choice(moves)()

    async def _put(self) -> None:
        arrivals = []
        for _ in range(self._dice.randint(1, 5)):
            if self._dice.random() < 0.8:
                self._refs += 1
            ref, account = f"r{self._refs}", self._dice.choice(("main", "other"))
            arrivals.append(a_finished_call(account=account, ref=ref, duration=self._dice.choice((0, 42, 90))))
        self._ids += [receipt.id for receipt in await self._inbox.put(arrivals) if receipt.id]

    async def _recording(self) -> None:
        number = self._dice.randint(1, self._refs + 2)
        link = f"https://rec.example.org/{number}-{self._dice.randint(1, 3)}.mp3"
        await self._inbox.put([a_recording(f"r{number}", link=link, note_late=self._dice.random() < 0.7)])

    async def _claim(self) -> None:
        claim = await self._queue.claim(self._dice.choice(("main", "other")), self._dice.randint(1, 6))
        if isinstance(claim, Claim):
            self._held.append(claim)

    async def _send(self) -> None:
        await self._claim()
        if self._held:
            claim = self._dice.choice(self._held)
            ids = [call.id for call in claim.calls]
            await self._queue.mark_sending(claim.fence, ids, batch=f"b-{claim.fence}", lease=0.001)

    async def _settle(self) -> None:
        if self._held:
            claim = self._held.pop(self._dice.randrange(len(self._held)))
            settled = [self._settlement(call.id, self._dice.choice(AFTER_SENDING)) for call in claim.calls]
            await self._queue.settle(claim.fence, settled, {"batch": f"b-{claim.fence}", "size": len(settled)})

    def _settlement(self, call_id: CallId, state: State) -> Settlement:
        if state is State.DELIVERED:
            self._notes += 1
            return Settlement(call_id, state, delivered=Delivered(self._notes, "contact", 12))
        return Settlement(call_id, state, "test")

    async def _look(self) -> None:
        looked = await self._queue.look(self._dice.choice(("main", "other")), 5, 0.001)
        if looked:
            states = (State.DELIVERED, State.WAITING, State.UNCERTAIN, State.DEAD)
            settled = [self._settlement(call.id, self._dice.choice(states)) for call in looked.calls]
            await self._queue.settle(looked.fence, settled, {"read_back": "ReadBack"})

    async def _revive(self) -> None:
        await self._queue.revive(self._dice.choice(("main", "other")))

    async def _release(self) -> None:
        if self._held:
            claim = self._held.pop()
            await self._queue.release(claim.fence, [call.id for call in claim.calls])

    async def _replay(self) -> None:
        if self._ids:
            ids = list(dict.fromkeys(self._dice.choices(self._ids, k=8)))
            await (self._repair.replay(ids) if self._dice.random() < 0.7 else self._repair.discard(ids))

    async def _pause(self) -> None:
        account = self._dice.choice(("main", "other"))
        if self._dice.random() < 0.3:
            await self._queue.hold(account, "a walk", "dice", 0.01)
        else:
            await self._queue.resume(account)
