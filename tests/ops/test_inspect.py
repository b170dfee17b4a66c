"""Lists and stories over a real store."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields

from callbridge.call import CallId, UndecodableWebhook, Webhook
from callbridge.ops.filters import STATES, Filter
from callbridge.ops.inspect import Inspector, Listed
from callbridge.outcome import PauseReason, State
from callbridge.store.clock import clock_ahead
from callbridge.store.presence import RedisPresence
from support.store import A_NOTE, Bench

CONTRACT = [
    "id",
    "state",
    "account",
    "source",
    "provider",
    "uniq",
    "direction",
    "phone",
    "duration",
    "started_at",
    "received_at",
    "attempts",
    "reason",
    "entity_type",
    "entity_id",
    "note_id",
    "updated_at",
]


async def all_states(bench: Bench) -> None:
    """Two calls in every state that a worker can bring them to."""
    ways = (State.WAITING, State.UNCERTAIN, State.PARKED, State.DELIVERED, State.UNMATCHED, State.DEAD, State.IGNORED)
    for number, state in enumerate(ways):
        account = f"a{number}"
        await bench.bring_to(
            state, 2, account=account, ref=f"{state}-", delay=60.0 if state in {"parked", "uncertain"} else 0
        )


async def listing(inspector: Inspector, wanted: Filter | None = None, limit: int | None = None) -> list[Listed]:
    return [call async for call in inspector.calls(wanted or Filter(), limit)]


def test_a_listed_call_has_the_fields_of_the_contract_first() -> None:
    assert [field.name for field in fields(Listed)][: len(CONTRACT)] == CONTRACT


async def test_every_call_is_listed_once(bench: Bench, inspector: Inspector) -> None:
    await all_states(bench)
    calls = await listing(inspector)
    assert Counter(call.state for call in calls) == dict.fromkeys(
        ("queued", "uncertain", "parked", "delivered", "unmatched", "dead", "ignored"), 2
    )
    assert len({call.id for call in calls}) == len(calls) == 14


async def test_a_state_filter_finds_exactly_the_calls_that_the_whole_list_shows_there(
    bench: Bench, inspector: Inspector
) -> None:
    await all_states(bench)
    everything = await listing(inspector)
    for state in STATES:
        found = await listing(inspector, Filter(state=state))
        assert {call.id for call in found} == {call.id for call in everything if call.state == state}


async def test_a_limit_is_kept_in_lists_of_all_and_of_one_state(bench: Bench, inspector: Inspector) -> None:
    await all_states(bench)
    assert len(await listing(inspector, limit=3)) == 3
    assert len(await listing(inspector, Filter(state="dead"), limit=1)) == 1
    assert len(await listing(inspector, limit=100)) == 14


async def test_the_time_of_receipt_bounds_lists_of_final_states_too(bench: Bench, inspector: Inspector) -> None:
    await bench.bring_to(State.DEAD, 2, ref="old-")
    cut = max(call.received_at for call in await listing(inspector)) + 0.001
    while await clock_ahead(bench.scripts, lambda: cut) <= 0.001:
        pass  # the store's clock ticks on its own
    await bench.bring_to(State.DEAD, 3, ref="new-")
    for state in (None, "dead"):
        assert {call.ref for call in await listing(inspector, Filter(state=state, since=cut))} == {
            "new-0",
            "new-1",
            "new-2",
        }
        assert {call.ref for call in await listing(inspector, Filter(state=state, until=cut))} == {"old-0", "old-1"}


async def test_a_delivered_call_tells_its_card(bench: Bench, inspector: Inspector) -> None:
    await bench.bring_to(State.DELIVERED)
    (call,) = await listing(inspector)
    assert (call.note_id, call.entity_type, call.entity_id) == (A_NOTE.note_id, A_NOTE.entity_type, A_NOTE.entity_id)
    assert call.attempts == 1
    assert call.call_status == "answered"


async def test_a_webhook_without_a_call_is_listed_with_what_is_known(bench: Bench, inspector: Inspector) -> None:
    broken = Webhook("call.finished", b"\xff\x00not json")
    await bench.inbox.put([UndecodableWebhook("main", "office", "generic", broken, "is not UTF-8, at byte 0")])
    (call,) = await listing(inspector, Filter(state="dead", reason="undecodable"))
    assert call.detail == "is not UTF-8, at byte 0"
    assert call.provider == "generic"
    nothing = (call.uniq, call.direction, call.phone, call.duration, call.started_at, call.ref, call.call_status)
    assert set(nothing) == {None}
    story = await inspector.call(call.id)
    assert story is not None
    assert story.body == broken.body
    assert story.as_json()["webhook"]["size"] == len(broken.body)


async def test_a_story_begins_with_the_receipt_and_tells_what_happened(bench: Bench, inspector: Inspector) -> None:
    (call_id,) = await bench.bring_to(State.DEAD, reason="expired")
    story = await inspector.call(call_id)
    assert story is not None
    assert [entry["what"] for entry in story.happened] == ["received", "dead"]
    assert story.event == "call.finished"
    assert "callbridge dead replay" in story.advice


async def test_a_call_that_is_not_there_has_no_story(inspector: Inspector) -> None:
    assert await inspector.call(CallId("1ngc9ejwfeqs9y9m")) is None


async def test_a_waiting_call_tells_that_its_account_is_paused(bench: Bench, inspector: Inspector) -> None:
    (call_id,) = await bench.store()
    await bench.queue.pause("main", PauseReason.UNAUTHORISED, "HTTP 401", 60, 900)
    story = await inspector.call(call_id)
    assert story is not None
    assert "refuses the token" in story.advice


async def test_the_status_sees_workers_counts_and_durability(
    bench: Bench, inspector: Inspector, presence: RedisPresence
) -> None:
    await bench.store(3)
    assert "3 calls are waiting and no worker is running" in (await inspector.status()).sentence
    await presence.beat("host-1", frozenset)
    status = await inspector.status()
    assert status.ok
    told = status.as_json()
    assert (told["durability"], told["total"], told["states"]["queued"]) == ("always", 3, 3)
    assert [worker["alive"] for worker in told["workers"]] == [True]
    assert told["accounts"][0]["account"] == "main"
    assert told["sources"][0]["counts"] == {"stored": 3}
