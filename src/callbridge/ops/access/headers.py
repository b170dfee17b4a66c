"""Headers that every answer carries, whoever made it: pages, JSON, streams, static files, refusals."""

from __future__ import annotations

import secrets
from typing import Final

from aiohttp import hdrs, web
from multidict import CIMultiDict

NONCE: Final = web.RequestKey("nonce", str)
SECURE: Final = web.RequestKey("secure", bool)
"""Whether the browser that asked has TLS, be it to a proxy."""

COOKIE: Final = "__Host-callbridge"
"""Of a session. With that prefix no other host and no page without TLS can set it."""

PLAIN_COOKIE: Final = "callbridge-session"
"""The same where there is no TLS, and so no such prefix."""

_POLICY: Final = (
    "default-src 'none'; script-src 'self'{nonce}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

_ALWAYS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
    "magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
}

KEEP: Final = "public, max-age=31536000, immutable"
"""For static files whose address holds a digest of them."""


def nonce(request: web.Request) -> str:
    """What allows a script of this one answer, and no other."""
    if NONCE not in request:
        request[NONCE] = secrets.token_urlsafe(16)
    return request[NONCE]


def protect(headers: CIMultiDict[str], *, given: str | None, secure: bool, trustworthy: bool) -> None:
    """`given` is the answer's nonce. `trustworthy`: TLS or loopback, where browsers tell with each request where it was made;
    elsewhere forms need their `Origin`, which they lose where no referrer is allowed at all.
    """
    headers.update(_ALWAYS)
    headers["Content-Security-Policy"] = _POLICY.format(nonce=f" 'nonce-{given}'" if given else "")
    headers["Referrer-Policy"] = "no-referrer" if trustworthy else "same-origin"
    headers.pop(hdrs.SERVER, None)
    if secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"
    if headers.get(hdrs.CACHE_CONTROL) != KEEP:
        headers[hdrs.CACHE_CONTROL] = "no-store"
