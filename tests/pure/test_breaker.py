"""When an account is left alone and when it is not: the transitions, and what holds whatever happens."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.breaker import (
    FAILURES_IN_A_ROW,
    LONGEST_WAIT,
    LOWEST_SHARE,
    RAMP,
    RAMP_AFTER,
    RAMP_BACKLOG,
    REQUESTS_TO_JUDGE,
    SHORTEST_WAIT,
    WINDOW,
    Breaker,
)

NOW = 1_790_000_100.0
OPEN = Breaker(opened=NOW - 10, why="no route", row=5, failures=3, until=NOW - 1, wait=4.0, failed_at=(NOW - 10,))


def failing(breaker: Breaker, times: int, *, requests: int = 0, now: float = NOW, every: float = 2.0) -> Breaker:
    for number in range(times):
        breaker = breaker.failed(now + number * every, wait=0.5, why="no route", requests=requests)
    return breaker


def test_it_opens_at_the_fifth_failure_in_a_row_and_keeps_why_and_since() -> None:
    almost = failing(Breaker(), FAILURES_IN_A_ROW - 1, requests=1_000)
    assert almost.opened is None
    opened = almost.failed(NOW + 20, wait=0.5, why="refused", requests=1_000)
    assert (opened.opened, opened.why, opened.row) == (NOW + 20, "refused", FAILURES_IN_A_ROW)
    assert opened.until == NOW + 20 + SHORTEST_WAIT


def test_an_answer_between_them_begins_the_count_anew() -> None:
    breaker = failing(Breaker(), FAILURES_IN_A_ROW - 1, requests=1_000).answered(NOW + 10, backlog=0)
    assert (breaker.row, breaker.failures, breaker.why) == (0, 0, "")
    assert failing(breaker, FAILURES_IN_A_ROW - 1, requests=1_000, now=NOW + 20).opened is None


@pytest.mark.parametrize(
    ("failures", "requests", "opens"),
    [(5, 10, True), (4, 10, False), (4, 8, False), (5, 11, False), (6, 11, True), (30, 60, True), (29, 60, False)],
)
def test_it_opens_when_half_of_ten_and_more_fail_within_a_minute(failures: int, requests: int, opens: bool) -> None:
    breaker = Breaker()
    for number in range(failures):
        now = NOW + number
        breaker = breaker.failed(now, wait=0.0, why="502", requests=requests if number == failures - 1 else 1_000)
        if number < failures - 1:
            breaker = breaker.answered(now, backlog=0)
    assert (breaker.opened is not None) is opens


def test_failures_of_more_than_a_minute_ago_count_for_nothing() -> None:
    breaker = Breaker()
    for number in range(9):
        breaker = breaker.failed(NOW + number, wait=0.0, why="502", requests=1_000).answered(NOW + number, backlog=0)
    later = breaker.failed(NOW + 9 + WINDOW, wait=0.0, why="502", requests=REQUESTS_TO_JUDGE)
    assert later.opened is None
    assert len(later.failed_at) == 1


def test_requests_that_failed_together_lengthen_the_wait_once() -> None:
    breaker = failing(Breaker(), 4, every=0.1)
    assert (breaker.row, breaker.failures) == (4, 1)


def test_what_was_under_way_when_it_opened_neither_closes_nor_lengthens_it() -> None:
    assert OPEN.answered(NOW, backlog=0) == OPEN
    late = OPEN.failed(NOW, wait=0.5, why="reset", requests=50)
    assert (late.opened, late.wait, late.until) == (OPEN.opened, OPEN.wait, NOW + 0.5)


def test_a_failed_trial_waits_twice_as_long_and_keeps_since() -> None:
    breaker = OPEN
    waits = []
    for _ in range(6):
        now = breaker.until + 1
        breaker = breaker.failed(now, wait=0.3, why="still no route", requests=1, trial=True)
        waits.append(breaker.until - now)
        assert (breaker.opened, breaker.why) == (OPEN.opened, "still no route")
    assert waits == pytest.approx([8, 16, 32, 60, 60, 60])


def test_what_the_crm_asks_for_is_longer_where_it_is() -> None:
    assert OPEN.failed(NOW, wait=900, why="429", requests=1, asked=True, trial=True).until == NOW + 900


@pytest.mark.parametrize(
    ("open_for", "backlog", "ramps"),
    [
        (RAMP_AFTER, RAMP_BACKLOG + 1, True),
        (RAMP_AFTER - 0.1, RAMP_BACKLOG + 1, False),
        (3_600, RAMP_BACKLOG, False),
        (3_600, 20_000, True),
    ],
)
def test_an_answered_trial_closes_and_only_a_backlog_after_an_outage_comes_back_slowly(
    open_for: float, backlog: int, ramps: bool
) -> None:
    closed = replace(OPEN, opened=NOW - open_for).answered(NOW, backlog=backlog, trial=True)
    assert (closed.opened, closed.row, closed.failures, closed.why, closed.failed_at) == (None, 0, 0, "", ())
    assert closed.ramp_until == (NOW + RAMP if ramps else 0.0)


def test_one_failure_after_it_closed_does_not_open_it_again() -> None:
    closed = failing(Breaker(), FAILURES_IN_A_ROW).answered(NOW + 60, backlog=0, trial=True)
    assert closed.failed(NOW + 61, wait=1, why="502", requests=12).opened is None


def test_asked_for_less_the_pace_halves_once_for_all_that_were_under_way() -> None:
    once = Breaker().failed(NOW, wait=2, why="429", requests=1, asked=True)
    together = once.failed(NOW + 0.1, wait=2, why="429", requests=1, asked=True)
    assert (once.share, together.share) == (0.5, 0.5)
    assert together.failed(NOW + 5, wait=2, why="429", requests=1, asked=True).share == 0.25
    assert Breaker().failed(NOW, wait=2, why="no route", requests=1).share == 1.0


def test_the_pace_never_falls_below_a_sixteenth_nor_rises_above_what_is_configured() -> None:
    breaker = Breaker()
    for number in range(10):
        breaker = breaker.failed(NOW + 100 * number, wait=2, why="429", requests=1, asked=True)
    assert breaker.share == LOWEST_SHARE
    breaker = replace(breaker, opened=None)
    for number in range(100):
        breaker = breaker.answered(NOW + 2_000 + number, backlog=0)
    assert breaker.share == 1.0


@pytest.mark.parametrize("answers_a_second", [1, 7, 50])
def test_the_pace_comes_back_by_a_twentieth_a_second_however_many_answers_that_brings(answers_a_second: int) -> None:
    breaker = Breaker(share=0.5, share_at=NOW)
    for number in range(1, 5 * answers_a_second + 1):
        breaker = breaker.answered(NOW + number / answers_a_second, backlog=0)
    assert breaker.share == pytest.approx(0.75)


def test_silence_is_no_answer_the_pace_does_not_come_back_by_itself() -> None:
    assert Breaker(share=0.25, share_at=NOW).answered(NOW + 86_400, backlog=0).share == pytest.approx(0.3)


events = st.lists(
    st.tuples(
        st.sampled_from(["failed", "asked", "answered"]),
        st.floats(-5, 200),  # since the last one; the clock may jump back
        st.floats(0, 3_600),  # the wait that is asked for
        st.integers(0, 500),  # requests in the window, or calls waiting
        st.booleans(),  # whether it is the trial, where there can be one
    ),
    max_size=60,
)


@given(events)
def test_whatever_happens_the_breaker_stays_within_its_bounds(
    happened: list[tuple[str, float, float, int, bool]],
) -> None:
    breaker, now = Breaker(), NOW
    for what, seconds, wait, number, wants in happened:
        before, now = breaker, now + seconds
        trial = wants and before.opened is not None and before.until <= now
        if what == "answered":
            breaker = before.answered(now, backlog=number, trial=trial)
        else:
            asked = what == "asked"
            breaker = before.failed(now, wait=wait, why=f"why {number}", requests=number, asked=asked, trial=trial)
        assert LOWEST_SHARE <= breaker.share <= 1
        assert breaker.until >= before.until, "nobody is told less than before"
        assert breaker.until - max(now, before.until) <= max(wait, LONGEST_WAIT) + 0.001
        assert len(breaker.failed_at) <= 100
        if breaker.opened is not None:
            assert breaker.why, "open for a reason"
            assert breaker.wait >= SHORTEST_WAIT
        if before.opened is not None and breaker.opened is None:
            assert trial and what == "answered", "only an answered trial closes"
        if before.opened is not None and breaker.opened is not None:
            assert breaker.opened == before.opened
            assert breaker.wait >= min(before.wait, LONGEST_WAIT)
        if before.opened is None and breaker.opened is not None:
            assert what != "answered"
            assert breaker.until >= now + SHORTEST_WAIT - 0.001, "long enough that it does not flap"
