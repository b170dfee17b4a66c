"""The first sentence: what is lost before what stands still, before what is late, before what is to be looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from callbridge.ledger.views import ErrorGroup, LedgerStanding, Speed
from callbridge.ops.health import Status, assess
from callbridge.ops.verdict import CODES, Judgement, judged
from callbridge.outcome import PauseReason
from callbridge.settings import Durability
from callbridge.store.durability import Standing
from callbridge.store.refusals import SourceRefusals
from callbridge.store.spool import SpoolStanding
from callbridge.store.spools import SpoolReport
from callbridge.store.tally import AccountTally, Pause, Slowed, SourceTally, Tally

NOW = 1_790_000_000.0
FINE = Standing(Durability.ALWAYS, (), ())
WORKING = {"w1": 1.0}


def a_tally(*accounts: AccountTally, **figures: Any) -> Tally:
    nothing = dict.fromkeys(
        ("queued", "retrying", "sending", "uncertain", "parked", "delivered", "unmatched", "dead", "ignored"), 0
    )
    return Tally(**(nothing | figures), accounts=accounts, sources=())


def an_account(**figures: Any) -> AccountTally:
    base = AccountTally("main", 0, 0, 0, oldest_waiting=None, pause=None)
    return replace(base, **figures)


def a_status(tally: Tally, workers: dict[str, float] | None = None, standing: Standing = FINE, **more: Any) -> Status:
    return assess(tally, WORKING if workers is None else workers, standing, ("main",), **more)


def a_group(status: Any, calls: int) -> ErrorGroup:
    return ErrorGroup("main", "refused_by_crm", "abc", calls, NOW, NOW, "no", status, None, None, None)


def verdict(status: Status | None, *groups: ErrorGroup, speed: Speed | None = None, **more: Any) -> Judgement:
    return judged(status, groups, speed, more.pop("standing", None), NOW, **more)


def codes(found: Judgement) -> list[str]:
    return [trouble.code for trouble in (*found.problems, *found.warnings)]


def test_nothing_wrong_is_green_and_says_how_much_went_well() -> None:
    found = verdict(a_status(a_tally(an_account(), delivered=12)))
    assert (found.verdict, found.sentence.code, found.sentence.params) == ("ok", "all_well", {"delivered": 12})
    assert "12 delivered" in found.sentence.text


def test_no_call_yet_is_not_a_problem() -> None:
    assert verdict(a_status(a_tally(an_account()))).sentence.code == "no_calls"


def test_calls_on_their_way_are_well() -> None:
    found = verdict(a_status(a_tally(an_account(waiting=2, oldest_waiting=3.0), queued=2, delivered=1)))
    assert (found.verdict, found.sentence.code) == ("ok", "on_the_way")


def test_before_anything_is_known_the_verdict_is_unknown() -> None:
    assert (verdict(None).verdict, verdict(None).sentence.code) == ("unknown", "starting")


def refused(*ago: float, code: str = "bad_signature") -> SourceRefusals:
    samples = tuple({"at": NOW - seconds, "code": code} for seconds in sorted(ago))
    return SourceRefusals({code: len(ago)}, samples, samples[0]["at"])


def heard(seconds_ago: float) -> Tally:
    return replace(a_tally(an_account(), delivered=9), sources=(SourceTally("branch", seconds_ago, {}),))


def test_a_pbx_whose_webhooks_are_refused_loses_calls() -> None:
    found = verdict(a_status(heard(3600)), refusals={"branch": refused(5, 60, 300)})
    (trouble,) = found.problems
    assert (found.verdict, trouble.code, trouble.link) == ("problem", "refused", "/sources#branch")
    assert trouble.params == {"source": "branch", "webhooks": 3, "code": "bad_signature"}
    assert trouble.cause == "refused:branch"


def test_a_pbx_that_was_never_heard_can_lose_calls_too() -> None:
    assert codes(verdict(a_status(a_tally(an_account())), refusals={"new": refused(1, 2, 3)})) == ["refused"]


@pytest.mark.parametrize(
    ("last_heard", "source", "ago"),
    [
        (1, "branch", (5, 60, 300)),  # one was taken since
        (3600, "branch", (5, 60)),  # somebody knocked
        (7200, "branch", (1000, 1100, 1200)),  # long ago
        (3600, "unknown", (5, 60, 300)),  # no source of ours
    ],
)
def test_strangers_who_knock_are_no_problem(last_heard: float, source: str, ago: tuple[float, ...]) -> None:
    assert codes(verdict(a_status(heard(last_heard)), refusals={source: refused(*ago)})) == []


def test_redis_away_is_told_first_and_old_figures_are_not_judged() -> None:
    status = a_status(a_tally(an_account(), dead=3), {})
    found = verdict(status, store_problem="connection refused", ledger_problem="locked")
    assert (found.verdict, found.sentence.code) == ("problem", "redis_down")
    assert codes(found) == ["redis_down", "ledger_down"]


def test_the_worst_is_said_first_whatever_the_order_of_the_figures() -> None:
    standing = Standing(Durability.ALWAYS, ("appendonly is no",), ())
    account = an_account(waiting=5, oldest_waiting=400.0, leads_closed="off")
    status = a_status(a_tally(account, queued=5, dead=2), {}, standing)
    found = verdict(status, speed=Speed(10, 1.0, 90.0, 0.5))
    assert codes(found) == ["not_durable", "no_worker", "dead", "slow_hour", "leads_closed"]
    assert found.sentence.code == "not_durable"
    assert found.sentence.params["more"] == 4


@pytest.mark.parametrize(
    ("oldest", "bulk", "expected"),
    [
        (59.0, 0, None),
        (61.0, 0, "warning"),
        (301.0, 0, "problem"),
        (250.0, 5, None),  # let go again by thousands: they take their time
        (301.0, 5, "problem"),
    ],
)
def test_live_calls_are_late_after_a_minute_and_stuck_after_five(
    oldest: float, bulk: int, expected: str | None
) -> None:
    found = verdict(a_status(a_tally(an_account(waiting=5, oldest_waiting=oldest, bulk=bulk), queued=5)))
    late = [t for t in (*found.problems, *found.warnings) if t.code == "late"]
    assert (found.verdict if late else None) == expected
    if late:
        assert late[0].params == {"account": "main", "calls": 5, "minutes": int(oldest // 60)}
        assert late[0].link == "/calls?state=queued&state=retrying&account=main"


def test_a_paused_account_is_stopped_and_its_calls_are_not_told_as_late_as_well() -> None:
    pause = Pause(PauseReason.PAYMENT_REQUIRED, "402", NOW, 60.0)
    found = verdict(a_status(a_tally(an_account(waiting=9, oldest_waiting=900.0, pause=pause), queued=9)))
    assert codes(found) == ["stopped"]
    assert found.problems[0].params == {"account": "main", "calls": 9, "reason": "payment_required"}
    assert found.problems[0].link == "/accounts#main"


@pytest.mark.parametrize(("waiting", "expected"), [(0, "warning"), (3, "problem")])
def test_a_pause_by_hand_is_a_problem_once_calls_wait(waiting: int, expected: str) -> None:
    pause = Pause(PauseReason.MANUAL, "lunch", NOW, None, owner="eve")
    found = verdict(a_status(a_tally(an_account(waiting=waiting, pause=pause), queued=waiting)))
    assert (found.verdict, codes(found)) == (expected, ["paused_by_hand"])


@pytest.mark.parametrize(("failures", "expected"), [(1, "warning"), (5, "problem")])
def test_an_account_that_takes_nothing_is_a_problem_after_five_requests(failures: int, expected: str) -> None:
    found = verdict(a_status(a_tally(an_account(slowed=Slowed("503", failures, 2.0)))))
    assert (found.verdict, codes(found)) == (expected, ["not_answering"])


def test_calls_of_an_account_that_nobody_configured_are_told() -> None:
    status = a_status(a_tally(an_account(account="old", waiting=2), queued=2))
    assert codes(verdict(status)) == ["unconfigured"]


def test_dead_calls_that_people_know_of_do_not_make_it_red() -> None:
    status = a_status(a_tally(an_account(), dead=5, delivered=1))
    assert codes(verdict(status, a_group("acknowledged", 5))) == ["dead_known"]
    assert verdict(status, a_group("fixed", 5)).verdict == "ok"
    found = verdict(status, a_group("acknowledged", 3), a_group("open", 2))
    assert (found.verdict, found.problems[0].params) == ("problem", {"calls": 2})


def test_what_the_ledger_does_not_know_yet_counts_as_open() -> None:
    assert verdict(a_status(a_tally(an_account(), dead=4))).problems[0].params == {"calls": 4}


@pytest.mark.parametrize(("share", "expected"), [(0.95, "ok"), (0.949, "warning")])
def test_an_hour_in_which_too_few_were_in_time_is_told(share: float, expected: str) -> None:
    status = a_status(a_tally(an_account(), delivered=10))
    assert verdict(status, speed=Speed(1000, 1.0, 9.0, share)).verdict == expected


def test_an_hour_without_deliveries_is_not_slow() -> None:
    assert verdict(a_status(a_tally(an_account(), delivered=1)), speed=Speed(0, None, None, None)).verdict == "ok"


def test_the_ledger_away_is_yellow_because_calls_go_on() -> None:
    found = verdict(a_status(a_tally(an_account(), delivered=1)), ledger_problem="locked")
    assert (found.verdict, found.sentence.code) == ("warning", "ledger_down")


def test_a_ledger_far_behind_is_told() -> None:
    behind = LedgerStanding("1", "1", 10, 500, 180.0, NOW, 1)
    found = verdict(a_status(a_tally(an_account(), delivered=1)), standing=behind)
    assert found.warnings[0].params == {"changes": 500, "minutes": 3}


@pytest.mark.parametrize(
    ("told", "oldest", "code"), [(0.0, 10.0, "spooled"), (0.0, 400.0, "spool_stuck"), (200.0, 400.0, "spool_silent")]
)
def test_webhooks_on_a_receivers_disk_are_told_by_how_bad_it_is(told: float, oldest: float, code: str) -> None:
    report = SpoolReport(SpoolStanding(7, NOW - oldest, 0), NOW - told)
    status = a_status(a_tally(an_account(), delivered=1), spools={"host-1": report}, now=NOW)
    found = verdict(status)
    assert codes(found) == [code]
    trouble = (*found.problems, *found.warnings)[0]
    assert (trouble.params["host"], trouble.params["webhooks"]) == ("host-1", 7)


def test_a_token_that_ended_stops_and_one_that_ends_soon_is_to_be_looked_at() -> None:
    status = a_status(a_tally(an_account(), delivered=1), ends={"main": ("ended", None), "b": (None, "ends")})
    assert codes(verdict(status)) == ["token_ended", "token_ending"]


def test_notes_do_not_turn_it_yellow() -> None:
    standing = Standing(Durability.EVERYSEC, (), ("a second may be lost",))
    found = verdict(a_status(a_tally(an_account(uncertain=1), uncertain=1, delivered=1), None, standing))
    assert found.verdict == "ok"
    assert codes(found) == ["uncertain", "durability"] or codes(found) == ["durability", "uncertain"]


def test_every_code_that_is_told_is_listed_with_its_values() -> None:
    pause = Pause(PauseReason.BANNED, "blocked", NOW, 60.0)
    by_hand = Pause(PauseReason.MANUAL, "lunch", NOW, None, owner="eve")
    report = SpoolReport(SpoolStanding(7, NOW - 400, 2), NOW - 300, "damaged")
    rows = (
        an_account(waiting=1, pause=pause, pace=0.5, isolated=1, leads_closed="off"),
        an_account(account="b", waiting=1, pause=by_hand),
        an_account(account="c", waiting=1, slowed=Slowed("503", 9, 2.0), oldest_waiting=999.0),
        an_account(account="d", waiting=1),
    )
    standing = Standing(Durability.NONE, ("no",), ("old",), ("full",))
    status = assess(
        a_tally(*rows, queued=4, dead=1, uncertain=1), WORKING, standing, ("main", "b", "c"),
        {"main": ("ended", "ends")}, {"h": report}, NOW,
    )  # fmt: skip
    found = [verdict(status, speed=Speed(9, 1, 1, 0.1), standing=LedgerStanding("1", "1", 1, 9, 99.0, NOW, 1))]
    found += [verdict(status, store_problem="away", ledger_problem="away"), verdict(None)]
    found += [verdict(replace(status, workers={})), verdict(a_status(a_tally(), {}))]
    found += [verdict(a_status(a_tally(parked=1, delivered=1)))]
    for judgement in found:
        for trouble in (*judgement.problems, *judgement.warnings):
            assert sorted(trouble.params) == sorted(CODES[trouble.code]), trouble
            assert trouble.link.startswith("/")
            assert trouble.detail
        assert set(judgement.sentence.params) - {"more"} == set(CODES[judgement.sentence.code])
        assert judgement.sentence.text


def test_a_cause_holds_no_figure_that_moves() -> None:
    few, many = (
        verdict(a_status(a_tally(an_account(waiting=count, oldest_waiting=100.0), queued=count))) for count in (2, 9)
    )
    assert few.warnings[0].cause == many.warnings[0].cause == "late:main"
