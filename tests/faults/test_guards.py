"""Each guard matters: switched off, the same storm shows the loss or the double that it is there for."""

from __future__ import annotations

from functools import partial

import pytest

from callbridge.amocrm.client import AmoAccount
from callbridge.store import scripts
from faults.crash_storms import n1_crash_storm, n2_sleeper, n3_late_commit
from faults.inject import GUARDS, apply
from faults.outage_storms import n7_redis_away
from faults.report import Report
from faults.together import held, run_together

SEED = 20261

RUNS = {
    "storm without read-back": partial(
        n1_crash_storm, calls=400, kills=3, redis_kills=0, offices=1, batch=5, GUARDS_OFF="read_back"
    ),
    "sleeper": n2_sleeper,
    "sleeper without fence": partial(n2_sleeper, GUARDS_OFF="fence"),
    "short settle delay": partial(n3_late_commit, calls=30, late=8.0, settle="100ms"),
    "outage without spool": partial(
        n7_redis_away, away=2, restarts=0, wire=0.3, rate=20, within=5.0, CALLBRIDGE_RECEIVER__SPOOL_SIZE="0"
    ),
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report | Exception]:
    return run_together({name: partial(run, tmp_path_factory.mktemp("guard"), SEED) for name, run in RUNS.items()})


def figure(outcome: Report | Exception, name: str) -> int:
    if isinstance(outcome, Exception):
        raise outcome
    value = outcome.figures[name]
    assert isinstance(value, int)
    return value


def test_without_the_read_back_a_crash_storm_doubles(reports: dict[str, Report | Exception]) -> None:
    assert figure(reports["storm without read-back"], "doubled") > 0


def test_without_the_fence_a_sleeper_sends_again(reports: dict[str, Report | Exception]) -> None:
    assert figure(reports["sleeper without fence"], "doubled") > 0
    held(reports["sleeper"])


def test_a_settle_delay_that_is_too_short_doubles(reports: dict[str, Report | Exception]) -> None:
    assert figure(reports["short settle delay"], "doubled") > 0


def test_without_the_spool_senders_are_turned_away_while_redis_is_gone(reports: dict[str, Report | Exception]) -> None:
    outcome = reports["outage without spool"]
    assert figure(outcome, "lost") == 0  # the senders were told
    assert isinstance(outcome, Report) and any("senders heard" in violation for violation in outcome.violations)


@pytest.mark.parametrize("guard", GUARDS)
def test_every_guard_can_still_be_taken_out(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name and by text: where the product has changed so that it cannot, the tests above prove nothing."""
    monkeypatch.setattr(scripts, "source_of", scripts.source_of)
    monkeypatch.setattr(AmoAccount, "read_back", AmoAccount.read_back)
    apply({"GUARDS_OFF": guard})
    for verb in scripts.VERBS:
        assert scripts.source_of(verb)
