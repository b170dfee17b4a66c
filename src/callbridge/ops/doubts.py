"""Calls that may or may not be in the CRM, for the operator who has to say: which there are, and what a decision does.

Looking for them is the bridge's own work; a person decides where the CRM could not be read for a day (`unknown_after`), where
all it has is a note that looks like the call, or earlier by force. Apart from `replay`, whose actions take nobody's word.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

from callbridge import observe
from callbridge.call import CallId
from callbridge.ops.filters import Filter
from callbridge.ops.inspect import Listed, listed
from callbridge.ops.replay import NO_SUCH_CALL
from callbridge.outcome import Reason, State
from callbridge.store.doubts import Doubt, Verdict
from callbridge.store.records import Record
from callbridge.store.repair import MAX_MOVED

NOT_UNCERTAIN: Final = "not_uncertain"
TOO_EARLY: Final = "too_early"


class Records(Protocol):
    async def get(self, call_id: CallId) -> Record | None: ...
    def uncertain(self, accounts: Iterable[str]) -> AsyncIterator[Record]: ...
    def in_state(self, state: State) -> AsyncIterator[Record]: ...


class Doubts(Protocol):
    async def of(self, record: Record) -> Doubt: ...
    async def resolve(
        self, verdict: Verdict, ids: Sequence[CallId], *, by: str, why: str, after: float
    ) -> frozenset[CallId]: ...


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A call and what is known of it; from `decidable_at` (Unix seconds) on its fate is a person's to say."""

    listed: Listed
    doubt: Doubt
    decidable_at: float

    def as_json(self) -> dict[str, Any]:
        told = {f"uncertain_{name}" if name == "since" else name: value for name, value in asdict(self.doubt).items()}
        return self.listed.as_json() | told | {"decidable_at": self.decidable_at}


@dataclass(frozen=True, slots=True)
class Decision:
    """What would be decided. `ids` are those it is about; `early` are those that cannot be decided yet, and since when."""

    verdict: Verdict
    ids: tuple[CallId, ...]
    sample: tuple[Listed, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    early: Mapping[CallId, float] = field(default_factory=dict)


async def doubtful(
    records: Records, doubts: Doubts, accounts: Iterable[str], wanted: Filter, unknown_after: float
) -> AsyncGenerator[Doubtful, None]:
    """Uncertain calls, then those that died of it; each once."""
    seen: set[CallId] = set()
    for source in (records.uncertain(accounts), records.in_state(State.DEAD)):
        async for record in source:
            if record.id not in seen and _is_doubtful(record) and wanted.admits(record):
                seen.add(record.id)
                yield await _told(record, doubts, unknown_after)


async def consider(
    verdict: Verdict,
    ids: Iterable[CallId],
    records: Records,
    doubts: Doubts,
    *,
    unknown_after: float,
    now: float,
    force: bool,
) -> Decision:
    """`now` in Unix seconds; with `force` no call is too early."""
    chosen: list[Doubtful] = []
    early: dict[CallId, float] = {}
    skipped: dict[str, int] = {}
    for call_id in dict.fromkeys(ids):
        record = await records.get(call_id)
        obstacle = NO_SUCH_CALL if record is None else None if _is_doubtful(record) else NOT_UNCERTAIN
        if record is not None and obstacle is None:
            told = await _told(record, doubts, unknown_after)
            if force or told.decidable_at <= now:
                chosen.append(told)
                continue
            early[call_id], obstacle = told.decidable_at, TOO_EARLY
        skipped[obstacle or ""] = skipped.get(obstacle or "", 0) + 1
    return Decision(verdict, tuple(each.listed.id for each in chosen), tuple(e.listed for e in chosen), skipped, early)


async def decide(
    decision: Decision, doubts: Doubts, *, by: str, why: str, unknown_after: float, force: bool
) -> tuple[int, Mapping[str, int]]:
    """How many were moved, and why the others were not: somebody, or a look, was faster. May be repeated."""
    moved = 0
    skipped = dict(decision.skipped)
    for start in range(0, len(decision.ids), MAX_MOVED):
        ids = decision.ids[start : start + MAX_MOVED]
        done = await doubts.resolve(decision.verdict, ids, by=by, why=why, after=0.0 if force else unknown_after)
        moved += len(done)
        if left := len(ids) - len(done):
            skipped[NOT_UNCERTAIN] = skipped.get(NOT_UNCERTAIN, 0) + left
    if moved:
        observe.event("calls.resolved", calls=moved, verdict=decision.verdict, owner=by, reason=why)
    return moved, skipped


def _is_doubtful(record: Record) -> bool:
    return record.state == "uncertain" or (record.state == "dead" and record.reason == Reason.UNKNOWN_OUTCOME)


async def _told(record: Record, doubts: Doubts, unknown_after: float) -> Doubtful:
    doubt = await doubts.of(record)
    dead = record.state == "dead"
    return Doubtful(
        listed(record), doubt, record.updated_at if dead else (doubt.since or record.updated_at) + unknown_after
    )
