"""What becomes of a note with a late recording [pure]: after an answer of the CRM, and after a look at the card.

As with calls, what may have been written is looked for before it is written again, twice and apart, because a note may be
committed late. Unlike a call a note has no state that people see: the story of its call tells how it ended. It never pauses
its account; whether that stands still is what calls find out, which come more often.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from callbridge.delivery import backoff
from callbridge.delivery.settle import ASKED_TO, LOOK_AGAIN_AT_MOST, LOOKS_BEFORE_ABSENT, GoOn, Policy, Slow
from callbridge.found import Unreadable
from callbridge.note import CardGone, LateNote, NoteAbsent, NoteAnswer, Noted, NoteLook, NoteRefused
from callbridge.outcome import AccountStopped, NoAnswer, NotSent, Reason, SlowDown, TokenRefused

STOPPED_WAIT: Final = 300.0
"""Seconds until a note is tried again that was turned away with its whole account."""

CARD_GONE: Final = "card_gone"


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more is done; `told` joins the call's story."""

    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Again:
    """Due again in `delay` seconds. `posted`: it may be on the card; then `looks` complete looks have not found it."""

    delay: float
    posted: bool
    looks: int = 0


Next = Ended | Again


def answered(
    answer: NoteAnswer, note: LateNote, policy: Policy, *, now: float, jitter: float
) -> tuple[Next, GoOn | Slow]:
    """After a request to write it; for the account there is only its pace to change."""
    match answer:
        case Noted() | CardGone() | NoteRefused():
            return _ended(answer, note), GoOn()
        case SlowDown(retry_after):
            wait = backoff.slower_wait(retry_after, note.failures, jitter)
            return Again(wait, posted=False), Slow(wait, ASKED_TO, asked=True)
        case TokenRefused():
            return Again(0.0, posted=False), GoOn()
        case AccountStopped(_, detail):
            return _again_or_expired(note, policy, now, STOPPED_WAIT, detail), GoOn()
        case NotSent(detail):
            wait = backoff.outage_wait(note.failures + 1, jitter)
            return _again_or_expired(note, policy, now, wait, detail), Slow(wait, detail)
        case NoAnswer(detail):
            slow = Slow(backoff.outage_wait(note.failures + 1, jitter), detail)
            return Again(policy.settle_delay, posted=True), slow
        case _:
            assert_never(answer)


def looked(look: NoteLook, note: LateNote, policy: Policy, *, now: float, jitter: float) -> Next:
    """After a look at the card for a note that may be there."""
    match look:
        case Noted() | CardGone():
            return _ended(look, note)
        case NoteAbsent():
            if note.looks + 1 < LOOKS_BEFORE_ABSENT:
                return Again(policy.settle_delay, posted=True, looks=note.looks + 1)
            wait = backoff.retry_in(note.postponed, jitter)
            return _again_or_expired(note, policy, now, wait, "the CRM gave no readable answer")
        case Unreadable(detail):
            waited = now - (note.posted_at or now)
            if waited >= policy.unknown_after:
                return Ended(_failed(Reason.UNKNOWN_OUTCOME, detail))
            return Again(min(max(policy.settle_delay, waited), LOOK_AGAIN_AT_MOST), posted=True, looks=note.looks)
        case _:
            assert_never(look)


def _ended(answer: Noted | CardGone | NoteRefused, note: LateNote) -> Ended:
    match answer:
        case Noted(note_id):
            card = {"entity_type": note.entity_type, "entity_id": note.entity_id}
            return Ended({"what": "noted", "note_id": note_id, **card})
        case CardGone(detail):
            return Ended(_failed(CARD_GONE, detail))
        case NoteRefused(detail):
            return Ended(_failed(Reason.REFUSED_BY_CRM, detail))
        case _:
            assert_never(answer)


def _again_or_expired(note: LateNote, policy: Policy, now: float, wait: float, detail: str) -> Next:
    if now - note.queued_at >= policy.expire_after:
        return Ended(_failed(Reason.EXPIRED, detail))
    return Again(wait, posted=False)


def _failed(reason: str, detail: str) -> Mapping[str, Any]:
    return {"what": "note_failed", "reason": str(reason), "detail": detail}
