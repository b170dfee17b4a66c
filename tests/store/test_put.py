"""What arrives becomes durable once, whatever comes again."""

from __future__ import annotations

import asyncio

import pytest

from callbridge.call import IgnoredEvent, ReceiptKind, RecordingReady, UndecodableWebhook, Webhook
from callbridge.errors import StoreUnavailable
from callbridge.outcome import State
from callbridge.store import inbox
from support.builders import a_call, a_finished_call
from support.store import Bench


def a_recording(
    ref: str = "r0", at: int = 1_790_000_000, link: str = "https://rec.example.org/a.mp3"
) -> RecordingReady:
    return RecordingReady("main", "office", ref, link, at, Webhook("call.recording", b"{}"))


async def test_a_new_call_waits_and_its_account_is_rung(bench: Bench) -> None:
    [receipt] = await bench.inbox.put([a_finished_call()])
    assert receipt.kind is ReceiptKind.STORED
    assert receipt.id
    record = await bench.get(receipt.id)
    assert (record.state, record.call, record.attempts) == ("queued", a_call(), 0)
    assert await bench.places(receipt.id) == ["due:main"]
    assert bench.rung == {"main"}


async def test_the_same_call_again_is_a_duplicate_and_rings_nobody(bench: Bench) -> None:
    [first] = await bench.inbox.put([a_finished_call()])
    bench.rung.clear()
    [second] = await bench.inbox.put([a_finished_call(body=b"same call, other spelling")])
    assert (second.kind, second.id) == (ReceiptKind.DUPLICATE, first.id)
    assert bench.rung == set()
    assert (await bench.tally.read()).total == 1


async def test_two_hundred_at_once_are_stored_once(bench: Bench) -> None:
    answers = await asyncio.gather(*(bench.inbox.put([a_finished_call()]) for _ in range(200)))
    kinds = [receipt.kind for receipts in answers for receipt in receipts]
    assert kinds.count(ReceiptKind.STORED) == 1
    assert kinds.count(ReceiptKind.DUPLICATE) == 199
    assert len({receipt.id for receipts in answers for receipt in receipts}) == 1


async def test_a_recycled_id_on_another_day_is_another_call(bench: Bench) -> None:
    receipts = await bench.inbox.put(
        [a_finished_call(started_at=1_790_000_000), a_finished_call(started_at=1_790_000_000 + 86_400)]
    )
    assert [receipt.kind for receipt in receipts] == [ReceiptKind.STORED] * 2
    assert receipts[0].id != receipts[1].id


async def test_an_undated_call_retried_after_midnight_is_a_duplicate(bench: Bench) -> None:
    [first] = await bench.inbox.put([a_finished_call(dated=False, started_at=1_789_999_999)])
    [second] = await bench.inbox.put([a_finished_call(dated=False, started_at=1_789_999_999 + 7 * 3600)])
    assert (second.kind, second.id) == (ReceiptKind.DUPLICATE, first.id)


async def test_two_sources_may_use_the_same_id(bench: Bench) -> None:
    receipts = await bench.inbox.put([a_finished_call(source="office"), a_finished_call(source="branch")])
    assert [receipt.kind for receipt in receipts] == [ReceiptKind.STORED] * 2


async def test_an_undecodable_webhook_is_kept_for_a_person(bench: Bench) -> None:
    body = b"\xff\xfe not json"
    arrival = UndecodableWebhook("main", "office", "generic", Webhook("", body), "not UTF-8")
    [receipt] = await bench.inbox.put([arrival])
    [again] = await bench.inbox.put([arrival])
    assert receipt.id and again.kind is ReceiptKind.DUPLICATE
    record = await bench.get(receipt.id)
    assert (record.state, record.reason) == ("dead", "undecodable")
    assert record.call is None
    assert record.webhook and record.webhook.body == body
    assert await bench.places(receipt.id) == ["dead"]


async def test_receipts_come_back_in_the_order_of_the_arrivals(bench: Bench) -> None:
    receipts = await bench.inbox.put(
        [IgnoredEvent("office", "call.ringing"), a_finished_call(ref="r0"), a_recording(), a_finished_call(ref="r1")]
    )
    assert [receipt.kind for receipt in receipts] == [
        ReceiptKind.COUNTED, ReceiptKind.STORED, ReceiptKind.PATCHED, ReceiptKind.STORED,
    ]  # fmt: skip
    [source] = (await bench.tally.read()).sources
    assert source.counts == {"stored": 2, "recording": 1, "ignored": 1}


async def test_a_recording_joins_a_call_that_waits_for_it_and_ends_the_wait(bench: Bench) -> None:
    [receipt] = await bench.inbox.put([a_finished_call(ref="r0", hold=300)])
    nothing = await bench.queue.claim("main", 10)
    assert nothing.next_due and 295 < nothing.next_due <= 300  # type: ignore[union-attr] # nothing is due before the hold ends
    [patched] = await bench.inbox.put([a_recording()])
    assert (patched.kind, patched.id) == (ReceiptKind.PATCHED, receipt.id)
    [claimed] = (await bench.claim()).calls
    assert claimed.call and claimed.call.link == "https://rec.example.org/a.mp3"


