"""The spool: on the disk before anybody is told so, in order, shared, and readable after accidents."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from callbridge.call import (
    FinishedCall,
    IgnoredEvent,
    Receipt,
    ReceiptKind,
    RecordingReady,
    UndecodableWebhook,
    Webhook,
)
from callbridge.errors import StoreUnavailable
from callbridge.store.spool import SpoolFile, SpoolStanding, read_standing
from callbridge.store.spooling import Spool, SpoolingInbox, pack, unpack
from support.builders import a_call, a_finished_call

ROOM = 64 * 1024 * 1024


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def file(path):
    file = SpoolFile(path, ROOM)
    yield file
    file.close()


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [b"row %d" % n for n in range(start, start + count)]


def test_rows_come_out_in_the_order_in_which_they_went_in(file):
    file.append(numbered(3), 1.0)
    file.append(numbered(2, 3), 2.0)
    assert [row for _, row in file.take(10, 5.0, 30)] == numbered(5)
    assert file.standing() == SpoolStanding(5, 1.0)


def test_what_one_receiver_has_taken_another_leaves_alone_until_the_lease_ends(file, path):
    file.append(numbered(3), 1.0)
    other = SpoolFile(path, ROOM)
    mine = file.take(2, 10.0, 30)
    assert [row for _, row in other.take(10, 10.0, 30)] == numbered(1, 2)
    assert other.take(10, 39.0, 30) == []
    assert [row for _, row in other.take(10, 40.0, 30)] == numbered(3)
    file.remove([number for number, _ in mine])
    assert other.standing().waiting == 1
    other.close()


def test_what_is_given_back_can_be_taken_at_once(file):
    file.append(numbered(2), 1.0)
    taken = file.take(2, 1.0, 30)
    file.give_back([taken[0][0]])
    assert file.take(2, 1.0, 30) == [taken[0]]


def test_a_full_spool_says_no_and_keeps_what_it_has(path):
    file = SpoolFile(path, 200_000)
    kept = 0
    with contextlib.suppress(StoreUnavailable):
        while kept < 1_000:
            file.append([os.urandom(2_000)], 1.0)
            kept += 1
    assert 10 < kept < 100
    with pytest.raises(StoreUnavailable, match="full"):
        file.append([os.urandom(2_000)], 1.0)
    assert file.standing().waiting == kept
    file.close()


def test_the_file_is_for_its_owner_only(file, path):
    file.append(numbered(1), 1.0)
    assert path.stat().st_mode & 0o077 == 0


def test_a_disk_that_cannot_be_written_is_told_as_unavailable(tmp_path):
    (tmp_path / "no-folder").write_text("")
    with pytest.raises(StoreUnavailable):
        SpoolFile(tmp_path / "no-folder" / "spool.db", ROOM).append(numbered(1), 1.0)


@pytest.mark.parametrize("place", [0, 100, 4_096, 5_000])
def test_a_damaged_file_is_set_aside_and_the_spool_goes_on(path, place):
    file = SpoolFile(path, ROOM)
    file.append([b"x" * 1_000 for _ in range(200)], 1.0)
    file.close()
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write(os.urandom(8_192))
    again = SpoolFile(path, ROOM)
    for _ in range(2):  # the accident itself may be told once
        try:
            again.append([b"new"], 2.0)
            break
        except StoreUnavailable:
            continue
    assert b"new" in [row for _, row in again.take(1_000, 3.0, 30)]
    again.close()


def _damage(path):
    """In the middle of the rows: what is before and after it can be read."""
    size = path.stat().st_size
    with path.open("r+b") as raw:
        raw.seek(size // 2 // 4_096 * 4_096)
        raw.write(os.urandom(4_096))


def test_what_is_readable_on_either_side_of_the_damage_is_kept_under_its_number(path):
    file = SpoolFile(path, ROOM)
    file.append([b"%d" % n + b"x" * 3_000 for n in range(200)], 1.0)
    before = dict(file.take(1_000, 1.0, 0))
    file.close()
    _damage(path)
    again = SpoolFile(path, ROOM)
    with pytest.raises(StoreUnavailable):
        again.append([b"meets it"], 2.0)
    kept = dict(again.take(1_000, 3.0, 30))
    assert len(kept) > 150
    assert {number: before[number] for number in kept} == kept
    assert again.standing().damaged == 1
    again.close()


def test_nobody_writes_into_a_file_that_another_has_set_aside(path):
    mine, other = SpoolFile(path, ROOM), SpoolFile(path, ROOM)
    mine.append([b"x" * 3_000 for _ in range(200)], 1.0)
    other.append([b"before"], 1.0)
    other._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    mine.close()
    _damage(path)
    fresh = SpoolFile(path, ROOM)
    with pytest.raises(StoreUnavailable):
        fresh.append([b"meets it"], 2.0)
    other.append([b"after"], 3.0)  # its connection was open all the time
    assert b"after" in [row for _, row in fresh.take(1_000, 4.0, 30)]
    fresh.close()
    other.close()


def test_rows_in_hand_do_not_share_a_number_with_rows_of_a_new_file(path):
    other = SpoolFile(path, ROOM)
    other.append([b"old %d" % n for n in range(5)], 1.0)
    in_hand = [number for number, _ in other.take(5, 1.0, 30)]
    other.close()
    path.write_bytes(b"no database at all" * 1_000)
    Path(f"{path}-wal").unlink(missing_ok=True)
    fresh = SpoolFile(path, ROOM)
    for _ in range(2):
        with contextlib.suppress(StoreUnavailable):
            fresh.append([b"new %d" % n for n in range(5)], 2.0)
            break
    other.remove(in_hand)
    assert [row for _, row in fresh.take(100, 3.0, 30)] == [b"new %d" % n for n in range(5)]
    fresh.close()
    other.close()


def test_a_replacement_that_was_cut_short_is_finished(path):
    file = SpoolFile(path, ROOM)
    file.append(numbered(3), 1.0)
    file.close()
    path.rename(path.with_suffix(".fresh"))
    again = SpoolFile(path, ROOM)
    assert [row for _, row in again.take(10, 2.0, 30)] == numbered(3)
    again.close()


def _append_beside(path: str, name: str, times: int) -> None:
    file = SpoolFile(Path(path), ROOM)
    for n in range(times):
        file.append([f"{name} {n}".encode()], 1.0)


def test_several_receivers_append_and_take_at_once_and_each_row_is_there_once(path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_beside, args=(str(path), name, 300)) for name in "abc"]
    for writer in writers:
        writer.start()
    file, taken = SpoolFile(path, ROOM), []
    while any(writer.is_alive() for writer in writers):
        taken += file.take(7, 1.0, 30)
    taken += file.take(1_000, 1.0, 30)
    assert sorted(row for _, row in taken) == sorted(f"{name} {n}".encode() for name in "abc" for n in range(300))
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    file.close()


def test_a_torn_log_loses_no_committed_row_before_the_tear(path):
    file = SpoolFile(path, ROOM)
    log = Path(f"{path}-wal")
    sizes = []
    for n in range(30):
        file.append(numbered(1, n), 1.0)
        sizes.append(log.stat().st_size)
    whole = log.read_bytes()
    for kept, size in enumerate(sizes, 1):
        for extra in (0, 100):
            torn = path.with_name(f"torn-{kept}-{extra}.db")
            torn.write_bytes(path.read_bytes())
            Path(f"{torn}-wal").write_bytes(whole[: size + extra])
            assert read_standing(torn).waiting == kept
    file.close()


def _append_until_killed(path: str, pipe: int) -> None:
    file = SpoolFile(Path(path), ROOM)
    n = 0
    while True:
        file.append([b"%d" % n], 1.0)
        os.write(pipe, b"%d\n" % n)
        n += 1


@pytest.mark.parametrize("round_", range(3))
def test_what_was_confirmed_survives_kill_nine(path, round_):
    reading, writing = os.pipe()
    process = multiprocessing.get_context("fork").Process(target=_append_until_killed, args=(str(path), writing))
    process.start()
    os.close(writing)
    told = b""
    while told.count(b"\n") < 20 + round_:
        told += os.read(reading, 4_096)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    while more := os.read(reading, 4_096):
        told += more
    os.close(reading)
    confirmed = told.split(b"\n")[:-1]
    file = SpoolFile(path, ROOM)
    assert {row for _, row in file.take(100_000, 5.0, 30)} >= set(confirmed)
    file.close()


def test_the_standing_can_be_read_from_outside(file, path, tmp_path):
    assert read_standing(path) == SpoolStanding(0, None)
    file.append(numbered(2), 7.0)
    assert read_standing(path) == SpoolStanding(2, 7.0)
    (tmp_path / "other.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreUnavailable):
        read_standing(tmp_path / "other.db")


# --- packing ---------------------------------------------------------------------------------------------------------

ARRIVALS = [
    a_finished_call(hold=60.0, link="https://rec.example.com/1.mp3"),
    a_finished_call(body=b"\xff\xfe no text"),
    UndecodableWebhook("main", "office", "generic", Webhook("call.finished", b"{"), "is not JSON, at character 1"),
    RecordingReady(
        "main", "office", "pbx-1", "https://rec.example.com/1.mp3", 1_790_000_000, Webhook("r", b"{}"), True
    ),
    IgnoredEvent("office", "ringing"),
]


@pytest.mark.parametrize("arrival", ARRIVALS, ids=lambda arrival: type(arrival).__name__)
def test_an_arrival_comes_out_of_the_spool_as_it_went_in(arrival):
    assert unpack(pack(arrival)) == arrival


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.sampled_from([pack(arrival)[:-5] for arrival in ARRIVALS]))
def test_an_unreadable_row_is_no_arrival_and_no_accident(packed):
    assert unpack(packed) is None


# --- spooling --------------------------------------------------------------------------------------------------------


class Redis:
    """An inbox that can be away, silent or well."""

    def __init__(self) -> None:
        self.well = True
        self.silent = False
        self.stored: list = []

    async def put(self, arrivals):
        if self.silent:
            await asyncio.Event().wait()
        if not self.well:
            raise StoreUnavailable("away")
        self.stored.extend(arrivals)
        return [Receipt(ReceiptKind.STORED) for _ in arrivals]


@pytest.fixture
async def spooling(path):
    redis = Redis()
    inbox = SpoolingInbox(redis, Spool(SpoolFile(path, ROOM), lambda: 1_000.0), lambda: redis.well)
    yield inbox
    await inbox.spool.close()


async def _drained(spooling):
    draining = asyncio.create_task(spooling.keep_draining())
    while spooling.spool.standing.waiting:  # noqa: ASYNC110 - there is no event for it, on purpose
        await asyncio.sleep(0.01)
    draining.cancel()


async def test_what_redis_takes_does_not_touch_the_spool(spooling):
    assert [r.kind for r in await spooling.put([a_finished_call()])] == [ReceiptKind.STORED]
    assert spooling.spool.standing.waiting == 0


async def test_what_redis_cannot_take_is_spooled_and_handed_over_in_order_when_it_is_back(spooling):
    redis = spooling.inbox
    redis.well = False
    calls = [a_finished_call(ref=f"pbx-{n}") for n in range(250)]
    receipts = await asyncio.gather(*(spooling.put([call, IgnoredEvent("office", "ring")]) for call in calls))
    assert {tuple(r.kind for r in each) for each in receipts} == {(ReceiptKind.SPOOLED, ReceiptKind.COUNTED)}
    assert spooling.spool.standing.waiting == 250
    redis.well = True
    await _drained(spooling)
    assert [arrival.call.ref for arrival in redis.stored] == [call.call.ref for call in calls]


async def test_a_redis_that_is_silent_costs_a_second_and_then_the_spool_has_it(spooling, monkeypatch):
    monkeypatch.setattr("callbridge.store.spooling.ANSWER_WITHIN", 0.05)
    spooling.inbox.silent = True
    (receipt,) = await spooling.put([a_finished_call()])
    assert receipt.kind is ReceiptKind.SPOOLED


async def test_a_spool_that_is_full_or_refused_says_so_until_it_may_be_tried_again(tmp_path):
    (tmp_path / "file").write_text("")
    clock = [1_000.0]
    spool = Spool(SpoolFile(tmp_path / "file" / "spool.db", ROOM), lambda: clock[0])
    assert spool.problem is None
    with pytest.raises(StoreUnavailable):
        await spool.append([a_finished_call()])
    assert spool.problem is not None
    clock[0] += 6
    assert spool.problem is None
    await spool.close()
    small = Spool(SpoolFile(tmp_path / "small.db", 300_000), lambda: 1.0)
    await small.append([a_finished_call(body=os.urandom(60_000))])
    await small.look()
    assert "spool_size" in small.problem
    await small.close()


async def test_a_disk_that_is_too_slow_is_not_waited_for(spooling, monkeypatch):
    monkeypatch.setattr("callbridge.store.spooling.SPOOLED_WITHIN", 0.05)
    asleep = threading.Event()
    genuine = spooling.spool._file.append

    def slow(rows, now):
        asleep.wait(5)
        genuine(rows, now)

    monkeypatch.setattr(spooling.spool._file, "append", slow)
    spooling.inbox.well = False
    with pytest.raises(StoreUnavailable, match="too slow"):
        await spooling.put([a_finished_call()])
    asleep.set()


async def test_a_call_that_redis_cannot_digest_holds_up_no_other(spooling):
    redis = spooling.inbox
    redis.well = False
    for ref in ("pbx-1", "poison", "pbx-3"):
        await spooling.put([a_finished_call(ref=ref)])
    redis.well = True
    genuine = redis.put

    async def put(arrivals):
        if any(arrival.call.ref == "poison" for arrival in arrivals):
            raise StoreUnavailable("put: error") from ResponseError("user_script:9: attempt to index a nil value")
        return await genuine(arrivals)

    redis.put = put
    assert await spooling._hand_over()
    assert [arrival.call.ref for arrival in redis.stored] == ["pbx-1", "pbx-3"]
    assert spooling.spool.standing.waiting == 1


async def test_rows_stay_in_the_spool_while_redis_refuses_them(spooling):
    redis = spooling.inbox
    redis.well = False
    await spooling.put([a_finished_call()])
    spooling.redis_is_well = lambda: True
    with pytest.raises(StoreUnavailable):
        await spooling._hand_over()
    await spooling.spool.look()
    assert spooling.spool.standing.waiting == 1
    redis.well = True
    assert await spooling._hand_over()
    assert len(redis.stored) == 1


async def test_nobody_is_told_yes_when_neither_takes_it(tmp_path):
    (tmp_path / "file").write_text("")
    redis = Redis()
    redis.well = False
    inbox = SpoolingInbox(redis, Spool(SpoolFile(tmp_path / "file" / "spool.db", ROOM), lambda: 1.0), lambda: True)
    results = await asyncio.gather(*(inbox.put([a_finished_call()]) for _ in range(3)), return_exceptions=True)
    assert {type(result) for result in results} == {StoreUnavailable}
    await inbox.spool.close()


async def test_a_row_that_nobody_can_read_stays_and_holds_up_nothing(spooling, path):
    with sqlite3.connect(path) as raw:
        spooling.spool._file.append([b"from a later version"], 1.0)
    raw.close()
    redis = spooling.inbox
    redis.well = False
    await spooling.put([a_finished_call()])
    redis.well = True
    while await spooling._hand_over():
        pass
    assert [type(arrival) for arrival in redis.stored] == [FinishedCall]
    assert spooling.spool.standing.waiting == 1


async def test_a_hand_over_that_is_cancelled_gives_its_rows_back(spooling):
    redis = spooling.inbox
    redis.well = False
    await spooling.put([a_finished_call(ref="pbx-9"), FinishedCall("main", a_call(ref="pbx-10"), Webhook("f", b""))])
    redis.well, redis.silent = True, True
    handing = asyncio.create_task(spooling._hand_over())
    await asyncio.sleep(0.1)
    handing.cancel()
    await asyncio.wait([handing])
    redis.silent = False
    assert await spooling._hand_over()
    assert [arrival.call.ref for arrival in redis.stored] == ["pbx-9", "pbx-10"]
