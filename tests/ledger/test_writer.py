"""Changes are taken in at least once and counted once, whatever comes twice, late, or in between."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger import writer as writer_module
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.figures import bucket_of, cause_of
from callbridge.ledger.tables import (
    ATTEMPTS,
    BATCHES,
    BODIES,
    CALLS,
    EVENTS,
    GROUPS,
    LATENCIES,
    MARKS,
    METADATA,
    MINUTES,
    TALLIES,
    TOMBSTONES,
)
from callbridge.ledger.writer import Writer
from support.builders import a_call
from support.ledger import NOW, Office, Shown, a_batch, delivered, emptied, figures, moved, rows, shown

MINUTE = int(NOW // 60)
TABLES = (CALLS, BODIES, EVENTS, BATCHES, ATTEMPTS, TALLIES, MINUTES, LATENCIES, TOMBSTONES)


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
def writer(ledger: Ledger, office: Office) -> Writer:
    return a_writer(ledger, office)


def a_writer(ledger: Ledger, office: Office) -> Writer:
    return Writer(ledger, office, office, lambda: NOW, office.on_undead)


async def drained(writer: Writer) -> None:
    while await writer.step():
        pass


async def everything(ledger: Ledger) -> dict[str, list[dict[str, Any]]]:
    return {table.name: await rows(ledger, table) for table in TABLES}


async def test_a_delivered_call_is_told_whole(ledger: Ledger, office: Office, writer: Writer):
    call = a_call(
        ref="r-7", phone="+7 916 555-01-17", result="sold", link="https://rec.example.org/7.mp3", extension="101"
    )
    office.put(delivered(shown("c1", call), NOW + 2.5, batch="b-1"))
    office.tell(a_batch("b-1", ["c1"]))
    await drained(writer)
    (row,) = await rows(ledger, CALLS)
    ms = round(NOW * 1000)
    assert row == {
        "id": "c1", "state": "delivered", "account": "main", "source": "office", "provider": "generic",
        "uniq": call.uniq, "ref": "r-7", "direction": "inbound", "phone": "+7 916 555-01-17", "tail": "71105556197",
        "extension": "101", "duration": 42, "started_at": 1_790_000_000, "status": "answered", "result": "sold",
        "link": "https://rec.example.org/7.mp3", "event": "call.finished", "received_at": ms, "updated_at": ms + 2500,
        "settled_at": ms + 2500, "attempts": 1, "reason": None, "detail": None, "cause": None, "note_id": 7001,
        "entity_type": "contact", "entity_id": 12, "duplicates": 0, "variants": 0, "replayed": False,
        "forgotten_at": None,
    }  # fmt: skip
    assert [body["envelope"] for body in await rows(ledger, BODIES)] == [office.calls["c1"].sealed]
    (attempt,) = await rows(ledger, ATTEMPTS)
    assert (attempt["batch_id"], attempt["call_id"], attempt["became"]) == ("b-1", "c1", "delivered")
    (batch,) = await rows(ledger, BATCHES)
    assert (batch["answer"], batch["size"], batch["seconds"], batch["status"]) == ("PerCall", 1, 0.2, 200)
    assert batch["request"] and batch["response"]
    assert [event["what"] for event in await rows(ledger, EVENTS)] == ["delivered"]
    assert await figures(ledger, TALLIES) == {("main", "office", "delivered"): 1}
    assert await figures(ledger, MINUTES) == {
        (MINUTE, "main", "received"): 1,
        (MINUTE, "main", "delivered"): 1,
        (MINUTE, "main", "in_time"): 1,
    }
    assert await figures(ledger, LATENCIES) == {(MINUTE, bucket_of(2500)): 1}
    assert office.stream == {}
    assert [mark["changed_at"] for mark in await rows(ledger, MARKS)] == [ms]


async def test_the_same_changes_again_change_nothing(ledger: Ledger, office: Office, writer: Writer):
    office.put(
        delivered(shown("c1"), NOW + 2), moved(shown("c2"), "dead", NOW + 9, reason="refused_by_crm", detail="no")
    )
    office.tell(a_batch("b-1", ["c1", "c2"]))
    stream = dict(office.stream)
    await drained(writer)
    once = await everything(ledger)
    for _ in range(2):
        office.stream = dict(stream)
        await drained(writer)
        assert await everything(ledger) == once


async def test_what_was_written_and_not_done_is_counted_once(ledger: Ledger, office: Office, writer: Writer):
    """The process dies, or Redis goes, between the commit and the word that the changes are done."""
    office.put(delivered(shown("c1"), NOW + 2))
    real, office.done = office.done, gone  # type: ignore[method-assign] # as if it were away for that word only
    with pytest.raises(StoreUnavailable):
        await writer.step()
    office.done = real  # type: ignore[method-assign] # as above
    assert len(office.stream) == 1
    assert await figures(ledger, TALLIES) == {("main", "office", "delivered"): 1}
    await drained(a_writer(ledger, office))
    assert await figures(ledger, TALLIES) == {("main", "office", "delivered"): 1}
    assert await figures(ledger, LATENCIES) == {(MINUTE, bucket_of(2000)): 1}


async def gone(_entries: object) -> None:
    raise StoreUnavailable("away")


async def test_a_transaction_that_fails_leaves_its_changes_to_be_taken_again(
    ledger: Ledger, office: Office, writer: Writer, monkeypatch: pytest.MonkeyPatch
):
    office.put(delivered(shown("c1"), NOW + 2))
    with monkeypatch.context() as patch:
        patch.setattr(writer_module.Writing, "_reopen", gone_in_the_middle)
        with pytest.raises(LedgerUnavailable):
            await writer.step()
    assert len(office.stream) == 1
    assert await rows(ledger, CALLS) == []
    await drained(writer)
    assert await figures(ledger, TALLIES) == {("main", "office", "delivered"): 1}


async def gone_in_the_middle(_self: object) -> None:
    raise LedgerUnavailable("away")


@pytest.mark.parametrize("later", ["delivered", "parked", "dead"])
async def test_an_overtaken_writer_does_not_bring_an_older_state_back(
    later: str, ledger: Ledger, office: Office, writer: Writer
):
    before = moved(shown("c1"), "uncertain", NOW + 1, batch="b-1", reason="no_answer")
    office.put(moved(before, later, NOW + 5, batch="b-2", reason="some_reason"))
    await drained(writer)
    now = await everything(ledger)
    office.put(before)
    await drained(writer)
    assert await everything(ledger) == now


async def test_within_a_millisecond_an_end_is_the_later_state(ledger: Ledger, office: Office, writer: Writer):
    before = shown("c1")
    office.put(delivered(before, NOW))
    await drained(writer)
    office.put(before)
    await drained(writer)
    assert [row["state"] for row in await rows(ledger, CALLS)] == ["delivered"]


async def test_within_a_millisecond_the_longer_story_is_the_later_one(ledger: Ledger, office: Office, writer: Writer):
    before = shown("c1")
    office.put(moved(before, "uncertain", NOW, batch="b-1", reason="no_answer"))
    await drained(writer)
    office.put(before)
    await drained(writer)
    assert [row["state"] for row in await rows(ledger, CALLS)] == ["uncertain"]


async def test_a_clock_that_went_back_hides_no_newer_state(ledger: Ledger, office: Office, writer: Writer):
    """After a failover the new primary's clock may be behind: the story knows more, so it is the newer one."""
    office.put(shown("c1"))
    await drained(writer)
    office.put(delivered(office.calls["c1"], NOW - 3))
    await drained(writer)
    assert [row["state"] for row in await rows(ledger, CALLS)] == ["delivered"]
    assert await figures(ledger, TALLIES) == {("main", "office", "delivered"): 1}


