"""Stories, batches, groups and figures are told whole, and hold what the tables hold."""

from __future__ import annotations

import random
from contextlib import aclosing
from typing import Any

import pytest

from callbridge.ledger.database import WANTED_REVISION, Ledger
from callbridge.ledger.figures import bucket_of, cause_of, seconds_of
from callbridge.ledger.queries import Queries
from callbridge.ledger.tables import (
    ATTEMPTS,
    BATCHES,
    BODIES,
    EVENTS,
    GROUPS,
    LATENCIES,
    MARKS,
    MINUTES,
)
from callbridge.ledger.views import CallFilter, CallRow, ParkedNumber, Point, Speed
from support.callrows import T0, a_row, lay, put

S0 = T0 / 1000
M0 = T0 // 60_000


def a_batch(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": name, "account": "main", "at": T0, "kind": "calls", "size": 2, "why": "due", "parent": None,
        "seconds": 0.25, "answer": "PerCall", "status": 200, "request_id": "r-1", "request": b"asked", "response": b"told",
    } | changes  # fmt: skip


def an_attempt(batch: str, call: str, **changes: Any) -> dict[str, Any]:
    row = {"batch_id": batch, "call_id": call, "at": T0 + 500, "became": "delivered", "reason": None, "detail": None}
    return row | changes


async def test_a_row_is_told_whole(ledger: Ledger):
    await lay(ledger, [a_row(
        "c1", state="dead", provider="mango", uniq="u", ref="r", direction="outbound", phone="+7", extension="101",
        duration=7, started_at=T0 // 1000, status="busy", result="later", link="https://x.example/1", event="e",
        updated_at=T0 + 2500, settled_at=T0 + 1500, attempts=3, reason="expired", detail="too old", cause="abc",
        note_id=2**40, entity_type="lead", entity_id=5, duplicates=1, variants=2, replayed=True, forgotten_at=T0,
    )])  # fmt: skip
    (row,) = (await Queries(ledger).calls(CallFilter())).rows
    assert row == CallRow(
        id="c1", state="dead", account="main", source="office", provider="mango", uniq="u", ref="r",
        direction="outbound", phone="+7", extension="101", duration=7, started_at=T0 // 1000, call_status="busy",
        result="later", link="https://x.example/1", event="e", received_at=S0, updated_at=S0 + 2.5, settled_at=S0 + 1.5,
        attempts=3, reason="expired", detail="too old", cause="abc", note_id=2**40, entity_type="lead", entity_id=5,
        duplicates=1, variants=2, replayed=True, forgotten=True,
    )  # fmt: skip
    assert await Queries(ledger).rows(["c1", "gone", "c1"]) == {"c1": row}


async def test_a_call_is_told_with_its_story_its_requests_and_its_webhook(ledger: Ledger):
    await lay(ledger, [a_row("c1"), a_row("c2")])
    await put(ledger, BODIES, {"call_id": "c1", "envelope": b"sealed", "received_at": T0})
    await put(
        ledger, EVENTS,
        {"call_id": "c1", "at": T0 + 9, "n": 0, "what": "delivered", "facts": '{"batch":"b2","size":2}'},
        {"call_id": "c1", "at": T0, "n": 1, "what": "sending", "facts": "{}"},
        {"call_id": "c1", "at": T0, "n": 0, "what": "claimed", "facts": '{"worker":"w"}'},
        {"call_id": "c2", "at": T0, "n": 0, "what": "claimed", "facts": "{}"},
    )  # fmt: skip
    await put(ledger, BATCHES, a_batch("b2"))
    await put(ledger, ATTEMPTS, an_attempt("b2", "c1"), an_attempt("b1", "c1", at=T0, became="waiting", reason="busy"))
    told = await Queries(ledger).call("c1")
    assert told and told.row.id == "c1" and told.envelope == b"sealed"
    assert told.story == (
        {"at": S0, "what": "claimed", "worker": "w"},
        {"at": S0, "what": "sending"},
        {"at": S0 + 0.009, "what": "delivered", "batch": "b2", "size": 2},
    )
    unknown, known = told.attempts
    assert (unknown.batch_id, unknown.became, unknown.reason, unknown.size) == ("b1", "waiting", "busy", None)
    assert (known.batch_id, known.at, known.size, known.answer, known.status) == ("b2", S0 + 0.5, 2, "PerCall", 200)
    assert await Queries(ledger).call("c3") is None
    bare = await Queries(ledger).call("c2")
    assert bare and bare.envelope is None and bare.attempts == ()


