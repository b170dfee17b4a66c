"""Several legs of one call: the best one is sent, the others stay visible, and none of them is sent beside it."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallId, CallStatus, FinishedCall, Receipt, ReceiptKind
from callbridge.outcome import Settlement, State
from callbridge.store.scripts import Scripts
from support.builders import a_finished_call, a_recording
from support.store import Bench

LINK = "https://rec.example.org/a.mp3"


def a_leg(duration: int = 0, extension: str = "101", *, hold: float = 300, **changes: Any) -> FinishedCall:
    """Answered where somebody talked; a call's legs share their ref."""
    status = CallStatus.ANSWERED if duration else CallStatus.NO_ANSWER
    return a_finished_call(**({"hold": hold, "duration": duration, "extension": extension, "status": status} | changes))


MISSED, SHORT, LONG = a_leg(0, "101"), a_leg(20, "102"), a_leg(90, "103")


async def put(bench: Bench, *legs: FinishedCall) -> list[ReceiptKind]:
    """One webhook each."""
    receipts: list[Receipt] = []
    for leg in legs:
        receipts += await bench.inbox.put([leg])
    assert len({receipt.id for receipt in receipts}) == 1
    return [receipt.kind for receipt in receipts]


async def the_call(bench: Bench) -> CallId:
    [record] = [record async for record in bench.records.newest()]
    return record.id


async def due_at(bench: Bench, call_id: CallId) -> float:
    return float(await bench.scripts.redis.zscore(f"{bench.scripts.root}due:main", call_id) or 0)


async def release(bench: Bench, call_id: CallId) -> None:
    """The hold is over."""
    await bench.scripts.redis.zadd(f"{bench.scripts.root}due:main", {call_id: 1})


async def story(bench: Bench, call_id: CallId) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in entry.items() if name != "at"} for entry in await bench.records.story(call_id)
    ]


async def test_a_better_leg_takes_the_place_of_one_that_waits(bench: Bench) -> None:
    [first] = await bench.inbox.put([MISSED])
    assert first.id
    before, due = await bench.get(first.id), await due_at(bench, first.id)
    bench.rung.clear()
    assert await put(bench, SHORT) == [ReceiptKind.FOLDED]
    record = await bench.get(first.id)
    assert record.call == SHORT.call
    assert record.webhook == SHORT.webhook
    assert record.call and before.call and record.call.uniq == before.call.uniq
    assert record.received_at == before.received_at
    assert (await due_at(bench, first.id), await bench.places(first.id)) == (due, ["due:main"])
    assert bench.rung == set()
    assert (await bench.tally.read()).total == 1


async def test_the_leg_that_made_way_stays_visible(bench: Bench) -> None:
    await put(bench, MISSED, SHORT)
    call_id = await the_call(bench)
    assert await story(bench, call_id) == [
        {"what": "folded", "status": "no_answer", "duration": 0, "extension": "101", "started_at": 1_790_000_000}
    ]
    assert (await bench.get(call_id)).variants == 1


@pytest.mark.parametrize(("standing", "other"), [(SHORT, MISSED), (LONG, SHORT), (SHORT, a_leg(20, "777"))])
async def test_a_leg_that_is_not_better_is_a_variant_and_the_first_stands(
    bench: Bench, standing: FinishedCall, other: FinishedCall
) -> None:
    assert await put(bench, standing, other) == [ReceiptKind.STORED, ReceiptKind.VARIANT]
    call_id = await the_call(bench)
    record = await bench.get(call_id)
    assert (record.call, record.variants) == (standing.call, 1)
    [entry] = await story(bench, call_id)
    assert (entry["what"], entry["duration"], entry["extension"]) == (
        "variant", other.call.duration, other.call.extension
    )  # fmt: skip


async def test_a_repetition_of_any_leg_is_a_duplicate_of_that_leg(bench: Bench) -> None:
    await put(bench, MISSED, LONG, SHORT)
    assert set(await put(bench, *[MISSED, SHORT, LONG] * 6)) == {ReceiptKind.DUPLICATE}
    call_id = await the_call(bench)
    record = await bench.get(call_id)
    assert (record.call, record.variants, record.duplicates) == (LONG.call, 2, 18)
    assert [entry["what"] for entry in await story(bench, call_id)] == ["folded", "variant"]


