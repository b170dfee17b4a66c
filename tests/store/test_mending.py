"""An operator's hand on single calls: parked ones before their next try, dead ones whose content is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from callbridge.call import CallId, CallStatus, Direction, ReceiptKind, UndecodableWebhook, Webhook, key_digest
from callbridge.outcome import MOVES, Reason, Settlement, State
from callbridge.store.envelope import Envelope, seal, unseal
from callbridge.store.mending import RedisMending, amended
from callbridge.store.records import Record
from support.builders import a_call, a_finished_call
from support.store import Bench


@pytest.fixture
def mending(bench: Bench) -> RedisMending:
    return RedisMending(bench.scripts)


async def field(bench: Bench, call_id: CallId, name: str) -> bytes | None:
    value: bytes | None = await bench.scripts.redis.hget(f"{bench.scripts.root}call:{call_id}", name)  # type: ignore[misc] # both worlds
    return value


async def last_entry(bench: Bench, call_id: CallId) -> dict[str, Any]:
    entry = (await bench.records.story(call_id))[-1]
    return {name: value for name, value in entry.items() if name != "at"}


async def told_to_ledger(bench: Bench) -> list[str]:
    rows = await bench.scripts.redis.xrange(f"{bench.scripts.root}ledger")
    return [fields[b"id"].decode() for _, fields in rows if b"id" in fields]


# --- unpark ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "what"), [("retry", "retried_by_hand"), ("lead", "lead_asked")])
async def test_a_parked_call_that_is_tried_again_is_due_at_once_in_the_bulk_lane(
    bench: Bench, mending: RedisMending, how: Any, what: str
) -> None:
    ids = await bench.bring_to(State.PARKED, 2, reason="no_matching_entity", delay=3600)
    before = await told_to_ledger(bench)
    assert await mending.unpark(ids, how, "olga", "she called me") == set(ids)
    assert await bench.states(ids) == ["retrying"] * 2
    assert [await bench.places(call_id) for call_id in ids] == [["bulk:main"]] * 2
    assert await last_entry(bench, ids[0]) == {
        "what": what, "was": "no_matching_entity", "by": "olga", "why": "she called me",
    }  # fmt: skip
    assert (await told_to_ledger(bench))[len(before) :] == ids
    claim = await bench.claim()
    assert [call.lead for call in claim.calls] == [how == "lead"] * 2
    assert await mending.unpark(ids, how, "ivan", "") == set()
    assert State.WAITING in MOVES[State.PARKED]


async def test_a_parked_call_that_is_given_up_is_unmatched_at_once(bench: Bench, mending: RedisMending) -> None:
    [call_id] = await bench.bring_to(State.PARKED, reason="lead_refused", delay=3600)
    assert await mending.unpark([call_id], "give_up", "olga", "wrong number") == {call_id}
    record = await bench.get(call_id)
    assert (record.state, record.reason, record.detail) == ("unmatched", "no_matching_entity", None)
    assert await bench.places(call_id) == ["unmatched"]
    assert await last_entry(bench, call_id) == {
        "what": "given_up", "was": "lead_refused", "by": "olga", "why": "wrong number",
    }  # fmt: skip
    assert State.UNMATCHED in MOVES[State.PARKED]


@pytest.mark.parametrize("state", sorted(set(State) - {State.PARKED, State.ERASED}))
@pytest.mark.parametrize("how", ["retry", "lead", "give_up"])
async def test_what_is_not_parked_stays_as_it_is(bench: Bench, mending: RedisMending, state: State, how: Any) -> None:
    ids = await bench.bring_to(state)
    before = await bench.everything()
    assert await mending.unpark([*ids, CallId("nobody")], how, "olga", "") == set()
    assert await bench.everything() == before


async def test_no_lead_is_made_of_a_call_that_went_out(bench: Bench, mending: RedisMending) -> None:
    [out] = await bench.bring_to(State.PARKED, ref="out", direction=Direction.OUTBOUND, delay=60)
    [came] = await bench.bring_to(State.PARKED, ref="in", delay=60)
    assert await mending.unpark([out, came], "lead", "olga", "") == {came}
    assert (await bench.get(out)).state == "parked"


async def test_more_than_a_slice_is_not_taken(mending: RedisMending) -> None:
    with pytest.raises(ValueError, match="at most 200"):
        await mending.unpark([CallId(f"c{n}") for n in range(201)], "retry", "olga", "")
    assert await mending.unpark([], "retry", "olga", "") == set()


# --- amend -----------------------------------------------------------------------------------------------------------


async def a_dead_call(bench: Bench, reason: str = "untranslatable", **changes: Any) -> Record:
    [receipt] = await bench.inbox.put([a_finished_call(**changes)])
    claim = await bench.claim()
    assert receipt.id
    await bench.queue.settle(claim.fence, [Settlement(receipt.id, State.DEAD, reason)], {})
    return await bench.get(receipt.id)


def corrected(record: Record, **changes: Any) -> bytes:
    assert record.envelope
    return seal(amended(record.envelope, changes))


def seen(record: Record) -> int:
    return round(record.updated_at * 1000)


async def test_a_corrected_call_waits_with_its_new_content_and_its_old_name(
    bench: Bench, mending: RedisMending
) -> None:
    before = await a_dead_call(bench)
    already = await told_to_ledger(bench)
    new = corrected(before, phone="+79165550199", duration=60)
    assert await mending.amend(before.id, new, seen(before), "olga", "a digit was missing")
    after = await bench.get(before.id)
    assert before.call and after.call
    assert after.call == replace(before.call, phone="+79165550199", duration=60)
    assert (after.state, after.reason, after.call.uniq) == ("queued", None, before.call.uniq)
    assert await bench.places(before.id) == ["bulk:main"]
    assert await last_entry(bench, before.id) == {
        "what": "amended", "was": "untranslatable", "fields": "phone duration", "by": "olga",
        "why": "a digit was missing",
    }  # fmt: skip
    assert (await told_to_ledger(bench))[len(already) :] == [before.id]
    [claimed] = (await bench.claim()).calls
    assert claimed.call == after.call
    assert claimed.waiting_since > before.received_at - 1


async def test_the_original_is_kept_once_whatever_follows(bench: Bench, mending: RedisMending) -> None:
    record = await a_dead_call(bench)
    original = seal(record.envelope)  # type: ignore[arg-type] # stored a moment ago
    for phone in ("+79165550198", "+79165550199"):
        assert await mending.amend(record.id, corrected(record, phone=phone), seen(record), "olga", "")
        claim = await bench.claim()
        await bench.queue.settle(claim.fence, [Settlement(record.id, State.DEAD, "untranslatable")], {})
        record = await bench.get(record.id)
    legs = await bench.scripts.redis.hgetall(f"{bench.scripts.root}legs:{record.id}")  # type: ignore[misc] # both worlds
    assert legs[b"original"] == original
    assert set(legs.values()) == {original}


async def test_what_the_pbx_repeats_does_not_undo_the_correction(bench: Bench, mending: RedisMending) -> None:
    record = await a_dead_call(bench, duration=300)
    await mending.amend(record.id, corrected(record, duration=3), seen(record), "olga", "")
    kinds = []
    for leg in (a_finished_call(duration=300), a_finished_call(duration=900)):
        kinds += [receipt.kind for receipt in await bench.inbox.put([leg])]
    assert kinds == [ReceiptKind.DUPLICATE, ReceiptKind.VARIANT]
    after = await bench.get(record.id)
    assert after.call
    assert after.call.duration == 3


async def test_the_first_of_two_operators_corrects(bench: Bench, mending: RedisMending) -> None:
    record = await a_dead_call(bench)
    assert await mending.amend(record.id, corrected(record, phone="1234567"), seen(record), "olga", "")
    before = await bench.everything()
    assert not await mending.amend(record.id, corrected(record, phone="7654321"), seen(record), "ivan", "")
    assert await bench.everything() == before
    claim = await bench.claim()
    await bench.queue.settle(claim.fence, [Settlement(record.id, State.DEAD, "untranslatable")], {})
    before = await bench.everything()
    assert not await mending.amend(record.id, corrected(record, phone="7654321"), seen(record), "ivan", "")
    assert await bench.everything() == before


@pytest.mark.parametrize("state", sorted(set(State) - {State.DEAD, State.ERASED}))
async def test_only_a_dead_call_is_corrected(bench: Bench, mending: RedisMending, state: State) -> None:
    [call_id] = await bench.bring_to(state)
    record = await bench.get(call_id)
    before = await bench.everything()
    assert not await mending.amend(call_id, corrected(record, phone="1234567"), seen(record), "olga", "")
    assert await bench.everything() == before


async def test_a_call_that_may_be_in_the_crm_is_not_corrected(bench: Bench, mending: RedisMending) -> None:
    [call_id] = await bench.bring_to(State.DEAD, reason=Reason.UNKNOWN_OUTCOME)
    record = await bench.get(call_id)
    assert not await mending.amend(call_id, corrected(record, phone="1234567"), seen(record), "olga", "")
    assert (await bench.get(call_id)).state == "dead"


@pytest.mark.parametrize("from_recording", [False, True])
async def test_a_link_that_was_corrected_is_the_one_that_is_sent(
    bench: Bench, mending: RedisMending, from_recording: bool
) -> None:
    record = await a_dead_call(bench)
    if from_recording:
        await bench.scripts.redis.hset(  # type: ignore[misc] # both worlds
            f"{bench.scripts.root}call:{record.id}",
            mapping={"ln": "https://rec.example.org/old.mp3", "lh": "x"},
        )
    link = "https://rec.example.org/new.mp3"
    assert await mending.amend(record.id, corrected(record, link=link), seen(record), "olga", "")
    [claimed] = (await bench.claim()).calls
    assert claimed.call
    assert claimed.call.link == link


async def test_a_recordings_link_outlives_a_correction_of_something_else(bench: Bench, mending: RedisMending) -> None:
    record = await a_dead_call(bench)
    link = "https://rec.example.org/old.mp3"
    await bench.scripts.redis.hset(f"{bench.scripts.root}call:{record.id}", "ln", link)  # type: ignore[misc] # both worlds
    assert await mending.amend(record.id, corrected(record, phone="1234567"), seen(record), "olga", "")
    [claimed] = (await bench.claim()).calls
    assert claimed.call
    assert claimed.call.link == link


@pytest.mark.parametrize(
    "changes", [{"source": "other"}, {"ref": "another"}, {"dated": False}, {"started_at": 1_790_000_000 + 86_400}]
)
async def test_which_call_it_is_cannot_be_corrected(
    bench: Bench, mending: RedisMending, changes: dict[str, Any]
) -> None:
    record = await a_dead_call(bench)
    assert record.envelope and record.call
    forged = replace(record.envelope, call=replace(record.call, **changes))
    forged = replace(forged, source=changes.get("source", forged.source))
    before = await bench.everything()
    with pytest.raises(ValueError):
        await mending.amend(record.id, seal(forged), seen(record), "olga", "")
    assert await bench.everything() == before


@pytest.mark.parametrize(
    "changes", [{"ref": "x"}, {"uniq": "x"}, {"duration": -1}, {"phone": "1" * 65}, {"link": "javascript:x"}]
)
def test_a_correction_is_as_bounded_as_a_webhook(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        amended(Envelope("office", "generic", Webhook("e", b"{}"), a_call()), changes)


# --- what could not be decoded ---------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "direction": Direction.INBOUND, "phone": "+79165550117", "duration": 42, "started_at": 1_790_000_000,
    "status": CallStatus.ANSWERED,
}  # fmt: skip
BROKEN = UndecodableWebhook("main", "office", "generic", Webhook("raw", b"\xff{"), "is not JSON")


async def an_undecodable(bench: Bench) -> Record:
    [receipt] = await bench.inbox.put([BROKEN])
    assert receipt.id
    return await bench.get(receipt.id)


async def test_what_could_not_be_decoded_becomes_a_call(bench: Bench, mending: RedisMending) -> None:
    record = await an_undecodable(bench)
    assert await mending.amend(record.id, corrected(record, **FACTS), seen(record), "olga", "by phone")
    [claimed] = (await bench.claim()).calls
    assert claimed.id == record.id
    assert claimed.call
    assert claimed.call.ref.startswith("raw-")
    [again] = await bench.inbox.put([BROKEN])
    assert (again.kind, again.id) == (ReceiptKind.DUPLICATE, record.id)
    original = await bench.scripts.redis.hget(f"{bench.scripts.root}legs:{record.id}", "original")  # type: ignore[misc] # both worlds
    assert unseal(original or b"").webhook.body == BROKEN.webhook.body


async def test_under_the_pbxs_own_id_it_is_known_when_it_comes_again(bench: Bench, mending: RedisMending) -> None:
    record = await an_undecodable(bench)
    new = corrected(record, **FACTS, ref="pbx-1")
    assert await mending.amend(record.id, new, seen(record), "olga", "")
    [again] = await bench.inbox.put([a_finished_call(ref="pbx-1")])
    assert again.id == record.id
    assert again.kind in {ReceiptKind.DUPLICATE, ReceiptKind.VARIANT}


async def test_a_call_that_came_in_another_way_meanwhile_is_not_sent_twice(bench: Bench, mending: RedisMending) -> None:
    record = await an_undecodable(bench)
    [other] = await bench.inbox.put([a_finished_call(ref="pbx-1")])
    before = await bench.everything()
    with pytest.raises(ValueError, match=str(other.id)):
        await mending.amend(record.id, corrected(record, **FACTS, ref="pbx-1"), seen(record), "olga", "")
    assert await bench.everything() == before
    assert key_digest(a_call(ref="pbx-1").key)


@pytest.mark.parametrize("missing", sorted(FACTS))
async def test_all_of_a_call_has_to_be_told(bench: Bench, missing: str) -> None:
    record = await an_undecodable(bench)
    with pytest.raises(ValueError, match=missing):
        corrected(record, **{name: value for name, value in FACTS.items() if name != missing})
