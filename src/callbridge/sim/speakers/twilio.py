"""Twilio [pure]: status callbacks as forms, signed together with the address that they go to.

Written from https://www.twilio.com/docs/usage/webhooks/voice-webhooks and .../webhooks-security. Employees are browser
clients. An incoming call is told by the legs that ring them (`<Dial><Client statusCallback>`), each with the id of the
caller's own leg as its parent; an outgoing one by the client's leg. There is no final status for a message left or an
employee who is not there: both are no-answer, or failed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import parse_qsl, urlencode

from callbridge.sim.speakers.base import FORM, Credentials, SignedWebhook, Story, Told, token_segment

STATUS, RECORDING = "status", "recording"

_ACCOUNT: Final = "AC5eed0000000000000000000000000001"
_STATUSES: Final = {"answered": "completed", "busy": "busy", "unavailable": "failed", "wrong_number": "failed"}
_COLLEAGUE: Final = "199"
"""Whose client rang first where a call was passed on."""


class Twilio:
    name = "twilio"
    events = (STATUS, RECORDING)

    def tell(self, story: Story, timezone: str) -> list[Told]:  # noqa: ARG002 - its times are UTC
        told = []
        if story.transferred and story.inbound:
            told.append(Told(STATUS, _status(story, _COLLEAGUE, "no-answer", story.started + story.ringing)))
        status = _STATUSES.get(story.status, "no-answer")
        told.append(Told(STATUS, _status(story, story.extension, status, story.started + story.ringing + story.talk)))
        if story.recorded:
            told.append(Told(RECORDING, _recording(story), late=True))
        return told

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - neither is signed
        if not credentials.secret or not credentials.hook:
            raise ValueError("twilio signs the address of the hook with the auth token: both are needed")
        fields = parse_qsl(told.body.decode(), keep_blank_values=True)
        signed = credentials.hook + "".join(name + value for name, value in sorted(set(fields)))
        made = base64.b64encode(hmac.digest(credentials.secret.encode(), signed.encode(), "sha1")).decode()
        headers = {"Content-Type": FORM, "X-Twilio-Signature": made}
        return SignedWebhook("POST", token_segment(credentials), headers, told.body)


def _status(story: Story, extension: str, status: str, at: int) -> bytes:
    comes_in = story.inbound and not story.internal
    client = f"client:{extension}"
    other = f"client:{story.phone}" if story.internal else story.phone
    caller, called = (other, client) if comes_in else (client, other)
    fields = {
        "AccountSid": _ACCOUNT,
        "CallSid": _sid("CA", f"{story.ref}/{extension}") if comes_in else _sid("CA", story.ref),
        "From": caller,
        "To": called,
        "Caller": caller,
        "Called": called,
        "CallStatus": status,
        "Direction": "outbound-dial" if comes_in else "inbound",
        "CallDuration": str(story.talk if status == "completed" else 0),
        "Duration": str(-(-story.talk // 60) if status == "completed" else 0),
        "Timestamp": _written(at),
        "CallbackSource": "call-progress-events",
        "SequenceNumber": "3",
        "ApiVersion": "2010-04-01",
    }
    if comes_in:
        fields["ParentCallSid"] = _sid("CA", story.ref)
    if story.status == "wrong_number":
        fields["SipResponseCode"] = "404"
    return urlencode(fields).encode()


def _recording(story: Story) -> bytes:
    recording = _sid("RE", story.ref)
    fields = {
        "AccountSid": _ACCOUNT,
        "CallSid": _sid("CA", story.ref),
        "RecordingSid": recording,
        "RecordingUrl": f"https://api.twilio.com/2010-04-01/Accounts/{_ACCOUNT}/Recordings/{recording}",
        "RecordingStatus": "completed",
        "RecordingDuration": str(story.talk),
        "RecordingChannels": "2",
        "RecordingStartTime": _written(story.started + story.ringing),
        "RecordingSource": "DialVerb",
    }
    return urlencode(fields).encode()


def _sid(kind: str, of: str) -> str:
    return kind + hashlib.sha256(f"{kind} {of}".encode()).hexdigest()[:32]


def _written(at: int) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC))


TWILIO: Final = Twilio()
