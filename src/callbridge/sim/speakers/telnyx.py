"""Telnyx [pure]: `call.hangup` and `call.recording.saved` as JSON, signed with ed25519 over the time and the bytes.

Written from https://developers.telnyx.com/api-reference/callbacks/call-hangup and
https://developers.telnyx.com/docs/development/api-fundamentals/webhooks. The event tells neither direction nor talk time, so
this customer's application passes both along in `client_state`, as Telnyx means it to be used. The secret here is the
private key (32 bytes in Base64), which in life only Telnyx has; the receiver knows the public one.
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callbridge.sim.speakers.base import JSON, Credentials, SignedWebhook, Story, Told, token_segment

HANGUP, RECORDING_SAVED = "call.hangup", "call.recording.saved"

_CAUSES: Final = {
    "answered": ("normal_clearing", "200"),
    "busy": ("user_busy", "486"),
    "unavailable": ("unspecified", "480"),
    "wrong_number": ("not_found", "404"),
}
_NO_ANSWER: Final = ("timeout", "487")
_SIP: Final = "sip:{}@office.sip.telnyx.com"
_COLLEAGUE: Final = "199"
"""Whose telephone rang first where a call was passed on."""

_SPACE: Final = uuid.UUID("5eed0000-0000-4000-8000-000000000001")


class Telnyx:
    name = "telnyx"
    events = (HANGUP, RECORDING_SAVED)

    def tell(self, story: Story, timezone: str) -> list[Told]:  # noqa: ARG002 - its times are UTC
        end = story.started + story.ringing + story.talk
        told = []
        if story.transferred:
            first = _leg(story, _COLLEAGUE, _NO_ANSWER, answered=None)
            told.append(Told(HANGUP, _event(HANGUP, story, first, story.started + story.ringing)))
        answered = story.started + story.ringing if story.talk else None
        leg = _leg(story, story.extension, _CAUSES.get(story.status, _NO_ANSWER), answered=answered)
        told.append(Told(HANGUP, _event(HANGUP, story, leg, end)))
        if story.recorded:
            told.append(Told(RECORDING_SAVED, _event(RECORDING_SAVED, story, _recording(story), end + 3), late=True))
        return told

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - it is not signed
        stamp = str(int(now))
        signature = _private_key(credentials.secret).sign(f"{stamp}|".encode() + told.body)
        headers = {
            "Content-Type": JSON,
            "telnyx-timestamp": stamp,
            "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
        }
        return SignedWebhook("POST", token_segment(credentials), headers, told.body)


def _private_key(secret: str) -> Ed25519PrivateKey:
    try:
        return Ed25519PrivateKey.from_private_bytes(base64.b64decode(secret.encode(), validate=True))
    except (binascii.Error, ValueError) as error:
        raise ValueError("telnyx signs with a private key: 32 bytes in Base64") from error


def _leg(story: Story, extension: str, ended_by: tuple[str, str], *, answered: int | None) -> dict[str, Any]:
    """With an employee's telephone; its number is a SIP address only where a colleague called."""
    employee = _SIP.format(extension) if story.internal else story.line
    other = _SIP.format(story.phone) if story.internal else story.phone
    comes_in = story.inbound and not story.internal
    way = "internal" if story.internal else "inbound" if comes_in else "outbound"
    state = {"direction": way, "answered_at": answered, "extension": extension}
    return {
        "call_leg_id": _id(f"{story.ref}/{extension}"),
        "client_state": base64.b64encode(json.dumps(state).encode()).decode(),
        "from": other if comes_in else employee,
        "to": employee if comes_in else other,
        "start_time": _written(story.started),
        "state": "hangup",
        "hangup_cause": ended_by[0],
        "hangup_source": "caller",
        "sip_hangup_cause": ended_by[1],
    }


def _recording(story: Story) -> dict[str, Any]:
    return {
        "recording_id": _id(f"recording {story.ref}"),
        "channels": "dual",
        "duration_millis": story.talk * 1_000,
        "public_recording_urls": {"mp3": f"https://recordings.example.com/{_id(story.ref)}.mp3"},
        "recording_urls": {"mp3": f"https://recordings.example.com/brief/{_id(story.ref)}.mp3?expires=600"},
    }


def _event(kind: str, story: Story, told: dict[str, Any], at: int) -> bytes:
    common = {
        "call_control_id": f"v3:{_id(story.ref)}",
        "call_session_id": _id(story.ref),
        "connection_id": "1293384261075731499",
    }
    data = {
        "record_type": "event",
        "event_type": kind,
        "id": _id(f"{kind} {told}"),
        "occurred_at": _written(at),
        "payload": common | told,
    }
    return json.dumps({"data": data, "meta": {"attempt": 1}}, separators=(",", ":")).encode()


def _id(of: str) -> str:
    return str(uuid.uuid5(_SPACE, of))


def _written(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


TELNYX: Final = Telnyx()
