"""What the ledger tells [pure]: filters in, rows and figures out. Queries fill these, pages and the API show them.

Times are Unix seconds. `CallRow` has the public field names of a listed call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from callbridge.outcome import PublicState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Every part that is set must hold; several states are alternatives. `phone` is the number's last digits; `since` and
    `until` bound the receipt, `until` not included; `cause` is an error group's; `text` is an id, a uniq or a PBX's own id,
    whole.
    """

    states: tuple[PublicState, ...] = ()
    account: str | None = None
    source: str | None = None
    direction: str | None = None
    reason: str | None = None
    cause: str | None = None
    phone: str | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class CallRow:
    id: str
    state: PublicState
    account: str
    source: str
    provider: str | None
    uniq: str | None
    direction: str | None
    phone: str | None
    duration: int | None
    started_at: int | None
    received_at: float
    attempts: int
    reason: str | None
    entity_type: str | None
    entity_id: int | None
    note_id: int | None
    updated_at: float
    ref: str | None
    call_status: str | None
    link: str | None
    detail: str | None
    duplicates: int
    variants: int
    extension: str | None = None
    result: str | None = None
    event: str | None = None
    cause: str | None = None
    settled_at: float | None = None
    replayed: bool = False
    forgotten: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """`next` opens the page after this one, None on the last; opaque. `partial`: the search was ended at its time limit, and
    there may be more.
    """

    rows: tuple[T, ...]
    next: str | None
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows match, counted to `at_most` and not further: then `more`."""

    calls: int
    more: bool


@dataclass(frozen=True, slots=True)
class Facets:
    """Each value there is with how many calls have it, over all calls, whatever the filter."""

    states: Mapping[str, int]
    accounts: Mapping[str, int]
    sources: Mapping[str, int]
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that carried the call."""

    batch_id: str
    at: float
    became: str
    reason: str | None
    detail: str | None
    size: int | None
    answer: str | None
    status: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Told:
    """One call with all that the ledger knows of it. `envelope` is what the store sealed; None once it is too old."""

    row: CallRow
    story: tuple[Mapping[str, Any], ...]
    attempts: tuple[Attempt, ...]
    envelope: bytes | None


@dataclass(frozen=True, slots=True)
class BatchRow:
    id: str
    account: str
    at: float
    kind: Literal["calls", "leads"]
    size: int
    why: str
    parent: str | None
    seconds: float
    answer: str
    status: int | None
    request_id: str | None


@dataclass(frozen=True, slots=True)
class BatchXray:
    """A batch, what each of its calls got, and the batches that came of it (`halves`, or its strangers) in order of time."""

    row: BatchRow
    calls: tuple[tuple[CallRow, Attempt], ...]
    halves: tuple[BatchRow, ...]
    request: bytes | None
    response: bytes | None


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Dead calls of one account with one cause. `sample` is the detail of the latest; `status` is what people said of it."""

    account: str
    reason: str
    cause: str
    calls: int
    first_at: float
    last_at: float
    sample: str | None
    status: Literal["open", "acknowledged", "fixed"]
    changed_at: float | None
    changed_by: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class ParkedNumber:
    """The parked calls of one account with one number."""

    account: str
    phone: str
    calls: int
    oldest_at: float
    newest_at: float
    newest_id: str


@dataclass(frozen=True, slots=True)
class Point:
    """What happened in one step of a chart, which begins at `at`. `counts`: received, delivered, unmatched, dead, ignored."""

    at: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Speed:
    """Webhook to CRM over a time: seconds, None where nothing was delivered; `in_time` is the share within 60 s."""

    delivered: int
    p50: float | None
    p95: float | None
    in_time: float | None


@dataclass(frozen=True, slots=True)
class LedgerStanding:
    """How the ledger itself does. `behind` counts changes in Redis that are not in it yet, `lag` is the age in seconds of the
    oldest of them.
    """

    revision: str | None
    wanted: str
    calls: int
    behind: int
    lag: float
    written_at: float | None
    size: int | None
    by_state: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KnownProblem:
    """A problem that alerts remember. `told_at` is None while it is not told, `gone_since` while it lasts; `path` leads to
    where the console shows it.
    """

    cause: str
    detail: str
    path: str
    since: float
    told_at: float | None = None
    gone_since: float | None = None