async def test_a_replayed_call_moves_from_one_end_to_the_other(ledger: Ledger, office: Office, writer: Writer):
    dead = moved(shown("c1"), "dead", NOW + 60, reason="refused_by_crm", detail="field 7 is wrong")
    office.put(dead)
    await drained(writer)
    assert await figures(ledger, MINUTES) == {(MINUTE, "main", "received"): 1, (MINUTE + 1, "main", "dead"): 1}
    again = moved(dead, "replayed", NOW + 120, replayed=True)
    again = Shown(
        again.record.__class__(**{**fields(again.record), "state": "retrying"}), again.story, again.sealed, True
    )
    office.put(again)
    await drained(writer)
    assert await figures(ledger, MINUTES) == {(MINUTE, "main", "received"): 1}
    office.put(delivered(again, NOW + 130))
    await drained(writer)
    assert await figures(ledger, MINUTES) == {(MINUTE, "main", "received"): 1, (MINUTE + 2, "main", "delivered"): 1}
    assert await figures(ledger, LATENCIES) == {}
    assert await figures(ledger, TALLIES) == {("main", "office", "delivered"): 1}
    assert [event["what"] for event in await rows(ledger, EVENTS)] == ["dead", "replayed", "delivered"]


def fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__dataclass_fields__}


@pytest.mark.parametrize("how", ["parked", "marked"])
async def test_what_people_or_contacts_took_is_no_latency(how: str, ledger: Ledger, office: Office, writer: Writer):
    call = shown("c1")
    if how == "parked":
        call = delivered(moved(call, "parked", NOW + 1, reason="no_matching_entity"), NOW + 2)
    else:
        call = moved(call, "delivered", NOW + 2, reason="marked_delivered")
    office.put(call)
    await drained(writer)
    assert await figures(ledger, LATENCIES) == {}
    assert (MINUTE, "main", "in_time") not in await figures(ledger, MINUTES)


