"""onlinePBX [pure]: flat events in three wrappings.

Written from https://kb.onlinepbx.ru ("HTTP-уведомления"). The first events come as JSON, as the vendor prints them; the last
one as form, JSON or multipart form in turn. An inbound call that nobody answered ends with call_missed, and some PBXs say
call_end of it too. A transfer makes no event of its own. The secret is `token` in the address, because nothing is signed.
"""

from __future__ import annotations

import json
import uuid
import zlib
from typing import Final
from urllib.parse import urlencode

from callbridge.sim.speakers.base import FORM, JSON, Credentials, SignedWebhook, Story, Told, token_segment

START, ANSWERED, END, MISSED = "call_start", "call_answered", "call_end", "call_missed"

_NAMESPACE: Final = uuid.UUID("0f8a1f3a-7f5e-4c0b-9f52-6d0c9b1d7e44")
_BOUNDARY: Final = "------------------------b7c1e0"
_DOMAIN: Final = "pbx2077.onpbx.example"
_CAUSES: Final = {
    "answered": "NORMAL_CLEARING",
    "busy": "USER_BUSY",
    "unavailable": "SUBSCRIBER_ABSENT",
    "wrong_number": "UNALLOCATED_NUMBER",
}
_UNANSWERED: Final = ("NO_ANSWER", "ORIGINATOR_CANCEL", "NORMAL_CLEARING")


class OnlinePbx:
    name = "onlinepbx"
    events = (END, MISSED, START, ANSWERED)

    def tell(self, story: Story, timezone: str) -> list[Told]:  # noqa: ARG002 - its times are Unix seconds
        lot = zlib.crc32(story.ref.encode())
        fields = _sides(story) | {"uuid": str(uuid.uuid5(_NAMESPACE, story.ref)), "date": str(story.started)}
        over = fields | {
            "call_duration": str(story.ringing + story.talk),
            "dialog_duration": str(story.talk),
            "hangup_cause": _CAUSES.get(story.status, _UNANSWERED[lot % len(_UNANSWERED)]),
            "download_url": f"https://records.example.com/{lot}/rec.mp3" if story.recorded else "",
            "quality_score": "0",
        }
        told = [Told(START, _json(START, fields))]
        if story.talk:
            told.append(Told(ANSWERED, _json(ANSWERED, fields)))
        missed = story.inbound and not story.talk
        last = ([MISSED] if missed else []) + ([END] if not missed or lot % 2 else [])
        wrapped = (_form, _json, _multipart)[lot % 3]
        return told + [Told(event, wrapped(event, over)) for event in last]

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - nothing is signed
        if not (credentials.secret or credentials.path_token):
            raise ValueError("onlinepbx needs a path token, or a secret that its address carries as ?token=")
        query = "?" + urlencode({"token": credentials.secret}) if credentials.secret else ""
        kind = JSON if told.body.startswith(b"{") else FORM
        if told.body.startswith(b"--"):
            kind = f"multipart/form-data; boundary={_BOUNDARY}"
        return SignedWebhook("POST", token_segment(credentials) + query, {"Content-Type": kind}, told.body)


def _sides(story: Story) -> dict[str, str]:
    outside = story.phone.lstrip("+")
    caller, called = (outside, story.extension) if story.inbound else (story.extension, outside)
    return {
        "domain": _DOMAIN,
        "direction": "local" if story.internal else "inbound" if story.inbound else "outbound",
        "origin": "",
        "caller": caller,
        "callee": called,
        "from_domain": "" if story.inbound else _DOMAIN,
        "to_domain": _DOMAIN if story.inbound else "",
        "gateway": "" if story.internal else story.line.lstrip("+"),
    }


def _form(event: str, fields: dict[str, str]) -> bytes:
    return urlencode({"event": event, **fields}).encode()


def _json(event: str, fields: dict[str, str]) -> bytes:
    return json.dumps({"event": event, **fields}).encode()


def _multipart(event: str, fields: dict[str, str]) -> bytes:
    part = '--{}\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    parts = (part.format(_BOUNDARY, name, value) for name, value in {"event": event, **fields}.items())
    return ("".join(parts) + f"--{_BOUNDARY}--\r\n").encode()


ONLINEPBX: Final = OnlinePbx()
