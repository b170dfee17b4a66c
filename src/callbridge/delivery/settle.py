"""What one answer means for each call of its batch, and for its account [pure].

`plan` is total: every call of the batch leaves in exactly one of settlements, released, split, or strangers, whatever the
CRM said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from callbridge.call import CallId, Direction
from callbridge.claim import Claimed, Uncertain
from callbridge.delivery import backoff
from callbridge.found import ReadBack, Unreadable
from callbridge.outcome import (
    AccountStopped,
    Answer,
    BecameLead,
    Delivered,
    NoAnswer,
    NoLead,
    NotForCrm,
    NotSent,
    Outcome,
    PauseReason,
    PerCall,
    Ready,
    Reason,
    Refused,
    Resend,
    Settlement,
    SlowDown,
    State,
    TokenRefused,
    Translation,
    Unanswered,
    Unmatched,
    Untranslatable,
    WholeRefused,
)

LOOKS_BEFORE_ABSENT = 2
"""A note may be committed late: one complete look without it proves nothing, two that stand apart do."""

STOP_LOSS = 50
"""Calls buried one after the other by unnamed refusals, with no other answer between them, after which the account is paused:
then it is the CRM or our words for it that is wrong, not the calls."""

ASKED_TO = (
    "the CRM asks for fewer requests than are allowed to us: other integrations use its limit too, or "
    "requests_per_second is above it"
)

LOOK_AGAIN_AT_MOST = 900.0
"""Seconds between two looks while the CRM cannot be read."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What an account's operator decided. Seconds; `park_window` is None where unmatched calls are recorded at once.
    `unsorted`: strangers who called become incoming leads first.
    """

    park_window: float | None
    settle_delay: float
    expire_after: float
    unknown_after: float
    unsorted: bool = False


@dataclass(frozen=True, slots=True)
class GoOn:
    """The account answers."""


@dataclass(frozen=True, slots=True)
class Slow:
    """No request to the account for `seconds`, and why. `too_heavy` asks for smaller batches; `asked` is the CRM's own wish,
    and lowers the pace.
    """

    seconds: float
    why: str
    too_heavy: bool = False
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """No request to the account until somebody acts."""

    reason: PauseReason
    detail: str


Effect = GoOn | Slow | Pause


@dataclass(frozen=True, slots=True)
class Plan:
    """`released` calls go back, and get their attempt back unless they were `read` all the same; `split` and `strangers` stay
    ours and are sent again, in halves and as leads.
    """

    effect: Effect
    settlements: tuple[Settlement, ...] = ()
    released: tuple[CallId, ...] = ()
    split: tuple[CallId, ...] = ()
    strangers: tuple[CallId, ...] = ()
    read: bool = False


def plan(
    answer: Answer,
    calls: Sequence[Claimed],
    policy: Policy,
    *,
    now: float,
    failures: int,
    jitter: float,
    refusals: int = 0,
    probe: bool = False,
    closed: str | None = None,
) -> Plan:
    """`failures` counts the account's slow-downs in a row before this one, `refusals` its buried calls in
    a row. A refused `probe` is buried in any case: the next probe is another call. `closed` is why the account takes no
    incoming leads now.
    """
    ids = tuple(call.id for call in calls)
    match answer:
        case PerCall(outcomes):
            strangers = () if closed else tuple(c.id for c in calls if _is_stranger(c, outcomes[c.id], policy))
            settled = (c for c in calls if c.id not in strangers)
            settlements = tuple(_settlement(call, outcomes[call.id], policy, now, closed) for call in settled)
            return Plan(GoOn(), settlements, strangers=strangers)
        case WholeRefused(detail) if refusals >= STOP_LOSS and not probe:
            return Plan(Pause(PauseReason.REFUSES_ALL, detail), released=ids, read=True)
        case WholeRefused(detail):
            if len(ids) > 1:
                return Plan(GoOn(), split=ids)
            return Plan(GoOn(), tuple(_dead(call_id, Reason.REFUSED_BY_CRM, detail) for call_id in ids))
        case SlowDown(retry_after):
            return Plan(Slow(backoff.slower_wait(retry_after, failures, jitter), ASKED_TO, asked=True), released=ids)
        case AccountStopped(reason, detail):
            return Plan(Pause(reason, detail), released=ids)
        case TokenRefused():
            return Plan(GoOn(), released=ids)
        case NotSent(detail):
            return Plan(Slow(backoff.outage_wait(failures + 1, jitter), detail), released=ids)
        case NoAnswer(detail, too_heavy):
            wait = Slow(backoff.outage_wait(failures + 1, jitter), detail, too_heavy)
            return Plan(wait, tuple(_uncertain(call_id, Reason.NO_ANSWER, policy, detail) for call_id in ids))
        case _:
            assert_never(answer)


def _is_stranger(call: Claimed, outcome: Outcome, policy: Policy) -> bool:
    """Of whom an incoming lead is made: the vendor has them for calls that came in, and we for whoever wants them, by the
    account's policy or for this call.
    """
    inbound = call.call is not None and call.call.direction is Direction.INBOUND
    return (policy.unsorted or call.lead) and inbound and isinstance(outcome, Unmatched)


def _settlement(call: Claimed, outcome: Outcome, policy: Policy, now: float, closed: str | None) -> Settlement:
    match outcome:
        case Delivered():
            return Settlement(call.id, State.DELIVERED, delivered=outcome)
        case BecameLead(lead_id, contact_id):
            card = Delivered(note_id=None, entity_type="lead", entity_id=lead_id)
            contact = f"a new contact, {contact_id}" if contact_id else "a new contact"
            return Settlement(call.id, State.DELIVERED, Reason.INCOMING_LEAD, detail=contact, delivered=card)
        case Unmatched() if closed and _is_stranger(call, outcome, policy):
            return _waits_for_contact(call, policy, now, Reason.LEAD_REFUSED, closed)
        case Unmatched():
            return _waits_for_contact(call, policy, now, Reason.NO_MATCHING_ENTITY)
        case NoLead(detail):
            return _waits_for_contact(call, policy, now, Reason.LEAD_REFUSED, detail)
        case Refused(detail):
            return _dead(call.id, Reason.REFUSED_BY_CRM, detail)
        case Resend():
            return Settlement(call.id, State.WAITING, Reason.BATCH_REFUSED)
        case Unanswered(reason):
            return _uncertain(call.id, reason, policy)
        case _:
            assert_never(outcome)


def _waits_for_contact(
    call: Claimed, policy: Policy, now: float, reason: Reason, detail: str | None = None
) -> Settlement:
    wait = None
    if policy.park_window is not None:
        wait = backoff.park_for(call.parks, call.waiting_since, now, policy.park_window)
    if wait is None:
        return Settlement(call.id, State.UNMATCHED, reason, detail=detail)
    return Settlement(call.id, State.PARKED, reason, delay=wait, detail=detail)


def untranslated(call_id: CallId, translation: Translation | None) -> Settlement | None:
    """What becomes of a claimed call that is not sent at all; None for one that is. No translation: no readable call."""
    match translation:
        case Ready():
            return None
        case NotForCrm(reason):
            return Settlement(call_id, State.IGNORED, reason)
        case Untranslatable(problem):
            return _dead(call_id, Reason.UNTRANSLATABLE, problem)
        case None:
            return _dead(call_id, Reason.UNDECODABLE, "the stored webhook holds no readable call")
        case _:
            assert_never(translation)


def conclude(
    read: ReadBack | Unreadable, calls: Sequence[Uncertain], policy: Policy, *, now: float, jitter: float
) -> tuple[Settlement, ...]:
    """What a read-back means for the calls that were looked for: exactly one settlement each."""
    return tuple(_concluded(read, call, policy, now, jitter) for call in calls)


def _concluded(read: ReadBack | Unreadable, call: Uncertain, policy: Policy, now: float, jitter: float) -> Settlement:
    if call.call is None:
        return _dead(call.id, Reason.UNDECODABLE, "the stored webhook holds no readable call")
    if note := read.notes.get(call.call.uniq):
        return Settlement(call.id, State.DELIVERED, delivered=note)
    match read:
        case Unreadable(detail):
            if now - call.uncertain_since >= policy.unknown_after:
                return _dead(call.id, Reason.UNKNOWN_OUTCOME, detail)
            waited = max(policy.settle_delay, now - call.uncertain_since)
            return _uncertain(call.id, Reason.NO_ANSWER, policy, detail, call.looks, min(waited, LOOK_AGAIN_AT_MOST))
        case ReadBack():
            looks = call.looks + 1
            if looks < LOOKS_BEFORE_ABSENT:
                return _uncertain(call.id, Reason.NO_ANSWER, policy, looks=looks)
            if note := read.alike.get(call.call.uniq):
                return _dead(call.id, Reason.UNKNOWN_OUTCOME, _probably(note))
            if now - call.retried_since >= policy.expire_after:
                return _dead(
                    call.id, Reason.EXPIRED, "the CRM gave no readable answer for as long as calls are retried"
                )
            return Settlement(
                call.id, State.WAITING, Reason.ABSENT_IN_CRM, delay=backoff.retry_in(call.attempts, jitter)
            )
        case _:
            assert_never(read)


def _probably(note: Delivered) -> str:
    """The CRM keeps the `uniq` of a call; where it did not, a likeness is no proof in either direction."""
    return (
        f"probably delivered: note {note.note_id} on {note.entity_type} {note.entity_id} tells of the same number, start and "
        "length, but without our uniq"
    )


def _dead(call_id: CallId, reason: Reason, detail: str) -> Settlement:
    return Settlement(call_id, State.DEAD, reason, detail=detail)


def _uncertain(
    call_id: CallId,
    reason: Reason,
    policy: Policy,
    detail: str | None = None,
    looks: int = 0,
    wait: float | None = None,
) -> Settlement:
    delay = policy.settle_delay if wait is None else wait
    return Settlement(call_id, State.UNCERTAIN, reason, delay=delay, detail=detail, looks=looks)