async def test_slower_than_a_minute_is_not_in_time(ledger: Ledger, office: Office, writer: Writer):
    office.put(delivered(shown("c1"), NOW + 60.0), delivered(shown("c2"), NOW + 60.001))
    await drained(writer)
    assert (await figures(ledger, MINUTES))[MINUTE + 1, "main", "in_time"] == 1


async def test_the_time_of_an_end_outlives_the_story_that_told_it(ledger: Ledger, office: Office, writer: Writer):
    dead = moved(shown("c1"), "dead", NOW + 10, reason="expired")
    office.put(dead)
    await drained(writer)
    cut = Shown(dead.record.__class__(**{**fields(dead.record), "updated_at": NOW + 99}), (), dead.sealed)
    office.put(cut)
    await drained(writer)
    assert [row["settled_at"] for row in await rows(ledger, CALLS)] == [round((NOW + 10) * 1000)]


async def test_a_halved_batch_tells_what_became_of_each_request(ledger: Ledger, office: Office, writer: Writer):
    office.tell(
        a_batch("b-1", ["c1", "c2"], answer="WholeRefused", status=400),
        a_batch("b-2", ["c1"], why="half", parent="b-1"),
        a_batch("b-3", ["c2"], why="half", parent="b-1", answer="WholeRefused", status=400),
        a_batch("b-4", ["c3"], answer="SlowDown", status=429),
    )
    await drained(writer)
    office.put(
        delivered(shown("c1"), NOW + 2, batch="b-2"),
        moved(shown("c2"), "dead", NOW + 3, batch="b-3", reason="refused_by_crm", detail="phone"),
        shown("c3"),
    )
    await drained(writer)
    became = {(row["batch_id"], row["call_id"]): row["became"] for row in await rows(ledger, ATTEMPTS)}
    assert became == {
        ("b-1", "c1"): "halved", ("b-1", "c2"): "halved", ("b-2", "c1"): "delivered", ("b-3", "c2"): "dead",
        ("b-4", "c3"): "waiting",
    }  # fmt: skip
    office.tell(a_batch("b-2", ["c1"], why="half", parent="b-1"))  # told again, later than the calls
    await drained(writer)
    assert {(row["batch_id"], row["call_id"]): row["became"] for row in await rows(ledger, ATTEMPTS)} == became


async def test_two_entries_of_one_millisecond_are_two(ledger: Ledger, office: Office, writer: Writer):
    call = shown("c1", story=({"at": 5, "what": "joined"}, {"at": 5, "what": "joined"}, {"at": 6, "what": "queued"}))
    for _ in range(2):
        office.put(call)
        await drained(writer)
    assert [(row["at"], row["n"], row["what"]) for row in await rows(ledger, EVENTS)] == [
        (5, 0, "joined"), (5, 1, "joined"), (6, 0, "queued"),
    ]  # fmt: skip


