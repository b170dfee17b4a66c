"""What leaves Redis: forgotten calls are still known when they come again, erased ones for good, and nothing else goes."""

from __future__ import annotations

from typing import Any

import pytest

from callbridge.call import (
    CallId,
    CallStatus,
    Direction,
    ReceiptKind,
    UndecodableWebhook,
    Webhook,
    call_key,
    key_digest,
)
from callbridge.outcome import MOVES, Settlement, State
from callbridge.store.doubts import RedisDoubts, Verdict
from callbridge.store.envelope import Envelope, seal
from callbridge.store.forgetting import RedisForgetting
from callbridge.store.late import RedisLateNotes
from callbridge.store.mending import RedisMending, amended
from callbridge.store.repair import RedisRepair
from faults.consistency import inconsistencies
from support.builders import a_finished_call, a_recording
from support.store import A_NOTE, Bench

PHONE, LINK = "+7 916 555-01-17", "https://rec.example.org/secret-of-anna.mp3"
FORGETTABLE = (State.DELIVERED, State.UNMATCHED, State.IGNORED)
ERASABLE = tuple(state for state in State if State.ERASED in MOVES[state])
FOR_EVER = 4e9
"""A time after every test."""


@pytest.fixture
def forgetting(bench: Bench) -> RedisForgetting:
    return RedisForgetting(bench.scripts)


async def keys_of(bench: Bench, call_id: CallId) -> set[str]:
    """The keys that only this call has."""
    return {key.decode() for key in await bench.scripts.redis.keys(f"*{call_id}*")}


async def ready(bench: Bench, state: State) -> CallId:
    [call_id] = await bench.bring_to(state)
    return call_id


async def again(bench: Bench, **changes: Any) -> list[tuple[ReceiptKind, CallId | None]]:
    receipts = await bench.inbox.put([a_finished_call(ref="r0", **changes)])
    return [(receipt.kind, receipt.id) for receipt in receipts]


async def fits_together(bench: Bench) -> None:
    assert await inconsistencies(bench.scripts.redis, bench.scripts.root) == []


# --- forgetting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", FORGETTABLE)
async def test_a_forgotten_call_is_not_there_any_more(bench: Bench, forgetting: RedisForgetting, state: State) -> None:
    call_id = await ready(bench, state)
    await bench.store(ref="other")
    assert await forgetting.forget([call_id]) == {call_id}
    assert await bench.records.get(call_id) is None
    assert await bench.records.snapshots([call_id]) == []
    assert await bench.records.story(call_id) == []
    assert call_id not in [record.id async for record in bench.records.newest()]
    assert [record.id async for record in bench.records.in_state(state)] == []
    assert await keys_of(bench, call_id) == {f"{bench.scripts.root}call:{call_id}"}
    assert await bench.scripts.redis.hexists(f"{bench.scripts.root}bodies", call_id) == 0
    await fits_together(bench)


@pytest.mark.parametrize("state", [s for s in State if s not in {*FORGETTABLE, State.ERASED}])
async def test_what_has_not_ended_for_good_is_not_forgotten(
    bench: Bench, forgetting: RedisForgetting, state: State
) -> None:
    call_id = await ready(bench, state)
    before = await bench.everything()
    assert await forgetting.forget([call_id, CallId("nobody")]) == set()
    assert await bench.everything() == before


async def test_figures_go_on_counting_what_is_forgotten(bench: Bench, forgetting: RedisForgetting) -> None:
    ids = await bench.bring_to(State.DELIVERED, 3, ref="a")
    ids += await bench.bring_to(State.UNMATCHED, 2, ref="b")
    await bench.store(1, ref="c")
    await forgetting.forget(ids[:4])
    for _ in range(2):
        tally = await bench.tally.read()
        assert (tally.delivered, tally.unmatched, tally.queued, tally.total) == (3, 2, 1, 6)
        await forgetting.drop_remnants(FOR_EVER, 100)
    await fits_together(bench)


async def test_forgetting_twice_is_forgetting_once(bench: Bench, forgetting: RedisForgetting) -> None:
    ids = await bench.bring_to(State.DELIVERED, 3)
    assert await forgetting.forget(ids) == set(ids)
    before = await bench.everything()
    assert await forgetting.forget(ids) == set(ids)
    assert await bench.everything() == before


async def test_many_are_forgotten_in_several_scripts(bench: Bench, forgetting: RedisForgetting) -> None:
    ids = await bench.store(230)
    claim = await bench.sending()
    await bench.queue.settle(claim.fence, [Settlement(i, State.DELIVERED, delivered=A_NOTE) for i in ids], {})
    assert await forgetting.forget(ids) == set(ids)
    assert await forgetting.drop_remnants(FOR_EVER, 210) == 210
    assert await forgetting.drop_remnants(FOR_EVER, 210) == 20
    await fits_together(bench)


