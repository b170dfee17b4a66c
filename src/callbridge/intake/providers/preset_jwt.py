"""JSON Web Tokens signed with a shared secret, as some presets want them [pure] (RFC 7519, RFC 7515).

HS256 and nothing else: a token that names `none`, or a key pair's algorithm, is refused whatever its signature. Apart from
`preset_auth` because a token has rules of its own: its times, and the hash of the body that it may carry.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Sequence
from typing import Final

from callbridge.errors import Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import decode_json
from callbridge.intake.providers.base import WebhookRequest
from callbridge.intake.providers.preset_decode import jwt_payload, unpadded
from callbridge.presets import signing
from callbridge.presets.signatures import Jwt

MAX_TOKEN: Final = 65_536
"""Bytes."""


def problem(item: Jwt, request: WebhookRequest, secrets: Sequence[str], now: float) -> str | None:
    """None if one of the secrets signed the token and it is valid now; else a code for our logs."""
    if item.place == "body":
        token = request.body.strip()
    else:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = verify.wire_bytes(bearer.strip()) if scheme.lower() == "bearer" else b""
    signed, _, given = token[:MAX_TOKEN].rpartition(b".")
    held = False
    for secret in secrets:
        made = signing.written_as("b64url", hmac.digest(verify.wire_bytes(secret), signed, "sha256"))
        held |= hmac.compare_digest(given, made)
    if not held:
        return "bad_signature" if token else "no_signature"
    return next(_claims_problems(item, token, request, now), None)


def _claims_problems(item: Jwt, token: bytes, request: WebhookRequest, now: float) -> Iterator[str]:
    try:
        header = decode_json(unpadded(token.split(b".", 1)[0]))
        claims = decode_json(jwt_payload(token))
    except (Undecodable, ValueError):
        header, claims = None, None
    if not isinstance(header, dict) or not isinstance(claims, dict) or header.get("alg") != "HS256" or "crit" in header:
        yield "bad_token"
        return
    for name, sign in (("exp", 1), ("nbf", -1)):
        at = claims.get(name)
        if at is None:
            continue
        if isinstance(at, bool) or not isinstance(at, int | float) or (now - at) * sign > item.leeway:
            yield "stale_timestamp"
    wanted = claims.get(item.payload_hash) if item.payload_hash else None
    if wanted is not None:
        body = hashlib.sha256(request.body).hexdigest()
        if not isinstance(wanted, str) or not verify.same(wanted.lower().encode("utf-8", "replace"), body.encode()):
            yield "bad_signature"
