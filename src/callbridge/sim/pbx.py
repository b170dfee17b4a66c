"""What a PBX sends [pure]: webhooks signed the way each provider signs them.

Written from the providers' documents and apart from the verifying side, so that the two check each other. `generic` signs as
Standard Webhooks does (standardwebhooks.com), sends a bearer token, or relies on its secret path. `mango` signs as the VPBX
API 1.9 of Mango Office says: a form whose `sign` is the SHA-256 of key, JSON and salt, with the event in the path.
Invented calls are in `traffic`; here a body is bytes, so that a user's own file can be sent as well.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlencode

JSON, FORM = "application/json", "application/x-www-form-urlencoded"


class Auth(StrEnum):
    """How a `generic` sender proves who it is; Mango always signs."""

    SIGNATURE = "signature"
    BEARER = "bearer"
    PATH = "path"


class MangoEvent(StrEnum):
    """The end of the path to which Mango posts an event; the body does not name it."""

    SUMMARY = "/events/summary"
    RECORDING = "/events/recording"
    RECORD_ADDED = "/events/record/added"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the receiver's source is configured with. `key` is Mango's; for Standard Webhooks the secret is `whsec_...`."""

    secret: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    path_token: str = field(default="", repr=False)
    auth: Auth = Auth.SIGNATURE


@dataclass(frozen=True, slots=True)
class SignedWebhook:
    """A request for the receiver: `path_suffix` is appended to the source's URL."""

    method: str
    path_suffix: str
    headers: dict[str, str]
    body: bytes


def sign_generic(credentials: Credentials, body: bytes, *, now: float, message_id: str) -> SignedWebhook:
    headers = {"Content-Type": JSON}
    match credentials.auth:
        case Auth.SIGNATURE:
            headers |= _standard_webhooks(credentials.secret, body, int(now), message_id)
        case Auth.BEARER:
            headers["Authorization"] = f"Bearer {credentials.secret}"
        case Auth.PATH:
            if not credentials.path_token:
                raise ValueError("a path token is needed where nothing else proves the sender")
    return SignedWebhook("POST", _token_segment(credentials), headers, body)


def sign_mango(credentials: Credentials, body: bytes, *, event: MangoEvent = MangoEvent.SUMMARY) -> SignedWebhook:
    """`body` is the JSON of the event, as bytes, so that what is signed is what is sent."""
    if not credentials.key or not credentials.secret:
        raise ValueError("mango needs the API key and the signing secret")
    proof = hashlib.sha256(credentials.key.encode() + body + credentials.secret.encode()).hexdigest()
    form = urlencode({"vpbx_api_key": credentials.key, "sign": proof, "json": body})
    return SignedWebhook("POST", _token_segment(credentials) + event, {"Content-Type": FORM}, form.encode())


def sign(
    provider: str,
    credentials: Credentials,
    body: bytes,
    *,
    now: float,
    message_id: str,
    event: MangoEvent = MangoEvent.SUMMARY,
) -> SignedWebhook:
    """A given body, signed for a provider by its name; `ValueError` where it is unknown or credentials are missing."""
    match provider:
        case "generic":
            return sign_generic(credentials, body, now=now, message_id=message_id)
        case "mango":
            return sign_mango(credentials, body, event=event)
        case _:
            raise ValueError(f"there are no samples for provider {provider!r}; choose generic or mango")


def _standard_webhooks(secret: str, body: bytes, timestamp: int, message_id: str) -> dict[str, str]:
    if not secret.startswith("whsec_"):
        raise ValueError("a Standard Webhooks secret starts with whsec_")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise ValueError("after whsec_ a Standard Webhooks secret is base64") from None
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _token_segment(credentials: Credentials) -> str:
    return f"/{credentials.path_token}" if credentials.path_token else ""
