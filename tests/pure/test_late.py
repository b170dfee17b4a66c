"""What an answer means for a late recording: written once, looked for where it may be, given up with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.delivery.late import Again, Ended, answered, looked
from callbridge.delivery.settle import LOOK_AGAIN_AT_MOST, GoOn, Policy, Slow
from callbridge.found import Unreadable
from callbridge.note import CardGone, NoteAbsent, NoteAnswer, Noted, NoteLook, NoteRefused
from callbridge.outcome import AccountStopped, NoAnswer, NotSent, PauseReason, SlowDown, TokenRefused
from support.builders import a_late_note

NOW = 1_790_000_000.0
POLICY = Policy(park_window=None, settle_delay=30, expire_after=3 * 86_400, unknown_after=86_400)


ANSWERS: list[NoteAnswer] = [
    Noted(7), CardGone("x"), NoteRefused("x"), SlowDown(5), SlowDown(None),
    AccountStopped(PauseReason.FORBIDDEN, "x"), NotSent("x"), NoAnswer("x"), NoAnswer("x", too_heavy=True),
    TokenRefused("x"),
]  # fmt: skip
LOOKS: list[NoteLook] = [Noted(7), CardGone("x"), NoteAbsent(), Unreadable("x")]


@given(
    answer=st.sampled_from(ANSWERS),
    age=st.floats(0, 10 * 86_400),
    failures=st.integers(0, 50),
    postponed=st.integers(0, 500),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_only_what_may_have_been_written_is_looked_for(
    answer: NoteAnswer, age: float, failures: int, postponed: int, jitter: float
) -> None:
    note = a_late_note(queued_at=NOW - age, failures=failures, postponed=postponed)
    then, effect = answered(answer, note, POLICY, now=NOW, jitter=jitter)
    if isinstance(then, Again):
        assert then.posted is isinstance(answer, NoAnswer)
        assert then.delay >= 0
    else:
        final = isinstance(answer, Noted | CardGone | NoteRefused)
        assert final or (age >= POLICY.expire_after and then.told["reason"] == "expired")
    assert isinstance(effect, Slow) is isinstance(answer, SlowDown | NotSent | NoAnswer)


@given(
    look=st.sampled_from(LOOKS),
    looks=st.integers(0, 1),
    age=st.floats(1, 10 * 86_400),
    jitter=st.floats(0, 1, exclude_max=True),
)
def test_a_note_is_written_again_only_after_two_complete_looks(
    look: NoteLook, looks: int, age: float, jitter: float
) -> None:
    note = a_late_note(queued_at=NOW - age - 5, posted_at=NOW - age, looks=looks)
    then = looked(look, note, POLICY, now=NOW, jitter=jitter)
    if isinstance(then, Again) and not then.posted:
        assert look == NoteAbsent() and looks == 1
    if isinstance(then, Again) and then.posted:
        assert 30 <= then.delay <= LOOK_AGAIN_AT_MOST
        assert then.looks == (looks + 1 if look == NoteAbsent() else looks)


@pytest.mark.parametrize("found", [Noted(7)])
def test_a_note_on_the_card_is_told_with_its_place(found: Noted) -> None:
    told = {"what": "noted", "note_id": 7, "entity_type": "lead", "entity_id": 44}
    assert answered(found, a_late_note(), POLICY, now=NOW, jitter=0) == (Ended(told), GoOn())
    assert looked(found, a_late_note(posted_at=NOW - 40), POLICY, now=NOW, jitter=0) == Ended(told)


@pytest.mark.parametrize(
    ("answer", "reason"), [(CardGone("HTTP 404"), "card_gone"), (NoteRefused("NotBlank"), "refused_by_crm")]
)
def test_a_note_that_will_never_be_taken_ends_with_the_reason(answer: Any, reason: str) -> None:
    then, _ = answered(answer, a_late_note(), POLICY, now=NOW, jitter=0)
    assert then == Ended({"what": "note_failed", "reason": reason, "detail": answer.detail})


def test_what_cannot_be_read_for_too_long_ends_as_unknown() -> None:
    patient = looked(Unreadable("x"), a_late_note(posted_at=NOW - 86_399), POLICY, now=NOW, jitter=0)
    assert isinstance(patient, Again) and patient.posted
    ended = looked(Unreadable("x"), a_late_note(posted_at=NOW - 86_400), POLICY, now=NOW, jitter=0)
    assert isinstance(ended, Ended) and ended.told["reason"] == "unknown_outcome"


@pytest.mark.parametrize("answer", [NotSent("x"), AccountStopped(PauseReason.FORBIDDEN, "x")])
def test_a_note_that_cannot_be_written_for_too_long_ends_as_expired(answer: NoteAnswer) -> None:
    then, _ = answered(answer, a_late_note(queued_at=NOW - POLICY.expire_after), POLICY, now=NOW, jitter=0)
    assert isinstance(then, Ended) and then.told["reason"] == "expired"
    then, _ = answered(answer, a_late_note(queued_at=NOW - POLICY.expire_after + 1), POLICY, now=NOW, jitter=0)
    assert isinstance(then, Again)


def test_a_told_wait_is_obeyed_within_bounds() -> None:
    for asked, waited in [(5, 5), (0, 1), (10**9, 3600)]:
        then, effect = answered(SlowDown(asked), a_late_note(), POLICY, now=NOW, jitter=0.5)
        assert isinstance(then, Again) and isinstance(effect, Slow)
        assert then.delay == effect.seconds == waited
