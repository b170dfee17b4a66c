"""Is a webhook from whom it says [pure]: Standard Webhooks signatures, bearer tokens, path tokens.

Each function answers over bytes and does the same work for every kind of no, so that neither the answer nor its
time tells a stranger what was wrong. Every live secret is tried, always. What a provider signs in its own way stays with
the provider; it compares with `same`.

Sources: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md (headers, signed
content, `whsec_`, tolerance), RFC 6750 (bearer).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from callbridge.errors import Misconfigured

TOLERANCE: Final = 300
"""Seconds that a signed timestamp may be off, in both directions: the five minutes of the specification."""

MAX_SIGNATURES: Final = 8
"""Signatures tried in one header. A sender that rotates its secret sends two."""

_PREFIX: Final = "whsec_"


def wire_bytes(text: str) -> bytes:
    """Text of a header, path or setting as bytes. Never raises: aiohttp hands on bytes that are no UTF-8 as surrogates."""
    return text.encode("utf-8", "surrogatepass")


def same(given: bytes, secret: bytes) -> bool:
    """Equality in constant time. Digests are compared, so that not even the secret's length is told."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(secret).digest())


def any_same(given: bytes, secrets: Iterable[str]) -> bool:
    """Whether `given` is one of the live secrets; all of them are compared."""
    held = False
    for secret in secrets:
        held |= same(given, wire_bytes(secret))
    return held


@lru_cache(maxsize=1024)
def signing_key(secret: str) -> bytes:
    """The HMAC key behind a secret: the Base64 after `whsec_`, or the secret's own bytes. Raises `Misconfigured`."""
    if not secret.startswith(_PREFIX):
        return wire_bytes(secret)
    try:
        key = base64.b64decode(wire_bytes(secret[len(_PREFIX) :]), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Misconfigured("a secret that begins with whsec_ continues in Base64") from error
    if not key:
        raise Misconfigured("a secret that begins with whsec_ continues in Base64; it is empty")
    return key


def signature_problem(headers: Mapping[str, str], body: bytes, secrets: Iterable[str], now: float) -> str | None:
    """None if one of the signatures was made with one of the secrets, over this body, about now; else a code for our logs.

    The Base64 text is compared, not what it decodes to: one signature then has one spelling.
    """
    stamp = headers.get("webhook-timestamp", "")
    signed = b".".join((wire_bytes(headers.get("webhook-id", "")), wire_bytes(stamp), body))
    given = wire_bytes(headers.get("webhook-signature", "")).split(None, MAX_SIGNATURES)[:MAX_SIGNATURES] or [b""]
    held = False
    for secret in secrets:
        expected = b"v1," + base64.b64encode(hmac.digest(signing_key(secret), signed, "sha256"))
        for signature in given:
            held |= hmac.compare_digest(signature, expected)
    if not held:
        return "bad_signature" if "webhook-signature" in headers else "no_signature"
    if "webhook-id" not in headers:
        return "no_signature"
    return None if is_fresh(stamp, now) else "stale_timestamp"


def bearer_problem(headers: Mapping[str, str], secrets: Iterable[str]) -> str | None:
    """None if the `Authorization` header bears one of the secrets; else a code for our logs."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    held = any_same(wire_bytes(token.strip()), secrets)
    return None if held and scheme.lower() == "bearer" else "bad_bearer_token"


def is_fresh(stamp: str, now: float) -> bool:
    """Whether a signed timestamp, Unix seconds, is about now."""
    readable = stamp.isascii() and stamp.isdigit() and len(stamp) <= 12
    return readable and abs(now - int(stamp)) <= TOLERANCE
