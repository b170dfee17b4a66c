"""Bulk repairs: what was counted is what is touched, in slices, and nothing else moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import pytest

from callbridge.call import CallId, UndecodableWebhook, Webhook
from callbridge.ops.filters import Filter
from callbridge.ops.inspect import Inspector
from callbridge.ops.replay import SAMPLE, Action, carry_out, preview
from callbridge.outcome import State
from callbridge.store.records import Record
from callbridge.store.repair import MAX_MOVED, RedisRepair
from support.store import Bench


class Watched:
    """The real repair, with a look at the slices it gets."""

    def __init__(self, bench: Bench) -> None:
        self.repair = RedisRepair(bench.scripts)
        self.slices: list[int] = []

    async def replay(self, ids: Sequence[CallId], by: str = "") -> frozenset[CallId]:
        self.slices.append(len(ids))
        return await self.repair.replay(ids, by)

    async def discard(self, ids: Sequence[CallId], by: str = "") -> frozenset[CallId]:
        self.slices.append(len(ids))
        return await self.repair.discard(ids, by)


async def dead(inspector: Inspector) -> AsyncIterator[tuple[CallId, Record | None]]:
    async for record in inspector.records(Filter(state="dead")):
        yield record.id, record


async def given(bench: Bench, ids: Iterable[CallId]) -> AsyncIterator[tuple[CallId, Record | None]]:
    for call_id in ids:
        yield call_id, await bench.records.get(call_id)


async def unreadable(bench: Bench) -> CallId:
    webhook = UndecodableWebhook("main", "office", "generic", Webhook("call.finished", b"<xml>"), "is not JSON")
    (receipt,) = await bench.inbox.put([webhook])
    assert receipt.id
    return receipt.id


async def test_a_preview_counts_and_touches_nothing(bench: Bench, inspector: Inspector) -> None:
    await bench.bring_to(State.DEAD, SAMPLE + 2, reason="expired", ref="e")
    await bench.bring_to(State.DEAD, 2, reason="refused_by_crm", ref="r")
    await unreadable(bench)
    before = await bench.everything()
    planned = await preview(Action.REPLAY, dead(inspector))
    assert await bench.everything() == before
    assert planned.by_reason == {"expired": SAMPLE + 2, "refused_by_crm": 2}
    assert planned.skipped == {"undecodable": 1}
    assert planned.matched == SAMPLE + 5
    assert len(planned.sample) == SAMPLE


async def test_what_was_counted_is_what_moves_in_slices(bench: Bench, inspector: Inspector) -> None:
    ids = await bench.bring_to(State.DEAD, 240, reason="expired", ref="e")
    stays = await unreadable(bench)
    planned = await preview(Action.REPLAY, dead(inspector))
    (late,) = await bench.bring_to(State.DEAD, reason="expired", ref="late")
    watched, progress = Watched(bench), list[int]()
    done = await carry_out(planned, watched, progress.append)
    assert watched.slices == progress == [MAX_MOVED, 240 - MAX_MOVED]
    assert (done.matched, done.moved, done.skipped) == (241, 240, {"undecodable": 1})
    assert set(await bench.states(ids)) == {"retrying"}
    assert await bench.states([stays, late]) == ["dead", "dead"]
    assert [await bench.places(call_id) for call_id in (ids[0], stays, late)] == [["bulk:main"], ["dead"], ["dead"]]


async def test_replayed_calls_that_may_be_in_the_crm_are_looked_for_first(bench: Bench, inspector: Inspector) -> None:
    (call_id,) = await bench.bring_to(State.DEAD, reason="unknown_outcome")
    done = await carry_out(await preview(Action.REPLAY, dead(inspector)), Watched(bench), lambda _: None)
    assert done.moved == 1
    assert await bench.states([call_id]) == ["uncertain"]


async def test_discarded_calls_stay_visible_as_ignored(bench: Bench, inspector: Inspector) -> None:
    ids = await bench.bring_to(State.DEAD, 2, reason="expired")
    ids.append(await unreadable(bench))
    done = await carry_out(await preview(Action.DISCARD, dead(inspector)), Watched(bench), lambda _: None)
    assert (done.moved, done.skipped) == (3, {})
    assert {((await bench.get(call_id)).state, (await bench.get(call_id)).reason) for call_id in ids} == {
        ("ignored", "discarded")
    }


@pytest.mark.parametrize("action", Action)
async def test_doing_it_twice_moves_nothing_more(bench: Bench, inspector: Inspector, action: Action) -> None:
    await bench.bring_to(State.DEAD, 3, reason="expired")
    planned = await preview(action, dead(inspector))
    assert (await carry_out(planned, Watched(bench), lambda _: None)).moved == 3
    after = await bench.everything()
    again = await carry_out(planned, Watched(bench), lambda _: None)
    assert (again.moved, again.skipped) == (0, {"not_dead": 3})
    assert await bench.everything() == after


async def test_ids_that_are_not_dead_or_not_there_are_counted_apart(bench: Bench) -> None:
    (gone,) = await bench.bring_to(State.DELIVERED)
    (call_id,) = await bench.bring_to(State.DEAD, reason="expired", ref="d")
    planned = await preview(Action.REPLAY, given(bench, [gone, CallId("1ngc9ejwfeqs9y9m"), call_id]))
    assert planned.ids == (call_id,)
    assert planned.skipped == {"not_dead": 1, "no_such_call": 1}
    done = await carry_out(planned, Watched(bench), lambda _: None)
    assert done.matched == done.moved + sum(done.skipped.values()) == 3
    assert await bench.states([gone]) == ["delivered"]


async def test_nothing_to_do_asks_nobody(bench: Bench, inspector: Inspector) -> None:
    watched = Watched(bench)
    done = await carry_out(await preview(Action.REPLAY, dead(inspector)), watched, lambda _: None)
    assert (done.matched, done.moved, watched.slices) == (0, 0, [])
    assert await watched.repair.replay([]) == frozenset()
