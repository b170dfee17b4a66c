"""Builders of domain values with sensible defaults, so that a test names only what it is about."""

from __future__ import annotations

from typing import Any

from callbridge.call import Call, CallId, CallStatus, Direction, FinishedCall, RecordingReady, Webhook
from callbridge.note import LateNote


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


def a_recording(
    ref: str = "pbx-1790000000.17",
    at: int = 1_790_000_000,
    link: str = "https://rec.example.org/a.mp3",
    *,
    note_late: bool = False,
) -> RecordingReady:
    return RecordingReady("main", "office", ref, link, at, Webhook("call.recording", b"{}"), note_late)


def a_late_note(**changes: Any) -> LateNote:
    now = 1_790_000_000.0
    defaults: dict[str, Any] = {
        "name": "c1.abcdefgh", "id": CallId("c1"), "call": a_call(), "link": "https://rec.example.org/a.mp3",
        "entity_type": "lead", "entity_id": 44, "fence": 3, "now": now, "queued_at": now - 60, "posted_at": None,
    }  # fmt: skip
    return LateNote(**(defaults | changes))