async def test_a_call_that_redis_let_go_of_stays_and_says_so(ledger: Ledger, office: Office, writer: Writer):
    office.put(delivered(shown("c1"), NOW + 2), shown("c2"))
    await drained(writer)
    before = await rows(ledger, CALLS)
    office.calls.clear()
    for call_id in ("c1", "c2", "never-heard-of"):
        office.change(call_id)
    await drained(writer)
    ended, live = await rows(ledger, CALLS)
    assert ended == {**before[0], "forgotten_at": round(NOW * 1000)}
    assert live == before[1]  # lost by Redis, not forgotten by us


async def test_a_fixed_cause_that_buries_another_call_is_open_again(ledger: Ledger, office: Office, writer: Writer):
    def said(status: str, at: float) -> dict[str, Any]:
        cause = cause_of("refused_by_crm", "field 7")
        key = {"account": "main", "reason": "refused_by_crm", "cause": cause}
        return {**key, "status": status, "changed_at": round(at * 1000), "changed_by": "ann", "note": "put right"}

    async with ledger.begin() as connection:
        await connection.execute(GROUPS.insert().values(**said("fixed", NOW + 10)))
    office.put(moved(shown("c1"), "dead", NOW + 5, reason="refused_by_crm", detail="field 12"))  # before that
    await drained(writer)
    assert [row["status"] for row in await rows(ledger, GROUPS)] == ["fixed"]
    office.put(moved(shown("c2"), "dead", NOW + 15, reason="refused_by_crm", detail="field 13"))
    await drained(writer)
    (group,) = await rows(ledger, GROUPS)
    assert (group["status"], group["changed_by"], group["note"]) == ("open", None, "put right")
    async with ledger.begin() as connection:
        await connection.execute(GROUPS.update().values(**said("fixed", NOW + 20)))
    office.change("c2")  # heard of before
    await drained(writer)
    assert [row["status"] for row in await rows(ledger, GROUPS)] == ["fixed"]


async def test_an_erased_call_leaves_nothing_of_the_person(ledger: Ledger, office: Office, writer: Writer):
    call = a_call(
        phone="+7 916 555-01-17", result="talked to Ivan", ref="ivan-1", link="https://rec.example.org/ivan.mp3"
    )
    office.put(delivered(shown("c1", call, detail="Ivan"), NOW + 2, detail="Ivan"), delivered(shown("c2"), NOW + 2))
    office.tell(a_batch("b-1", ["c1", "c2"]))
    await drained(writer)
    office.put(emptied(office.calls["c1"], NOW + 50))
    await drained(writer)
    office.tell(a_batch("b-1", ["c1", "c2"]), a_batch("b-0", ["c1"]))  # one comes only after that
    await drained(writer)
    first, second = await rows(ledger, CALLS)
    assert (first["state"], first["settled_at"]) == ("erased", round((NOW + 2) * 1000))
    assert {name for name, value in first.items() if value not in {None, 0}} == {
        "id", "state", "account", "source", "received_at", "updated_at", "settled_at",
    }  # fmt: skip
    assert second["phone"]
    assert [body["call_id"] for body in await rows(ledger, BODIES)] == ["c2"]
    assert [(row["request"], row["response"]) for row in await rows(ledger, BATCHES)] == [(None, None)] * 2
    assert [row["call_id"] for row in await rows(ledger, TOMBSTONES)] == ["c1"]
    told = repr([row for rows_ in (await everything(ledger)).values() for row in rows_ if "c2" not in row.values()])
    assert "van" not in told and "5550117" not in told
    assert await figures(ledger, TALLIES) == {("main", "office", "erased"): 1, ("main", "office", "delivered"): 1}
    assert (await figures(ledger, MINUTES))[MINUTE, "main", "delivered"] == 2  # history stays


async def test_contents_that_redis_left_with_an_erased_call_are_not_taken_in(
    ledger: Ledger, office: Office, writer: Writer
):
    office.put(moved(shown("c1"), "erased", NOW + 9, batch="b-1", reason="refused_by_crm", detail="Ivan"))
    await drained(writer)
    assert await rows(ledger, BODIES) == []
    assert "Ivan" not in repr(await everything(ledger)) and "555" not in repr(await rows(ledger, CALLS))


