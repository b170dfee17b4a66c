"""Batching, backoff, halving and settlement: decisions over values."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.call import CallId
from callbridge.claim import Claimed, Uncertain
from callbridge.delivery import backoff
from callbridge.delivery.batching import CAREFUL, CAREFUL_FOR, START, BatchSize
from callbridge.delivery.settle import LOOKS_BEFORE_ABSENT, GoOn, Pause, Policy, Slow, conclude, plan, untranslated
from callbridge.delivery.split import halves
from callbridge.found import ReadBack, Unreadable
from callbridge.outcome import (
    AccountStopped,
    BecameLead,
    Delivered,
    NoAnswer,
    NoLead,
    NotForCrm,
    NotSent,
    PauseReason,
    PerCall,
    Ready,
    Reason,
    Refused,
    Resend,
    SlowDown,
    State,
    TokenRefused,
    Unanswered,
    Unmatched,
    Untranslatable,
    WholeRefused,
)
from support.builders import a_call

NOTE = Delivered(70, "lead", 5)
POLICY = Policy(park_window=3600, settle_delay=30, expire_after=72 * 3600, unknown_after=86_400)
NOW = 1_790_000_100.0

outcomes = st.one_of(
    st.just(NOTE),
    st.just(Unmatched()),
    st.just(Resend()),
    st.just(Unanswered(Reason.NOT_IN_ANSWER)),
    st.builds(Refused, st.text()),
    st.builds(BecameLead, st.integers(0), st.integers(0)),
    st.builds(NoLead, st.text(), st.booleans()),
)
reasons = st.sampled_from(PauseReason)
whole_answers = st.one_of(
    st.builds(WholeRefused, st.text()),
    st.builds(SlowDown, st.none() | st.floats()),
    st.builds(AccountStopped, reasons, st.text()),
    st.builds(NotSent, st.text()),
    st.builds(NoAnswer, st.text(), st.booleans()),
)


def a_claimed(number: int = 0, **changes: object) -> Claimed:
    defaults = {"attempts": 1, "parks": 0, "waiting_since": NOW - 10, "first_sent_at": NOW - 5}
    return Claimed(CallId(f"id{number}"), a_call(ref=f"r{number}"), **(defaults | changes))  # type: ignore[arg-type] # a builder


def an_uncertain(number: int = 0, **changes: object) -> Uncertain:
    defaults = {
        "attempts": 1, "looks": 0, "received_at": NOW - 100, "first_sent_at": NOW - 60,
        "retried_since": NOW - 60, "uncertain_since": NOW - 40,
    }  # fmt: skip
    return Uncertain(CallId(f"id{number}"), a_call(ref=f"r{number}"), **(defaults | changes))  # type: ignore[arg-type] # same


@given(st.data(), st.integers(1, 30), st.integers(0, 40), st.floats(0, 0.999))
def test_every_call_leaves_a_plan_exactly_once(data: st.DataObject, size: int, failures: int, jitter: float) -> None:
    policy, closed = replace(POLICY, unsorted=data.draw(st.booleans())), data.draw(st.none() | st.just("off"))
    calls = [a_claimed(number) for number in range(size)]
    answer = data.draw(
        st.one_of(whole_answers, st.builds(PerCall, st.fixed_dictionaries({call.id: outcomes for call in calls})))
    )
    planned = plan(answer, calls, policy, now=NOW, failures=failures, jitter=jitter, closed=closed)
    left = [settled.id for settled in planned.settlements] + [*planned.released, *planned.split, *planned.strangers]
    assert sorted(left) == sorted(call.id for call in calls)
    if isinstance(planned.effect, Slow):
        assert 0 <= planned.effect.seconds <= 3600
        assert math.isfinite(planned.effect.seconds)


@given(outcomes)
def test_only_a_note_or_a_lead_makes_a_call_delivered(outcome: object) -> None:
    [settled] = plan(
        PerCall({CallId("id0"): outcome}), [a_claimed()], POLICY, now=NOW, failures=0, jitter=0
    ).settlements  # type: ignore[dict-item] # drawn
    assert (settled.state is State.DELIVERED) == isinstance(outcome, Delivered | BecameLead)


@given(st.booleans(), st.text())
def test_what_may_have_been_stored_is_never_sent_again_unread(too_heavy: bool, detail: str) -> None:
    planned = plan(NoAnswer(detail, too_heavy), [a_claimed()], POLICY, now=NOW, failures=0, jitter=0.5)
    assert [(s.state, s.delay) for s in planned.settlements] == [(State.UNCERTAIN, POLICY.settle_delay)]
    assert planned.released == ()


@pytest.mark.parametrize(
    "answer", [NotSent("refused"), SlowDown(), SlowDown(7), AccountStopped(PauseReason.BANNED, "403")]
)
def test_what_was_surely_not_processed_goes_back_untouched(answer: object) -> None:
    planned = plan(answer, [a_claimed(0), a_claimed(1)], POLICY, now=NOW, failures=0, jitter=0.5)  # type: ignore[arg-type] # listed
    assert (planned.released, planned.settlements) == (("id0", "id1"), ())
    assert not isinstance(planned.effect, GoOn)


def test_a_batch_whose_token_has_to_be_replaced_goes_back_untouched_and_nobody_is_slowed() -> None:
    planned = plan(TokenRefused("401"), [a_claimed(0), a_claimed(1)], POLICY, now=NOW, failures=3, jitter=0.5)
    assert (planned.released, planned.settlements, planned.effect) == (("id0", "id1"), (), GoOn())


def test_a_stopped_account_pauses() -> None:
    planned = plan(
        AccountStopped(PauseReason.PAYMENT_REQUIRED, "402"), [a_claimed()], POLICY, now=NOW, failures=0, jitter=0
    )
    assert planned.effect == Pause(PauseReason.PAYMENT_REQUIRED, "402")


def test_an_unnamed_refusal_is_halved_until_one_call_is_refused() -> None:
    assert plan(WholeRefused("bad"), [a_claimed(0), a_claimed(1)], POLICY, now=NOW, failures=0, jitter=0).split == (
        "id0",
        "id1",
    )
    [settled] = plan(WholeRefused("bad"), [a_claimed()], POLICY, now=NOW, failures=0, jitter=0).settlements
    assert (settled.state, settled.reason, settled.detail) == (State.DEAD, Reason.REFUSED_BY_CRM, "bad")


@pytest.mark.parametrize(
    ("window", "age", "state"),
    [(None, 0, State.UNMATCHED), (3600, 10, State.PARKED), (3600, 3600, State.UNMATCHED), (0, 0, State.UNMATCHED)],
)
def test_an_unmatched_call_is_parked_while_its_window_is_open(window: float | None, age: float, state: State) -> None:
    policy = Policy(window, 30, 1, 1)
    answer = PerCall({CallId("id0"): Unmatched()})
    [settled] = plan(answer, [a_claimed(waiting_since=NOW - age)], policy, now=NOW, failures=0, jitter=0).settlements
    assert (settled.state, settled.reason) == (state, Reason.NO_MATCHING_ENTITY)


@pytest.mark.parametrize(
    ("translation", "state", "reason"),
    [
        (Ready("u", b"{}"), None, None),
        (NotForCrm(Reason.HIDDEN_NUMBER), State.IGNORED, Reason.HIDDEN_NUMBER),
        (Untranslatable("odd"), State.DEAD, Reason.UNTRANSLATABLE),
        (None, State.DEAD, Reason.UNDECODABLE),
    ],
)
def test_a_call_that_is_not_sent_has_a_place_all_the_same(translation, state, reason) -> None:
    settled = untranslated(CallId("1"), translation)
    assert (settled.state, settled.reason) == (state, reason) if settled else state is None


def test_a_call_with_a_note_is_delivered_even_if_the_reading_broke_off() -> None:
    call = an_uncertain()
    assert call.call
    for read in (ReadBack({call.call.uniq: NOTE}), Unreadable("page 2", {call.call.uniq: NOTE})):
        [settled] = conclude(read, [call], POLICY, now=NOW, jitter=0)
        assert (settled.state, settled.delivered) == (State.DELIVERED, NOTE)


def test_one_look_without_a_note_proves_nothing_two_do() -> None:
    for looks in range(LOOKS_BEFORE_ABSENT):
        [settled] = conclude(ReadBack({}), [an_uncertain(looks=looks)], POLICY, now=NOW, jitter=0.5)
        last = looks + 1 == LOOKS_BEFORE_ABSENT
        assert settled.state is (State.WAITING if last else State.UNCERTAIN)
        assert last or (settled.delay, settled.looks) == (POLICY.settle_delay, looks + 1)


def test_an_unreadable_crm_proves_nothing_however_often_it_is_asked() -> None:
    [settled] = conclude(Unreadable("503"), [an_uncertain(looks=1)], POLICY, now=NOW, jitter=0)
    assert (settled.state, settled.looks) == (State.UNCERTAIN, 1)
    old = an_uncertain(uncertain_since=NOW - POLICY.unknown_after)
    [settled] = conclude(Unreadable("503"), [old], POLICY, now=NOW, jitter=0)
    assert (settled.state, settled.reason) == (State.DEAD, Reason.UNKNOWN_OUTCOME)


def test_a_call_absent_for_longer_than_calls_are_retried_expires() -> None:
    old = an_uncertain(looks=1, retried_since=NOW - POLICY.expire_after)
    [settled] = conclude(ReadBack({}), [old], POLICY, now=NOW, jitter=0)
    assert (settled.state, settled.reason) == (State.DEAD, Reason.EXPIRED)


@given(st.lists(st.sampled_from(["full", "part", "heavy", "lost"]), max_size=60), st.integers(1, 250))
def test_a_batch_stays_between_one_and_its_limit(events: list[str], at_most: int) -> None:
    size = BatchSize(at_most)
    assert size.now == min(START, at_most)
    for event in events:
        before = size
        match event:
            case "full":
                size = size.answered(full=True)
                assert size.now == (before.now if before.careful else min(before.now * 2, at_most))
            case "part":
                size = size.answered(full=False)
                assert size.now == before.now
            case "heavy":
                size = size.unanswered(before.now, too_heavy=True)
                assert size.now == max(1, min(before.now // 2, CAREFUL))
            case "lost":
                size = size.unanswered(before.now, too_heavy=False)
                assert size.now == min(before.now, CAREFUL)
        assert 1 <= size.now <= at_most
        assert size.careful == (CAREFUL_FOR if event in {"heavy", "lost"} else max(0, before.careful - 1))


def test_after_an_unread_answer_batches_are_small_for_twenty_requests_and_then_grow() -> None:
    size = BatchSize(250, calls=250).unanswered(250, too_heavy=False)
    sizes = []
    for _ in range(25):
        sizes.append(size.now)
        size = size.answered(full=True)
    assert sizes == [10] * 21 + [20, 40, 80, 160]


@given(st.integers(0, 500), st.floats(0, 0.999))
def test_backoff_is_spread_and_bounded(failures: int, jitter: float) -> None:
    assert 0 <= backoff.retry_in(failures, jitter) <= backoff.RETRY_CAP
    assert 0 <= backoff.outage_wait(failures, jitter) <= backoff.OUTAGE_CAP
    assert backoff.retry_in(failures, 0.999) >= backoff.retry_in(failures, jitter)


@given(st.none() | st.floats(allow_nan=False), st.integers(0, 50), st.floats(0, 0.999))
def test_what_the_crm_asks_for_is_honoured_within_reason(told: float | None, failures: int, jitter: float) -> None:
    wait = backoff.slower_wait(told, failures, jitter)
    assert 1 <= wait <= 3600
    if told is not None and 1 <= told <= 3600:
        assert wait == told


@given(st.integers(0, 100), st.floats(0, 70_000), st.floats(0, 65_000))
def test_a_parked_call_is_tried_ever_more_rarely_and_at_last_when_its_window_ends(
    parks: int, age: float, window: float
) -> None:
    wait = backoff.park_for(parks, NOW - age, NOW, window)
    left = NOW - age + window - NOW
    if wait is None:
        assert left <= 0
    else:
        assert 0 < wait <= left
        assert wait <= backoff.PARK_STEPS[-1]


@given(st.lists(st.integers(), min_size=2, max_size=300))
def test_halves_keep_order_and_lose_nothing(batch: list[int]) -> None:
    first, second = halves(batch)
    assert [*first, *second] == batch
    assert abs(len(first) - len(second)) <= 1


def test_a_single_call_cannot_be_halved() -> None:
    with pytest.raises(ValueError):
        halves([1])
