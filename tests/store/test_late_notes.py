"""Recordings that come when their call is on its way or in the CRM: noted once, by one worker at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callbridge.call import CallId, ReceiptKind
from callbridge.note import LateNote
from callbridge.outcome import PauseReason, Settlement, State
from callbridge.store.late import RedisLateNotes
from callbridge.store.pace import RedisPace
from support.builders import a_finished_call, a_recording
from support.store import A_NOTE, Bench

A, B = "https://rec.example.org/a.mp3", "https://rec.example.org/b.mp3"


@pytest.fixture
def notes(bench: Bench) -> RedisLateNotes:
    return RedisLateNotes(bench.scripts, "main", lease=60)


async def record(bench: Bench, *links: str, note_late: bool = True) -> list[ReceiptKind]:
    return [
        receipt.kind
        for link in links
        for receipt in await bench.inbox.put([a_recording(ref="r0", link=link, note_late=note_late)])
    ]


async def queued(bench: Bench) -> list[str]:
    """The links that wait to be noted."""
    root, redis = bench.scripts.root, bench.scripts.redis
    names = await redis.zrange(f"{root}late:main", 0, -1)
    return sorted([(await redis.hget(f"{root}note:{name.decode()}", "ln")).decode() for name in names])


async def taken(notes: RedisLateNotes) -> LateNote:
    note = await notes.take()
    assert note is not None
    return note


async def whats(bench: Bench, call_id: CallId) -> list[str]:
    return [entry["what"] for entry in await bench.records.story(call_id)]


async def delivered(bench: Bench, claim: Any) -> None:
    settled = [Settlement(call.id, State.DELIVERED, delivered=A_NOTE) for call in claim.calls]
    assert await bench.queue.settle(claim.fence, settled, {}) == set()


async def test_a_recording_of_a_delivered_call_waits_to_be_noted_on_its_card(
    bench: Bench, notes: RedisLateNotes
) -> None:
    [call_id] = await bench.bring_to(State.DELIVERED)
    assert await record(bench, A) == [ReceiptKind.PATCHED]
    assert (await bench.queue.agenda()).notes == {"main"}
    note = await taken(notes)
    assert (note.id, note.link, note.entity_type, note.entity_id) == (call_id, A, "contact", 12)
    assert note.call == (await bench.get(call_id)).call
    assert (note.posted_at, note.looks, note.postponed, note.failures) == (None, 0, 0, 0)
    assert await notes.take() is None


async def test_nothing_is_noted_that_was_not_asked_for(bench: Bench) -> None:
    await bench.bring_to(State.DELIVERED)
    await record(bench, A, note_late=False)
    assert await queued(bench) == []


@pytest.mark.parametrize("repeats", [(A, A, A), (A, B, A, B), (B, A, A, B)])
async def test_each_link_is_noted_once(bench: Bench, repeats: tuple[str, ...]) -> None:
    await bench.bring_to(State.DELIVERED)
    await record(bench, *repeats)
    assert await queued(bench) == sorted(set(repeats))


SIGNED = [f"{A}?X-Amz-Date=2026&X-Amz-Signature={mark}" for mark in "abc"]


async def test_a_recording_that_is_told_again_with_a_link_signed_anew_is_noted_once(bench: Bench) -> None:
    [call_id] = await bench.bring_to(State.DELIVERED)
    kinds = await record(bench, *SIGNED, A, f"{A}#t=3")
    assert kinds == [ReceiptKind.PATCHED, *[ReceiptKind.DUPLICATE] * 4]
    assert await queued(bench) == [SIGNED[0]]
    assert await bench.scripts.redis.hget(f"{bench.scripts.root}call:{call_id}", "ln") == f"{A}#t=3".encode()
    assert await record(bench, B, SIGNED[0], f"{B}?X-Amz-Signature=z") == [ReceiptKind.PATCHED] * 3
    assert await queued(bench) == [SIGNED[0], B]


async def test_a_call_on_its_way_hands_a_link_signed_anew_on_once(bench: Bench) -> None:
    await bench.store()
    claim = await bench.sending()
    await record(bench, *SIGNED)
    await delivered(bench, claim)
    assert await queued(bench) == [SIGNED[0]]


async def test_the_newest_link_is_the_one_that_a_waiting_call_takes_along(bench: Bench) -> None:
    await bench.inbox.put([a_finished_call(ref="r0")])
    await record(bench, *SIGNED)
    claim = await bench.sending()
    assert claim.calls[0].call and claim.calls[0].call.link == SIGNED[-1]
    await delivered(bench, claim)
    await record(bench, *SIGNED)
    assert await queued(bench) == []


@pytest.mark.parametrize("joined", [True, False])
async def test_the_link_that_the_call_was_sent_with_is_not_noted(bench: Bench, joined: bool) -> None:
    if joined:
        await bench.inbox.put([a_finished_call(ref="r0"), a_recording(ref="r0", link=A)])
    else:
        await bench.inbox.put([a_finished_call(ref="r0", link=A)])
    claim = await bench.sending()
    assert claim.calls[0].call and claim.calls[0].call.link == A
    await delivered(bench, claim)
    await record(bench, A, B, A)
    assert await queued(bench) == [B]


@pytest.mark.parametrize("state", [State.CLAIMED, State.SENDING, State.UNCERTAIN])
async def test_a_recording_that_comes_while_its_call_is_on_its_way_is_noted_once_it_is_delivered(
    bench: Bench, notes: RedisLateNotes, state: State
) -> None:
    [call_id] = await bench.bring_to(state)
    await record(bench, A, B)
    assert await queued(bench) == []
    if state is State.UNCERTAIN:
        claim: Any = await bench.queue.look("main", 1, lease=60)
    else:
        fence = int(await bench.scripts.redis.hget(f"{bench.scripts.root}call:{call_id}", "fn") or 0)
        await bench.queue.mark_sending(fence, [call_id], batch="b-2", lease=60)
        await bench.queue.settle(fence, [Settlement(call_id, State.DELIVERED, delivered=A_NOTE)], {})
        claim = None
    if claim:
        await delivered(bench, claim)
    assert await queued(bench) == [A, B]
    assert (await taken(notes)).entity_id == 12
    assert not await bench.scripts.redis.hexists(f"{bench.scripts.root}call:{call_id}", "lt")


async def test_a_call_that_comes_back_unsent_takes_its_recording_along_and_nothing_is_noted(bench: Bench) -> None:
    await bench.store()
    first = await bench.sending()
    await record(bench, A)
    await bench.queue.release(first.fence, [first.calls[0].id])
    second = await bench.sending(batch="b-2")
    assert second.calls[0].call and second.calls[0].call.link == A
    await delivered(bench, second)
    assert await queued(bench) == []
    await record(bench, B, A)
    assert await queued(bench) == [B]


async def test_a_link_that_a_later_one_displaced_before_the_call_was_sent_again_can_still_be_noted(
    bench: Bench,
) -> None:
    await bench.store()
    first = await bench.sending()
    await record(bench, A, B)
    await bench.queue.release(first.fence, [first.calls[0].id])
    second = await bench.sending(batch="b-2")
    assert second.calls[0].call and second.calls[0].call.link == B
    await delivered(bench, second)
    await record(bench, A)
    assert await queued(bench) == [A]


@pytest.mark.parametrize("state", [State.WAITING, State.PARKED])
async def test_a_call_that_will_be_sent_takes_its_recording_along(bench: Bench, state: State) -> None:
    await bench.bring_to(state)
    await record(bench, A)
    await bench.queue.revive("main")
    claim = await bench.sending(batch="b-2")
    assert claim.calls[0].call and claim.calls[0].call.link == A
    await delivered(bench, claim)
    assert await queued(bench) == []


@pytest.mark.parametrize("state", [State.DEAD, State.IGNORED, State.UNMATCHED])
async def test_the_recording_of_a_call_that_was_given_up_stays_on_the_call(bench: Bench, state: State) -> None:
    [call_id] = await bench.bring_to(state)
    await record(bench, A)
    assert await queued(bench) == []
    assert (await bench.get(call_id)).link == A


async def test_a_dead_call_that_turns_out_to_be_in_the_crm_gets_its_recording_noted(bench: Bench) -> None:
    [call_id] = await bench.bring_to(State.DEAD, reason="unknown_outcome")
    await record(bench, A)
    await bench.scripts.run("replay", "", "", call_id)
    await delivered(bench, await bench.queue.look("main", 1, lease=60))
    assert await queued(bench) == [A]


async def test_a_sender_of_ever_other_links_gets_ten_notes(bench: Bench) -> None:
    await bench.bring_to(State.DELIVERED)
    await record(bench, *(f"https://rec.example.org/{n}.mp3" for n in range(30)))
    assert len(await queued(bench)) == 10


async def test_a_note_that_is_done_is_gone_and_told_in_the_story(bench: Bench, notes: RedisLateNotes) -> None:
    [call_id] = await bench.bring_to(State.DELIVERED)
    await record(bench, A)
    note = await taken(notes)
    assert await notes.mark(note)
    assert await notes.end(note, {"what": "noted", "note_id": 81})
    assert await whats(bench, call_id) == ["delivered", "recording", "noted"]
    assert await queued(bench) == []
    assert await bench.scripts.redis.keys("*note:*") == []
    once = await bench.everything()
    assert not await notes.end(note, {"what": "noted", "note_id": 81})
    assert await bench.everything() == once
    await record(bench, A)
    assert await queued(bench) == []


async def test_a_note_whose_worker_died_is_taken_over_and_known_to_be_on_the_way(bench: Bench) -> None:
    await bench.bring_to(State.DELIVERED)
    await record(bench, A)
    hasty = RedisLateNotes(bench.scripts, "main", lease=0.001)
    first = await taken(hasty)
    await asyncio.sleep(0.01)
    second = await taken(hasty)
    assert second.fence > first.fence and second.posted_at is None
    # The first was only asleep: it may neither post nor end it.
    before = await bench.everything()
    assert not await hasty.mark(first)
    assert not await hasty.end(first, {"what": "noted"})
    assert not await hasty.put_back(first, 5, posted=True, looks=1)
    assert await bench.everything() == before
    assert await hasty.mark(second)
    await asyncio.sleep(0.01)
    third = await taken(hasty)
    assert third.posted_at is not None and abs(third.posted_at - second.now) < 5


async def test_marking_again_keeps_the_time_of_the_first(bench: Bench) -> None:
    await bench.bring_to(State.DELIVERED)
    await record(bench, A)
    hasty = RedisLateNotes(bench.scripts, "main", lease=0.02)
    note = await taken(hasty)
    assert await hasty.mark(note)
    first = await bench.scripts.redis.hget(f"{bench.scripts.root}note:{note.name}", "ps")
    await asyncio.sleep(0.01)
    assert await hasty.mark(note)
    assert await bench.scripts.redis.hget(f"{bench.scripts.root}note:{note.name}", "ps") == first


@pytest.mark.parametrize("posted", [True, False])
async def test_a_note_that_is_put_back_keeps_what_is_known_of_it(
    bench: Bench, notes: RedisLateNotes, posted: bool
) -> None:
    await bench.bring_to(State.DELIVERED)
    await record(bench, A)
    note = await taken(notes)
    assert await notes.mark(note)
    assert await notes.put_back(note, 300, posted=posted, looks=1)
    assert await notes.take() is None
    await bench.scripts.redis.zadd(f"{bench.scripts.root}late:main", {note.name: 1})
    again = await taken(notes)
    assert (again.posted_at is not None, again.looks, again.postponed) == (posted, 1, 1)
    assert again.queued_at == note.queued_at


async def test_a_slowed_or_paused_account_gives_no_note_and_has_none_on_its_agenda(
    bench: Bench, notes: RedisLateNotes
) -> None:
    await bench.bring_to(State.DELIVERED)
    await record(bench, A)
    await bench.queue.pause("main", PauseReason.PAYMENT_REQUIRED, "402", first=60, at_most=900)
    assert await notes.take() is None
    assert (await bench.queue.agenda()).notes == frozenset()
    await bench.queue.resume("main")
    await RedisPace(bench.scripts, "main", 7).failed(30, "503")
    assert await notes.take() is None
    assert (await bench.queue.agenda()).notes == frozenset()


async def test_an_account_gets_its_own_notes_only(bench: Bench) -> None:
    await bench.bring_to(State.DELIVERED)
    await record(bench, A)
    assert await RedisLateNotes(bench.scripts, "branch", lease=60).take() is None
