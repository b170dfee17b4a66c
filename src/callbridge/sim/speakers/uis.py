"""UIS, CoMagic, CallGear and Novofon 2.0 [pure]: the notification templates that callbridge ships, as the PBX fills them in.

Written from the vendor's list of variables (https://help.uiscom.ru): text comes in quotes, numbers without, what is missing
as null. A session has one id however often it was transferred, so there are no legs to tell of. Nothing is signed; the user's
secret stands in the body.
"""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from callbridge.sim.speakers.base import JSON, Credentials, SignedWebhook, Story, Told, token_segment

FINISHED, RECORDING = "call.finished", "call.recording"

_SAVING: Final = 40
"""Seconds after which a recording is announced."""

_REASONS: Final = {
    "busy": "subscriber_busy",
    "unavailable": "sip_offline",
    "wrong_number": "numb_not_exists",
    "no_answer": "subscriber_not_responsible",
    "voicemail": "timeout",
}


class Uis:
    name = "uis"
    events = (FINISHED, RECORDING)

    def tell(self, story: Story, timezone: str) -> list[Told]:
        told = [Told(FINISHED, _written(_finished(story, ZoneInfo(timezone))))]
        if story.recorded:
            told.append(Told(RECORDING, _written(_recording(story, ZoneInfo(timezone))), late=True))
        return told

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - nothing is signed
        """The secret goes where the template has it, first in the object; a body that has one already keeps it."""
        if not (credentials.secret or credentials.path_token):
            raise ValueError("uis needs the secret of its templates, or a path token")
        body = told.body
        opening, brace, rest = body.partition(b"{")
        if credentials.secret and b'"integration_key"' not in body and brace and not opening.strip():
            key = json.dumps({"integration_key": credentials.secret}, ensure_ascii=False).encode()
            body = key[:-1] + (b", " if rest.strip() != b"}" else b"") + rest
        return SignedWebhook("POST", token_segment(credentials), {"Content-Type": JSON}, body)


def _session(story: Story) -> int:
    return int.from_bytes(hashlib.sha256(story.ref.encode()).digest()[:6])


def _clock(at: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S}"


def _finished(story: Story, zone: ZoneInfo) -> dict[str, Any]:
    outside, line = story.phone.lstrip("+"), story.line.lstrip("+")
    total = story.ringing + story.talk
    comes_in = story.inbound and not story.internal
    return {
        "event": FINISHED,
        "call_session_id": _session(story),
        "direction": "in" if comes_in else "out",
        "is_internal": story.internal,
        "contact_phone_number": None if story.internal else outside,
        "calling_phone_number": outside if comes_in else story.extension if story.internal else line,
        "called_phone_number": line if comes_in else outside,
        "virtual_phone_number": line,
        "extension_phone_number": story.extension,
        "employee_id": 1_000_000 + int(story.extension) if story.extension.isdecimal() else None,
        "employee_full_name": f"Сотрудник {story.extension}",
        "talk_time_duration": story.talk,
        "wait_time_duration": story.ringing,
        "total_time_duration": total,
        "start_time": f"{_clock(story.started, zone)}.250",
        "notification_time": _clock(story.started + total, zone),
        "notification_timestamp": story.started + total,
        "is_lost": comes_in and not story.talk,
        "lost_reason": None if story.talk else _REASONS[story.status],
        "call_status": "Успешный" if story.talk else None,
    }


def _recording(story: Story, zone: ZoneInfo) -> dict[str, Any]:
    session, ready = _session(story), story.started + story.ringing + story.talk + _SAVING
    return {
        "event": RECORDING,
        "call_session_id": session,
        "file_link": f"https://media.example.com/{session}/1",
        "file_duration": story.talk,
        "notification_time": _clock(ready, zone),
        "notification_timestamp": ready,
    }


def _written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, indent=2).encode()


UIS: Final = Uis()
