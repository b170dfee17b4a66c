"""Every scenario of the storm in its bounded form. In full: `make storm`."""

from __future__ import annotations

from functools import partial

import pytest

from faults.report import Report
from faults.scenarios import SMALL, soak_of
from faults.together import SEED, held, run_together

RUNS = {f"{name} {part}".strip(): run for name, parts in SMALL.items() for part, run in parts.items()}
RUNS["N18"] = soak_of(0.15)


@pytest.fixture(scope="module")
def reports(chosen: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report | Exception]:
    return run_together({name: partial(RUNS[name], tmp_path_factory.mktemp("storm") / "town", SEED) for name in chosen})


@pytest.mark.parametrize("name", RUNS)
def test_the_promise_holds(name: str, reports: dict[str, Report | Exception]) -> None:
    held(reports[name])
