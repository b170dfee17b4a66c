"""What a job over many calls would do [pure]: which calls an action fits, what becomes of each, and how long that takes.

Apart from `jobs`, which carries it out. Judged by rows of the ledger, which is behind Redis by a moment; the store's verbs
judge again and have the last word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Literal, assert_never

from callbridge.ledger.views import CallFilter, CallRow
from callbridge.outcome import PublicState, Reason

MOST_CALLS: Final = 200_000
"""Calls of one job; what matches beyond that waits for the next."""

MOST_NAMED: Final = 1000
"""Calls that one job may name by their ids."""

CONFIRMED_ABOVE: Final = 100
"""Calls above which whoever starts a job types how many there are."""

BULK_SHARE: Final = 0.2
"""The part of a request that the lane of bulk has while live calls wait: the estimate is for a busy account."""

SAMPLE: Final = 5

DEADLY: Final = (
    Reason.REFUSED_BY_CRM, Reason.UNTRANSLATABLE, Reason.UNDECODABLE, Reason.EXPIRED, Reason.UNKNOWN_OUTCOME,
    Reason.KILLS_WORKER,
)  # fmt: skip
"""What calls die of, as far as this version knows."""

_A_SECOND: Final = 4000.0
"""Calls that a job closes or marks in a second, which takes no request to the CRM."""


class JobAction(StrEnum):
    REPLAY = "replay"
    DISCARD = "discard"
    RETRY = "retry"
    LEAD = "lead"
    GIVE_UP = "give_up"
    RESEND = "resend"
    MARK_DELIVERED = "mark_delivered"


@dataclass(frozen=True, slots=True)
class ByFilter:
    filter: CallFilter


@dataclass(frozen=True, slots=True)
class ByIds:
    ids: tuple[str, ...]


Selection = ByFilter | ByIds

Fate = Literal["would_send", "looked_for_first", "would_become_lead", "may_duplicate", "would_close", "would_be_marked"]
Obstacle = Literal[
    "no_such_call", "erased", "forgotten", "undecodable", "not_inbound", "not_dead", "not_parked", "not_uncertain"
]


@dataclass(frozen=True, slots=True)
class Lane:
    """How fast an account takes calls, by its settings."""

    max_batch: int
    requests_per_second: float


@dataclass(frozen=True, slots=True)
class JobPreview:
    """What `start` would touch: `total` calls, and with `more` there are others, for another job. `skipped` counts by reason
    what was meant and stays as it is, `fates` what would become of each (`cannot` for those). `requests` and `seconds` are
    an estimate for an account that has live calls to send, too.
    """

    total: int
    more: bool
    by_reason: Mapping[str, int]
    skipped: Mapping[str, int]
    sample: tuple[CallRow, ...]
    requests: int
    seconds: float
    fates: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Group:
    """Calls to which the same happens, as the filter `wanted` finds them."""

    wanted: CallFilter
    reason: str | None
    calls: int
    fate: Fate | Obstacle


JobState = Literal["preparing", "running", "paused", "cancelled", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Job:
    """`done` of `total` calls were tried: `moved` were moved, `skipped` counts the others by why not. Unix seconds."""

    id: str
    action: JobAction
    selection: Selection
    reason: str
    actor: str
    state: JobState
    total: int
    done: int
    moved: int
    skipped: Mapping[str, int]
    problem: str | None
    created_at: float
    updated_at: float


RefusalCode = Literal[
    "forbidden", "no_reason", "bad_id", "nothing", "too_many", "id_taken", "changed", "unconfirmed", "refused"
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """No job was begun. `facts` of `changed` and `unconfirmed`: `now`, how many calls there are."""

    detail: str
    code: RefusalCode = "refused"
    facts: Mapping[str, Any] = field(default_factory=dict)


# --- which calls -----------------------------------------------------------------------------------------------------


def places(action: JobAction) -> tuple[tuple[PublicState, str | None], ...]:
    """Where calls stand with which the action can be done: states, with the reason they must have there."""
    match action:
        case JobAction.REPLAY | JobAction.DISCARD:
            return (("dead", None),)
        case JobAction.RETRY | JobAction.LEAD | JobAction.GIVE_UP:
            return (("parked", None),)
        case JobAction.RESEND | JobAction.MARK_DELIVERED:
            return (("uncertain", None), ("dead", Reason.UNKNOWN_OUTCOME.value))
        case _:
            assert_never(action)


def narrowed(action: JobAction, wanted: CallFilter) -> tuple[CallFilter, ...]:
    """The filter, for each place where the action can be done and the filter looks. Together they hold each call once."""
    parts: list[CallFilter] = []
    for state, reason in places(action):
        if wanted.states and state not in wanted.states:
            continue
        if reason is not None and wanted.reason not in {None, reason}:
            continue
        parts.append(replace(wanted, states=(state,), reason=reason or wanted.reason))
    return tuple(parts)


def fate(action: JobAction, row: CallRow) -> Fate | Obstacle:
    """What would become of the call, or why nothing would."""
    if row.state == "erased":
        return "erased"
    if row.forgotten:
        return "forgotten"
    if not any(row.state == state and reason in {None, row.reason} for state, reason in places(action)):
        return _not_there(action)
    if action is JobAction.LEAD and row.direction != "inbound":
        return "not_inbound"
    return fate_by_reason(action, row.reason)


def fate_by_reason(action: JobAction, reason: str | None) -> Fate | Obstacle:
    """The same for a call that stands where the action can be done."""
    match action:
        case JobAction.REPLAY if reason == Reason.UNDECODABLE:
            return "undecodable"
        case JobAction.REPLAY if reason == Reason.UNKNOWN_OUTCOME:
            return "looked_for_first"
        case JobAction.REPLAY | JobAction.RETRY:
            return "would_send"
        case JobAction.LEAD:
            return "would_become_lead"
        case JobAction.RESEND:
            return "may_duplicate"
        case JobAction.DISCARD | JobAction.GIVE_UP:
            return "would_close"
        case JobAction.MARK_DELIVERED:
            return "would_be_marked"
        case _:
            assert_never(action)


def is_possible(found: Fate | Obstacle) -> bool:
    match found:
        case (
            "would_send" | "looked_for_first" | "would_become_lead" | "may_duplicate" | "would_close"
            | "would_be_marked"
        ):  # fmt: skip
            return True
        case (
            "no_such_call" | "erased" | "forgotten" | "undecodable" | "not_inbound" | "not_dead" | "not_parked"
            | "not_uncertain"
        ):  # fmt: skip
            return False
        case _:
            assert_never(found)


def _not_there(action: JobAction) -> Obstacle:
    match action:
        case JobAction.REPLAY | JobAction.DISCARD:
            return "not_dead"
        case JobAction.RETRY | JobAction.LEAD | JobAction.GIVE_UP:
            return "not_parked"
        case JobAction.RESEND | JobAction.MARK_DELIVERED:
            return "not_uncertain"
        case _:
            assert_never(action)


def left(action: JobAction) -> str:
    """Why the store did not move a call that it was told to move: somebody, or a worker, was faster."""
    return _not_there(action)


# --- what that means -------------------------------------------------------------------------------------------------


def preview_of(
    groups: Iterable[Group],
    sample: Iterable[CallRow],
    loads: Mapping[str, int],
    lanes: Mapping[str, Lane],
    *,
    more: bool,
) -> JobPreview:
    """`loads` are the calls to send by account. What goes beyond the most calls of a job is left for the next one."""
    total = 0
    reasons: dict[str, int] = {}
    skipped: dict[str, int] = {}
    fates: dict[str, int] = {}
    for group in groups:
        if not is_possible(group.fate):
            skipped[group.fate] = skipped.get(group.fate, 0) + group.calls
            fates["cannot"] = fates.get("cannot", 0) + group.calls
            continue
        calls = min(group.calls, MOST_CALLS - total)
        more = more or calls < group.calls
        total += calls
        if group.reason is not None:
            reasons[group.reason] = reasons.get(group.reason, 0) + calls
        fates[group.fate] = fates.get(group.fate, 0) + calls
    requests, seconds = estimate(loads, lanes)
    return JobPreview(
        total=total,
        more=more,
        by_reason=dict(sorted(_some(reasons), key=lambda item: -item[1])),
        skipped=dict(_some(skipped)),
        sample=tuple(sample)[:SAMPLE],
        requests=requests,
        seconds=max(seconds, total / _A_SECOND),
        fates=dict(_some(fates)),
    )


def is_sent(found: Fate | Obstacle) -> bool:
    """Whether that takes a request to the CRM."""
    return is_possible(found) and found not in {"would_close", "would_be_marked"}


def _some(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in counts.items() if count]


def estimate(loads: Mapping[str, int], lanes: Mapping[str, Lane]) -> tuple[int, float]:
    """Requests in all, and seconds for the account that takes longest; `loads` are calls by account."""
    requests, seconds = 0, 0.0
    for account, calls in loads.items():
        lane = lanes.get(account)
        if lane is None:  # in no settings any more: nothing is sent to it
            continue
        least = math.ceil(calls / lane.max_batch)
        requests += least
        seconds = max(seconds, math.ceil(calls / (lane.max_batch * BULK_SHARE)) / lane.requests_per_second)
    return requests, seconds
