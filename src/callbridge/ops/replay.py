"""Moves many dead calls with one decision: first what would happen, then the same calls in bounded slices.

The calls are chosen once, so that what the preview counted is what the action touches; calls that died meanwhile wait for
the next decision. An interrupted action has moved some slices and can simply be run again. Sixteen characters a call are
kept in memory, nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, assert_never

from callbridge import observe
from callbridge.call import CallId
from callbridge.ops.inspect import Listed, listed
from callbridge.outcome import Reason
from callbridge.store.records import Record
from callbridge.store.repair import MAX_MOVED

SAMPLE: Final = 5

NO_SUCH_CALL: Final = "no_such_call"
NOT_DEAD: Final = "not_dead"


class Action(StrEnum):
    REPLAY = "replay"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class Preview:
    """What an action would do. `ids` would be moved; `skipped` counts, by reason, what would stay as it is."""

    action: Action
    ids: tuple[CallId, ...]
    by_reason: Mapping[str, int]
    skipped: Mapping[str, int]
    sample: tuple[Listed, ...]

    @property
    def matched(self) -> int:
        return len(self.ids) + sum(self.skipped.values())


@dataclass(frozen=True, slots=True)
class Done:
    """`matched` is `moved` and everything in `skipped`."""

    matched: int
    moved: int
    skipped: Mapping[str, int]


class Repair(Protocol):
    async def replay(self, ids: Sequence[CallId], by: str) -> frozenset[CallId]: ...
    async def discard(self, ids: Sequence[CallId], by: str) -> frozenset[CallId]: ...


async def preview(action: Action, candidates: AsyncIterator[tuple[CallId, Record | None]]) -> Preview:
    """`candidates` are ids, each once, with what the store holds under them, if anything."""
    ids: list[CallId] = []
    by_reason: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    sample: list[Listed] = []
    async for call_id, record in candidates:
        if obstacle := _obstacle(action, record):
            skipped[obstacle] += 1
        elif record is not None:
            ids.append(call_id)
            by_reason[record.reason or ""] += 1
            if len(sample) < SAMPLE:
                sample.append(listed(record))
    return Preview(action, tuple(ids), dict(by_reason.most_common()), dict(skipped), tuple(sample))


def _obstacle(action: Action, record: Record | None) -> str | None:
    if record is None:
        return NO_SUCH_CALL
    if record.state != "dead":
        return NOT_DEAD
    if action is Action.REPLAY and record.reason == Reason.UNDECODABLE:
        return Reason.UNDECODABLE.value
    return None


async def carry_out(planned: Preview, repair: Repair, moved: Callable[[int], None], by: str = "") -> Done:
    """`by` is who decided, for the calls' stories; `moved` is told how many calls each slice dealt with. Raises
    `StoreUnavailable`; what was moved before stays so.
    """
    count = 0
    skipped = Counter(planned.skipped)
    for start in range(0, len(planned.ids), MAX_MOVED):
        ids = planned.ids[start : start + MAX_MOVED]
        done = await _move(planned.action, repair, ids, by)
        count += len(done)
        if left := len(ids) - len(done):
            skipped[NOT_DEAD] += left  # somebody else was faster
        moved(len(ids))
    if count:
        _log(planned.action, count)
    return Done(planned.matched, count, dict(skipped))


async def _move(action: Action, repair: Repair, ids: Sequence[CallId], by: str) -> frozenset[CallId]:
    match action:
        case Action.REPLAY:
            return await repair.replay(ids, by)
        case Action.DISCARD:
            return await repair.discard(ids, by)
        case _:
            assert_never(action)


def _log(action: Action, calls: int) -> None:
    match action:
        case Action.REPLAY:
            observe.event("calls.replayed", calls=calls)
        case Action.DISCARD:
            observe.event("calls.discarded", calls=calls)
        case _:
            assert_never(action)