async def test_what_comes_after_a_delivery_does_not_count_it_again(ledger: Ledger, office: Office, writer: Writer):
    call = delivered(shown("c1"), NOW + 2)
    office.put(call)
    await drained(writer)
    before = [await rows(ledger, table) for table in (TALLIES, MINUTES, LATENCIES)]
    office.put(Shown(call.record.__class__(**{**fields(call.record), "duplicates": 3}), call.story, call.sealed))
    await drained(writer)
    assert [row["duplicates"] for row in await rows(ledger, CALLS)] == [3]
    assert [await rows(ledger, table) for table in (TALLIES, MINUTES, LATENCIES)] == before


async def test_a_restored_redis_brings_no_erased_call_back(ledger: Ledger, office: Office, writer: Writer):
    backup = delivered(shown("c1"), NOW + 2)
    office.put(backup)
    await drained(writer)
    office.put(emptied(backup, NOW + 50))
    await drained(writer)
    erased = await everything(ledger)
    office.put(moved(backup, "dead", NOW + 99, reason="refused_by_crm", detail="Ivan"))
    await drained(writer)
    assert await everything(ledger) == erased
    assert office.undead == ["c1"]
    office.put(shown("c0"))
    async with ledger.begin() as connection:
        await connection.execute(TOMBSTONES.insert().values(call_id="c0", erased_at=1))
    await drained(writer)
    assert office.undead == ["c1", "c0"]
    row = (await rows(ledger, CALLS))[0]
    assert (row["id"], row["state"], row["phone"]) == ("c0", "erased", None)


async def test_an_undead_call_that_could_not_be_told_of_is_told_of_again(ledger: Ledger, office: Office):
    told: list[str] = []

    async def on_undead(ids: Any) -> None:
        told.extend(ids)
        if len(told) == 1:
            raise StoreUnavailable("away")

    async with ledger.begin() as connection:
        await connection.execute(TOMBSTONES.insert().values(call_id="c1", erased_at=1))
    office.put(shown("c1"))
    writer = Writer(ledger, office, office, lambda: NOW, on_undead)
    with pytest.raises(StoreUnavailable):
        await writer.step()
    await writer.step()
    assert told == ["c1", "c1"]


async def test_hostile_values_are_kept_as_far_as_a_database_can(ledger: Ledger, office: Office, writer: Writer):
    long = "x" * 5000
    office.put(
        shown(
            "c1",
            detail="a\x00b\ud800c",
            reason=long,
            link=long,
            entity_id=1 << 80,
            entity_type=long,
            note_id=-(1 << 63),
        ),
        shown("c2", story=({"at": 1, "what": long, "batch": long, "detail": "\x00"},)),
        shown("c3"),
    )
    office.tell(a_batch("b" * 99, ["c" * 99], request_id="\x00", status=1 << 40))
    await drained(writer)
    assert [row["id"] for row in await rows(ledger, CALLS)] == ["c1", "c2", "c3"]
    assert (await rows(ledger, CALLS))[0]["detail"] == "a\ufffdb?c"
    assert office.stream == {}


async def test_one_unreadable_change_does_not_hold_up_the_rest(ledger: Ledger, office: Office, writer: Writer):
    office.put(shown("c1"))
    office.tell({"id": "b-1", "nonsense": True}, a_batch("b-2", ["c1"], request="no base64!"))
    office.put(shown("c2", story=({"no": "time"},)), shown("c3"))
    await drained(writer)
    assert [row["id"] for row in await rows(ledger, CALLS)] == ["c1", "c3"]
    assert office.stream == {}


async def test_several_processes_count_each_call_once(ledger: Ledger, office: Office, url: str):
    async with open_ledger(url) as other:
        for number in range(60):
            office.put(delivered(shown(f"c{number}"), NOW + 1))
        writers = [a_writer(one, office) for one in (ledger, other, ledger)]
        await asyncio.gather(*(drained(one) for one in writers))
    assert await figures(ledger, TALLIES) == {("main", "office", "delivered"): 60}
    assert (await figures(ledger, MINUTES))[MINUTE, "main", "received"] == 60


