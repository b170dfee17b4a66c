"""Calls of which nobody can tell where they are: what is known of them, and that one decision is made once."""

from __future__ import annotations

import asyncio

import pytest

from callbridge.amocrm.recordings import path_of
from callbridge.call import CallId
from callbridge.errors import StoreUnavailable
from callbridge.outcome import Settlement, State
from callbridge.store.doubts import RedisDoubts, Verdict
from callbridge.store.late import RedisLateNotes
from store.conftest import ROOT
from support.builders import a_recording
from support.store import A_NOTE, Bench

DAY = 86_400.0


@pytest.fixture
def doubts(bench: Bench) -> RedisDoubts:
    return RedisDoubts(bench.scripts)


async def resolve(doubts: RedisDoubts, verdict: Verdict, *ids: CallId, after: float = 0.0) -> frozenset[CallId]:
    return await doubts.resolve(verdict, ids, by="anna", why="seen on the card", after=after)


@pytest.mark.parametrize("origin", [State.UNCERTAIN, State.DEAD])
async def test_a_call_marked_as_delivered_has_no_note_and_says_who_decided(
    bench: Bench, doubts: RedisDoubts, origin: State
) -> None:
    [call_id] = await bench.bring_to(origin, reason="unknown_outcome")
    assert await resolve(doubts, Verdict.DELIVERED, call_id) == {call_id}
    record = await bench.get(call_id)
    assert (record.state, record.reason, record.note_id) == ("delivered", "marked_delivered", None)
    assert await bench.places(call_id) == ["delivered"]
    [*_, entry] = await bench.records.story(call_id)
    told = {name: entry[name] for name in ("what", "as", "was", "by", "why")}
    assert told == {
        "what": "resolved", "as": "delivered", "was": origin.value, "by": "anna", "why": "seen on the card",
    }  # fmt: skip
    assert "may_duplicate" not in entry


@pytest.mark.parametrize("origin", [State.UNCERTAIN, State.DEAD])
async def test_a_call_to_send_again_waits_with_fresh_time_and_its_first_request_stays_known(
    bench: Bench, doubts: RedisDoubts, origin: State
) -> None:
    [call_id] = await bench.bring_to(origin, reason="unknown_outcome")
    assert await resolve(doubts, Verdict.RESEND, call_id) == {call_id}
    assert (await bench.get(call_id)).state == "retrying"
    assert await bench.places(call_id) == ["bulk:main"]
    assert (await bench.records.story(call_id))[-1]["may_duplicate"] is True
    [claimed] = (await bench.claim()).calls
    assert (claimed.id, claimed.attempts) == (call_id, 1)
    assert claimed.first_sent_at is not None
    assert claimed.first_sent_at <= claimed.waiting_since


@pytest.mark.parametrize("verdict", Verdict)
async def test_two_operators_decide_each_call_once(bench: Bench, doubts: RedisDoubts, verdict: Verdict) -> None:
    ids = await bench.bring_to(State.DEAD, 100, reason="unknown_outcome")
    other = Verdict.DELIVERED if verdict is Verdict.RESEND else Verdict.RESEND
    first, second = await asyncio.gather(resolve(doubts, verdict, *ids), resolve(doubts, other, *ids))
    assert sorted([*first, *second]) == sorted(ids)
    assert await resolve(doubts, verdict, *ids) == set()
    assert (await bench.tally.read()).total == 100


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("state", [s for s in State if s not in {State.UNCERTAIN, State.DEAD, State.ERASED}])
async def test_what_is_not_in_doubt_is_left_alone(
    bench: Bench, doubts: RedisDoubts, state: State, verdict: Verdict
) -> None:
    [call_id] = await bench.bring_to(state)
    [dead] = await bench.bring_to(State.DEAD, reason="expired", ref="other")
    before = await bench.everything()
    assert await resolve(doubts, verdict, call_id, dead, CallId("nobody")) == set()
    assert await bench.everything() == before


