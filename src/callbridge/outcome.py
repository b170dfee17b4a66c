"""What the CRM answered, what became of each call, and which moves between states exist [pure].

A batch gets an `Answer`, a call gets an `Outcome`, a stored call gets a `Settlement`. All three are closed: every use
matches them exhaustively. The state table stands here and nowhere else; the Lua scripts of `store` are tested against it.

    waiting -> claimed -> sending -> delivered | unmatched | dead | parked | waiting | uncertain
    claimed -> waiting | dead | ignored     uncertain -> delivered | waiting | dead     parked -> waiting | unmatched
    dead -> waiting | uncertain (replay) | ignored (discard) | delivered (an operator says so)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, cast

from callbridge.call import CallId


class State(StrEnum):
    """Where a stored call stands. `claimed` is ours alone: people see it as sending."""

    WAITING = "waiting"
    CLAIMED = "claimed"
    SENDING = "sending"
    UNCERTAIN = "uncertain"
    PARKED = "parked"
    DELIVERED = "delivered"
    UNMATCHED = "unmatched"
    DEAD = "dead"
    IGNORED = "ignored"
    ERASED = "erased"


MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.WAITING: frozenset({State.CLAIMED, State.ERASED}),
    State.CLAIMED: frozenset({State.WAITING, State.SENDING, State.DEAD, State.IGNORED}),
    State.SENDING: frozenset(
        {
            State.SENDING,  # halves of a refused batch, and strangers as incoming leads, go out under the same lease
            State.WAITING,
            State.UNCERTAIN,
            State.PARKED,
            State.DELIVERED,
            State.UNMATCHED,
            State.DEAD,
        }
    ),
    State.UNCERTAIN: frozenset({State.UNCERTAIN, State.DELIVERED, State.WAITING, State.DEAD, State.ERASED}),
    State.PARKED: frozenset({State.WAITING, State.UNMATCHED, State.ERASED}),  # an operator may give up early
    # A replayed call waits; one whose outcome is unknown is looked for first, or an operator knows where it is.
    State.DEAD: frozenset({State.WAITING, State.UNCERTAIN, State.IGNORED, State.DELIVERED, State.ERASED}),
    State.DELIVERED: frozenset({State.ERASED}),
    State.UNMATCHED: frozenset({State.ERASED}),
    State.IGNORED: frozenset({State.ERASED}),
    State.ERASED: frozenset(),
}
"""Every move there is. Final states leave only by an operator's hand (replay, discard, erase)."""

LIVE: Final = frozenset({State.WAITING, State.CLAIMED, State.SENDING, State.UNCERTAIN, State.PARKED})
FINAL: Final = frozenset(State) - LIVE

PublicState = Literal[
    "queued", "retrying", "sending", "uncertain", "parked", "delivered", "unmatched", "dead", "ignored", "erased"
]
"""The states people see and filter by (the public contract)."""


def public_state(state: State, attempts: int) -> PublicState:
    """Waiting is `queued`, or `retrying` once a request has been made for the call; what a worker has is `sending`."""
    if state is State.WAITING:
        return "retrying" if attempts else "queued"
    return "sending" if state is State.CLAIMED else cast("PublicState", state.value)


class Reason(StrEnum):
    """Why a call stands where it stands: stable codes for filters, alerts and the public JSON."""

    NO_MATCHING_ENTITY = "no_matching_entity"
    INCOMING_LEAD = "incoming_lead"
    LEAD_REFUSED = "lead_refused"
    MARKED_DELIVERED = "marked_delivered"
    REFUSED_BY_CRM = "refused_by_crm"
    UNDECODABLE = "undecodable"
    UNTRANSLATABLE = "untranslatable"
    EXPIRED = "expired"
    UNKNOWN_OUTCOME = "unknown_outcome"
    KILLS_WORKER = "kills_worker"
    INTERNAL_CALL = "internal_call"
    HIDDEN_NUMBER = "hidden_number"
    SHORT_NUMBER = "short_number"
    IGNORED_NUMBER = "ignored_number"
    MISSED_CALL = "missed_call"
    TOO_SHORT = "too_short"
    DISCARDED = "discarded"
    NOT_IN_ANSWER = "not_in_answer"
    NO_ANSWER = "no_answer"
    LEASE_LAPSED = "lease_lapsed"
    BATCH_REFUSED = "batch_refused"
    ABSENT_IN_CRM = "absent_in_crm"


