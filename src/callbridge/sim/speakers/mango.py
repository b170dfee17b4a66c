"""Mango Office [pure]: a form with the PBX's key, the event as JSON, and their digest with the salt; the event in the path.

Written from "API Mango Office VPBX" 1.9, published in https://github.com/maxodrom/yii2-mango-office-api/tree/master/docs.
Times are UTC seconds, 0 where there was no talk; a recording comes in two events of its own, by id. One summary ends a call
however often it was transferred, so there are no legs to tell of.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final
from urllib.parse import urlencode

from callbridge.sim.speakers.base import FORM, Credentials, SignedWebhook, Story, Told, token_segment

SUMMARY, RECORDING, RECORD_ADDED = "events/summary", "events/recording", "events/record/added"

_REASONS: Final = {"answered": 1120, "unavailable": 1124, "wrong_number": 1133, "busy": 1121}
_NO_ANSWER: Final = 1111


class Mango:
    name = "mango"
    events = (SUMMARY, RECORDING, RECORD_ADDED)

    def tell(self, story: Story, timezone: str) -> list[Told]:  # noqa: ARG002 - its times are Unix seconds
        told = [Told(SUMMARY, _written(_summary(story)))]
        if story.recorded:
            told += _recording(story)
        return told

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:  # noqa: ARG002 - neither is signed
        key, salt = credentials.key, credentials.secret
        if not key or not salt:
            raise ValueError("mango needs the API key and the signing secret")
        proof = hashlib.sha256(key.encode() + told.body + salt.encode()).hexdigest()
        form = urlencode({"vpbx_api_key": key, "sign": proof, "json": told.body}).encode()
        return SignedWebhook("POST", f"{token_segment(credentials)}/{told.event}", {"Content-Type": FORM}, form)


def _summary(story: Story) -> dict[str, Any]:
    line = story.line.lstrip("+")
    employee = {"extension": story.extension, "number": line}
    other = {"extension": story.phone} if story.internal else {"number": story.phone.lstrip("+")}
    comes_in = story.inbound and not story.internal
    end = story.started + story.ringing + story.talk
    return {
        "entry_id": story.ref,
        "call_direction": 0 if story.internal else 1 if comes_in else 2,
        "from": other if comes_in else employee,
        "to": employee if comes_in else other,
        "line_number": line,
        "create_time": story.started,
        "forward_time": story.started + 1 if story.talk else 0,
        "talk_time": end - story.talk if story.talk else 0,
        "end_time": end,
        "entry_result": 1 if story.talk else 0,
        "disconnect_reason": _REASONS.get(story.status, _NO_ANSWER),
    }


def _recording(story: Story) -> list[Told]:
    """Ready in the PBX a second after the call, in the cloud much later."""
    end = story.started + story.ringing + story.talk
    recording = {"recording_id": f"rec-{story.ref}", "entry_id": story.ref}
    completed = {
        "recording_state": "Completed",
        "seq": 2,
        "call_id": f"leg-{story.ref}",
        "extension": story.extension,
        "timestamp": str(end + 1),
        "completion_code": 1000,
        "recipient": "Cloud",
    }
    added = {"product_id": 400017, "user_id": 400018, "timestamp": end + 45}
    return [
        Told(RECORDING, _written(recording | completed), late=True),
        Told(RECORD_ADDED, _written(recording | added), late=True),
    ]


def _written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


MANGO: Final = Mango()
