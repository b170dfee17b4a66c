"""What the endpoints answer with. `Call` holds the public field names of a listed call; times are Unix seconds, UTC.

Lists are `items` and `next`. Apart from the handlers because this is the contract: the OpenAPI document is made from it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from callbridge.ops import accounts as desk
from callbridge.ops.api.endpoint import Shown
from callbridge.ops.job_plan import JobAction, JobState
from callbridge.ops.overview import Verdict
from callbridge.outcome import PublicState

Next = str | None
"""Cursor of the next page, null on the last."""


class Call(Shown):
    id: str
    state: PublicState
    account: str
    source: str
    provider: str | None
    uniq: str | None
    direction: str | None
    phone: str | None = Field(description="Masked for viewers, and wherever it cannot be written down who reads it.")
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
    extension: str | None
    result: str | None
    cause: str | None = Field(description="The error group it belongs to.")
    settled_at: float | None
    replayed: bool


class Calls(Shown):
    items: list[Call]
    next: Next
    partial: bool = Field(description="The search was ended at its time limit: there may be more.")
    masked: bool


class Webhook(Shown):
    event: str
    size: int
    body: str | None = Field(description="As it was received; null where phones are masked and once it is too old.")


class Attempt(Shown):
    batch_id: str
    at: float
    became: str
    reason: str | None
    detail: str | None
    size: int | None
    answer: str | None
    status: int | None
    seconds: float | None


class CallStory(Call):
    webhook: Webhook | None
    story: list[dict[str, Any]] = Field(description="What happened, in order: `at`, `what`, and what belongs to it.")
    requests: list[Attempt] | None = Field(description="Requests that carried it; null while the history is away.")
    advice: str = Field(description="What happens next by itself, or what a person can do.")
    live: bool = Field(description="Told by the queue itself, not by the history.")
    masked: bool


class Batch(Shown):
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


class Batches(Shown):
    items: list[Batch]
    next: Next
    partial: bool


class Carried(Shown):
    call: Call
    became: str
    reason: str | None
    detail: str | None


class BatchXray(Batch):
    calls: list[Carried]
    halves: list[Batch]
    request: str | None = Field(description="Body as it was sent; null where phones are masked and once it is too old.")
    response: str | None = Field(description="Body as it came, bounded; null likewise.")
    masked: bool


class Group(Shown):
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


class Groups(Shown):
    items: list[Group]


class Preview(Shown):
    total: int
    more: bool = Field(description="There are more than `total`, which is as many as one job takes.")
    by_reason: dict[str, int]
    skipped: dict[str, int]
    requests: int
    seconds: float
    fates: dict[str, int]
    sample: list[Call]
    masked: bool


class Job(Shown):
    id: str
    action: JobAction
    filter: dict[str, Any] | None
    ids: int | None = Field(description="How many calls were named, where they were.")
    reason: str
    actor: str
    state: JobState
    total: int
    done: int
    moved: int
    skipped: dict[str, int]
    problem: str | None
    created_at: float
    updated_at: float


class Jobs(Shown):
    items: list[Job]
    next: Next


class Account(Shown):
    account: str
    state: desk.State
    url: str | None
    reason: str | None
    detail: str | None
    since: float | None
    owner: str | None
    until: float | None
    next_probe_in: float | None
    slowed_by: str | None
    breaker: Literal["closed", "open", "half_open"]
    requests_per_second: float | None
    pace: float = Field(description="Share of the configured rate that is in force.")
    used: float = Field(description="Requests a second in the last minute.")
    asked_to_slow: int = Field(description="Requests that the CRM turned away for speed (429).")
    asked_to_slow_at: float | None
    oldest_waiting: float | None = Field(description="Seconds for which the oldest due call has been due.")
    waiting: int
    uncertain: int
    parked: int
    authorised_by: Literal["token", "oauth"] | None = Field(description="Null where it cannot be known now.")
    token_expires_at: float | None
    renewable_until: float | None = Field(description="When a person has to authorise it anew, with OAuth.")
    problem: str | None
    warning: str | None


class Accounts(Shown):
    items: list[Account]


class Source(Shown):
    source: str
    provider: str | None
    account: str | None
    configured: bool
    url: str | None = Field(description="To be entered in the PBX, without its path token.")
    last_seen: float | None = Field(description="Seconds since its last authenticated webhook.")
    counts: dict[str, int]
    refused: dict[str, int]


class Sources(Shown):
    items: list[Source]


class Entry(Shown):
    seq: int
    at: float
    actor: str
    ip: str | None
    action: str
    target: dict[str, Any]
    count: int | None
    reason: str | None
    outcome: dict[str, Any]


class Entries(Shown):
    items: list[Entry]
    next: Next


class Revealed(Shown):
    id: str
    phone: str | None


class Speed(Shown):
    delivered: int
    p50: float | None
    p95: float | None
    in_time: float | None = Field(description="Share within 60 s.")


class Status(Shown):
    at: float
    verdict: Verdict
    summary: str
    problems: list[str]
    warnings: list[str]
    store_problem: str | None
    ledger_problem: str | None
    stale_since: float | None = Field(description="Since when Redis does not answer and its last figures are shown.")
    durability: str | None
    states: dict[str, int] | None
    accounts: list[Account]
    workers: dict[str, float] = Field(description="Seconds since the last heartbeat of each.")
    last_hour: Speed | None
    last_day: Speed | None
    groups: list[Group]
    ledger: Ledger | None


class Ledger(Shown):
    calls: int
    behind: int
    lag: float
    written_at: float | None


class Problem(Shown):
    """RFC 9457; members that are not named here may come with it."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem] = Field([], description="Each parameter or field that is not as documented.")
    total: int = Field(0, description="How many calls it is about, where they have to be confirmed.")
    reason: str = Field("", description="Why it is not possible, where `code` is `refused`: a stable code, too.")


class FieldProblem(Shown):
    field: str
    code: str
    detail: str


Status.model_rebuild()
Problem.model_rebuild()
