"""Old things go, in steps that may be cut off anywhere; what is open stays; an erased number is found nowhere."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import text

from callbridge.errors import StoreUnavailable
from callbridge.ledger.database import Ledger
from callbridge.ledger.keeping import (
    Pruned,
    Retention,
    erase,
    erase_ids,
    forget,
    forgettable,
    mark_forgotten,
    prune,
    tombstones,
)
from callbridge.ledger.tables import (
    ATTEMPTS,
    BATCHES,
    BODIES,
    CALLS,
    EVENTS,
    LATENCIES,
    MINUTES,
    TALLIES,
    TOMBSTONES,
)
from callbridge.ledger.writer import Writer
from support.builders import a_call
from support.ledger import NOW, Office, Shown, a_batch, delivered, figures, moved, rows, shown

DAY = 86_400.0
KEEP = Retention(body=30 * DAY, delivered=365 * DAY, unmatched=200 * DAY, ignored=90 * DAY)
ENDS = ("delivered", "unmatched", "ignored", "dead", "parked", "queued")


async def filled(ledger: Ledger, *calls: Shown) -> Office:
    """A ledger with these calls, each sent in a batch of its own; and the Redis that has them, too."""
    office = Office()
    office.put(*calls)
    office.tell(*(a_batch(f"b-{call.record.id}", [call.record.id]) for call in calls))
    writer = Writer(ledger, office, office, lambda: NOW, office.on_undead)
    while await writer.step():
        pass
    return office


def ended(call_id: str, state: str, at: float = NOW + 2, **changes: Any) -> Shown:
    call = shown(call_id, a_call(ref=call_id, **changes))
    match state:
        case "queued":
            return call
        case "delivered":
            return delivered(call, at, batch=f"b-{call_id}")
        case _:
            return moved(call, state, at, batch=f"b-{call_id}", reason="some_reason", detail=f"about {call_id}")


async def names(ledger: Ledger, table: Any, column: str = "id") -> list[str]:
    return [row[column] for row in await rows(ledger, table)]


async def pruned(ledger: Ledger, now: float, limit: int = 500) -> Pruned:
    total = Counter[str]()
    while True:
        went = await prune(ledger, now, KEEP, limit)
        total.update({name: getattr(went, name) for name in ("calls", "bodies", "batches", "minutes")})
        if not went.more:
            return Pruned(**total, more=False)


@pytest.mark.parametrize(
    ("days", "left", "whole"),
    [
        (29, set(ENDS), set(ENDS)),
        (31, set(ENDS), {"dead", "parked", "queued"}),
        (91, set(ENDS) - {"ignored"}, {"dead", "parked", "queued"}),
        (201, set(ENDS) - {"ignored", "unmatched"}, {"dead", "parked", "queued"}),
        (366, {"dead", "parked", "queued"}, {"dead", "parked", "queued"}),
    ],
)
async def test_each_state_is_kept_for_its_time_and_what_is_open_for_ever(
    days: float, left: set[str], whole: set[str], ledger: Ledger
):
    await filled(ledger, *(ended(f"c-{state}", state) for state in ENDS))
    await mark_forgotten(ledger, [f"c-{state}" for state in ENDS], NOW + DAY)  # or Redis lost them
    await pruned(ledger, NOW + days * DAY)
    assert {row["state"] for row in await rows(ledger, CALLS)} == left
    assert set(await names(ledger, BODIES, "call_id")) == {f"c-{state}" for state in whole}
    with_body = {row["id"] for row in await rows(ledger, BATCHES) if row["request"] or row["response"]}
    assert with_body == {f"b-c-{state}" for state in whole}
    assert set(await names(ledger, EVENTS, "call_id")) == {f"c-{state}" for state in left - {"queued"}}
    assert {row["call_id"] for row in await rows(ledger, ATTEMPTS)} == {f"c-{state}" for state in left}
    assert {key[2] for key in await figures(ledger, TALLIES)} == left


async def test_requests_go_with_the_last_call_that_they_carried(ledger: Ledger):
    office = Office()
    office.put(*(ended(f"c{number}", state) for number, state in enumerate(["ignored", "delivered"])))
    office.tell(a_batch("b-both", ["c0", "c1"]), a_batch("b-c0", ["c0"]))
    writer = Writer(ledger, office, office, lambda: NOW)
    await writer.step()
    await mark_forgotten(ledger, ["c0", "c1"], NOW)
    await pruned(ledger, NOW + 364 * DAY)
    assert await names(ledger, CALLS) == ["c1"]
    assert await names(ledger, BATCHES) == ["b-both", "b-c0"]
    await pruned(ledger, NOW + 366 * DAY)
    assert await names(ledger, BATCHES) == []


async def test_what_redis_still_has_is_not_pruned(ledger: Ledger):
    await filled(ledger, ended("c1", "delivered"), ended("c2", "delivered"))
    await mark_forgotten(ledger, ["c2"], NOW)
    await pruned(ledger, NOW + 400 * DAY)
    assert await names(ledger, CALLS) == await names(ledger, BODIES, "call_id") == ["c1"]


async def test_charts_are_kept_as_long_as_the_longest_kept_call(ledger: Ledger):
    await filled(ledger, *(ended(f"c{number}", "delivered", NOW + 60 * number) for number in range(7)))
    await pruned(ledger, NOW + 364 * DAY)
    assert await figures(ledger, MINUTES) and await figures(ledger, LATENCIES)
    await pruned(ledger, NOW + 366 * DAY, limit=2)
    assert await rows(ledger, MINUTES) == await rows(ledger, LATENCIES) == []


async def test_pruning_that_was_cut_off_goes_on_where_it_was(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    """However small the steps, and though each is cut off once: the tallies are always the rows that are there."""
    calls = [ended(f"c{number:02}", "delivered" if number % 3 else "dead") for number in range(20)]
    await filled(ledger, *calls)
    await mark_forgotten(ledger, [call.record.id for call in calls], NOW)
    real, cut = ledger.begin, [0]

    class CutOff(Exception):
        pass

    class Cutting:
        def __init__(self) -> None:
            self.inside = real()

        async def __aenter__(self):
            return await self.inside.__aenter__()

        async def __aexit__(self, *error):
            cut[0] += 1
            if cut[0] % 3 == 0 and error[0] is None:  # killed right before the commit
                cutoff = CutOff()
                await self.inside.__aexit__(CutOff, cutoff, None)
            return await self.inside.__aexit__(*error)

    monkeypatch.setattr(ledger, "begin", Cutting)
    went = 0
    for _ in range(200):
        try:
            more = (await prune(ledger, NOW + 400 * DAY, KEEP, limit=3)).more
        except CutOff:
            more = True
        states = Counter(row["state"] for row in await rows(ledger, CALLS))
        assert {key[2]: calls for key, calls in (await figures(ledger, TALLIES)).items()} == states
        went += 1
        if not more:
            break
    assert went > 5
    assert Counter(row["state"] for row in await rows(ledger, CALLS)) == {"dead": 7}
    assert set(await names(ledger, EVENTS, "call_id")) == set(await names(ledger, CALLS))


async def test_redis_may_forget_what_ended_long_ago_and_is_here_whole(ledger: Ledger):
    calls = [ended(f"c-{state}", state) for state in ENDS]
    calls += [ended("c-late", "delivered", NOW + 900), ended("c-first", "delivered", NOW + 1)]
    bare = ended("c-bare", "delivered")
    await filled(ledger, *calls, Shown(bare.record, bare.story, None))
    assert await forgettable(ledger, NOW + 2) == ["c-first"]
    assert set(await forgettable(ledger, NOW + 800)) == {"c-first", "c-delivered", "c-unmatched", "c-ignored"}
    assert await forgettable(ledger, NOW + 800, limit=1) == ["c-first"]


async def test_forgetting_that_was_cut_off_is_found_done(ledger: Ledger):
    office = await filled(ledger, *(ended(f"c{number}", "delivered") for number in range(5)))
    del office.calls["c3"]  # forgotten, and the ledger was not told any more
    went = [await forget(ledger, office, office, before=NOW + 9, now=NOW + 10, limit=2) for _ in range(4)]
    assert went == [2, 2, 1, 0]
    assert office.calls == {}
    assert {row["forgotten_at"] for row in await rows(ledger, CALLS)} == {round((NOW + 10) * 1000)}


@pytest.mark.parametrize("spelled", ["+7 916 555-01-17", "89165550117", "(916) 555 01 17"])
async def test_an_erased_number_is_found_nowhere(spelled: str, ledger: Ledger):
    office = await filled(
        ledger,
        ended("c1", "delivered", phone="+7 916 555-01-17"),
        ended("c2", "dead", phone="89165550117", result="asked for +79165550117"),
        ended("c3", "delivered", phone="+7 916 555-01-18"),
        ended("c4", "ignored", phone="0117"),
    )
    assert sorted(await erase(ledger, spelled, NOW + 50, office)) == ["c1", "c2"]
    assert {name: call.record.state for name, call in office.calls.items()} == {
        "c1": "erased", "c2": "erased", "c3": "delivered", "c4": "ignored",
    }  # fmt: skip
    states = {row["id"]: (row["state"], row["phone"]) for row in await rows(ledger, CALLS)}
    assert states["c1"] == states["c2"] == ("erased", None)
    assert states["c3"] == ("delivered", "+7 916 555-01-18")
    told = repr([await rows(ledger, table) for table in (CALLS, EVENTS, ATTEMPTS)])
    assert "5550117" not in told and "about c2" not in told
    assert await names(ledger, BODIES, "call_id") == ["c3", "c4"]
    assert [row["id"] for row in await rows(ledger, BATCHES) if row["request"]] == ["b-c3", "b-c4"]
    assert {key[2]: calls for key, calls in (await figures(ledger, TALLIES)).items()} == {
        "erased": 2, "delivered": 1, "ignored": 1,
    }  # fmt: skip
    before = [await rows(ledger, table) for table in (CALLS, TALLIES, MINUTES)]
    writer = Writer(ledger, office, office, lambda: NOW + 60, office.on_undead)
    while await writer.step():  # the changes that Redis told of it
        pass
    after = [await rows(ledger, table) for table in (CALLS, TALLIES, MINUTES)]
    assert after[1:] == before[1:]
    assert [row["state"] for row in after[0]] == ["erased", "erased", "delivered", "ignored"]
    assert await erase(ledger, spelled, NOW + 70, office) == []


async def test_a_short_number_is_that_number_only(ledger: Ledger):
    office = await filled(ledger, ended("c1", "ignored", phone="0117"), ended("c2", "dead", phone="+7 916 555-01-17"))
    assert await erase(ledger, "0117", NOW, office) == ["c1"]
    assert await erase(ledger, "no digits", NOW, office) == []


async def test_an_erasure_that_redis_did_not_hear_of_is_found_again(ledger: Ledger):
    office = await filled(ledger, ended("c1", "delivered"))
    office.away = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        await erase(ledger, "+7 916 555-01-17", NOW, office)
    office.away = None
    assert await erase(ledger, "+7 916 555-01-17", NOW, office) == ["c1"]


async def test_hundreds_of_calls_of_one_number_are_erased(ledger: Ledger):
    office = await filled(ledger, *(ended(f"c{number:03}", "delivered") for number in range(230)))
    assert len(await erase(ledger, "+7 916 555-01-17", NOW, office)) == 230
    assert await figures(ledger, TALLIES) == {("main", "office", "erased"): 230}
    assert [len(await tombstones(ledger, after=after, limit=100)) for after in ("", "c099", "c199")] == [100, 100, 30]


async def test_a_call_that_the_ledger_has_not_heard_of_can_be_erased(ledger: Ledger):
    await erase_ids(ledger, ["c9"], NOW)  # type: ignore[list-item] # an id is a text
    assert await names(ledger, TOMBSTONES, "call_id") == ["c9"]
    office = await filled(ledger, ended("c9", "delivered"))
    assert office.undead == ["c9"]
    assert [row["state"] for row in await rows(ledger, CALLS)] == ["erased"]
    assert await rows(ledger, BODIES) == [] and [row["request"] for row in await rows(ledger, BATCHES)] == [None]


async def test_erased_calls_are_pruned_and_their_tombstones_stay(ledger: Ledger):
    office = await filled(ledger, ended("c1", "delivered"))
    await erase(ledger, "+7 916 555-01-17", NOW, office)
    await pruned(ledger, NOW + 366 * DAY)
    assert await rows(ledger, CALLS) == []
    assert await tombstones(ledger) == ["c1"]


@pytest.mark.parametrize(
    ("question", "index"),
    [
        (
            "SELECT id FROM calls WHERE forgotten_at IS NULL AND settled_at < 5 ORDER BY settled_at LIMIT 9",
            "calls_to_forget",
        ),
        (
            "SELECT id FROM batches WHERE (request IS NOT NULL OR response IS NOT NULL) AND at < 5 ORDER BY at LIMIT 9",
            "batches_with_body",
        ),
        ("SELECT id FROM calls WHERE state = 'dead' AND settled_at < 5 ORDER BY settled_at LIMIT 9", "calls_by_end"),
    ],
)
async def test_what_is_looked_for_every_hour_has_an_index(question: str, index: str, ledger: Ledger):
    async with ledger.begin() as connection:
        if ledger.dialect == "postgresql":  # which walks over a table of three rows, unless it is told not to
            await connection.execute(text("SET LOCAL enable_seqscan = off"))
            await connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        how = "EXPLAIN QUERY PLAN" if ledger.dialect == "sqlite" else "EXPLAIN"
        plan = str((await connection.execute(text(f"{how} {question}"))).all())
    assert index in plan
