"""A PBX that posts our canonical webhook [pure]: a JSON object, signed as Standard Webhooks says.

Written from the README's table of fields, in every spelling that it permits, and from
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. Instead of a signature it can
send a bearer token or rely on its secret path. It has no legs: its script posts a call once, when all of it is over.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import zlib
from datetime import UTC, datetime
from typing import Any, Final

from callbridge.sim.speakers.base import JSON, Auth, Credentials, SignedWebhook, Story, Told, token_segment

FINISHED, RECORDING = "call.finished", "call.recording"

_NUMBERS: Final = {"voicemail": 1, "unavailable": 3, "answered": 4, "wrong_number": 5, "no_answer": 6, "busy": 7}
_RESULTS: Final = (
    "Agreed on a visit",
    "Asked for a quote",
    "Перезвонит завтра",
    "Wants the manager",
    "Заказ №1042 оформлен",
)
_PREFIX: Final = "whsec_"


class Generic:
    name = "generic"
    events = (FINISHED, RECORDING)

    def tell(self, story: Story, timezone: str) -> list[Told]:  # noqa: ARG002 - it writes Unix seconds or an offset
        lot = zlib.crc32(story.ref.encode())
        body: dict[str, Any] = {
            "event": FINISHED,
            "id": story.ref,
            "direction": "internal" if story.internal else "inbound" if story.inbound else "outbound",
            "phone": _spelled(story.phone, lot),
            "duration": story.talk,
            "started_at": story.started if lot % 10 > 2 else datetime.fromtimestamp(story.started, UTC).isoformat(),
            "status": story.status if lot >> 4 & 1 else _NUMBERS[story.status],
            "extension": story.extension,
        }
        if story.talk and lot >> 5 & 1:
            body["result"] = _RESULTS[(lot >> 8) % len(_RESULTS)]
        if not story.recorded:
            return [Told(FINISHED, _written(body))]
        link = f"https://records.example.com/{story.ref}.mp3"
        if lot >> 6 & 1:
            return [Told(FINISHED, _written(body | {"link": link}))]
        later = {"event": RECORDING, "id": story.ref, "link": link}
        return [Told(FINISHED, _written(body)), Told(RECORDING, _written(later), late=True)]

    def sign(self, told: Told, credentials: Credentials, *, now: float, message_id: str) -> SignedWebhook:
        headers = {"Content-Type": JSON}
        match credentials.auth:
            case Auth.SIGNATURE:
                headers |= standard_webhooks(credentials.secret, told.body, int(now), message_id)
            case Auth.BEARER:
                if not credentials.secret:
                    raise ValueError("a secret is needed: it is the bearer token")
                headers["Authorization"] = f"Bearer {credentials.secret}"
            case Auth.PATH:
                if not credentials.path_token:
                    raise ValueError("a path token is needed where nothing else proves the sender")
        return SignedWebhook("POST", token_segment(credentials), headers, told.body)


def standard_webhooks(secret: str, body: bytes, timestamp: int, message_id: str) -> dict[str, str]:
    """The three headers. A secret without `whsec_` is the key itself. Raises `ValueError`."""
    if not secret:
        raise ValueError("a secret is needed: Standard Webhooks signs with whsec_...")
    try:
        begun = secret.startswith(_PREFIX)
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True) if begun else secret.encode()
    except ValueError:
        raise ValueError("after whsec_ a Standard Webhooks secret is base64") from None
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _spelled(phone: str, lot: int) -> str:
    """A PBX writes one number in several ways."""
    national = phone.removeprefix("+7")
    if len(national) != 10 or len(phone) != 12:
        return phone
    pretty = f"+7 {national[:3]} {national[3:6]}-{national[6:8]}-{national[8:]}"
    return (phone, phone.removeprefix("+"), f"8{national}", pretty)[lot % 4]


def _written(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


GENERIC: Final = Generic()