async def test_it_waits_for_what_is_away_and_goes_on_by_itself(
    ledger: Ledger, office: Office, writer: Writer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(writer_module, "_FIRST_PAUSE", 0.01)
    office.put(shown("c1"))
    office.away = StoreUnavailable("away")
    stopping = asyncio.Event()
    run = asyncio.create_task(writer.run(stopping))
    await asyncio.sleep(0.05)
    office.away = LedgerUnavailable("away")
    await asyncio.sleep(0.05)
    assert not run.done()
    office.away = None
    async with asyncio.timeout(20):
        while office.stream:  # noqa: ASYNC110 - nobody tells when it is empty
            await asyncio.sleep(0.01)
    stopping.set()
    await asyncio.wait_for(run, 20)
    assert len(await rows(ledger, CALLS)) == 1


MOVES = st.sampled_from(["queued", "uncertain", "parked", "delivered", "unmatched", "dead", "replayed", "erased"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.integers(0, 3), MOVES, st.integers(0, 150_000)), max_size=25),
    seed=st.integers(0, 1 << 30),
)
async def test_whatever_comes_twice_or_late_the_counters_are_those_of_the_rows(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str, int]], seed: int
):
    """Calls move at random, changes are replayed at random, an overtaken writer shows older states: in the end each row is
    the call as Redis last showed it, and every counter is what the rows add up to.
    """
    chance, office, clock = random.Random(seed), Office(), NOW
    directory: Path = tmp_path_factory.mktemp("model")
    async with open_ledger(f"sqlite:///{directory}/ledger.db") as ledger:
        writer = a_writer(ledger, office)
        older: list[Shown] = []
        for which, state, pause in steps:
            clock += pause / 1000
            name = f"c{which}"
            before = office.calls.get(name)
            if before is None:
                office.put(shown(name, at=clock))
            elif may(before.record.state, state):
                older.append(before)
                office.put(after(before, state, clock))
            if chance.random() < 0.5:
                kept = dict(office.stream)
                await writer.step()
                if chance.random() < 0.4:
                    office.stream = kept | office.stream
            if older and chance.random() < 0.2:
                truth, stale = dict(office.calls), chance.choice(older)
                if stale.record.id in {row["id"] for row in await rows(ledger, CALLS)}:
                    await drained(writer)
                    office.put(stale)
                    await drained(writer)
                    office.calls = truth
        await drained(writer)
        found = {row["id"]: row for row in await rows(ledger, CALLS)}
        assert {name: row["state"] for name, row in found.items()} == {
            name: call.record.state for name, call in office.calls.items()
        }
        ends = Counter((row["settled_at"] // 60_000, row["state"]) for row in found.values() if row["settled_at"])
        minutes = await figures(ledger, MINUTES)
        if not any(row["state"] == "erased" for row in found.values()):
            assert {
                (at, what): n for (at, _, what), n in minutes.items() if what not in {"received", "in_time"}
            } == ends
            assert sum((await figures(ledger, LATENCIES)).values()) == sum(
                not call.replayed and all(entry["what"] != "parked" for entry in call.story)
                for call in office.calls.values()
                if call.record.state == "delivered"
            )
        assert Counter({at: n for (at, _, what), n in minutes.items() if what == "received"}) == Counter(
            row["received_at"] // 60_000 for row in found.values()
        )
        assert {key[2]: n for key, n in (await figures(ledger, TALLIES)).items()} == Counter(
            row["state"] for row in found.values()
        )


def may(state: str, to: str) -> bool:
    if state == "erased":
        return False
    if to == "erased":
        return True
    if state in {"delivered", "unmatched"}:
        return False
    return state == "dead" if to == "replayed" else state != "dead" and to != "queued"


def after(before: Shown, state: str, at: float) -> Shown:
    match state:
        case "erased":
            return emptied(before, at)
        case "replayed":
            again = moved(before, "replayed", at, replayed=True)
            return Shown(
                again.record.__class__(**{**fields(again.record), "state": "queued"}), again.story, again.sealed, True
            )
        case "delivered":
            return delivered(before, at)
        case _:
            return moved(before, state, at, reason="some_reason")


def test_every_table_that_the_writer_fills_is_looked_at():
    others = {"groups", "audit", "jobs", "job_calls", "operators", "sessions", "tokens", "throttles", "alerts", "marks"}
    assert {table.name for table in TABLES} == set(METADATA.tables) - others