async def test_a_recording_that_comes_first_waits_for_its_call(bench: Bench) -> None:
    [early] = await bench.inbox.put([a_recording()])
    assert (early.kind, early.id) == (ReceiptKind.KEPT, None)
    await bench.inbox.put([a_finished_call(ref="r0", hold=300)])
    [claimed] = (await bench.claim()).calls
    assert claimed.call and claimed.call.link == "https://rec.example.org/a.mp3"


async def test_a_recording_of_the_next_day_finds_a_call_from_before_midnight(bench: Bench) -> None:
    midnight = 1_790_000_000 // 86_400 * 86_400 + 86_400
    await bench.inbox.put([a_finished_call(ref="r0", started_at=midnight - 60)])
    [patched] = await bench.inbox.put([a_recording(at=midnight + 60)])
    assert patched.kind is ReceiptKind.PATCHED


async def test_a_recording_after_delivery_is_told_in_the_story(bench: Bench) -> None:
    [call_id] = await bench.bring_to(State.DELIVERED)
    await bench.inbox.put([a_recording()])
    assert [entry["what"] for entry in await bench.records.story(call_id)] == ["delivered", "recording"]
    assert await bench.places(call_id) == ["delivered"]


async def test_the_same_webhook_again_but_with_the_recording_brings_it(bench: Bench) -> None:
    link = "https://rec.example.org/a.mp3"
    [first] = await bench.inbox.put([a_finished_call(ref="r0", hold=300)])
    [again] = await bench.inbox.put([a_finished_call(ref="r0", hold=300, link=link)])
    assert (again.kind, again.id) == (ReceiptKind.DUPLICATE, first.id)
    await bench.inbox.put([a_finished_call(ref="r0", hold=300, link=link)])
    [claimed] = (await bench.claim()).calls
    assert claimed.call and claimed.call.link == link
    assert [entry["what"] for entry in await bench.records.story(claimed.id)] == ["recording"]
    [source] = (await bench.tally.read()).sources
    assert source.counts == {"stored": 1, "duplicate": 2}


async def test_a_recording_event_that_tells_what_the_call_told_already_changes_nothing(bench: Bench) -> None:
    link = "https://rec.example.org/a.mp3"
    [receipt] = await bench.inbox.put([a_finished_call(ref="r0", hold=300, link=link)])
    [told] = await bench.inbox.put([a_recording(link=link)])
    assert (told.kind, told.id) == (ReceiptKind.DUPLICATE, receipt.id)


async def test_a_sender_that_gives_up_undoes_no_write_neither_its_own_nor_anothers(bench: Bench) -> None:
    leaving = asyncio.create_task(bench.inbox.put([a_finished_call(ref="leaves")]))
    staying = asyncio.create_task(bench.inbox.put([a_finished_call(ref="stays")]))
    await asyncio.sleep(0)
    leaving.cancel()
    [receipt] = await staying
    assert receipt.kind is ReceiptKind.STORED
    [again] = await bench.inbox.put([a_finished_call(ref="leaves")])
    assert again.kind is ReceiptKind.DUPLICATE


async def test_a_silent_store_is_waited_for_once_not_by_one_sender_after_the_other() -> None:
    gone = asyncio.Event()
    asked: list[object] = []

    class Silent:
        async def run(self, verb: object, *_: object, **__: object) -> None:
            asked.append(verb)
            await gone.wait()
            raise StoreUnavailable("no answer")

    box = inbox.RedisInbox(Silent(), lambda: 1_790_000_100.0, lambda _: None)  # type: ignore[arg-type] # a stand-in
    first = asyncio.create_task(box.put([a_finished_call(ref="a")]))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(box.put([a_finished_call(ref="b")]))
    await asyncio.sleep(0)
    gone.set()
    for heard in await asyncio.gather(first, second, return_exceptions=True):
        assert isinstance(heard, StoreUnavailable)
    assert asked == ["put"]


async def test_two_calls_that_would_share_an_id_get_two(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "call_id", lambda _key, _at: "0123456789abcdef")
    together = await bench.inbox.put([a_finished_call(ref="a"), a_finished_call(ref="b")])
    [later] = await bench.inbox.put([a_finished_call(ref="c")])
    ids = {receipt.id for receipt in [*together, later]}
    assert len(ids) == 3
    found = [await bench.get(call_id) for call_id in ids if call_id]
    assert sorted(record.call.ref for record in found if record.call) == ["a", "b", "c"]


@pytest.mark.parametrize("count", [1, 200, 201, 450])
async def test_any_number_of_arrivals_is_stored(bench: Bench, count: int) -> None:
    assert len(await bench.store(count)) == count
    assert (await bench.tally.read()).queued == count
