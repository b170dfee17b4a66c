"""A process dies at each named point with calls in hand; another takes over, and nothing is lost or doubled."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from faults.consistency import inconsistencies
from faults.crash_storms import crash_at
from faults.inject import POINTS
from faults.outage_storms import ROOT
from faults.people_storms import bury
from faults.report import Report
from faults.together import SEED, held, run_together
from faults.town import town

ON_THE_WAY = [point for point in POINTS if not point.startswith(("token.", "replay."))]


@pytest.fixture(scope="module")
def reports(chosen: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report | Exception]:
    return run_together(
        {name: partial(crash_at, tmp_path_factory.mktemp("crash") / "town", SEED, name) for name in chosen}
    )


@pytest.mark.parametrize("name", ON_THE_WAY)
def test_a_death_at_a_named_point_loses_and_doubles_nothing(name: str, reports: dict[str, Report | Exception]) -> None:
    held(reports[name])


async def test_a_replay_that_dies_in_the_middle_is_simply_run_again(tmp_path: Path) -> None:
    async with town(tmp_path / "town", SEED) as place, connected(place.redis.url) as redis:
        calls = 450
        await bury(Scripts(redis, ROOT), calls, "replay")
        place.sent |= {f"replay-{n}" for n in range(calls)}
        place.acknowledged |= place.sent
        await place.start("first", "dead replay --all --yes --json", CRASH_AT="replay.mid:2")
        await place.ended("first")
        assert not (tmp_path / "town" / "first.out").read_text()
        assert 0 < await redis.zcard(f"{ROOT}dead") < calls
        await place.start("second", "dead replay --all --yes --json")
        await place.ended("second")
        told = json.loads((tmp_path / "town" / "second.out").read_text())
        assert 0 < told["moved"] < calls
        assert await inconsistencies(redis, ROOT) == []
        await place.start("worker", "worker")
        await place.drained(30)
        verdict = await place.verdict()
        assert not verdict.violations
