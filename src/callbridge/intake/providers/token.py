"""The credential of PBXs that sign nothing: a secret they can carry somewhere [pure].

Such a PBX lets its user write the address and sometimes a header, so the secret comes as a bearer token, as the password
of HTTP basic authentication (RFC 7617; the user name is the source's `key`, where it has one), or as `token` in the query.
Each is the same secret; whichever is there counts. Where no secret is configured the path token, which intake checks, is
the credential.
"""

from __future__ import annotations

import base64
import binascii

from callbridge.errors import Misconfigured, Unauthenticated
from callbridge.intake import verify
from callbridge.intake.providers.base import Source, WebhookRequest


def check(source: Source) -> None:
    """Raises `Misconfigured` for a source that anybody could post to."""
    if not (source.secrets or source.path_token):
        raise Misconfigured(f"sources.{source.name}.secret or .path_token is missing")


def verify_token(request: WebhookRequest, source: Source) -> None:
    """Raises `Unauthenticated`."""
    if not source.secrets:
        if source.path_token is None:
            raise Unauthenticated("no_credential_configured")
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    user, password = _basic(given)
    held = verify.any_same(verify.wire_bytes(given.strip()), source.secrets) & (scheme.lower() == "bearer")
    as_password = verify.any_same(password, source.secrets) & (scheme.lower() == "basic")
    held |= as_password & (source.key is None or verify.same(user, verify.wire_bytes(source.key)))
    held |= verify.any_same(verify.wire_bytes(request.query.get("token", "")), source.secrets)
    if not held:
        raise Unauthenticated("bad_token")


def _basic(given: str) -> tuple[bytes, bytes]:
    try:
        user, _, password = base64.b64decode(verify.wire_bytes(given), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return user, password