@pytest.mark.parametrize("legs", list(itertools.permutations([MISSED, SHORT, LONG] * 2))[::60])
async def test_legs_of_one_array_fold_like_those_that_come_one_by_one(
    bench: Bench, legs: tuple[FinishedCall, ...]
) -> None:
    receipts = await bench.inbox.put(legs)
    assert len({receipt.id for receipt in receipts}) == 1
    kinds = [receipt.kind for receipt in receipts]
    assert (kinds[0], kinds.count(ReceiptKind.STORED), kinds.count(ReceiptKind.DUPLICATE)) == (kinds[0], 1, 3)
    record = await bench.get(await the_call(bench))
    assert (record.call, record.webhook, record.variants) == (LONG.call, LONG.webhook, 2)
    release_at = await the_call(bench)
    await release(bench, release_at)
    [claimed] = (await bench.claim()).calls
    assert claimed.call == LONG.call


async def test_legs_beside_other_calls_of_one_array_fold_into_their_own(bench: Bench) -> None:
    others = [a_leg(n + 1, ref=f"other-{n}") for n in range(20)]
    receipts = await bench.inbox.put([*others[:10], MISSED, *others[10:], LONG, SHORT])
    assert [receipt.kind for receipt in receipts[-2:]] == [ReceiptKind.FOLDED, ReceiptKind.VARIANT]
    for arrival, receipt in zip([*others[:10], LONG, *others[10:]], receipts, strict=False):
        assert receipt.id and (await bench.get(receipt.id)).call == arrival.call


async def test_two_hundred_of_two_legs_at_once_are_one_call(bench: Bench) -> None:
    legs = [SHORT, LONG] * 100
    answers = await asyncio.gather(*(bench.inbox.put([leg]) for leg in legs))
    assert len(answers) == 200
    assert {receipt.id for receipts in answers for receipt in receipts} == {await the_call(bench)}
    record = await bench.get(await the_call(bench))
    assert (record.call, record.variants, record.duplicates) == (LONG.call, 1, 198)


@pytest.mark.parametrize("state", [s for s in State if s not in {State.WAITING, State.ERASED}])
async def test_a_leg_that_comes_too_late_is_kept_and_not_sent(bench: Bench, state: State) -> None:
    [call_id] = await bench.bring_to(state, ref="r", duration=5)
    before = await bench.get(call_id)
    assert await put(bench, a_leg(90, ref="r0")) == [ReceiptKind.VARIANT]
    after = await bench.get(call_id)
    assert (after.call, after.state, after.variants) == (before.call, before.state, 1)
    assert await put(bench, *[a_leg(90, ref="r0")] * 3) == [ReceiptKind.DUPLICATE] * 3


async def test_a_call_that_was_sent_and_waits_again_is_not_replaced(bench: Bench) -> None:
    await put(bench, a_leg(5, hold=0))
    claim = await bench.sending()
    [call] = claim.calls
    await bench.queue.settle(claim.fence, [Settlement(call.id, State.WAITING, "absent_in_crm")], {})
    assert await put(bench, LONG) == [ReceiptKind.VARIANT]
    [again] = (await bench.claim()).calls
    assert again.call and again.call.duration == 5


async def test_a_leg_that_came_while_its_call_was_claimed_is_taken_when_it_comes_again_in_time(bench: Bench) -> None:
    await put(bench, a_leg(5, hold=0))
    claim = await bench.claim()
    assert await put(bench, LONG) == [ReceiptKind.VARIANT]
    await bench.queue.release(claim.fence, [claim.calls[0].id])
    assert await put(bench, LONG) == [ReceiptKind.FOLDED]
    assert (await bench.get(claim.calls[0].id)).variants == 1


async def test_a_sender_of_ever_other_legs_fills_nothing(bench: Bench) -> None:
    kinds = await put(bench, LONG, *(a_leg(20, f"{200 + n}") for n in range(60)))
    assert kinds == [ReceiptKind.STORED] + [ReceiptKind.VARIANT] * 60
    call_id = await the_call(bench)
    assert (await bench.get(call_id)).variants == 60
    assert len(await story(bench, call_id)) == 10
    assert await bench.scripts.redis.hlen(f"{bench.scripts.root}legs:{call_id}") == 10


async def test_a_sender_of_ever_better_legs_fills_nothing_and_the_best_is_sent(bench: Bench) -> None:
    await put(bench, *(a_leg(1 + n) for n in range(150)))
    call_id = await the_call(bench)
    record = await bench.get(call_id)
    assert record.call and record.call.duration == 150
    assert len(await story(bench, call_id)) == 100
    assert await bench.scripts.redis.hlen(f"{bench.scripts.root}legs:{call_id}") == 10


