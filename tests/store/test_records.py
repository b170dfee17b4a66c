"""Lists page through everything once, newest first, while calls move."""

from __future__ import annotations

from callbridge.outcome import State
from callbridge.store import records as module
from callbridge.store.doubts import RedisDoubts, Verdict
from callbridge.store.envelope import unseal
from callbridge.store.repair import RedisRepair
from support.builders import a_finished_call
from support.store import Bench


async def test_a_list_holds_every_call_once_newest_first(bench: Bench) -> None:
    ids = [*await bench.store(450, ref="a"), *await bench.store(120, ref="b")]
    listed = [record async for record in bench.records.newest()]
    assert sorted(record.id for record in listed) == sorted(ids)
    assert [r.received_at for r in listed] == sorted((r.received_at for r in listed), reverse=True)


async def test_many_calls_of_one_moment_are_neither_repeated_nor_hidden(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(module, "PAGE", 7)
    ids = await bench.store(60)
    await bench.scripts.redis.zadd(f"{bench.scripts.root}index", dict.fromkeys(ids, 1_790_000_000_000))
    assert sorted([record.id async for record in bench.records.newest()]) == sorted(ids)


async def test_a_list_of_a_final_state_holds_only_that_state(bench: Bench) -> None:
    dead = await bench.bring_to(State.DEAD, 3, ref="dead")
    await bench.bring_to(State.DELIVERED, 2, ref="ok")
    assert sorted([record.id async for record in bench.records.in_state(State.DEAD)]) == sorted(dead)


async def test_a_list_can_be_bounded_in_time(bench: Bench) -> None:
    [first] = await bench.store(ref="a")
    at = (await bench.get(first)).received_at
    assert [record.id async for record in bench.records.newest(since=at, until=at + 60)] == [first]
    assert [record.id async for record in bench.records.newest(until=at)] == []
    assert [record.id async for record in bench.records.newest(since=at + 60)] == []


async def test_an_unknown_id_is_nothing(bench: Bench) -> None:
    assert await bench.records.get(module.CallId("nope")) is None


async def test_a_snapshot_is_a_call_with_its_story_and_its_webhook(bench: Bench) -> None:
    [call_id] = await bench.store(duration=60, extension="101")
    await bench.inbox.put([a_finished_call(ref="r0", duration=3, extension="102")])
    [shown] = await bench.records.snapshots([call_id, "nobody"])
    assert shown.record == await bench.get(call_id)
    assert shown.sealed is not None
    assert unseal(shown.sealed) == shown.record.envelope
    [entry] = shown.story
    assert (entry["what"], entry["duration"], entry["extension"]) == ("variant", 3, "102")
    assert entry["at"] > 1_600_000_000_000, "milliseconds"
    assert not shown.replayed


async def test_a_snapshot_tells_whether_a_person_had_the_call_sent_again(bench: Bench) -> None:
    dead = await bench.bring_to(State.DEAD, ref="dead")
    lost = await bench.bring_to(State.UNCERTAIN, ref="lost")
    parked = await bench.bring_to(State.PARKED, ref="parked")
    await RedisRepair(bench.scripts).replay(dead)
    await RedisDoubts(bench.scripts).resolve(Verdict.RESEND, lost, by="anna", why="", after=0)
    await bench.queue.revive("main")
    shown = await bench.records.snapshots([*dead, *lost, *parked])
    assert [snapshot.replayed for snapshot in shown] == [True, True, False]


async def test_snapshots_of_many_calls_come_in_the_order_that_was_asked_for(bench: Bench, monkeypatch) -> None:
    monkeypatch.setattr(module, "SHOWN", 7)
    ids = list(reversed(await bench.store(30)))
    assert [snapshot.record.id for snapshot in await bench.records.snapshots(ids)] == ids
    assert await bench.records.snapshots([]) == []
