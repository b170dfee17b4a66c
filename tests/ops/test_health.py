"""What is wrong, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from callbridge.amocrm.client import AccountFound, AccountProblem
from callbridge.ops.health import (
    CLOCK_PROBLEM,
    CLOCK_WARNING,
    STUCK_AFTER,
    Level,
    Status,
    account_checks,
    assess,
    clock_check,
    durability_checks,
    states,
)
from callbridge.outcome import PauseReason
from callbridge.settings import Durability
from callbridge.store.durability import Standing
from callbridge.store.tally import AccountTally, Pause, Tally

ALIVE = {"host-1-abc": 0.4}
GONE = {"host-1-abc": 60.0}
FIRM = Standing(Durability.ALWAYS, (), ())
MAIN = AccountTally("main", waiting=0, uncertain=0, parked=0, oldest_waiting=None, pause=None)
QUIET = Tally(
    queued=0,
    retrying=0,
    sending=0,
    uncertain=0,
    parked=0,
    delivered=7,
    unmatched=1,
    dead=0,
    ignored=2,
    accounts=(MAIN,),
    sources=(),
)


def seen(tally: Tally = QUIET, workers: dict[str, float] | None = None, standing: Standing = FIRM) -> Status:
    return assess(tally, ALIVE if workers is None else workers, standing, {"main"})


def test_nothing_wrong_is_said_in_one_sentence() -> None:
    found = seen()
    assert found.ok
    assert found.sentence.startswith("All is well")
    assert found.problems == found.warnings == ()


def test_an_account_that_takes_no_incoming_leads_is_a_warning_that_says_why() -> None:
    found = seen(replace(QUIET, accounts=(replace(MAIN, leads_closed="switched off"),)))
    assert found.ok
    (warning,) = found.warnings
    assert "switched off" in warning


@pytest.mark.parametrize("workers", [{}, GONE])
@pytest.mark.parametrize("state", ["queued", "retrying", "sending", "uncertain", "parked"])
def test_calls_that_wait_without_a_living_worker_are_a_problem(state: str, workers: dict[str, float]) -> None:
    found = seen(replace(QUIET, **{state: 3}), workers)
    assert not found.ok
    assert "3 calls are waiting and no worker is running" in found.sentence


def test_no_worker_is_only_a_warning_while_nothing_waits() -> None:
    found = seen(workers={})
    assert found.ok
    assert found.warnings == ("no worker is running",)


def test_a_promise_that_redis_does_not_keep_is_a_problem() -> None:
    found = seen(standing=Standing(Durability.NONE, ("durability is none, always is asked for",), ("maxmemory is 0",)))
    assert found.problems == ("durability is none, always is asked for",)
    assert found.warnings == ("maxmemory is 0",)


@pytest.mark.parametrize("reason", PauseReason)
def test_a_paused_account_is_named_with_its_reason(reason: PauseReason) -> None:
    pause = Pause(reason, "HTTP 401", since=1.0, probe_in=2.0)
    found = seen(replace(QUIET, accounts=(replace(MAIN, pause=pause),)))
    assert f"account main is paused ({reason.value})" in found.sentence


def test_dead_calls_are_a_problem_and_say_where_to_look() -> None:
    found = seen(replace(QUIET, dead=1))
    assert "1 call is dead: `callbridge dead list`" in found.sentence


def test_a_call_that_is_due_and_not_sent_is_a_problem_only_after_a_while() -> None:
    waiting = replace(QUIET, queued=1)
    patient = replace(MAIN, waiting=1, oldest_waiting=STUCK_AFTER)
    assert seen(replace(waiting, accounts=(patient,))).ok
    stuck = replace(patient, oldest_waiting=STUCK_AFTER + 1)
    assert "has been due for 5 min" in seen(replace(waiting, accounts=(stuck,))).sentence


def test_calls_of_an_account_that_is_not_configured_any_more_are_a_problem() -> None:
    old = replace(MAIN, account="old", parked=4)
    found = seen(replace(QUIET, parked=4, accounts=(MAIN, old)))
    assert found.problems == ("4 calls are waiting for account old, which is not in the settings",)
    assert seen(replace(QUIET, accounts=(MAIN, replace(old, parked=0)))).ok


def test_the_sentence_counts_the_problems_behind_the_first() -> None:
    found = seen(replace(QUIET, dead=2, queued=1), {})
    assert found.sentence == "Needs attention: 1 call is waiting and no worker is running, and 1 more problem."
    assert len(found.problems) == 2


def test_uncertain_calls_are_a_warning() -> None:
    assert seen(replace(QUIET, uncertain=1)).warnings == ("1 call is uncertain: being looked for in the CRM",)


def test_the_states_add_up_to_the_total() -> None:
    tally = replace(QUIET, queued=1, retrying=2, sending=3, uncertain=4, parked=5, dead=6)
    assert sum(states(tally).values()) == tally.total
    assert seen(tally).as_json()["states"]["retrying"] == 2


@pytest.mark.parametrize(
    ("ahead", "level"),
    [
        (0.0, Level.OK),
        (CLOCK_WARNING, Level.OK),
        (CLOCK_WARNING + 0.1, Level.WARNING),
        (-CLOCK_WARNING - 0.1, Level.WARNING),
        (CLOCK_PROBLEM + 0.1, Level.PROBLEM),
        (-CLOCK_PROBLEM - 0.1, Level.PROBLEM),
    ],
)
def test_a_clock_is_judged_in_both_directions(ahead: float, level: Level) -> None:
    assert clock_check("clock", ahead).level is level


def test_durability_has_a_line_for_each_finding_and_one_where_there_is_none() -> None:
    assert [check.level for check in durability_checks(FIRM)] == [Level.OK]
    both = durability_checks(Standing(Durability.NONE, ("p",), ("w",)))
    assert [check.level for check in both] == [Level.PROBLEM, Level.WARNING]


def test_a_token_that_opens_the_account_is_told_with_its_clock() -> None:
    checks = account_checks("main", AccountFound(17, "Rehearsal", "rehearsal", clock_ahead=3.0))
    assert [check.level for check in checks] == [Level.OK, Level.WARNING]
    assert [check.level for check in account_checks("main", AccountFound(17, "", "x", None))] == [Level.OK]


@pytest.mark.parametrize(
    ("takes_leads", "wants_leads", "warned"),
    [(False, True, True), (True, True, False), (None, True, False), (False, False, False)],
)
def test_incoming_leads_that_are_wanted_and_switched_off_are_a_warning(
    takes_leads: bool | None, wants_leads: bool, warned: bool
) -> None:
    found = AccountFound(17, "Rehearsal", "rehearsal", None, takes_leads)
    warnings = [c for c in account_checks("main", found, wants_leads=wants_leads) if c.level is Level.WARNING]
    assert bool(warnings) == warned
    assert all("unsorted" in check.detail for check in warnings)


@pytest.mark.parametrize("reason", [None, *PauseReason])
def test_an_account_that_cannot_be_used_is_a_problem(reason: PauseReason | None) -> None:
    (check,) = account_checks("main", AccountProblem(reason, "HTTP 401"))
    assert check.level is Level.PROBLEM
    assert "HTTP 401" in check.detail
