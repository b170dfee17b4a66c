"""Which strangers become leads, when, and what an account that takes none is to them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.call import CallId, Direction
from callbridge.claim import Claimed
from callbridge.delivery.leads import CLOSED_FOR, REFUSED_IN_A_ROW, Door, about_one, number_of, one_a_number
from callbridge.delivery.settle import GoOn, Plan, Policy, plan
from callbridge.outcome import (
    Answer,
    BecameLead,
    Delivered,
    NoAnswer,
    NoLead,
    PerCall,
    Reason,
    SlowDown,
    State,
    Unmatched,
    WholeRefused,
)
from support.builders import a_call

POLICY = Policy(park_window=3600, settle_delay=30, expire_after=72 * 3600, unknown_after=86_400, unsorted=True)
NOW = 1_790_000_100.0


def claimed(number: int = 0, **changes: object) -> Claimed:
    return Claimed(CallId(f"id{number}"), a_call(ref=f"r{number}", **changes), 1, 0, NOW - 10, NOW - 5)


def planned(answer: Answer, *calls: Claimed, policy: Policy = POLICY, closed: str | None = None) -> Plan:
    return plan(answer, calls, policy, now=NOW, failures=0, jitter=0.5, closed=closed)


def unmatched(*calls: Claimed) -> PerCall:
    return PerCall({call.id: Unmatched() for call in calls})


def test_only_those_who_called_become_leads_the_others_wait() -> None:
    came, went = claimed(0), claimed(1, direction=Direction.OUTBOUND)
    made = planned(unmatched(came, went), came, went)
    assert made.strangers == (came.id,)
    assert [(s.id, s.state, s.reason) for s in made.settlements] == [(went.id, State.PARKED, Reason.NO_MATCHING_ENTITY)]


def test_without_the_policy_nobody_becomes_a_lead() -> None:
    call = claimed()
    made = planned(unmatched(call), call, policy=replace(POLICY, unsorted=False))
    assert (made.strangers, [s.state for s in made.settlements]) == ((), [State.PARKED])


def test_where_the_account_takes_no_leads_strangers_wait_and_know_why() -> None:
    call = claimed()
    made = planned(unmatched(call), call, closed="switched off")
    assert made.strangers == ()
    [settled] = made.settlements
    assert (settled.state, settled.reason, settled.detail) == (State.PARKED, Reason.LEAD_REFUSED, "switched off")


def test_a_lead_is_a_delivery_whose_note_is_not_told() -> None:
    call = claimed()
    [settled] = planned(PerCall({call.id: BecameLead(71, 72)}), call).settlements
    assert (settled.state, settled.reason) == (State.DELIVERED, Reason.INCOMING_LEAD)
    assert settled.delivered == Delivered(None, "lead", 71)
    assert settled.detail and "72" in settled.detail


@pytest.mark.parametrize(("since", "state"), [(10, State.PARKED), (3700, State.UNMATCHED)])
def test_a_refused_lead_waits_for_its_contact_while_the_window_is_open(since: float, state: State) -> None:
    call = replace(claimed(), waiting_since=NOW - since)
    made = planned(PerCall({call.id: NoLead("no such pipeline")}), call)
    assert isinstance(made.effect, GoOn)
    [settled] = made.settlements
    assert (settled.state, settled.reason, settled.detail) == (state, Reason.LEAD_REFUSED, "no such pipeline")


@given(st.lists(st.sampled_from(["+7 916 555-01-01", "8 916 5550101", "+79165550102", "+79165550103"])), st.booleans())
def test_a_number_has_one_lead_at_a_time_and_no_call_is_forgotten(phones: list[str], is_busy: bool) -> None:
    calls = [claimed(n, phone=phone) for n, phone in enumerate(phones)]
    busy = {"9165550103"} if is_busy else set()
    now, later = one_a_number(calls, busy)
    numbers = [number_of(call) for call in now]
    assert len(numbers) == len(set(numbers))
    assert not busy & set(numbers)
    assert sorted(c.id for c in [*now, *later]) == sorted(c.id for c in calls)
    assert all(number_of(call) in {*numbers, *busy} for call in later)


def test_a_refusal_of_one_is_about_that_call_and_of_many_about_nobody_yet() -> None:
    one, two = claimed(1), claimed(2)
    assert about_one(WholeRefused("no"), [one]) == PerCall({one.id: NoLead("no")})
    assert about_one(WholeRefused("no"), [one, two]) == WholeRefused("no")


def lead_refused(number: int, *, everyone: bool = False) -> PerCall:
    return PerCall({CallId(f"id{number}"): NoLead(f"refused {number}", everyone)})


def test_a_door_closes_at_once_for_everyone_and_opens_by_time_or_by_a_lead() -> None:
    door = Door()
    assert door.closed(0) is None
    assert door.heard(lead_refused(1, everyone=True), 100)
    assert door.closed(100) == door.closed(100 + CLOSED_FOR - 1) == "refused 1"
    assert door.closed(100 + CLOSED_FOR) is None
    assert not door.heard(lead_refused(1, everyone=True), 800)
    assert door.closed(801) == "refused 1"
    assert door.heard(PerCall({CallId("id2"): BecameLead(1, 2)}), 900)
    assert door.closed(901) is None
    assert not door.heard(PerCall({CallId("id2"): BecameLead(1, 2)}), 900)


def test_the_first_lead_of_a_drain_is_news_because_another_may_have_been_refused() -> None:
    assert Door().heard(PerCall({CallId("id2"): BecameLead(1, 2)}), 0)


def test_single_refusals_close_it_only_in_a_row() -> None:
    door = Door()
    for number in range(REFUSED_IN_A_ROW - 1):
        assert not door.heard(lead_refused(number), 0)
    door.heard(PerCall({CallId("id9"): BecameLead(1, 2)}), 0)
    for number in range(REFUSED_IN_A_ROW - 1):
        assert not door.heard(lead_refused(number), 0)
    assert door.closed(0) is None
    assert door.heard(lead_refused(9), 0)
    assert door.closed(1) == "refused 9"


@pytest.mark.parametrize("answer", [SlowDown(), NoAnswer("502"), WholeRefused("many")])
def test_what_says_nothing_about_leads_moves_no_door(answer: Answer) -> None:
    door = Door()
    assert not door.heard(answer, 0)
    assert door.closed(0) is None
