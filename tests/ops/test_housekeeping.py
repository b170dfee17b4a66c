"""What has to go, goes: Redis forgets what the ledger has, and an erased call stays erased whichever side was restored."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callbridge.console_settings import LedgerSettings
from callbridge.ledger import keeping
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.queries import Queries
from callbridge.ledger.writer import Writer
from callbridge.ops.housekeeping import Housekeeping
from callbridge.outcome import State
from callbridge.store.changes import RedisChanges
from callbridge.store.forgetting import RedisForgetting
from support.store import Bench

DAY = 86_400.0


class House:
    def __init__(self, bench: Bench, ledger: Ledger) -> None:
        self.bench = bench
        self.ledger = ledger
        self.forgetting = RedisForgetting(bench.scripts)
        self.writer = Writer(ledger, RedisChanges(bench.scripts, "house"), bench.records, time.time, self._bury)

    async def _bury(self, ids) -> None:
        await self.forgetting.erase(ids)

    async def written(self) -> None:
        while await self.writer.step():
            pass

    async def round(self, days: float = 0) -> None:
        keeper = Housekeeping(
            self.ledger, self.forgetting, self.bench.records, LedgerSettings(), lambda: time.time() + days * DAY
        )
        await keeper.round()


@pytest.fixture
async def house(bench: Bench, tmp_path: Path) -> AsyncIterator[House]:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield House(bench, ledger)


async def test_redis_forgets_what_ended_long_ago_and_nothing_else(house: House) -> None:
    ended = await house.bench.bring_to(State.DELIVERED, 3, ref="ended")
    dead = await house.bench.bring_to(State.DEAD, 1, ref="dead", reason="refused_by_crm")
    parked = await house.bench.bring_to(State.PARKED, 1, ref="parked", reason="no_matching_entity")
    await house.written()
    await house.round()
    assert [await house.bench.records.get(call_id) is not None for call_id in ended] == [True] * 3
    await house.round(days=4)
    assert [await house.bench.records.get(call_id) for call_id in ended] == [None] * 3
    assert [(await house.bench.get(call_id)).state for call_id in (*dead, *parked)] == ["dead", "parked"]
    assert (await house.bench.tally.read()).delivered == 3


async def test_what_the_ledger_does_not_have_is_not_forgotten(house: House) -> None:
    (call_id,) = await house.bench.bring_to(State.DELIVERED)
    await house.round(days=30)
    assert await house.bench.records.get(call_id)


async def test_the_ledger_lets_go_in_time(house: House) -> None:
    await house.bench.bring_to(State.DELIVERED, 2)
    await house.written()
    await house.round(days=4)
    await house.round(days=366)
    assert (await Queries(house.ledger).standing()).calls == 0


async def test_a_call_that_only_redis_knows_as_erased_is_erased_in_the_ledger(house: House) -> None:
    """As after a restore of an older ledger."""
    (call_id,) = await house.bench.bring_to(State.DELIVERED, phone="+74955550177")
    await house.written()
    await house.forgetting.erase([call_id])
    await house.round()
    told = await Queries(house.ledger).call(call_id)
    assert told
    assert (told.row.state, told.row.phone, told.envelope) == ("erased", None, None)


async def test_a_call_that_came_back_with_an_older_redis_is_erased_again(house: House) -> None:
    (call_id,) = await house.bench.bring_to(State.DEAD, reason="refused_by_crm", phone="+74955550178")
    await house.written()
    await keeping.erase_ids(house.ledger, [call_id], time.time())
    await house.round()
    assert (await house.bench.get(call_id)).state == "erased"
    assert (await house.bench.get(call_id)).call is None


async def test_a_second_round_changes_nothing(house: House) -> None:
    await house.bench.bring_to(State.DELIVERED, 2)
    await house.written()
    await house.round(days=4)
    before = await house.bench.everything()
    await house.round(days=4)
    after = await house.bench.everything()
    assert before == after
