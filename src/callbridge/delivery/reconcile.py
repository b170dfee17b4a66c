"""Uncertain calls: asks the CRM what it has before anybody sends again.

Runs apart from the drain, one account at a time, at the account's own pace: a look is a request like any other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from callbridge import observe
from callbridge.call import Call, CallId
from callbridge.claim import Looked
from callbridge.delivery.settle import Policy, conclude
from callbridge.found import ReadBack, Unreadable
from callbridge.outcome import Settlement, State

SLACK = 600
"""Seconds before the first request from which notes are read, beyond what is known of the CRM's clock."""


class Queue(Protocol):
    async def look(self, account: str, size: int, lease: float) -> Looked | None: ...
    async def renew(self, fence: int, ids: Sequence[CallId], lease: float) -> None: ...
    async def settle(self, fence: int, settlements: Sequence[Settlement], facts: Mapping[str, Any]) -> set[CallId]: ...


class Notes(Protocol):
    async def read_back(
        self, calls: Collection[Call], age: float, permit: Callable[[], Awaitable[object]]
    ) -> ReadBack | Unreadable: ...


async def reconcile(
    account: str,
    *,
    queue: Queue,
    notes: Notes,
    permit: Callable[[], Awaitable[object]],
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
        await permit()

    read = await notes.read_back(calls, age, renewing_permit)
    settlements = conclude(read, looked.calls, policy, now=looked.now, jitter=jitter())
    stale = await queue.settle(looked.fence, settlements, {"read_back": type(read).__name__})
    observe.event(
        "calls.read_back",
        account=account,
        calls=len(looked.calls),
        found=len(read.notes),
        absent=sum(s.state is State.WAITING for s in settlements),
        unknown=sum(s.state is State.DEAD for s in settlements),
        readable=isinstance(read, ReadBack),
        stale=len(stale),
    )
    return len(looked.calls)