async def test_a_repeated_webhook_of_a_forgotten_call_is_known_and_stored_nowhere(
    bench: Bench, forgetting: RedisForgetting
) -> None:
    call_id = await ready(bench, State.DELIVERED)
    await forgetting.forget([call_id])
    assert await again(bench) == [(ReceiptKind.DUPLICATE, call_id)]
    for _ in range(2):
        assert await again(bench, duration=900) == [(ReceiptKind.VARIANT, call_id)]
    assert await keys_of(bench, call_id) == {f"{bench.scripts.root}call:{call_id}"}
    assert await bench.places(call_id) == []
    assert (await bench.queue.agenda()).due == set()
    await fits_together(bench)


async def test_a_late_recording_of_a_forgotten_call_is_kept_nowhere(bench: Bench, forgetting: RedisForgetting) -> None:
    call_id = await ready(bench, State.DELIVERED)
    await forgetting.forget([call_id])
    await assert_no_recording_joins(bench, call_id)
    await fits_together(bench)


async def assert_no_recording_joins(bench: Bench, call_id: CallId) -> None:
    before = await bench.everything()
    [receipt] = await bench.inbox.put([a_recording(ref="r0", link=LINK, note_late=True)])
    assert (receipt.kind, receipt.id) == (ReceiptKind.COUNTED, call_id)
    await again(bench, link=LINK)
    after = await bench.everything()
    root = bench.scripts.root.encode()
    changed = {key.removeprefix(root) for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed <= {b"counts", b"seen", b"ledger", b"call:" + call_id.encode()}
    assert LINK.encode() not in repr(after).encode()


async def test_a_call_that_a_note_is_on_its_way_for_is_kept_until_it_is_there(
    bench: Bench, forgetting: RedisForgetting
) -> None:
    call_id = await ready(bench, State.DELIVERED)
    await bench.inbox.put([a_recording(ref="r0", link=LINK, note_late=True)])
    assert await forgetting.forget([call_id]) == set()
    notes = RedisLateNotes(bench.scripts, "main", lease=60)
    note = await notes.take()
    assert note
    await notes.end(note, {"what": "noted"})
    assert await forgetting.forget([call_id]) == {call_id}
    await fits_together(bench)


async def test_the_last_of_it_goes_after_a_while_and_then_the_webhook_is_new(
    bench: Bench, forgetting: RedisForgetting
) -> None:
    call_id = await ready(bench, State.DELIVERED)
    await forgetting.forget([call_id])
    assert await forgetting.drop_remnants(1.0, 100) == 0
    assert await forgetting.drop_remnants(FOR_EVER, 100) == 1
    assert await keys_of(bench, call_id) == set()
    assert await bench.scripts.redis.hlen(f"{bench.scripts.root}keys") == 0
    [(kind, _)] = await again(bench)
    assert kind is ReceiptKind.STORED
    await fits_together(bench)


async def test_a_call_read_from_a_webhook_by_hand_is_known_by_both_of_its_names(
    bench: Bench, forgetting: RedisForgetting
) -> None:
    webhook = UndecodableWebhook("main", "office", "generic", Webhook("", b"?"), "no JSON")
    [receipt] = await bench.inbox.put([webhook])
    assert receipt.id
    record = await bench.get(receipt.id)
    assert record.envelope
    told = {"direction": Direction.INBOUND, "duration": 4, "started_at": 1_790_000_000, "status": CallStatus.ANSWERED}
    fixed = amended(record.envelope, told | {"ref": "r0", "phone": PHONE})
    assert await RedisMending(bench.scripts).amend(
        receipt.id, seal(fixed), round(record.updated_at * 1000), "anna", "read by eye"
    )
    claim = await bench.sending()
    await bench.queue.settle(claim.fence, [Settlement(receipt.id, State.DELIVERED, delivered=A_NOTE)], {})
    await forgetting.forget([receipt.id])
    assert [r.kind for r in await bench.inbox.put([webhook])] == [ReceiptKind.VARIANT]
    assert [(ReceiptKind.VARIANT, receipt.id)] == await again(bench, duration=900)
    await forgetting.drop_remnants(FOR_EVER, 1)
    assert await bench.scripts.redis.hlen(f"{bench.scripts.root}keys") == 0


async def test_a_key_without_its_call_holds_nobody_s_place(bench: Bench, forgetting: RedisForgetting) -> None:
    call_id = await ready(bench, State.DELIVERED)
    await bench.scripts.redis.hset(f"{bench.scripts.root}bodies", call_id, b"damaged")  # so its keys are not known
    assert await forgetting.forget([call_id]) == {call_id}
    await forgetting.drop_remnants(FOR_EVER, 1)
    [key] = await bench.scripts.redis.hkeys(f"{bench.scripts.root}keys")
    await bench.scripts.redis.hset(f"{bench.scripts.root}keys", key, "long-gone")
    receipts = await bench.inbox.put([a_finished_call(ref="r0"), a_finished_call(ref="r0")])
    assert [receipt.kind for receipt in receipts] == [ReceiptKind.STORED, ReceiptKind.DUPLICATE]
    await fits_together_but_for_the_count(bench)


async def fits_together_but_for_the_count(bench: Bench) -> None:
    assert [row for row in await inconsistencies(bench.scripts.redis, bench.scripts.root) if "counted" not in row] == []


# --- erasing ---------------------------------------------------------------------------------------------------------


async def with_everything(bench: Bench, state: State) -> CallId:
    """A call of which Redis holds all that it may: legs, a link, a story, an error text, notes on their way."""
    await bench.store(phone=PHONE, duration=60)
    await again(bench, phone=PHONE, duration=3)
    await bench.inbox.put([a_recording(ref="r0", link=LINK, note_late=True)])
    [call_id] = await bench.bring_to(state, phone=PHONE, duration=60)
    for number in range(3):
        await bench.inbox.put([a_recording(ref="r0", link=f"{LINK}/{number}.mp3", note_late=True)])
    return call_id


@pytest.mark.parametrize("state", ERASABLE)
async def test_of_an_erased_call_nothing_is_left_that_tells_whom_it_was_with(
    bench: Bench, forgetting: RedisForgetting, state: State
) -> None:
    call_id = await with_everything(bench, state)
    assert await forgetting.erase([call_id]) == {call_id}
    assert await keys_of(bench, call_id) == {f"{bench.scripts.root}{kind}:{call_id}" for kind in ("call", "story")}
    row = await bench.scripts.redis.hgetall(f"{bench.scripts.root}call:{call_id}")
    assert set(row) == {b"st", b"ac", b"so", b"rc", b"up"}
    assert "secret-of-anna" not in repr(await bench.everything())
    [shown] = await bench.records.snapshots([call_id])
    assert (shown.record.state, shown.record.link, shown.record.envelope, shown.sealed) == ("erased", None, None, None)
    assert [entry["what"] for entry in shown.story] == ["erased"]
    assert await bench.scripts.redis.hexists(f"{bench.scripts.root}bodies", call_id) == 0
    await fits_together(bench)


@pytest.mark.parametrize("state", ERASABLE)
async def test_nothing_leads_back_from_a_tombstone(bench: Bench, forgetting: RedisForgetting, state: State) -> None:
    call_id = await ready(bench, state)
    await forgetting.erase([call_id])
    before = await bench.everything()
    ids = [call_id]
    assert await RedisRepair(bench.scripts).replay(ids) == set()
    assert await RedisRepair(bench.scripts).discard(ids) == set()
    for verdict in Verdict:
        resolved = await RedisDoubts(bench.scripts).resolve(verdict, ids, by="anna", why="", after=0)
        assert not resolved
    for how in ("retry", "lead", "give_up"):
        assert await RedisMending(bench.scripts).unpark(ids, how, "anna", "") == set()
    envelope = seal(a_finished_envelope())
    for updated in (0, round((await bench.get(call_id)).updated_at * 1000)):
        assert await bench.scripts.run("amend", call_id, updated, "x", "-", "", "phone", "anna", "", envelope) == [
            0,
            b"",
        ]
    for fence in range(4):
        assert await bench.queue.settle(fence, [Settlement(call_id, State.WAITING)], {}) == set(ids)
        assert await bench.queue.release(fence, ids) == 0
        assert await bench.queue.mark_sending(fence, ids, batch="b-9", lease=60) == set()
    assert await forgetting.forget(ids) == set()
    assert await forgetting.erase(ids) == set(ids)
    assert await bench.everything() == before
    await bench.queue.revive("main")
    await bench.queue.reclaim()
    assert await bench.queue.look("main", 10, 60) is None
    assert (await bench.get(call_id)).state == "erased"


def a_finished_envelope() -> Envelope:
    call = a_finished_call(ref="r0").call
    return Envelope(call.source, call.provider, Webhook("call.finished", b"{}"), call)


@pytest.mark.parametrize("state", [State.WAITING, State.DELIVERED, State.DEAD])
async def test_a_webhook_of_an_erased_call_is_a_duplicate_whatever_it_says(
    bench: Bench, forgetting: RedisForgetting, state: State
) -> None:
    call_id = await ready(bench, state)
    await forgetting.erase([call_id])
    for length in (42, 900, 3):
        assert await again(bench, phone=PHONE, duration=length) == [(ReceiptKind.DUPLICATE, call_id)]
    await assert_no_recording_joins(bench, call_id)
    assert (await bench.get(call_id)).state == "erased"
    assert (await bench.queue.agenda()).due == set()
    await fits_together(bench)


async def test_a_recording_that_waits_for_an_erased_call_goes_too(bench: Bench, forgetting: RedisForgetting) -> None:
    call_id = await ready(bench, State.DEAD)
    early = key_digest(call_key("office", "r0", None))
    await bench.scripts.redis.set(f"{bench.scripts.root}recording:{early}", f"x {LINK}")
    await forgetting.erase([call_id])
    assert await bench.scripts.redis.keys("*recording*") == []


@pytest.mark.parametrize("state", [State.CLAIMED, State.SENDING])
async def test_what_a_worker_has_is_left_to_it_and_erased_when_it_is_back(
    bench: Bench, forgetting: RedisForgetting, state: State
) -> None:
    [call_id] = await bench.store()
    claim = await (bench.claim() if state is State.CLAIMED else bench.sending())
    before = await bench.everything()
    assert await forgetting.erase([call_id, CallId("nobody")]) == set()
    assert await bench.everything() == before
    await bench.queue.release(claim.fence, [call_id])
    assert await forgetting.erase([call_id]) == {call_id}


async def test_who_looks_for_an_erased_call_loses_it(bench: Bench, forgetting: RedisForgetting) -> None:
    call_id = await ready(bench, State.UNCERTAIN)
    looked = await bench.queue.look("main", 10, 60)
    assert looked
    await forgetting.erase([call_id])
    found = [Settlement(call_id, State.DELIVERED, delivered=A_NOTE)]
    assert await bench.queue.settle(looked.fence, found, {}) == {call_id}
    await bench.queue.renew(looked.fence, [call_id], 60)
    assert (await bench.get(call_id)).state == "erased"
    await fits_together(bench)


async def test_a_note_that_a_worker_has_is_not_sent_once_its_call_is_erased(
    bench: Bench, forgetting: RedisForgetting
) -> None:
    call_id = await ready(bench, State.DELIVERED)
    await bench.inbox.put([a_recording(ref="r0", link=LINK, note_late=True)])
    notes = RedisLateNotes(bench.scripts, "main", lease=60)
    note = await notes.take()
    assert note
    await forgetting.erase([call_id])
    assert not await notes.mark(note)
    assert not await notes.put_back(note, 0, posted=True, looks=0)
    assert not await notes.end(note, {"what": "noted", "link": LINK})
    assert await notes.take() is None
    await fits_together(bench)


async def test_an_erased_call_is_not_counted_as_one_that_is_tried_again(
    bench: Bench, forgetting: RedisForgetting
) -> None:
    call_id = await ready(bench, State.DEAD)
    await RedisRepair(bench.scripts).replay([call_id])
    assert (await bench.get(call_id)).state == "retrying"
    await forgetting.erase([call_id])
    tally = await bench.tally.read()
    assert (tally.queued, tally.retrying, tally.erased) == (0, 0, 1)
    await fits_together(bench)


async def test_a_forgotten_call_can_be_erased_still(bench: Bench, forgetting: RedisForgetting) -> None:
    call_id = await ready(bench, State.DELIVERED)
    await forgetting.forget([call_id])
    assert await forgetting.erase([call_id]) == {call_id}
    assert await forgetting.drop_remnants(FOR_EVER, 10) == 0
    assert await again(bench, duration=900) == [(ReceiptKind.DUPLICATE, call_id)]
    tally = await bench.tally.read()
    assert (tally.delivered, tally.erased, tally.total) == (0, 1, 1)
    await fits_together(bench)


async def test_tombstones_are_counted_and_listed(bench: Bench, forgetting: RedisForgetting, monkeypatch: Any) -> None:
    monkeypatch.setattr("callbridge.store.forgetting.PAGE", 2)
    ids = [*await bench.bring_to(State.DELIVERED, 3, ref="a"), *await bench.store(2, ref="b")]
    assert await forgetting.tombstones() == []
    await forgetting.erase(ids)
    assert sorted(await forgetting.tombstones()) == sorted(ids)
    assert [record.id async for record in bench.records.in_state(State.ERASED)] != []
    tally = await bench.tally.read()
    assert (tally.erased, tally.total, tally.queued, tally.delivered) == (5, 5, 0, 0)
    await fits_together(bench)
