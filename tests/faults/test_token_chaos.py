"""N16, bounded: deaths around a refresh leave a usable pair or a state that says what is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.token_chaos import n16_token_chaos


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "grace"])
async def test_deaths_around_a_refresh_leave_a_usable_pair_or_a_clear_state(tmp_path: Path, strict: bool) -> None:
    report = await n16_token_chaos(tmp_path, 161, crashes=8, strict=strict)
    assert report.holds, report
    assert report.figures["calls"] == 20


async def test_without_the_lock_workers_refresh_together_and_the_storm_shows_it(tmp_path: Path) -> None:
    report = await n16_token_chaos(tmp_path, 162, crashes=8, strict=True, GUARDS_OFF="token_lock")
    assert any("under way at once" in violation for violation in report.violations), report
