"""One look for all who look: shared, bounded, and never an error."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger.views import ErrorGroup, LedgerStanding, Point, Speed
from callbridge.ops import overview
from callbridge.ops.health import Status, assess
from callbridge.ops.overview import Overviews
from callbridge.settings import Durability
from callbridge.store.durability import Standing
from callbridge.store.tally import AccountTally, Tally


class Office:
    """Redis and the ledger, each of which can be away or silent."""

    def __init__(self) -> None:
        self.time = 1_790_000_000.0
        self.looks = 0
        self.delivered = 0
        self.redis_away = self.ledger_away = False
        self.silent = asyncio.Event()
        self.silent.set()

    def now(self) -> float:
        return self.time

    async def status(self) -> Status:
        self.looks += 1
        await self.silent.wait()
        if self.redis_away:
            raise StoreUnavailable("connection refused")
        account = AccountTally("main", 0, 0, 0, None, None)
        tally = Tally(0, 0, 0, 0, 0, self.delivered, 0, 0, 0, (account,), ())
        return assess(tally, {"w": 0.0}, Standing(Durability.ALWAYS, (), ()), ("main",))

    async def groups(self, **_: Any) -> tuple[ErrorGroup, ...]:
        self._check()
        return ()

    async def chart(self, *, since: float, until: float, step: int) -> tuple[Point, ...]:
        self._check()
        assert (until - since) / step == 60
        return (Point(since, {"received": 1}),)

    async def speed(self, *, since: float, until: float) -> Speed:
        self._check()
        return Speed(round(until - since), 1.0, 2.0, 1.0)

    async def standing(self) -> LedgerStanding:
        self._check()
        return LedgerStanding("1", "1", 5, 0, 0.0, self.time, 1)

    async def behind(self) -> Any:
        return type("Behind", (), {"entries": 4, "oldest": 2.5})()

    def _check(self) -> None:
        if self.ledger_away:
            raise LedgerUnavailable("database is locked")


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
async def overviews(office: Office) -> AsyncIterator[Overviews]:
    made = Overviews(office, office, now=office.now, behind=office.behind)
    yield made
    office.silent.set()
    await made.close()


async def test_everybody_who_looks_at_once_shares_one_look(office: Office, overviews: Overviews) -> None:
    await asyncio.gather(*(overviews.latest() for _ in range(20)))
    await overviews.latest()
    assert office.looks == 1
    office.time += 1.0
    await overviews.latest()
    assert office.looks == 2


async def test_nobody_looks_nothing_is_asked(office: Office, overviews: Overviews) -> None:
    await asyncio.sleep(0)
    assert office.looks == 0


async def test_the_parts_are_put_together(office: Office, overviews: Overviews) -> None:
    office.delivered = 3
    now = await overviews.latest()
    assert (now.verdict, now.sentence.params) == ("ok", {"delivered": 3})
    assert now.speed and now.speed_1h and (now.speed.delivered, now.speed_1h.delivered) == (86_400, 3600)
    assert now.standing and (now.standing.behind, now.standing.lag) == (4, 2.5)
    assert len(now.chart) == 1
    assert (now.store_problem, now.ledger_problem, now.stale_since) == (None, None, None)


async def test_redis_away_keeps_the_last_figures_and_marks_their_age(office: Office, overviews: Overviews) -> None:
    office.delivered = 3
    await overviews.latest()
    office.redis_away, office.time = True, office.time + 40
    now = await overviews.latest()
    assert now.status and now.status.tally.delivered == 3
    assert now.stale_since == office.time - 40
    assert (now.verdict, now.sentence.code, now.store_problem) == ("problem", "redis_down", "connection refused")
    office.redis_away, office.time = False, office.time + 1
    now = await overviews.latest()
    assert (now.verdict, now.stale_since) == ("ok", None)


async def test_redis_away_from_the_start_is_told_without_figures(office: Office, overviews: Overviews) -> None:
    office.redis_away = True
    now = await overviews.latest()
    assert (now.status, now.verdict) == (None, "problem")


async def test_the_ledger_away_is_a_part_of_the_answer(office: Office, overviews: Overviews) -> None:
    await overviews.latest()
    office.ledger_away, office.time = True, office.time + 60
    now = await overviews.latest()
    assert (now.verdict, now.ledger_problem) == ("warning", "database is locked")
    assert now.speed  # the last good ones


async def test_a_redis_that_does_not_answer_holds_nobody_up(
    office: Office, overviews: Overviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    await overviews.latest()
    overviews._status._patience = 0.01
    office.silent.clear()
    office.time += 5
    now = await overviews.latest()
    assert now.store_problem and now.status and now.stale_since
    office.time += 5
    await overviews.latest()
    assert office.looks == 2  # the question that is open is not asked again
    office.silent.set()
    await asyncio.sleep(0.01)
    office.time += 5
    assert (await overviews.latest()).store_problem is None


async def test_a_fault_of_ours_is_no_error_of_the_page(office: Office, overviews: Overviews) -> None:
    async def broken() -> Status:
        raise KeyError("x")

    overviews._status._ask = broken
    assert (await overviews.latest()).store_problem == "KeyError"


async def test_a_subscriber_gets_the_latest_at_once_and_then_each_new_one(
    office: Office, overviews: Overviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "EVERY", 0.01)
    async with overviews.subscribe() as stream:
        first = await anext(stream)
        office.time, office.delivered = office.time + 2, 8
        second = await anext(stream)
    assert (first.at, second.at) == (office.time - 2, office.time)
    assert second.status and second.status.tally.delivered == 8


async def test_a_slow_subscriber_misses_some_and_blocks_nobody(
    office: Office, overviews: Overviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "EVERY", 0.001)
    async with asyncio.timeout(20), overviews.subscribe() as slow, overviews.subscribe() as quick:
        for _ in range(20):
            office.time += 2
            while (await anext(quick)).at < office.time:
                pass
        assert (await anext(slow)).at >= office.time - 2


async def test_after_the_last_subscriber_nothing_is_asked_any_more(
    office: Office, overviews: Overviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "EVERY", 0.001)
    async with overviews.subscribe() as stream:
        await anext(stream)
    assert overviews._ticking is None
    async with overviews.subscribe() as stream:  # and the next one is served again
        await anext(stream)
        office.time += 2
        assert (await anext(stream)).at == office.time
