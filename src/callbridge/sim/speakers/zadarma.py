"""Zadarma and Novofon v1 [pure]: forms with a signature over three of their fields, and recordings by name.

Written from https://zadarma.com/en/support/api/#api_webhooks and the vendor's https://github.com/zadarma/user-api-v1. The
call's start is the wall clock of the account; one event ends a call however often it was transferred, so there are no legs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

from callbridge.sim.speakers.base import FORM, Credentials, SignedWebhook, Story, Told, token_segment

END, OUT_END, RECORD = "NOTIFY_END", "NOTIFY_OUT_END", "NOTIFY_RECORD"

_SIGNED: Final = {
    END: ("caller_id", "called_did", "call_start"),
    OUT_END: ("internal", "destination", "call_start"),
    RECORD: ("pbx_call_id", "call_id_with_rec"),
}
_DISPOSITIONS: Final = {"answered": "answered", "busy": "busy", "wrong_number": "unallocated number"}
_OTHERWISE: Final = ("no answer", "cancel", "call failed")
_CAUSES: Final = {"answered": "16", "busy": "17", "unallocated number": "1"}


class Zadarma:
    name = "zadarma"
    events = (END, OUT_END, RECORD)

    def tell(self, story: Story, timezone: str) -> list[Told]:
        call_id = ("in_" if story.inbound else "out_") + hashlib.sha1(
            story.ref.encode(), usedforsecurity=False
        ).hexdigest()
        recording = f"{story.started}.{int(call_id[-6:], 16)}" if story.recorded else ""
        event = END if story.inbound else OUT_END
        outside, line = story.phone.lstrip("+"), story.line.lstrip("+")
        disposition = _DISPOSITIONS.get(story.status) or _OTHERWISE[len(story.ref) % len(_OTHERWISE)]
        fields = {
            "event": event,
            "call_start": f"{datetime.fromtimestamp(story.started, ZoneInfo(timezone)):%Y-%m-%d %H:%M:%S}",
            "pbx_call_id": call_id,
            "caller_id": outside if story.inbound else line,
            "called_did" if story.inbound else "destination": line if story.inbound else outside,
            "internal": story.extension,
            "duration": str(story.talk),
            "disposition": disposition,
            "status_code": _CAUSES.get(disposition, "19"),
            "is_recorded": "1" if story.recorded else "0",
            "call_id_with_rec": recording,
        }
        told = [Told(event, urlencode(fields).encode())]
        if story.recorded:
            recorded = {"event": RECORD, "call_id_with_rec": recording, "pbx_call_id": call_id}
            told.append(Told(RECORD, urlencode(recorded).encode(), late=True))
        return told

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - neither is signed
        if not credentials.secret:
            raise ValueError("zadarma needs the API secret, which signs")
        fields = dict(parse_qsl(told.body.decode(), keep_blank_values=True))
        signed = "".join(fields.get(name, "") for name in _SIGNED.get(told.event, ()))
        digest = hmac.new(credentials.secret.encode(), signed.encode(), hashlib.sha1).hexdigest()
        headers = {"Content-Type": FORM, "Signature": base64.b64encode(digest.encode()).decode()}
        return SignedWebhook("POST", token_segment(credentials), headers, told.body)


ZADARMA: Final = Zadarma()
