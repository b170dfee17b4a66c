"""What people do with dead calls: send again, once, or discard."""

from __future__ import annotations

import asyncio

import pytest

from callbridge.call import UndecodableWebhook, Webhook
from callbridge.outcome import State
from callbridge.store.repair import RedisRepair
from support.store import Bench


@pytest.fixture
def repair(bench: Bench) -> RedisRepair:
    return RedisRepair(bench.scripts)


async def test_a_replayed_call_waits_with_a_fresh_budget_and_its_uniq(bench: Bench, repair: RedisRepair) -> None:
    [call_id] = await bench.bring_to(State.DEAD)
    before = await bench.get(call_id)
    assert await repair.replay([call_id]) == {call_id}
    [claimed] = (await bench.claim()).calls
    assert claimed.call == before.call
    assert claimed.first_sent_at is None


async def test_two_operators_replay_each_call_once(bench: Bench, repair: RedisRepair) -> None:
    ids = await bench.bring_to(State.DEAD, 100)
    moved = await asyncio.gather(repair.replay(ids), repair.replay(ids))
    assert sorted(call_id for part in moved for call_id in part) == sorted(ids)
    assert (await bench.tally.read()).total == 100


@pytest.mark.parametrize("state", [s for s in State if s not in {State.DEAD, State.ERASED}])
async def test_what_is_not_dead_is_left_alone(bench: Bench, repair: RedisRepair, state: State) -> None:
    [call_id] = await bench.bring_to(state)
    before = await bench.everything()
    assert await repair.replay([call_id]) == set()
    assert await repair.discard([call_id]) == set()
    assert await bench.everything() == before


async def test_what_nobody_could_read_cannot_be_sent_but_discarded(bench: Bench, repair: RedisRepair) -> None:
    [receipt] = await bench.inbox.put([UndecodableWebhook("main", "office", "generic", Webhook("", b"?"), "no JSON")])
    assert receipt.id
    assert await repair.replay([receipt.id]) == set()
    assert await repair.discard([receipt.id]) == {receipt.id}
    assert (await bench.get(receipt.id)).state == "ignored"
    assert await bench.places(receipt.id) == ["ignored"]


async def test_a_call_of_unknown_outcome_is_looked_for_before_it_is_sent(bench: Bench, repair: RedisRepair) -> None:
    [call_id] = await bench.bring_to(State.DEAD, reason="unknown_outcome")
    assert await repair.replay([call_id]) == {call_id}
    assert (await bench.get(call_id)).state == "uncertain"
    looked = await bench.queue.look("main", 10, lease=60)
    assert looked
    [call] = looked.calls
    assert call.looks == 0
    assert looked.now - 60 < call.first_sent_at <= call.retried_since <= looked.now
