"""Every place where a call can stand has its sentence."""

from __future__ import annotations

import pytest

from callbridge.ops.advice import advice, of_pause
from callbridge.ops.filters import STATES
from callbridge.outcome import PauseReason, PublicState, Reason


@pytest.mark.parametrize("reason", [None, "from_a_later_version", *Reason])
@pytest.mark.parametrize("state", STATES)
def test_every_state_and_reason_has_one_sentence_to_go_on_with(state: PublicState, reason: str | None) -> None:
    text = advice(state, reason)
    assert text[0].isupper()
    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.parametrize("reason", [Reason.EXPIRED, Reason.REFUSED_BY_CRM, Reason.UNKNOWN_OUTCOME, Reason.KILLS_WORKER])
def test_a_dead_call_that_can_be_replayed_says_how(reason: Reason) -> None:
    assert "callbridge dead replay" in advice("dead", reason)


def test_a_call_that_cannot_be_replayed_does_not_say_so() -> None:
    assert "replay" not in advice("dead", Reason.UNDECODABLE)


@pytest.mark.parametrize("pause", PauseReason)
def test_a_waiting_call_of_a_paused_account_says_why_it_waits(pause: PauseReason) -> None:
    for state in ("queued", "retrying"):
        assert of_pause(pause) in advice(state, None, pause)
    assert of_pause(pause) not in advice("delivered", None, pause)


def test_a_lead_a_refused_lead_and_a_persons_word_are_told_apart_from_a_note() -> None:
    plain = advice("delivered", None)
    told = {advice("delivered", Reason.INCOMING_LEAD), advice("delivered", Reason.MARKED_DELIVERED)}
    assert plain not in told and len(told) == 2
    assert advice("parked", Reason.LEAD_REFUSED) != advice("parked", Reason.NO_MATCHING_ENTITY)


def test_a_call_of_unknown_outcome_names_who_can_decide() -> None:
    assert "callbridge uncertain resolve" in advice("dead", Reason.UNKNOWN_OUTCOME)