async def test_a_call_that_is_not_long_uncertain_is_left_to_the_bridge(bench: Bench, doubts: RedisDoubts) -> None:
    [call_id] = await bench.bring_to(State.UNCERTAIN)
    before = await bench.everything()
    assert await resolve(doubts, Verdict.RESEND, call_id, after=DAY) == set()
    assert await bench.everything() == before
    redis = bench.scripts.redis
    since = int(await redis.hget(f"{ROOT}call:{call_id}", "us"))  # type: ignore[misc,arg-type] # typed for both worlds
    await redis.hset(f"{ROOT}call:{call_id}", "us", since - int(DAY * 1000))  # type: ignore[misc] # as above
    assert await resolve(doubts, Verdict.RESEND, call_id, after=DAY) == {call_id}


async def test_a_look_that_ends_after_the_decision_changes_nothing(bench: Bench, doubts: RedisDoubts) -> None:
    [call_id] = await bench.bring_to(State.UNCERTAIN)
    looked = await bench.queue.look("main", 10, lease=60)
    assert looked
    await resolve(doubts, Verdict.RESEND, call_id)
    found = Settlement(call_id, State.DELIVERED, delivered=A_NOTE)
    assert await bench.queue.settle(looked.fence, [found], {}) == {call_id}
    assert (await bench.get(call_id)).state == "retrying"


@pytest.mark.parametrize("wrong", [("", "x", "", 0, "id"), ("sent", "x", "", 0, "id"), ("resend", "x", "", -1, "id")])
async def test_a_malformed_decision_is_refused(bench: Bench, wrong: tuple[str | int, ...]) -> None:
    [_] = await bench.bring_to(State.DEAD, reason="unknown_outcome")
    before = await bench.everything()
    with pytest.raises(StoreUnavailable):
        await bench.scripts.run("resolve", *wrong)
    assert await bench.everything() == before


async def test_what_a_call_left_with_stays_known_while_it_is_in_doubt(bench: Bench, doubts: RedisDoubts) -> None:
    ids = await bench.store(3)
    claim = await bench.sending(batch="b-77")
    assert (await doubts.of(await bench.get(ids[0]))).batch_size == 3
    doubtful = [Settlement(call_id, State.UNCERTAIN, "no_answer", delay=30) for call_id in ids]
    await bench.queue.settle(claim.fence, doubtful, {})
    doubt = await doubts.of(await bench.get(ids[1]))
    assert (doubt.batch, doubt.batch_size, doubt.looks) == ("b-77", 3, 0)
    assert doubt.sent_at and doubt.since and doubt.next_look_at
    assert doubt.sent_at <= doubt.since < doubt.next_look_at
    await resolve(doubts, Verdict.DELIVERED, ids[1])
    after = await doubts.of(await bench.get(ids[1]))
    assert (after.batch, after.since, after.next_look_at) == (None, None, None)


async def test_a_recording_after_the_decision_is_the_calls_link_and_a_note_that_finds_no_card(
    bench: Bench, doubts: RedisDoubts
) -> None:
    [call_id] = await bench.bring_to(State.DEAD, reason="unknown_outcome", ref="r")
    await resolve(doubts, Verdict.DELIVERED, call_id)
    [receipt] = await bench.inbox.put([a_recording(ref="r0", note_late=True)])
    assert receipt.id == call_id
    assert (await bench.get(call_id)).link == "https://rec.example.org/a.mp3"
    note = await RedisLateNotes(bench.scripts, "main", lease=60).take()
    assert note and path_of(note) is None


async def test_uncertain_calls_are_listed_by_account(bench: Bench) -> None:
    ours = await bench.bring_to(State.UNCERTAIN, 3)
    await bench.bring_to(State.UNCERTAIN, account="other", ref="o")
    await bench.bring_to(State.PARKED, ref="p")
    assert sorted([record.id async for record in bench.records.uncertain(["main"])]) == sorted(ours)


async def test_why_an_account_takes_no_leads_is_remembered_until_it_does(bench: Bench) -> None:
    await bench.store()
    await bench.queue.leads_closed("main", "switched off")
    [row] = (await bench.tally.read()).accounts
    assert row.leads_closed == "switched off"
    await bench.queue.leads_closed("main", "")
    [row] = (await bench.tally.read()).accounts
    assert row.leads_closed is None