# --- what became of one call -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivered:
    """The CRM stored it: `note_id`, if that was told, on the card `entity_type` / `entity_id`."""

    note_id: int | None
    entity_type: str
    entity_id: int


@dataclass(frozen=True, slots=True)
class Unmatched:
    """No contact or company has this number. A normal outcome; policy decides whether to wait."""


@dataclass(frozen=True, slots=True)
class BecameLead:
    """The CRM made an incoming lead of it, and a contact; 0 where it did not tell which."""

    lead_id: int
    contact_id: int


@dataclass(frozen=True, slots=True)
class NoLead:
    """No incoming lead was made of it, and none will be as it is; `everyone`: of no call of this account."""

    detail: str
    everyone: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The CRM will never take this call as it is; `detail` is its error, bounded."""

    detail: str


@dataclass(frozen=True, slots=True)
class Resend:
    """Sent but surely not stored, through no fault of its own (a neighbour was refused): send again at once."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """It may or may not be in the CRM: read back before anything else happens to it."""

    reason: Reason = Reason.NO_ANSWER


Outcome = Delivered | Unmatched | BecameLead | NoLead | Refused | Resend | Unanswered


# --- what one call looks like to the CRM -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """A call in the CRM's own words: `item` is its finished JSON, opaque to everybody but the CRM's client."""

    uniq: str
    item: bytes


@dataclass(frozen=True, slots=True)
class NotForCrm:
    """A call that the CRM could never match: internal, hidden or too short a number. Ignored, with the reason."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Untranslatable:
    """A call that our rules cannot put into the CRM's words: a person has to look."""

    problem: str


Translation = Ready | NotForCrm | Untranslatable


# --- what became of one request --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PerCall:
    """The CRM spoke about the calls: exactly one outcome for each id of the batch."""

    outcomes: Mapping[CallId, Outcome]


@dataclass(frozen=True, slots=True)
class WholeRefused:
    """Nothing was stored and nobody was named: halve until the culprit stands alone."""

    detail: str


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Turned away unprocessed for speed. `retry_after` in seconds where the CRM told it, unclamped."""

    retry_after: float | None = None


class PauseReason(StrEnum):
    """Why a whole account stands still. Each needs a person outside, or time."""

    UNAUTHORISED = "unauthorised"
    PAYMENT_REQUIRED = "payment_required"
    FORBIDDEN = "forbidden"
    BANNED = "banned"
    WRONG_HOST = "wrong_host"
    REFUSES_ALL = "refuses_all"
    REAUTHORISE = "reauthorise"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class AccountStopped:
    """Nothing was processed and nothing will be until somebody acts: pause the account, keep the calls, probe rarely."""

    reason: PauseReason
    detail: str


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """Turned away unprocessed for a token that can be replaced: the same again, at once, goes out with another one."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request never left: refused connection, DNS, TLS. Safe to repeat."""

    detail: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request may have been processed and nobody can tell: every call of it is unanswered.

    `too_heavy` marks time-outs (504, ours): smaller batches help.
    """

    detail: str
    too_heavy: bool = False


Answer = PerCall | WholeRefused | SlowDown | AccountStopped | TokenRefused | NotSent | NoAnswer


# --- what the store is asked to do with one call ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settlement:
    """One call's move to `state`, carried out only while our fence is the call's fence.

    `delay` (seconds from the store's now) schedules waiting, parked and uncertain calls. `detail` is bounded text for people.
    `looks` counts the read-backs that were complete and did not find the call.
    """

    id: CallId
    state: State
    reason: str | None = None
    delay: float = 0.0
    detail: str | None = None
    delivered: Delivered | None = None
    looks: int = 0

    def __post_init__(self) -> None:
        if (self.state is State.DELIVERED) != (self.delivered is not None):
            raise ValueError("a delivered call has its note, and no other has one")
        if self.delay < 0 or (self.delay and self.state not in LIVE):
            raise ValueError("only live states are scheduled, and only ahead")
        if self.state in {State.CLAIMED, State.SENDING, State.ERASED}:
            raise ValueError(f"settling never leads to {self.state}")
        if self.state in {State.DEAD, State.IGNORED, State.UNMATCHED, State.PARKED} and not self.reason:
            raise ValueError(f"a call is {self.state} for a reason")
