"""Calls that only the ledger holds, in the form of those that Redis holds, and both as one list."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.ledger import keeping
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.queries import Queries
from callbridge.ledger.writer import Writer
from callbridge.ops.filters import Filter
from callbridge.ops.history import History
from callbridge.ops.inspect import Inspector, Listed, joined, merged
from callbridge.outcome import State
from callbridge.store.changes import RedisChanges
from callbridge.store.durability import Standing
from callbridge.store.forgetting import RedisForgetting
from support.store import Bench

DAY = 86_400.0


class Past:
    """A bench whose ended calls can be left to the ledger alone, and an inspector over both."""

    def __init__(self, bench: Bench, ledger: Ledger) -> None:
        self.bench = bench
        self.ledger = ledger
        self.inspector = self.over(History(Queries(ledger)))

    def over(self, history: History | None) -> Inspector:
        async def standing() -> Standing:
            raise NotImplementedError

        presence: Any = None
        return Inspector(self.bench.records, self.bench.tally, presence, standing, ("main",), history=history)

    async def written(self, *, forget: bool) -> None:
        writer = Writer(self.ledger, RedisChanges(self.bench.scripts, "past"), self.bench.records, time.time)
        while await writer.step():
            pass
        later = time.time() + 30 * DAY
        redis = RedisForgetting(self.bench.scripts)
        while forget and await keeping.forget(self.ledger, redis, self.bench.records, before=later, now=later):
            pass
        while await writer.step():
            pass

    async def listed(self, wanted: Filter | None = None, limit: int | None = None) -> list[Listed]:
        return [call async for call in self.inspector.calls(wanted or Filter(), limit)]


@pytest.fixture
async def past(bench: Bench, tmp_path: Path) -> AsyncIterator[Past]:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield Past(bench, ledger)


async def test_a_forgotten_call_is_told_as_it_was_told_before(past: Past) -> None:
    (call_id,) = await past.bench.bring_to(
        State.DELIVERED, phone="+74955550131", extension="204", link="https://rec.example.org/9.mp3"
    )
    await past.written(forget=False)
    listed = await past.listed()
    before = await past.inspector.call(call_id)
    await past.written(forget=True)
    assert await past.bench.records.get(call_id) is None
    assert await past.listed() == listed
    after = await past.inspector.call(call_id)
    assert before
    assert after
    assert replace(after, happened=()) == replace(before, happened=())
    assert [entry["what"] for entry in after.happened] == [entry["what"] for entry in before.happened]
    assert [entry["at"] for entry in after.happened] == pytest.approx([entry["at"] for entry in before.happened])


async def test_no_call_is_listed_twice_and_none_is_missing(past: Past) -> None:
    """Whether Redis alone has it, both have it, or the ledger alone."""
    await past.bench.bring_to(State.DELIVERED, 4, ref="old")
    await past.written(forget=True)
    await past.bench.bring_to(State.DELIVERED, 3, ref="both")
    await past.written(forget=False)
    await past.bench.store(2, ref="new")
    found = await past.listed()
    assert len(found) == len({call.id for call in found}) == 9
    assert [call.received_at for call in found] == sorted((call.received_at for call in found), reverse=True)
    assert [call.id for call in await past.listed(limit=6)] == [call.id for call in found[:6]]
    assert [call.ref for call in await past.listed(limit=0)] == []


@pytest.mark.parametrize(
    ("wanted", "refs"),
    [
        (Filter(state="delivered"), {"a0", "a1", "b0", "c0"}),
        (Filter(state="ignored"), {"i0"}),
        (Filter(state="dead"), set()),
        (Filter(phone="5550142"), {"b0", "c0"}),
        (Filter(account="other"), set()),
        (Filter(source="office", state="delivered"), {"a0", "a1", "b0", "c0"}),
        (Filter(since=time.time() + DAY), set()),
        (Filter(until=time.time() - DAY), set()),
    ],
)
async def test_a_filter_finds_in_the_ledger_what_it_would_find_in_redis(
    past: Past, wanted: Filter, refs: set[str]
) -> None:
    await past.bench.bring_to(State.DELIVERED, 2, ref="a", phone="+74955550141")
    await past.bench.bring_to(State.DELIVERED, 1, ref="b", phone="8 495 555-01-42")
    await past.bench.bring_to(State.IGNORED, 1, ref="i", reason="internal_call", phone="+74955550141")
    await past.written(forget=True)
    await past.bench.bring_to(State.DELIVERED, 1, ref="c", phone="+7 (495) 555-01-42")
    assert {call.ref for call in await past.listed(wanted)} == refs


async def test_a_body_that_is_too_old_to_be_kept_is_none(past: Past) -> None:
    (call_id,) = await past.bench.bring_to(State.DELIVERED)
    await past.written(forget=True)
    keep = keeping.Retention(body=DAY, delivered=900 * DAY, unmatched=900 * DAY, ignored=900 * DAY)
    while (await keeping.prune(past.ledger, time.time() + 40 * DAY, keep)).more:
        pass
    story = await past.inspector.call(call_id)
    assert story
    assert (story.body, story.listed.state, story.listed.phone is not None) == (b"", "delivered", True)
    assert story.as_json()["webhook"]["size"] == 0


async def test_without_a_ledger_what_redis_forgot_is_not_there(past: Past) -> None:
    (call_id,) = await past.bench.bring_to(State.DELIVERED)
    await past.written(forget=True)
    past.inspector = past.over(None)
    assert await past.listed() == []
    assert await past.inspector.call(call_id) is None


async def _each(*times: int) -> AsyncIterator[Any]:
    for at in times:
        yield Received(at)


class Received:
    def __init__(self, at: int) -> None:
        self.received_at = at


@given(st.lists(st.integers(0, 20)), st.lists(st.integers(0, 20)))
async def test_two_lists_become_one_in_order(one: list[int], other: list[int]) -> None:
    one, other = sorted(one, reverse=True), sorted(other, reverse=True)
    both = [call.received_at async for call in merged(_each(*one), _each(*other))]
    assert both == sorted([*one, *other], reverse=True)
    assert [call.received_at async for call in joined(_each(*one), _each(*other))] == [*one, *other]
