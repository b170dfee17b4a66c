"""Uncertain calls: asks the CRM what it has before anybody sends again.

Runs apart from the drain, one account at a time, at the account's own pace: a look is a request like any other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from callbridge import observe
from callbridge.call import Call, CallId
from callbridge.claim import Looked
from callbridge.delivery import trial
from callbridge.delivery.settle import Policy, conclude
from callbridge.found import ReadBack, Unreadable
from callbridge.outcome import Settlement, State

SLACK = 600
"""Seconds before the first request from which notes are read, beyond what is known of the CRM's clock."""


ALARM_AFTER = 3600.0
"""Seconds for which a call may be uncertain because the CRM cannot be read, before the log calls that an error."""


class Queue(Protocol):
    async def look(self, account: str, size: int, lease: float) -> Looked | None: ...
    async def renew(self, fence: int, ids: Sequence[CallId], lease: float) -> None: ...
    async def settle(self, fence: int, settlements: Sequence[Settlement], facts: Mapping[str, Any]) -> set[CallId]: ...


class Pace(trial.Pace, Protocol):
    async def take(self, *, trial: bool = False) -> float: ...
    async def leave(self) -> None: ...


class Notes(Protocol):
    async def read_back(
        self, calls: Collection[Call], age: float, permit: Callable[[], Awaitable[object]]
    ) -> ReadBack | Unreadable: ...


async def reconcile(
    account: str,
    *,
    queue: Queue,
    notes: Notes,
    pace: Pace,
    policy: Policy,
    lease: float,
    jitter: Callable[[], float],
) -> int:
    """One read-back for the calls of `account` that are due for it; how many were looked for. For `lease` seconds nobody
    else looks for them. Raises `StoreUnavailable`.
    """
    looked = await queue.look(account, 250, lease)
    if looked is None:
        return 0
    calls = [call.call for call in looked.calls if call.call]
    age = looked.now - min(call.first_sent_at for call in looked.calls) + SLACK

    async def renewing_permit() -> None:
        """Before every page, so that a long reading keeps the calls ours."""
        await queue.renew(looked.fence, [call.id for call in looked.calls], lease)
        await pace.take(trial=True)

    try:
        read = await notes.read_back(calls, age, renewing_permit)
        await trial.tell(pace, read.detail if isinstance(read, Unreadable) else None, jitter)
    finally:
        await pace.leave()
    settlements = conclude(read, looked.calls, policy, now=looked.now, jitter=jitter())
    stale = await queue.settle(looked.fence, settlements, {"read_back": type(read).__name__})
    longest = max(looked.now - call.uncertain_since for call in looked.calls)
    observe.event(
        "calls.read_back",
        level="error" if isinstance(read, Unreadable) and longest >= ALARM_AFTER else "info",
        account=account,
        calls=len(looked.calls),
        found=len(read.notes),
        absent=sum(s.state is State.WAITING for s in settlements),
        unknown=sum(s.state is State.DEAD for s in settlements),
        alike=len(read.alike) if isinstance(read, ReadBack) else 0,
        readable=isinstance(read, ReadBack),
        stale=len(stale),
    )
    return len(looked.calls)
