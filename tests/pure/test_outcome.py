"""The state table is closed, reachable and ends where it says."""

from __future__ import annotations

from typing import get_args

import pytest

from callbridge.call import CallId
from callbridge.outcome import FINAL, LIVE, MOVES, Delivered, PublicState, Settlement, State, public_state


def test_every_state_is_reached_from_waiting_or_at_birth() -> None:
    reached, frontier = {State.WAITING}, {State.WAITING}
    while frontier:
        frontier = {to for state in frontier for to in MOVES[state]} - reached
        reached |= frontier
    assert reached == set(State)


def test_every_live_state_can_still_end() -> None:
    for state in LIVE:
        seen, frontier = {state}, {state}
        while frontier:
            frontier = {to for at in frontier for to in MOVES[at]} - seen
            seen |= frontier
        assert seen & (FINAL - {State.ERASED}), state


def test_nothing_is_sent_again_from_uncertain_without_waiting_first() -> None:
    assert State.SENDING not in MOVES[State.UNCERTAIN]
    assert State.CLAIMED not in MOVES[State.UNCERTAIN]


def test_every_state_has_a_public_name_from_the_contract() -> None:
    names = {public_state(state, attempts) for state in State for attempts in (0, 1)}
    assert names == set(get_args(PublicState))


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": State.DELIVERED},
        {"state": State.DEAD},
        {"state": State.PARKED},
        {"state": State.DEAD, "reason": "x", "delay": 1},
        {"state": State.WAITING, "delay": -1},
        {"state": State.SENDING, "reason": "x"},
        {"state": State.CLAIMED, "reason": "x"},
        {"state": State.WAITING, "delivered": Delivered(1, "lead", 2)},
    ],
)
def test_an_impossible_settlement_cannot_be_built(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Settlement(CallId("1"), **wrong)  # type: ignore[arg-type] # wrong on purpose
