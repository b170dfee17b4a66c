"""Builders of domain values with sensible defaults, so that a test names only what it is about."""

from __future__ import annotations

from typing import Any

from callbridge.call import Call, CallStatus, Direction, FinishedCall, Webhook


def a_call(**changes: Any) -> Call:
    defaults: dict[str, Any] = {
        "source": "office",
        "provider": "generic",
        "ref": "pbx-1790000000.17",
        "direction": Direction.INBOUND,
        "phone": "+7 916 555-01-17",
        "duration": 42,
        "started_at": 1_790_000_000,
        "status": CallStatus.ANSWERED,
    }
    return Call(**(defaults | changes))


def a_finished_call(
    *, account: str = "main", hold: float = 0.0, body: bytes = b'{"id":"x"}', **changes: Any
) -> FinishedCall:
    return FinishedCall(account, a_call(**changes), Webhook("call.finished", body), hold)
