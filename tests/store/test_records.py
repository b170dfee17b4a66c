"""Lists page through everything once, newest first, while calls move."""

from __future__ import annotations

from callbridge.outcome import State
from callbridge.store import records as module
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
