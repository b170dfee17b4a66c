"""Leases, fences and settlements: each call is in one place, moved by its owner only."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from callbridge.call import CallId
from callbridge.claim import Claim, Nothing, Paused, Reclaimed
from callbridge.outcome import MOVES, PauseReason, Settlement, State
from callbridge.store.pace import RedisPace
from callbridge.store.queue import FATAL_DEATHS, RedisQueue
from support.store import A_NOTE, Bench

SETTLED = [State.WAITING, State.UNCERTAIN, State.PARKED, State.DELIVERED, State.UNMATCHED, State.DEAD, State.IGNORED]
SETTLED_FROM = [State.WAITING, State.CLAIMED, State.SENDING, State.UNCERTAIN, State.PARKED, State.DELIVERED, State.DEAD]


def to(state: State, call_id: CallId) -> Settlement:
    note = A_NOTE if state is State.DELIVERED else None
    return Settlement(call_id, state, None if note else "why", delivered=note)


async def fence_of(bench: Bench, call_id: CallId) -> int:
    return int(await bench.scripts.redis.hget(f"{bench.scripts.root}call:{call_id}", "fn") or 0)  # type: ignore[misc] # both worlds


async def test_claims_take_the_oldest_first_and_never_the_same_call_twice(bench: Bench) -> None:
    ids = await bench.store(120)
    claims = await asyncio.gather(*(bench.queue.claim("main", 50) for _ in range(4)))
    taken = [[call.id for call in claim.calls] for claim in claims if isinstance(claim, Claim)]
    assert sorted(map(len, taken), reverse=True) == [50, 50, 20]
    assert Counter(call_id for batch in taken for call_id in batch) == Counter(ids)


async def test_a_claim_takes_one_accounts_calls_only(bench: Bench) -> None:
    await bench.store(3, account="main")
    await bench.store(2, account="branch", ref="b")
    assert len((await bench.claim(account="branch")).calls) == 2


async def test_an_empty_queue_says_when_the_next_call_is_due(bench: Bench) -> None:
    assert await bench.queue.claim("main", 10) == Nothing(next_due=None)


async def test_only_marking_counts_an_attempt_and_the_same_batch_only_once(bench: Bench) -> None:
    [call_id] = await bench.store()
    claim = await bench.claim()
    assert (await bench.get(call_id)).attempts == 0
    for batch, attempts in [("b-1", 1), ("b-1", 1), ("b-2", 2)]:
        assert await bench.queue.mark_sending(claim.fence, [call_id], batch=batch, lease=60) == {call_id}
        record = await bench.get(call_id)
        assert (record.state, record.attempts) == ("sending", attempts)


@pytest.mark.parametrize("origin", SETTLED_FROM)
@pytest.mark.parametrize("state", SETTLED)
async def test_settling_follows_the_state_table_and_leaves_a_call_in_one_place(
    bench: Bench, origin: State, state: State
) -> None:
    [call_id] = await bench.bring_to(origin)
    looked = await bench.queue.look("main", 1, lease=60) if origin is State.UNCERTAIN else None
    fence = looked.fence if looked else await fence_of(bench, call_id)
    before = await bench.everything()
    stale = await bench.queue.settle(fence, [to(state, call_id)], {})
    settled_by_claim = origin in {State.CLAIMED, State.SENDING, State.UNCERTAIN}
    if settled_by_claim and state in MOVES[origin]:
        assert stale == set()
        assert len(await bench.places(call_id)) == 1
        assert (await bench.get(call_id)).state in {state.value, "queued", "retrying"}
    else:
        assert stale == {call_id}
        assert await bench.everything() == before


@pytest.mark.parametrize("state", [s for s in SETTLED if s is not State.IGNORED])
async def test_settling_twice_changes_nothing(bench: Bench, state: State) -> None:
    [call_id] = await bench.store()
    claim = await bench.sending()
    await bench.queue.settle(claim.fence, [to(state, call_id)], {"batch": "b-1"})
    once = await bench.everything()
    assert await bench.queue.settle(claim.fence, [to(state, call_id)], {"batch": "b-1"}) == {call_id}
    assert await bench.everything() == once


async def test_a_stale_fence_changes_nothing(bench: Bench) -> None:
    [call_id] = await bench.store()
    claim = await bench.sending()
    before = await bench.everything()
    assert await bench.queue.settle(claim.fence - 1, [to(State.DELIVERED, call_id)], {}) == {call_id}
    assert await bench.queue.mark_sending(claim.fence + 1, [call_id], batch="b-9", lease=60) == set()
    assert await bench.queue.release(claim.fence + 1, [call_id]) == 0
    assert await bench.everything() == before


async def test_a_delivered_call_keeps_its_note_and_the_batch_in_its_story(bench: Bench) -> None:
    [call_id] = await bench.store()
    claim = await bench.sending()
    await bench.queue.settle(claim.fence, [to(State.DELIVERED, call_id)], {"batch": "b-1", "size": 1})
    record = await bench.get(call_id)
    assert (record.note_id, record.entity_type, record.entity_id) == (7001, "contact", 12)
    [entry] = await bench.records.story(call_id)
    assert (entry["what"], entry["batch"], entry["size"]) == ("delivered", "b-1", 1)


async def test_a_released_call_is_as_it_was_and_goes_first(bench: Bench) -> None:
    await bench.store(2)
    claim = await bench.sending(size=1)
    [first] = [call.id for call in claim.calls]
    assert await bench.queue.release(claim.fence, [first], "b-1") == 1
    record = await bench.get(first)
    assert (record.state, record.attempts) == ("queued", 0)
    assert await bench.records.story(first) == []
    assert (await bench.claim()).calls[0].id == first


async def test_a_lapsed_claim_waits_again_and_a_lapsed_request_becomes_uncertain(bench: Bench) -> None:
    claimed, sending = await bench.store(2)
    hasty = RedisQueue(bench.scripts, lease=0.001, look_in=30)
    claim = await hasty.claim("main", 2)
    assert isinstance(claim, Claim)
    await hasty.mark_sending(claim.fence, [sending], batch="b-1", lease=0.001)
    await asyncio.sleep(0.01)
    assert await bench.queue.reclaim() == Reclaimed(waiting=1, uncertain=1, dead=0)
    assert await bench.states([claimed, sending]) == ["queued", "uncertain"]
    assert await bench.places(sending) == ["uncertain:main"]
    # The worker was only asleep: whatever it says now is refused.
    settlements = [to(State.DEAD, claimed), to(State.DELIVERED, sending)]
    assert await bench.queue.settle(claim.fence, settlements, {}) == {claimed, sending}
    assert not await bench.queue.reclaim()


async def test_a_lease_that_has_not_ended_is_left_alone(bench: Bench) -> None:
    await bench.store()
    await bench.claim()
    assert not await bench.queue.reclaim()


async def test_a_call_that_kills_its_workers_is_buried(bench: Bench) -> None:
    [call_id] = await bench.store()
    hasty = RedisQueue(bench.scripts, lease=0.001, look_in=30)
    for death in range(1, FATAL_DEATHS + 1):
        assert isinstance(await hasty.claim("main", 1), Claim)
        await asyncio.sleep(0.01)
        assert bool((await hasty.reclaim()).dead) == (death == FATAL_DEATHS)
    record = await bench.get(call_id)
    assert (record.state, record.reason) == ("dead", "kills_worker")
    assert await bench.places(call_id) == ["dead"]


async def test_parked_calls_are_revived_when_their_time_has_come(bench: Bench) -> None:
    [soon] = await bench.bring_to(State.PARKED, ref="soon")
    [late] = await bench.bring_to(State.PARKED, ref="late", delay=300)
    assert (await bench.queue.agenda()).tries == {"main"}
    assert await bench.queue.revive("main") == 1
    assert await bench.states([soon, late]) == ["retrying", "parked"]
    [claimed] = (await bench.claim()).calls
    assert (claimed.id, claimed.parks) == (soon, 1)


async def test_what_ailed_a_call_is_forgotten_once_it_is_delivered(bench: Bench) -> None:
    [call_id] = await bench.bring_to(State.PARKED, reason="no_matching_entity")
    await bench.queue.revive("main")
    claim = await bench.sending(batch="b-2")
    await bench.queue.settle(claim.fence, [to(State.DELIVERED, call_id)], {})
    record = await bench.get(call_id)
    assert (record.state, record.reason, record.detail) == ("delivered", None, None)


async def test_a_look_takes_due_uncertain_calls_for_itself(bench: Bench) -> None:
    [call_id] = await bench.bring_to(State.UNCERTAIN)
    looked = await bench.queue.look("main", 10, lease=60)
    assert looked
    [call] = looked.calls
    assert (call.id, call.attempts, call.looks) == (call_id, 1, 0)
    assert await bench.queue.look("main", 10, lease=60) is None
    again = Settlement(call_id, State.UNCERTAIN, "no_answer", delay=0, looks=1)
    assert await bench.queue.settle(looked.fence, [again], {}) == set()
    second = await bench.queue.look("main", 10, lease=60)
    assert second and second.calls[0].looks == 1
    assert second.calls[0].uncertain_since == call.uncertain_since
    assert await bench.queue.settle(looked.fence, [to(State.DELIVERED, call_id)], {}) == {call_id}


async def test_a_paused_account_gives_no_calls_but_one_when_its_probe_is_due(bench: Bench) -> None:
    await bench.store(3)
    assert await bench.queue.pause("main", PauseReason.PAYMENT_REQUIRED, "402", first=60, at_most=900)
    assert not await bench.queue.pause("main", PauseReason.PAYMENT_REQUIRED, "402", first=60, at_most=900)
    paused = await bench.queue.claim("main", 10)
    assert isinstance(paused, Paused) and 59 < paused.ask_in <= 60
    assert (await bench.queue.agenda()).due == frozenset()
    await bench.scripts.redis.hset(f"{bench.scripts.root}pause:main", "probe_at", 1)  # type: ignore[misc] # both worlds
    probe = await bench.queue.claim("main", 10)
    assert isinstance(probe, Claim) and probe.probe and len(probe.calls) == 1
    after = await bench.queue.claim("main", 10)
    assert isinstance(after, Paused) and 119 < after.ask_in <= 120
    assert await bench.queue.resume("main") is not None
    assert await bench.queue.resume("main") is None
    assert len((await bench.claim()).calls) == 2


async def test_renewed_calls_stay_ours_and_foreign_ones_do_not_become_so(bench: Bench) -> None:
    hasty = RedisQueue(bench.scripts, lease=0.05, look_in=30)
    ids = await bench.store(2)
    claim = await hasty.claim("main", 2)
    assert isinstance(claim, Claim)
    await hasty.renew(claim.fence, ids, 60)
    await hasty.renew(claim.fence + 1, ids, 0.001)
    await asyncio.sleep(0.1)
    assert not await bench.queue.reclaim()
    assert await bench.states(ids) == ["sending", "sending"]


async def test_a_long_look_can_be_renewed(bench: Bench) -> None:
    [call_id] = await bench.bring_to(State.UNCERTAIN)
    looked = await bench.queue.look("main", 10, lease=0.05)
    assert looked
    await bench.queue.renew(looked.fence, [call_id], 60)
    await asyncio.sleep(0.1)
    assert await bench.queue.look("main", 10, lease=60) is None


async def test_a_replayed_call_waits_for_its_contact_anew(bench: Bench) -> None:
    [call_id] = await bench.bring_to(State.DEAD)
    await bench.scripts.redis.hset(f"{bench.scripts.root}call:{call_id}", "rc", 1_000)  # type: ignore[misc] # both worlds
    await bench.scripts.run("replay", "", "", call_id)
    claim = await bench.claim()
    assert claim.now - 60 < claim.calls[0].waiting_since <= claim.now


async def test_a_slowed_account_gives_nothing_and_is_on_nobodys_agenda(bench: Bench) -> None:
    await bench.bring_to(State.UNCERTAIN, ref="lost")
    await bench.store()
    assert (await bench.queue.agenda()).due == (await bench.queue.agenda()).looks == {"main"}
    await RedisPace(bench.scripts, "main", 7).failed(30, "503")
    slowed = await bench.queue.claim("main", 10)
    assert isinstance(slowed, Paused) and 29 < slowed.ask_in < 30.1
    agenda = await bench.queue.agenda()
    assert agenda.due == agenda.looks == frozenset()


@pytest.mark.parametrize(
    ("reason", "readable"),
    [(PauseReason.BANNED, False), (PauseReason.UNAUTHORISED, False), (PauseReason.PAYMENT_REQUIRED, True)],
)
async def test_a_paused_account_is_read_only_where_reading_can_succeed(
    bench: Bench, reason: PauseReason, readable: bool
) -> None:
    await bench.bring_to(State.UNCERTAIN)
    await bench.queue.pause("main", reason, "", first=60, at_most=900)
    assert ((await bench.queue.agenda()).looks == {"main"}) is readable


async def test_every_stored_call_is_counted_in_exactly_one_state(bench: Bench) -> None:
    order = [s for s in State if s not in {State.WAITING, State.ERASED}]
    for state in [*order, State.WAITING]:  # the claims on the way would take what waits
        await bench.bring_to(state, 2, ref=state.value, delay=300 if state in {State.PARKED, State.UNCERTAIN} else 0)
    tally = await bench.tally.read()
    assert (tally.queued, tally.retrying, tally.sending) == (2, 0, 4)
    assert (tally.uncertain, tally.parked, tally.delivered) == (2, 2, 2)
    assert (tally.unmatched, tally.dead, tally.ignored, tally.total) == (2, 2, 2, 18)


async def test_a_call_that_waits_after_a_request_is_counted_as_retrying(bench: Bench) -> None:
    [call_id] = await bench.store()
    claim = await bench.sending()
    await bench.queue.settle(claim.fence, [to(State.WAITING, call_id)], {})
    tally = await bench.tally.read()
    assert (tally.queued, tally.retrying) == (0, 1)
    assert (await bench.get(call_id)).state == "retrying"