async def test_a_batch_is_told_with_its_calls_and_its_halves(ledger: Ledger):
    await lay(ledger, [a_row("c1"), a_row("c2", state="dead", reason="refused_by_crm"), a_row("c3")])
    await put(
        ledger, BATCHES, a_batch("b", answer="WholeRefused", status=400), a_batch("h2", parent="b", at=T0 + 2),
        a_batch("h1", parent="b", at=T0 + 1), a_batch("other", parent="h1"),
    )  # fmt: skip
    await put(
        ledger, ATTEMPTS, an_attempt("b", "c2", became="dead", detail="bad"), an_attempt("b", "c1"),
        an_attempt("b", "pruned"), an_attempt("h1", "c3"),
    )  # fmt: skip
    seen = await Queries(ledger).batch("b")
    assert seen and (seen.row.answer, seen.row.status, seen.row.at) == ("WholeRefused", 400, S0)
    assert (seen.request, seen.response) == (b"asked", b"told")
    assert [(row.id, got.became, got.detail) for row, got in seen.calls] == [
        ("c1", "delivered", None),
        ("c2", "dead", "bad"),
    ]
    assert [half.id for half in seen.halves] == ["h1", "h2"]
    assert await Queries(ledger).batch("none") is None


async def test_batches_are_listed_latest_first_page_by_page(ledger: Ledger):
    dice = random.Random(8)
    made = [
        a_batch(
            f"b{number:02d}", at=T0 + dice.randrange(5), account=dice.choice(("main", "shop")),
            answer=dice.choice(("PerCall", "NoAnswer")),
        )
        for number in range(60)
    ]  # fmt: skip
    await put(ledger, BATCHES, *made)
    for account in (None, "main", "nobody"):
        for answer in (None, "NoAnswer"):
            ids: list[str] = []
            after = None
            while True:
                page = await Queries(ledger).batches(account=account, answer=answer, after=after, limit=7)
                ids += [row.id for row in page.rows]
                if (after := page.next) is None:
                    break
            fit = [b for b in made if account in {None, b["account"]} and answer in {None, b["answer"]}]
            assert ids == [b["id"] for b in sorted(fit, key=lambda b: (b["at"], b["id"]), reverse=True)]


