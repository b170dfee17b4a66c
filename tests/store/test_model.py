"""The store against a model of it: a dict of calls and the moves that the documents promise, on a real redis-server.

Hypothesis makes up histories of receivers, workers, looks, operators and deaths. After every move each call stands where the
model says, with as many attempts; what Redis holds fits together key by key. No clock is waited for: leases and delays end by
the machine setting their scores back, as time would.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from callbridge.call import CallId, ReceiptKind, UndecodableWebhook, Webhook
from callbridge.claim import Claim, Looked, Paused
from callbridge.outcome import FINAL, Delivered, Settlement, State
from callbridge.store.changes import RedisChanges
from callbridge.store.connect import connected
from callbridge.store.forgetting import RedisForgetting
from callbridge.store.inbox import RedisInbox
from callbridge.store.queue import FATAL_DEATHS, SUSPECT_DEATHS, RedisQueue
from callbridge.store.records import RedisRecords, Snapshot
from callbridge.store.repair import RedisRepair
from callbridge.store.scripts import Scripts
from callbridge.store.tally import RedisTally
from faults.consistency import inconsistencies
from support.builders import a_call, a_finished_call
from support.redis_server import RedisServer

T = TypeVar("T")

ROOT = "{model}:"
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "20"))
STEPS = int(os.environ.get("MODEL_STEPS", "50"))

ACCOUNTS = st.sampled_from(("main", "other"))
REFS = st.integers(0, 5)
TALK = st.sampled_from((0, 42, 90))
"""Three legs that a call may have."""

MOVES = {
    State.CLAIMED: {State.WAITING, State.DEAD, State.IGNORED},
    State.SENDING: {
        State.WAITING, State.UNCERTAIN, State.PARKED, State.DELIVERED, State.UNMATCHED, State.DEAD,
    },
    State.UNCERTAIN: {State.UNCERTAIN, State.DELIVERED, State.WAITING, State.DEAD},
}  # fmt: skip
TARGETS = st.sampled_from(sorted({state for targets in MOVES.values() for state in targets}))


@dataclass
class Known:
    """What the model knows of one call. `fence` is that of whoever may still settle it."""

    account: str
    talk: int
    state: State = State.WAITING
    attempts: int = 0
    deaths: int = 0
    fence: int | None = None
    batch: str | None = None
    reason: str = ""
    legs: set[int] = field(default_factory=set)
    forgotten: bool = False


@dataclass
class Hand:
    """Calls that somebody took: a worker, or a look."""

    fence: int
    ids: list[CallId]
    batch: str | None = None


class StoreMachine(RuleBasedStateMachine):
    def __init__(self, url: str) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._connection = connected(url)
        self._redis = self._wait(self._connection.__aenter__())
        self._wait(self._redis.flushall())
        scripts = Scripts(self._redis, ROOT)
        self._inbox = RedisInbox(scripts, lambda: 1_790_000_100.0, lambda _: None)
        self._queue = RedisQueue(scripts, lease=600, look_in=600)
        self._repair = RedisRepair(scripts)
        self._forgetting = RedisForgetting(scripts)
        self._records = RedisRecords(scripts)
        self._tally = RedisTally(scripts)
        self._changes = RedisChanges(scripts, "model")
        self._told: dict[str, Snapshot] = {}
        self._dropped = 0
        self._calls: dict[CallId, Known] = {}
        self._by_ref: dict[tuple[str, int], CallId] = {}
        self._hands: list[Hand] = []
        self._held: set[str] = set()
        self._suspect: dict[str, tuple[CallId, int]] = {}
        self._batches = 0
        self._notes = 7_000

    def _wait(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(asked)

    def teardown(self) -> None:
        try:
            assert self._wait(inconsistencies(self._redis, ROOT)) == []
            assert self._wait(self._tally.read()).total == len(self._calls) + self._dropped
        finally:
            self._wait(self._connection.__aexit__(None, None, None))
            self._runner.close()

    # --- receivers ---------------------------------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        for number in range(3):
            self.put("main", number, 42)

    @rule(account=ACCOUNTS, number=REFS, talk=TALK)
    def put(self, account: str, number: int, talk: int) -> None:
        (receipt,) = self._wait(
            self._inbox.put([a_finished_call(account=account, source=account, ref=f"r{number}", duration=talk)])
        )
        known = self._by_ref.get((account, number))
        if known is None:
            assert receipt.kind is ReceiptKind.STORED
            assert receipt.id and receipt.id not in self._calls
            self._by_ref[account, number] = receipt.id
            self._calls[receipt.id] = Known(account, talk)
            return
        call = self._calls[known]
        assert (receipt.kind, receipt.id) == (self._met_again(call, talk), known)

    def _met_again(self, call: Known, talk: int) -> ReceiptKind:
        if talk == call.talk or call.state is State.ERASED:
            return ReceiptKind.DUPLICATE
        if call.forgotten:
            return ReceiptKind.VARIANT
        better = a_call(duration=talk).rank > a_call(duration=call.talk).rank
        if call.state is State.WAITING and not call.attempts and better:
            call.legs = (call.legs | {call.talk}) - {talk}
            call.talk = talk
            return ReceiptKind.FOLDED
        if talk in call.legs:
            return ReceiptKind.DUPLICATE
        call.legs.add(talk)
        return ReceiptKind.VARIANT

    @rule(account=ACCOUNTS, number=REFS)
    def put_undecodable(self, account: str, number: int) -> None:
        webhook = Webhook("call.finished", b"no call %d" % number)
        (receipt,) = self._wait(self._inbox.put([UndecodableWebhook(account, account, "generic", webhook, "test")]))
        key = account, -1 - number
        assert receipt.id
        assert receipt.kind is (ReceiptKind.DUPLICATE if key in self._by_ref else ReceiptKind.STORED)
        if self._by_ref.setdefault(key, receipt.id) == receipt.id and receipt.kind is ReceiptKind.STORED:
            self._calls[receipt.id] = Known(account, 0, State.DEAD, reason="undecodable")

    # --- workers -----------------------------------------------------------------------------------------------------

    @rule(account=ACCOUNTS, size=st.integers(1, 5))
    def claim(self, account: str, size: int) -> None:
        self._wait(self._let_come("due", account))
        waiting = self._standing(account, State.WAITING)
        claim = self._wait(self._queue.claim(account, size))
        if account in self._held:
            assert isinstance(claim, Paused)
            return
        suspects = {i for i in waiting if self._calls[i].deaths >= SUSPECT_DEATHS}
        one_at_a_time = suspects if not self._tries_a_suspect(account) else set()
        assert isinstance(claim, Claim) is bool(set(waiting) - suspects | one_at_a_time)
        if isinstance(claim, Claim):
            ids = [call.id for call in claim.calls]
            assert 0 < len(ids) <= size and set(ids) <= set(waiting) and len(set(ids)) == len(ids)
            if suspects & set(ids):
                assert len(ids) == 1 and one_at_a_time
                self._suspect[account] = ids[0], claim.fence
            for taken in claim.calls:
                call = self._calls[taken.id]
                assert taken.call and taken.call.duration == call.talk
                assert taken.attempts == call.attempts
                call.state, call.fence = State.CLAIMED, claim.fence
            self._hands.append(Hand(claim.fence, ids))

    def _tries_a_suspect(self, account: str) -> bool:
        """A call over which workers died is in somebody's hands, alone; no other such call is given out meanwhile."""
        if account not in self._suspect:
            return False
        call_id, fence = self._suspect[account]
        return self._is_held(call_id, Hand(fence, [call_id]), State.CLAIMED, State.SENDING)

    @precondition(lambda self: self._hands)
    @rule(data=st.data(), again=st.booleans())
    def mark(self, data: st.DataObject, again: bool) -> None:
        self._mark(data.draw(st.sampled_from(self._hands)), again=again)

    def _mark(self, hand: Hand, *, again: bool) -> None:
        if not (again and hand.batch):
            self._batches += 1
            hand.batch = f"b-{self._batches}"
        ours = {i for i in hand.ids if self._is_held(i, hand, State.CLAIMED, State.SENDING)}
        assert self._wait(self._queue.mark_sending(hand.fence, hand.ids, batch=hand.batch, lease=600)) == ours
        for call_id in ours:
            call = self._calls[call_id]
            call.attempts += not (call.state is State.SENDING and call.batch == hand.batch)
            call.state, call.batch = State.SENDING, hand.batch

    @precondition(lambda self: self._hands)
    @rule(data=st.data(), to=TARGETS, unknown=st.booleans(), keep=st.booleans())
    def settle(self, data: st.DataObject, to: State, unknown: bool, keep: bool) -> None:
        hand = data.draw(st.sampled_from(self._hands))
        ids = data.draw(st.lists(st.sampled_from(hand.ids), min_size=1, unique=True))
        # Only of a call that was looked for can the outcome be unknown.
        unknown = unknown and to is State.DEAD and all(self._calls[i].state is State.UNCERTAIN for i in ids)
        self._settle(hand, ids, to, "unknown_outcome" if unknown else "test")
        if not keep:
            self._hands.remove(hand)

    def _settle(self, hand: Hand, ids: list[CallId], to: State, reason: str) -> None:
        expected = {i for i in ids if not self._may_settle(i, hand, to)}
        settled = [self._settlement(i, to, reason) for i in ids]
        assert self._wait(self._queue.settle(hand.fence, settled, {"batch": "b"})) == expected
        for call_id in set(ids) - expected:
            call = self._calls[call_id]
            call.state, call.fence, call.deaths, call.reason, call.batch = to, None, 0, reason, None

    def _settlement(self, call_id: CallId, target: State, reason: str) -> Settlement:
        if target is not State.DELIVERED:
            return Settlement(call_id, target, reason)
        self._notes += 1
        return Settlement(call_id, target, delivered=Delivered(self._notes, "contact", 12))

    @precondition(lambda self: self._hands)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self._release(data.draw(st.sampled_from(self._hands)))

    def _release(self, hand: Hand) -> None:
        ours = [i for i in hand.ids if self._is_held(i, hand, State.CLAIMED, State.SENDING)]
        assert self._wait(self._queue.release(hand.fence, hand.ids, hand.batch)) == len(ours)
        for call_id in ours:
            call = self._calls[call_id]
            call.attempts -= call.state is State.SENDING and call.batch == hand.batch
            call.state, call.deaths, call.batch = State.WAITING, 0, None

    @precondition(lambda self: self._hands)
    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """A worker with calls in hand is gone, or asleep: its leases end, and somebody sweeps."""
        self._sleep_through(data.draw(st.sampled_from(self._hands)))

    def _sleep_through(self, hand: Hand) -> None:
        gone = [i for i in hand.ids if self._is_held(i, hand, State.CLAIMED, State.SENDING)]
        self._wait(self._end_leases(gone))
        self._wait(self._queue.reclaim())
        for call_id in gone:
            call = self._calls[call_id]
            call.fence = None
            if call.state is State.SENDING:
                call.state = State.UNCERTAIN
                continue
            call.deaths += 1
            call.state = State.DEAD if call.deaths >= FATAL_DEATHS else State.WAITING
            call.reason = "kills_worker" if call.state is State.DEAD else ""

    async def _end_leases(self, ids: list[CallId]) -> None:
        for call_id in ids:
            await self._redis.zadd(f"{ROOT}leases", {call_id: 1}, xx=True)

    @precondition(lambda self: self._hands)
    @rule(data=st.data(), to=TARGETS)
    def wake_up_too_late(self, data: st.DataObject, to: State) -> None:
        """A worker sleeps through its lease, another takes the calls and perhaps marks them, then the first one wakes up and
        does all that it still had to do: nothing of it happens.
        """
        hand = data.draw(st.sampled_from(self._hands))
        self._sleep_through(hand)
        for account in {self._calls[i].account for i in hand.ids} - self._held:
            self.claim(account, 5)
        other = self._hands[-1]
        if data.draw(st.booleans()) and other is not hand:
            self._mark(other, again=False)
        self._mark(hand, again=True)
        self._settle(hand, hand.ids, to, "test")
        self._release(hand)

    @rule(account=ACCOUNTS, size=st.integers(1, 5))
    def look(self, account: str, size: int) -> None:
        self._wait(self._let_come("uncertain", account))
        uncertain = self._standing(account, State.UNCERTAIN)
        looked = self._wait(self._queue.look(account, size, 600))
        assert isinstance(looked, Looked) is bool(uncertain)
        if looked:
            ids = [call.id for call in looked.calls]
            assert len(ids) == min(size, len(uncertain)) and set(ids) <= set(uncertain)
            for call_id in ids:
                self._calls[call_id].fence = looked.fence
            self._hands.append(Hand(looked.fence, ids))

    @rule(account=ACCOUNTS)
    def revive(self, account: str) -> None:
        self._wait(self._let_come("parked", account))
        parked = self._standing(account, State.PARKED)
        assert self._wait(self._queue.revive(account)) == len(parked)
        for call_id in parked:
            self._calls[call_id].state = State.WAITING

    async def _let_come(self, name: str, account: str) -> None:
        """Whatever is scheduled there is due now."""
        for lane in ("due", "bulk", "alone") if name == "due" else (name,):
            key = f"{ROOT}{lane}:{account}"
            for member in await self._redis.zrange(key, 0, -1):
                await self._redis.zadd(key, {member: 1}, xx=True)

    # --- operators ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._calls)
    @rule(data=st.data(), discard=st.booleans())
    def repair(self, data: st.DataObject, discard: bool) -> None:
        ids = self._some_ids(data)
        dead = {i for i in ids if self._calls[i].state is State.DEAD}
        if discard:
            assert self._wait(self._repair.discard(ids)) == dead
            for call_id in dead:
                self._calls[call_id].state = State.IGNORED
            return
        replayed = {i for i in dead if self._calls[i].reason != "undecodable"}
        assert self._wait(self._repair.replay(ids)) == replayed
        for call_id in replayed:
            call = self._calls[call_id]
            call.state = State.UNCERTAIN if call.reason == "unknown_outcome" else State.WAITING
            call.deaths = 0

    @precondition(lambda self: self._calls)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        ids = self._some_ids(data)
        over = {i for i in ids if self._calls[i].state in {State.DELIVERED, State.UNMATCHED, State.IGNORED}}
        assert self._wait(self._forgetting.forget(ids)) == over
        for call_id in over:
            call = self._calls[call_id]
            call.forgotten, call.attempts, call.legs = True, 0, set()

    @precondition(lambda self: any(call.forgotten for call in self._calls.values()))
    @rule()
    def drop_remnants(self) -> None:
        """What comes again after that is new, and nobody who was asleep all the while can do anything with it."""
        gone = {i for i, call in self._calls.items() if call.forgotten}
        assert self._wait(self._forgetting.drop_remnants(4e9, 1000)) == len(gone)
        self._dropped += len(gone)
        self._calls = {i: call for i, call in self._calls.items() if i not in gone}
        self._by_ref = {key: i for key, i in self._by_ref.items() if i not in gone}
        self._suspect = {account: held for account, held in self._suspect.items() if held[0] not in gone}
        for hand in self._hands:
            hand.ids = [i for i in hand.ids if i not in gone]
        self._hands = [hand for hand in self._hands if hand.ids]

    @precondition(lambda self: self._calls)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        ids = self._some_ids(data)
        free = {i for i in ids if self._calls[i].state not in {State.CLAIMED, State.SENDING}}
        assert self._wait(self._forgetting.erase(ids)) == free
        for call_id in free:
            self._calls[call_id] = Known(self._calls[call_id].account, 0, State.ERASED)

    def _some_ids(self, data: st.DataObject) -> list[CallId]:
        return data.draw(st.lists(st.sampled_from(sorted(self._calls)), min_size=1, max_size=6, unique=True))

    @rule(account=ACCOUNTS)
    def hold(self, account: str) -> None:
        assert self._wait(self._queue.hold(account, "test", "anna", None)) is (account not in self._held)
        self._held.add(account)

    @precondition(lambda self: self._held)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        account = data.draw(st.sampled_from(sorted(self._held)))
        assert self._wait(self._queue.resume(account)) is not None
        assert self._wait(self._queue.resume(account)) is None
        self._held.discard(account)

    # --- what holds always -------------------------------------------------------------------------------------------

    @invariant()
    def every_call_stands_where_the_model_says(self) -> None:
        """I1 and I5: each in one state, and nothing that was refused has changed anything."""
        found = self._wait(self._read())
        assert found == {i: (call.state.value, call.attempts) for i, call in self._calls.items()}

    @invariant()
    def what_is_final_stays_so(self) -> None:
        assert all(call.fence is None for call in self._calls.values() if call.state in FINAL)

    @invariant()
    def who_follows_the_stream_knows_all(self) -> None:
        """But for what is on its way: that becomes known with its end."""
        self._wait(self._follow())
        there = {shown.record.id: shown for shown in self._wait(self._records.snapshots(sorted(self._calls)))}
        assert self._told.keys() == there.keys()
        assert {
            i: shown for i, shown in there.items() if shown.record.state != "sending" and shown != self._told[i]
        } == {}

    async def _follow(self) -> None:
        changes = await self._changes.take(500, 0)
        ids = {change.call_id for change in changes if change.call_id}
        self._told = {i: shown for i, shown in self._told.items() if i not in ids}
        self._told |= {shown.record.id: shown for shown in await self._records.snapshots(sorted(ids))}
        await self._changes.done([change.entry for change in changes])

    async def _read(self) -> dict[CallId, tuple[str, int]]:
        found = {}
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call_id in self._calls:
                pipeline.hmget(f"{ROOT}call:{call_id}", "st", "at")
            for call_id, (state, attempts) in zip(self._calls, await pipeline.execute(), strict=True):
                found[call_id] = (state.decode(), int(attempts or 0))
        return found

    def _standing(self, account: str, state: State) -> list[CallId]:
        return [i for i, call in self._calls.items() if call.account == account and call.state is state]

    def _is_held(self, call_id: CallId, hand: Hand, *states: State) -> bool:
        call = self._calls[call_id]
        return call.fence == hand.fence and call.state in states

    def _may_settle(self, call_id: CallId, hand: Hand, target: State) -> bool:
        call = self._calls[call_id]
        return call.fence == hand.fence and target in MOVES.get(call.state, set())


def test_the_store_is_what_the_model_says(redis_server: RedisServer) -> None:
    run_state_machine_as_test(
        lambda: StoreMachine(redis_server.url),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