async def test_a_call_stored_before_there_were_ranks_stands(bench: Bench) -> None:
    await put(bench, MISSED)
    call_id = await the_call(bench)
    await bench.scripts.redis.hdel(f"{bench.scripts.root}call:{call_id}", "rk")
    assert await put(bench, LONG) == [ReceiptKind.VARIANT]


# --- with recordings ---------------------------------------------------------------------------------------------------


async def is_held(bench: Bench) -> bool:
    now = float((await bench.scripts.redis.time())[0])
    return await due_at(bench, await the_call(bench)) / 1000 > now + 200


@pytest.mark.parametrize(("leg", "held"), [(MISSED, True), (SHORT, False)])
@pytest.mark.parametrize("recording_first", [True, False])
async def test_a_recording_ends_the_wait_of_an_answered_leg_only(
    bench: Bench, leg: FinishedCall, held: bool, recording_first: bool
) -> None:
    arrivals = [a_recording(), leg] if recording_first else [leg, a_recording()]
    for arrival in arrivals:
        await bench.inbox.put([arrival])
    assert await is_held(bench) is held


async def test_a_recorded_call_whose_better_leg_comes_is_sent_with_both(bench: Bench) -> None:
    await bench.inbox.put([MISSED])
    await bench.inbox.put([a_recording(link=LINK)])
    await put(bench, LONG)
    await release(bench, await the_call(bench))
    [claimed] = (await bench.claim()).calls
    assert claimed.call and (claimed.call.duration, claimed.call.link) == (90, LINK)


async def test_a_joined_recording_outlasts_the_own_link_of_a_better_leg(bench: Bench) -> None:
    await bench.inbox.put([MISSED])
    await bench.inbox.put([a_recording(link=LINK)])
    await put(bench, a_leg(90, link="https://rec.example.org/own.mp3"))
    [again] = await bench.inbox.put([a_recording(link=LINK)])
    assert again.kind is ReceiptKind.DUPLICATE
    assert (await bench.get(await the_call(bench))).link == LINK
    [other] = await bench.inbox.put([a_recording(link="https://rec.example.org/own.mp3")])
    assert other.kind is ReceiptKind.PATCHED


async def test_the_own_link_of_a_better_leg_is_the_calls(bench: Bench) -> None:
    await put(bench, a_leg(20, link="https://rec.example.org/old.mp3"), a_leg(90, link=LINK))
    [again] = await bench.inbox.put([a_recording(link=LINK)])
    assert again.kind is ReceiptKind.DUPLICATE
    await put(bench, a_leg(95))
    [fresh] = await bench.inbox.put([a_recording(link=LINK)])
    assert fresh.kind is ReceiptKind.PATCHED


def content(leg: FinishedCall) -> tuple[object, ...]:
    return leg.call.duration, leg.call.extension, leg.call.status


# --- whatever the order ------------------------------------------------------------------------------------------------

LEGS = st.builds(
    a_leg,
    st.sampled_from([0, 0, 5, 20, 90]),
    st.sampled_from(["101", "102", "103"]),
    link=st.sampled_from([None, LINK]),
    status=st.sampled_from([CallStatus.ANSWERED, CallStatus.VOICEMAIL, CallStatus.BUSY]),
)


@settings(max_examples=60, deadline=None)
@given(legs=st.lists(LEGS, min_size=1, max_size=9), cuts=st.lists(st.integers(1, 4), max_size=9))
def test_the_first_of_the_best_legs_stands_in_any_order(legs: list[FinishedCall], cuts: list[int]) -> None:
    async def run() -> None:
        bench = Bench(Scripts(FakeAsyncRedis(), "{legs}:", flags=False))
        left, sizes = list(legs), iter(cuts)
        while left:
            size = next(sizes, len(left))
            group, left = left[:size], left[size:]
            receipts = await bench.inbox.put(group)
            assert len(receipts) == len(group)
        record = await bench.get(await the_call(bench))
        best = max(legs, key=lambda leg: leg.call.rank)
        assert record.call and record.call.rank == best.call.rank
        assert (record.call.duration, record.call.extension, record.call.status) == content(best)
        different = len({content(leg) for leg in legs})
        assert (record.variants, record.duplicates) == (different - 1, len(legs) - different)
        assert (await bench.tally.read()).total == 1
        await bench.scripts.redis.aclose()

    asyncio.run(run())
