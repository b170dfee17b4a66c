"""What the ledger is told: every move that people see, nothing twice that is done, nothing lost that is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import orjson
import pytest
from redis.asyncio import Redis

from callbridge.call import CallId, UndecodableWebhook, Webhook
from callbridge.errors import StoreUnavailable
from callbridge.outcome import Settlement, State
from callbridge.store.changes import GROUP, LONGEST_WAIT, Behind, RedisChanges
from callbridge.store.connect import connected
from callbridge.store.doubts import RedisDoubts, Verdict
from callbridge.store.envelope import seal
from callbridge.store.forgetting import RedisForgetting
from callbridge.store.late import RedisLateNotes
from callbridge.store.mending import RedisMending, amended
from callbridge.store.repair import RedisRepair
from callbridge.store.scripts import Scripts
from support.builders import a_finished_call, a_recording
from support.redis_server import RedisServer, version
from support.store import A_NOTE, Bench

LINK = "https://rec.example.org/a.mp3"


@pytest.fixture
def changes(bench: Bench) -> RedisChanges:
    return RedisChanges(bench.scripts, "one")


async def told(changes: RedisChanges) -> list[str]:
    """Ids on the stream, which is empty after that; a record of a request by its own."""
    found: list[str] = []
    while taken := await changes.take(500, 0):
        found += [change.call_id or f"batch {(change.batch or {})['id']}" for change in taken]
        await changes.done([change.entry for change in taken])
    return found


# --- every move is told ----------------------------------------------------------------------------------------------

Move = Callable[[Bench], Awaitable[list[CallId]]]


async def stored(bench: Bench) -> list[CallId]:
    return await bench.store(2)


async def put_again(bench: Bench) -> list[CallId]:
    ids = await bench.store()
    await told(RedisChanges(bench.scripts, "one"))
    return [*await bench.store(), *ids][:1]


async def another_leg(bench: Bench) -> list[CallId]:
    ids = await bench.store(duration=60)
    await told(RedisChanges(bench.scripts, "one"))
    await bench.inbox.put([a_finished_call(ref="r0", duration=3)])
    return ids


async def a_better_leg(bench: Bench) -> list[CallId]:
    ids = await bench.store()
    await told(RedisChanges(bench.scripts, "one"))
    await bench.inbox.put([a_finished_call(ref="r0", duration=500)])
    return ids


async def undecodable(bench: Bench) -> list[CallId]:
    [receipt] = await bench.inbox.put([UndecodableWebhook("main", "office", "generic", Webhook("", b"?"), "no JSON")])
    return [receipt.id] if receipt.id else []


async def _ready(bench: Bench, state: State, **how: str) -> list[CallId]:
    ids = await bench.bring_to(state, **how)  # type: ignore[arg-type] # only its reason is given
    await told(RedisChanges(bench.scripts, "one"))
    return ids


async def recording(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.WAITING)
    await bench.inbox.put([a_recording(ref="r0", link=LINK)])
    return ids


async def recording_signed_anew(bench: Bench) -> list[CallId]:
    ids = await recording(bench)
    await told(RedisChanges(bench.scripts, "one"))
    await bench.inbox.put([a_recording(ref="r0", link=f"{LINK}?signature=2")])
    return ids


def settled(origin: State, to: State) -> Move:
    async def move(bench: Bench) -> list[CallId]:
        [call_id] = await bench.store()
        claim = await (bench.claim() if origin is State.CLAIMED else bench.sending())
        await told(RedisChanges(bench.scripts, "one"))
        card = A_NOTE if to is State.DELIVERED else None
        await bench.queue.settle(claim.fence, [Settlement(call_id, to, "test", delivered=card)], {})
        return [call_id]

    move.__name__ = f"{origin.value}_to_{to.value}"
    return move


async def released(bench: Bench) -> list[CallId]:
    ids = await bench.store()
    claim = await bench.claim()
    await told(RedisChanges(bench.scripts, "one"))
    await bench.queue.release(claim.fence, ids)
    return ids


def reclaimed(origin: State) -> Move:
    async def move(bench: Bench) -> list[CallId]:
        [call_id] = await _ready(bench, origin)
        await bench.scripts.redis.zadd(f"{bench.scripts.root}leases", {call_id: 1})
        await bench.queue.reclaim()
        return [call_id]

    move.__name__ = f"reclaimed_from_{origin.value}"
    return move


async def revived(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.PARKED)
    assert await bench.queue.revive("main") == 1
    return ids


async def replayed(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.DEAD)
    await RedisRepair(bench.scripts).replay(ids)
    return ids


async def replayed_to_be_looked_for(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.DEAD, reason="unknown_outcome")
    await RedisRepair(bench.scripts).replay(ids)
    return ids


async def discarded(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.DEAD)
    await RedisRepair(bench.scripts).discard(ids)
    return ids


async def resolved(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.UNCERTAIN)
    await RedisDoubts(bench.scripts).resolve(Verdict.DELIVERED, ids, by="anna", why="", after=0)
    return ids


async def resent(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.UNCERTAIN)
    await RedisDoubts(bench.scripts).resolve(Verdict.RESEND, ids, by="anna", why="", after=0)
    return ids


async def unparked(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.PARKED)
    await RedisMending(bench.scripts).unpark(ids, "give_up", "anna", "")
    return ids


async def mended(bench: Bench) -> list[CallId]:
    [call_id] = await _ready(bench, State.DEAD)
    record = await bench.get(call_id)
    assert record.envelope
    fixed = seal(amended(record.envelope, {"phone": "+7 916 555-01-19"}))
    assert await RedisMending(bench.scripts).amend(call_id, fixed, round(record.updated_at * 1000), "anna", "")
    return [call_id]


async def noted(bench: Bench) -> list[CallId]:
    ids = await bench.bring_to(State.DELIVERED)
    await bench.inbox.put([a_recording(ref="r0", link=LINK, note_late=True)])
    notes = RedisLateNotes(bench.scripts, "main", lease=60)
    note = await notes.take()
    assert note
    await told(RedisChanges(bench.scripts, "one"))
    await notes.end(note, {"what": "noted"})
    return ids


async def forgotten(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.DELIVERED)
    await RedisForgetting(bench.scripts).forget(ids)
    return ids


async def erased(bench: Bench) -> list[CallId]:
    ids = await _ready(bench, State.PARKED)
    await RedisForgetting(bench.scripts).erase(ids)
    return ids


MOVES: tuple[Move, ...] = (
    stored, put_again, another_leg, a_better_leg, undecodable, recording, recording_signed_anew,
    settled(State.CLAIMED, State.DEAD), settled(State.CLAIMED, State.IGNORED), settled(State.CLAIMED, State.WAITING),
    settled(State.SENDING, State.DELIVERED), settled(State.SENDING, State.PARKED),
    settled(State.SENDING, State.UNCERTAIN), settled(State.SENDING, State.UNMATCHED),
    released, reclaimed(State.CLAIMED), reclaimed(State.SENDING), revived, replayed, replayed_to_be_looked_for,
    discarded, resolved, resent, unparked, mended, noted, forgotten, erased,
)  # fmt: skip


@pytest.mark.parametrize("move", MOVES, ids=lambda move: move.__name__)
async def test_each_move_that_people_see_is_told_once(bench: Bench, changes: RedisChanges, move: Move) -> None:
    moved = await move(bench)
    assert moved
    assert sorted(await told(changes)) == sorted(moved)


async def test_what_comes_several_times_in_one_write_is_told_once(bench: Bench, changes: RedisChanges) -> None:
    receipts = await bench.inbox.put([a_finished_call(duration=length) for length in (5, 5, 60)])
    assert await told(changes) == [receipts[0].id]


async def test_a_move_that_does_not_happen_is_not_told(bench: Bench, changes: RedisChanges) -> None:
    ids = await bench.bring_to(State.DELIVERED)
    await told(changes)
    await RedisRepair(bench.scripts).replay(ids)
    await RedisRepair(bench.scripts).discard(ids)
    await RedisDoubts(bench.scripts).resolve(Verdict.RESEND, ids, by="anna", why="", after=0)
    await RedisMending(bench.scripts).unpark(ids, "retry", "anna", "")
    assert await bench.queue.settle(99, [Settlement(ids[0], State.DEAD, "test")], {}) == set(ids)
    assert await told(changes) == []


# --- records of requests ---------------------------------------------------------------------------------------------


async def test_a_request_is_told_behind_the_calls_that_it_settled(bench: Bench, changes: RedisChanges) -> None:
    ids = await bench.store(3)
    claim = await bench.sending()
    await told(changes)
    batch = {"id": "b-1", "account": "main", "answer": "PerCall"}
    parked = [Settlement(call_id, State.PARKED, "test") for call_id in ids]
    await bench.queue.settle(claim.fence, parked, {}, batch=orjson.dumps(batch))
    taken = await changes.take(10, 0)
    assert [change.call_id for change in taken] == [*ids, None]
    assert [change.batch for change in taken] == [None, None, None, batch]


async def test_a_request_is_told_even_if_all_its_calls_are_somebody_else_s_by_then(
    bench: Bench, changes: RedisChanges
) -> None:
    ids = await bench.store()
    claim = await bench.sending()
    await told(changes)
    gone = [Settlement(ids[0], State.PARKED, "test")]
    await bench.queue.settle(claim.fence + 1, gone, {}, batch=b'{"id":"b-1"}')
    assert await told(changes) == ["batch b-1"]


async def test_a_request_that_settled_nothing_is_told_by_itself(bench: Bench, changes: RedisChanges) -> None:
    await bench.queue.tell(b'{"id":"b-1"}')
    await bench.queue.settle(1, [], {}, batch=b'{"id":"b-2"}')
    assert await told(changes) == ["batch b-1", "batch b-2"]


@pytest.mark.parametrize("text", ["[1]", "{", "", '{"id":'])
async def test_a_record_that_nobody_can_read_holds_up_nothing(bench: Bench, changes: RedisChanges, text: str) -> None:
    await bench.scripts.redis.xadd(f"{bench.scripts.root}ledger", {"batch": text})
    await bench.queue.tell(b'{"id":"b-2"}')
    unreadable, fine = await changes.take(10, 0)
    assert unreadable.batch == {"unreadable": text}
    assert (unreadable.call_id, fine.batch) == (None, {"id": "b-2"})


# --- taking ----------------------------------------------------------------------------------------------------------


async def test_what_is_taken_and_not_done_is_given_again(bench: Bench, changes: RedisChanges) -> None:
    await bench.store(3)
    taken = await changes.take(2, 0)
    assert await changes.take(2, 0) == taken
    await changes.done([taken[0].entry])
    assert await changes.take(2, 0) == taken[1:]
    await changes.done([taken[1].entry])
    assert len(await changes.take(2, 0)) == 1


async def test_a_consumer_that_died_finds_all_that_it_had_when_it_comes_back(bench: Bench) -> None:
    ids = await bench.store(7)
    before = RedisChanges(bench.scripts, "one")
    taken = await before.take(5, 0)
    after = RedisChanges(bench.scripts, "one")
    assert await after.take(2, 0) == taken[:2]
    await after.done([change.entry for change in taken[:2]])
    assert await told(after) == ids[2:]


async def test_what_one_has_no_other_gets_at_the_same_time(bench: Bench) -> None:
    await bench.store(6)
    one, two = RedisChanges(bench.scripts, "one"), RedisChanges(bench.scripts, "two")
    first, second = await one.take(3, 0), await two.take(9, 0)
    assert (len(first), len(second)) == (3, 3)
    assert not {change.entry for change in first} & {change.entry for change in second}


async def test_what_a_dead_consumer_had_is_taken_over(bench: Bench) -> None:
    ids = await bench.store(5)
    await RedisChanges(bench.scripts, "gone").take(3, 0)
    other = RedisChanges(bench.scripts, "other", abandoned_after=0)
    assert sorted(await told(other)) == sorted(ids)
    assert await bench.scripts.redis.xlen(f"{bench.scripts.root}ledger") == 0


async def test_what_is_done_is_gone_and_doing_it_again_is_nothing(bench: Bench, changes: RedisChanges) -> None:
    await bench.store(2)
    entries = [change.entry for change in await changes.take(5, 0)]
    for _ in range(2):
        await changes.done(entries)
    await changes.done([])
    assert await changes.take(5, 0) == []
    key = f"{bench.scripts.root}ledger"
    assert await bench.scripts.redis.xlen(key) == 0
    assert (await bench.scripts.redis.xpending(key, GROUP))["pending"] == 0


async def test_an_entry_that_was_deleted_while_somebody_had_it_is_let_go(bench: Bench) -> None:
    ids = await bench.store(4)
    key = f"{bench.scripts.root}ledger"
    before = RedisChanges(bench.scripts, "one")
    gone = [change.entry for change in await before.take(3, 0)]
    await bench.scripts.redis.xdel(key, *gone)
    assert await told(RedisChanges(bench.scripts, "one")) == ids[3:]
    assert (await bench.scripts.redis.xpending(key, GROUP))["pending"] == 0


async def test_a_stream_that_is_lost_with_its_group_is_begun_anew(bench: Bench, changes: RedisChanges) -> None:
    await bench.store()
    await told(changes)
    await bench.scripts.redis.flushall()
    ids = await bench.store()
    assert await told(changes) == ids


async def test_calls_of_a_time_without_a_ledger_are_told_to_the_first_that_asks(bench: Bench) -> None:
    ids = await bench.store(3)
    assert await told(RedisChanges(bench.scripts, "one")) == ids


async def test_two_that_begin_at_once_do_not_mind(bench: Bench) -> None:
    one, two = RedisChanges(bench.scripts, "one"), RedisChanges(bench.scripts, "two")
    await one._create()  # as if it had been a moment faster
    await two._create()  # and it was not
    await bench.store()
    assert len(await two.take(1, 0)) == 1


async def test_silent_consumers_are_struck_off_the_list_unless_they_owe_something(redis: Redis, bench: Bench) -> None:
    key = f"{bench.scripts.root}ledger"
    await bench.store(2)
    await RedisChanges(bench.scripts, "owes").take(1, 0)
    await RedisChanges(bench.scripts, "idle")._take(1, 0)  # without anything to do after that
    entries = [row["message_id"] for row in await redis.xpending_range(key, GROUP, "-", "+", 5, "idle")]
    await redis.xack(key, GROUP, *entries)

    class Rows:
        """The server, an hour and a minute later."""

        def __getattr__(self, name: str) -> object:
            return getattr(redis, name)

        async def xinfo_consumers(self, *where: str) -> list[dict[str, object]]:
            return [row | {"idle": 3_660_000} for row in await redis.xinfo_consumers(*where)]

    mine = RedisChanges(bench.scripts, "mine")
    mine._redis = Rows()  # no test waits for an hour
    await mine.take(5, 0)
    assert {row["name"] for row in await redis.xinfo_consumers(key, GROUP)} == {b"owes", b"mine"}


async def test_what_comes_while_it_waits_is_taken_and_nothing_is_waited_for_too_long(redis_server: RedisServer) -> None:
    """On the server alone: fakeredis does not wait on an empty stream."""
    assert LONGEST_WAIT < 2, "the patience of a connection"
    async with connected(redis_server.url) as redis:
        await redis.flushall()
        bench = Bench(Scripts(redis, "{wait}:"))
        changes = RedisChanges(bench.scripts, "one")
        assert await changes.take(1, 0) == []
        assert await changes.take(1, 0.01) == []
        waiting = asyncio.create_task(changes.take(1, 60))
        ids = await bench.store()
        assert [change.call_id for change in await waiting] == ids


async def test_how_far_behind_the_reader_is(bench: Bench, changes: RedisChanges) -> None:
    assert await changes.behind() == Behind(0, None)
    await bench.scripts.redis.xadd(f"{bench.scripts.root}ledger", {"id": "x"}, id=f"{round(time.time() - 90) * 1000}-0")
    await bench.store(2)
    behind = await changes.behind()
    assert behind.entries == 3
    assert behind.oldest is not None
    assert 80 < behind.oldest < 3_600
    await told(changes)
    assert await changes.behind() == Behind(0, None)


async def test_a_store_that_is_away_is_told_in_our_own_words() -> None:
    async with connected("redis://127.0.0.1:1/0", patience=0.5) as redis:
        changes = RedisChanges(Scripts(redis, "{x}:"), "one")
        for asked in (changes.take(1, 0), changes.done(["1-0"]), changes.behind()):
            with pytest.raises(StoreUnavailable):
                await asked


async def test_the_ledger_catches_up_where_redis_is_full(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    async with connected(server.url) as redis:
        bench = Bench(Scripts(redis, "{full}:"))
        changes = RedisChanges(bench.scripts, "one")
        assert await changes.take(1, 0) == []
        ids = await bench.store(3)
        if version() >= (7, 0):  # below it no script may write then
            await redis.config_set("maxmemory", 1)
            await bench.queue.tell(b'{"id":"b-1"}')
        shown = await bench.records.snapshots(ids)
        assert [snapshot.record.id for snapshot in shown] == ids
        assert (await told(changes))[:3] == ids
        assert await changes.behind() == Behind(0, None)
    server.stop()


async def test_what_was_taken_outlives_a_crash_of_the_server(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    async with connected(server.url) as redis:
        bench = Bench(Scripts(redis, "{crash}:"))
        ids = await bench.store(3)
        await RedisChanges(bench.scripts, "one").take(2, 0)
    server.kill()
    server.start()
    async with connected(server.url) as redis:
        assert sorted(await told(RedisChanges(Scripts(redis, "{crash}:"), "two", abandoned_after=0))) == sorted(ids)
    server.stop()