async def test_an_export_is_every_row_once(ledger: Ledger):
    await lay(ledger, [a_row(f"c{number:02d}", received_at=T0 + number // 3) for number in range(50)])
    await lay(ledger, [a_row("d1", account="shop")])
    got: list[str] = []
    async with aclosing(Queries(ledger).export(CallFilter(account="main"), 7)) as chunks:
        async for chunk in chunks:
            assert len(chunk) <= 7
            got += [row.id for row in chunk]
    assert got == [f"c{number:02d}" for number in reversed(range(50))]


# --- groups ----------------------------------------------------------------------------------------------------------


async def test_dead_calls_are_grouped_by_cause_with_what_people_said(ledger: Ledger):
    def dead(name: str, detail: str, at: int, **changes: Any) -> dict[str, Any]:
        return a_row(name, state="dead", reason="refused_by_crm", detail=detail, settled_at=T0 + at, **changes)

    await lay(ledger, [
        dead("c1", "field 1 is bad", 1000), dead("c2", "field 22 is bad", 3000), dead("c3", "field 3 is bad", 2000),
        dead("c4", "no such user", 4000), dead("c5", "field 5 is bad", 9000, account="shop"),
        a_row("c6", state="ignored", reason="refused_by_crm", detail="field 1 is bad"),
        a_row("c7", state="dead"),
    ])  # fmt: skip
    bad, user = cause_of("refused_by_crm", "field 1 is bad"), cause_of("refused_by_crm", "no such user")
    said = {"status": "fixed", "changed_at": T0, "changed_by": "ann", "note": "told them"}
    await put(ledger, GROUPS, {"account": "main", "reason": "refused_by_crm", "cause": user, **said})
    first, *others = await Queries(ledger).groups()
    assert (first.account, first.reason, first.cause, first.calls) == ("main", "refused_by_crm", bad, 3)
    assert (first.first_at, first.last_at, first.sample) == (S0 + 1, S0 + 3, "field 22 is bad")
    assert (first.status, first.changed_at, first.changed_by, first.note) == ("open", None, None, None)
    assert [(group.account, group.cause, group.calls) for group in others] == [
        ("shop", bad, 1), ("main", user, 1), ("main", "", 1),
    ]  # fmt: skip
    (fixed,) = await Queries(ledger).groups(status="fixed")
    assert (fixed.cause, fixed.changed_at, fixed.changed_by, fixed.note) == (user, S0, "ann", "told them")
    assert [group.cause for group in await Queries(ledger).groups(account="main", status="open")] == [bad, ""]
    assert await Queries(ledger).groups(account="main", status="acknowledged") == ()


async def test_there_are_never_more_than_two_hundred_groups(ledger: Ledger):
    await lay(ledger, [a_row(f"c{n}", state="dead", reason="expired", cause=f"{n:012d}") for n in range(205)])
    assert len(await Queries(ledger).groups()) == 200


async def test_parked_calls_are_grouped_by_number(ledger: Ledger):
    def parked(name: str, at: int, **changes: Any) -> dict[str, Any]:
        return a_row(
            name, state="parked", reason="no_matching_entity", received_at=T0 + at, **({"phone": "+1"} | changes)
        )

    await lay(ledger, [
        parked("c1", 1000), parked("c2", 5000), parked("c3", 5000), parked("c4", 2000, phone="+2"),
        parked("c5", 3000, account="shop"), parked("c6", 9000, phone=None), a_row("c7", phone="+1", received_at=T0 + 9000),
    ])  # fmt: skip
    most = ParkedNumber("main", "+1", 3, S0 + 1, S0 + 5, "c3")
    shop = ParkedNumber("shop", "+1", 1, S0 + 3, S0 + 3, "c5")
    lone = ParkedNumber("main", "+2", 1, S0 + 2, S0 + 2, "c4")
    assert await Queries(ledger).parked_numbers() == (most, shop, lone)
    assert await Queries(ledger).parked_numbers(1) == (most,)
    assert await Queries(ledger).parked_numbers(account="shop") == (shop,)


# --- figures ---------------------------------------------------------------------------------------------------------


async def test_a_chart_adds_minutes_up_and_shows_empty_steps(ledger: Ledger):
    await put(
        ledger, MINUTES,
        *({"minute": M0 + minute, "account": account, "what": what, "calls": calls} for minute, account, what, calls in (
            (-1, "main", "received", 50), (0, "main", "received", 3), (1, "main", "received", 4), (1, "shop", "received", 1),
            (1, "main", "delivered", 2), (1, "main", "in_time", 2), (5, "main", "dead", 1), (6, "main", "dead", 70),
        )),
    )  # fmt: skip
    none = {"received": 0, "delivered": 0, "unmatched": 0, "dead": 0, "ignored": 0}
    queries = Queries(ledger)
    # The minute in which the time begins counts whole.
    assert await queries.chart(since=S0 + 7, until=S0 + 360, step=120) == (
        Point(S0, none | {"received": 8, "delivered": 2}),
        Point(S0 + 120, none),
        Point(S0 + 240, none | {"dead": 1}),
    )
    (point,) = await queries.chart(since=S0, until=S0 + 120, step=3600, account="shop")
    assert point == Point(S0, none | {"received": 1})


@pytest.mark.parametrize(
    ("until", "step"),
    [(60, 0), (60, -60), (60, 90), (60 * 501, 60), (86_400 * 32, 86_400), (-60, 60), (float("nan"), 60)],
)
async def test_a_chart_that_cannot_be_drawn_is_refused(ledger: Ledger, until: float, step: int):
    with pytest.raises(ValueError):
        await Queries(ledger).chart(since=S0, until=S0 + until, step=step)
    assert len(await Queries(ledger).chart(since=S0, until=S0 + 60 * 500, step=60)) == 500


async def test_speed_is_that_of_the_calls_that_were_timed(ledger: Ledger):
    assert await Queries(ledger).speed(since=S0, until=S0 + 60) == Speed(0, None, None, None)
    quick, slow = bucket_of(2_000), bucket_of(90_000)
    await put(
        ledger, LATENCIES, {"minute": M0, "bucket": quick, "calls": 5}, {"minute": M0 + 1, "bucket": quick, "calls": 10},
        {"minute": M0 + 1, "bucket": slow, "calls": 5}, {"minute": M0 + 2, "bucket": slow, "calls": 99},
    )  # fmt: skip
    await put(
        ledger, MINUTES,
        *({"minute": M0 + 1, "account": account, "what": what, "calls": calls} for account, what, calls in (
            ("main", "delivered", 20), ("shop", "delivered", 4), ("main", "in_time", 12), ("shop", "in_time", 3),
        )),
    )  # fmt: skip
    told = await Queries(ledger).speed(since=S0, until=S0 + 120)
    assert told == Speed(24, seconds_of(quick), seconds_of(slow), 0.75)


async def test_standing_says_what_is_there(ledger: Ledger):
    empty = await Queries(ledger).standing()
    assert (empty.revision, empty.wanted, empty.calls, empty.written_at) == (WANTED_REVISION, WANTED_REVISION, 0, None)
    await lay(ledger, [a_row("c1"), a_row("c2"), a_row("c3", state="dead")])
    await put(ledger, MARKS, {"name": "written", "value": "", "changed_at": T0})
    told = await Queries(ledger).standing()
    assert (told.calls, told.written_at, dict(told.by_state)) == (3, S0, {"delivered": 2, "dead": 1})
    assert told.size and told.size > 10_000
    assert (told.behind, told.lag) == (0, 0.0)
