"""Live calls, replayed and revived ones, and suspects: who goes first, and that nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from callbridge.call import CallId
from callbridge.claim import Claim, Nothing
from callbridge.outcome import Settlement, State
from callbridge.store.queue import FATAL_DEATHS, SUSPECT_DEATHS, RedisQueue
from support.store import Bench


async def replayed(bench: Bench, count: int, ref: str = "dead") -> set[CallId]:
    ids = await bench.bring_to(State.DEAD, count, ref=ref, reason="expired")
    for start in range(0, count, 200):
        await bench.scripts.run("replay", "", "", *ids[start : start + 200])
    return set(ids)


async def die(bench: Bench, size: int, account: str = "main") -> list[CallId]:
    """A worker claims and dies; another takes back what it had."""
    hasty = RedisQueue(bench.scripts, lease=0.001, look_in=30)
    claim = await hasty.claim(account, size)
    assert isinstance(claim, Claim)
    await asyncio.sleep(0.01)
    await hasty.reclaim()
    return [call.id for call in claim.calls]


@pytest.mark.parametrize(("size", "theirs"), [(2, 1), (5, 1), (10, 2), (50, 10), (250, 50)])
async def test_a_fifth_of_a_claim_is_for_bulk_while_live_calls_are_due(bench: Bench, size: int, theirs: int) -> None:
    bulk = await replayed(bench, 240)
    await bench.store(260)
    claim = await bench.claim(size)
    assert len(claim.calls) == size
    assert sum(call.id in bulk for call in claim.calls) == theirs


async def test_bulk_gets_everything_where_no_live_call_is_due_and_what_live_calls_leave(bench: Bench) -> None:
    bulk = await replayed(bench, 120)
    assert len((await bench.claim(50)).calls) == 50
    live = await bench.store(3)
    claim = await bench.claim(50)
    assert Counter(call.id in bulk for call in claim.calls) == {True: 47, False: 3}
    assert {call.id for call in claim.calls[:3]} == set(live), "live calls lead"


async def test_one_call_at_a_time_every_fifth_is_bulk(bench: Bench) -> None:
    bulk = await replayed(bench, 20)
    await bench.store(20)
    taken = [(await bench.claim(1)).calls[0].id in bulk for _ in range(20)]
    assert sum(taken) == 4


async def test_revived_calls_are_bulk(bench: Bench) -> None:
    [call_id] = await bench.bring_to(State.PARKED)
    await bench.queue.revive("main")
    assert await bench.places(call_id) == ["bulk:main"]


@pytest.mark.parametrize("way", ["release", "settle", "reclaim"])
async def test_a_bulk_call_that_goes_back_stays_bulk_and_a_live_one_live(bench: Bench, way: str) -> None:
    [bulk] = await replayed(bench, 1)
    [live] = await bench.store(1)
    claim = await RedisQueue(bench.scripts, lease=0.001, look_in=30).claim("main", 10)
    assert isinstance(claim, Claim) and len(claim.calls) == 2
    match way:
        case "release":
            await bench.queue.release(claim.fence, [bulk, live])
        case "settle":
            await bench.queue.settle(claim.fence, [Settlement(i, State.WAITING) for i in (bulk, live)], {})
        case _:
            await asyncio.sleep(0.01)
            await bench.queue.reclaim()
    assert [await bench.places(bulk), await bench.places(live)] == [["bulk:main"], ["due:main"]]


async def test_every_lane_is_on_the_agenda_and_in_the_figures(bench: Bench) -> None:
    [call_id] = await replayed(bench, 1)
    assert (await bench.queue.agenda()).due == {"main"}
    tally = await bench.tally.read()
    [account] = tally.accounts
    assert (tally.retrying, tally.total, account.waiting, account.bulk) == (1, 1, 1, 1)
    assert account.oldest_waiting is not None
    for _ in range(SUSPECT_DEATHS):
        await die(bench, 1)
    assert await bench.places(call_id) == ["alone:main"]
    assert (await bench.queue.agenda()).due == {"main"}
    [account] = (await bench.tally.read()).accounts
    assert (account.waiting, account.bulk, account.isolated) == (1, 0, 1)
    assert account.oldest_waiting is not None


async def test_calls_over_which_three_workers_died_are_claimed_alone_and_one_at_a_time(bench: Bench) -> None:
    suspects = await bench.store(4)
    for _ in range(SUSPECT_DEATHS):
        assert len(await die(bench, 50)) == 4
    first = await bench.claim(50)
    assert len(first.calls) == 1
    second = await bench.queue.claim("main", 50)
    assert isinstance(second, Nothing)
    assert second.next_due is not None and second.next_due > 50, "as long as its lease lasts"
    live = await bench.store(2, ref="live")
    assert {call.id for call in (await bench.claim(50)).calls} == set(live), "nobody else waits for a suspect"
    await bench.queue.release(first.fence, [first.calls[0].id])
    assert await bench.places(first.calls[0].id) == ["due:main"], "what came to be sent kills nobody"
    again = await bench.claim(1)
    assert again.calls[0].id in suspects


async def test_a_suspect_has_its_turn_while_live_calls_are_due(bench: Bench) -> None:
    [suspect] = await bench.store()
    for _ in range(SUSPECT_DEATHS):
        await die(bench, 1)
    await bench.store(200, ref="live")
    taken = [[call.id for call in (await bench.claim(10)).calls] for _ in range(5)]
    assert [ids == [suspect] for ids in taken] == [False] * 4 + [True]


async def test_the_one_that_kills_is_buried_and_its_neighbours_are_not(bench: Bench) -> None:
    ids = await bench.store(6)
    poison = ids[3]
    for _ in range(SUSPECT_DEATHS):
        await die(bench, 50)
    for _ in range(40):
        claim = await RedisQueue(bench.scripts, lease=0.02, look_in=30).claim("main", 50)
        if not isinstance(claim, Claim):
            break
        if any(call.id == poison for call in claim.calls):
            await asyncio.sleep(0.03)
            await bench.queue.reclaim()
        else:
            settled = [Settlement(call.id, State.IGNORED, "test") for call in claim.calls]
            assert await bench.queue.settle(claim.fence, settled, {}) == set()
    assert (await bench.get(poison)).reason == "kills_worker"
    assert await bench.states([i for i in ids if i != poison]) == ["ignored"] * 5
    assert FATAL_DEATHS > SUSPECT_DEATHS


async def test_a_call_that_was_really_sent_keeps_its_attempt_when_it_goes_back(bench: Bench) -> None:
    sent, marked = await bench.store(2)
    claim = await bench.sending(batch="b-1")
    assert await bench.queue.mark_sending(claim.fence, [marked], batch="b-2", lease=60) == {marked}
    assert await bench.queue.release(claim.fence, [sent, marked], "b-2") == 2
    assert [(await bench.get(i)).attempts for i in (sent, marked)] == [1, 1]
