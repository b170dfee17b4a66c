"""The stored form of a webhook and the call read from it [pure].

Written once and never changed; what changes about a call is in its hash. Version byte, then raw deflate over a JSON array: a
waiting call of 600 bytes costs about half of that in memory, for six microseconds. Positions, not names, because the names
would outweigh the values; a new field is appended and the version byte grows.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from dataclasses import dataclass, replace
from typing import Any

import orjson

from callbridge.call import Call, CallStatus, Direction, Webhook
from callbridge.store.recordings import recording_at

_VERSION = b"\x01"
_WINDOW = -12
"""Raw deflate with a window of 4 KiB: as small as 32 KiB for bodies of this size, and eight times cheaper to set up."""

_MAX_INFLATED = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Envelope:
    """`call` is None where no call could be read; `problem` then says why."""

    source: str
    provider: str
    webhook: Webhook
    call: Call | None
    problem: str | None = None


class EnvelopeError(ValueError):
    """Stored bytes that are no envelope of a version we read."""


def seal(envelope: Envelope) -> bytes:
    try:
        body, encoding = envelope.webhook.body.decode("utf-8"), "u"
    except UnicodeDecodeError:
        body, encoding = base64.b64encode(envelope.webhook.body).decode(), "b"
    call = envelope.call
    fields = None if call is None else [
        call.ref, call.direction.value, call.phone, call.duration, call.started_at, call.status.number,
        call.dated, call.result, call.link, call.extension,
    ]  # fmt: skip
    packed = orjson.dumps(
        [envelope.source, envelope.provider, envelope.webhook.event, encoding, body, envelope.problem, fields]
    )
    deflate = zlib.compressobj(1, zlib.DEFLATED, _WINDOW, 4)
    return _VERSION + deflate.compress(packed) + deflate.flush()


def unseal(blob: bytes) -> Envelope:
    """Raises `EnvelopeError` for bytes that `seal` did not write."""
    if blob[:1] != _VERSION:
        raise EnvelopeError(f"unknown envelope version {blob[:1].hex()}")
    try:
        packed = zlib.decompressobj(_WINDOW).decompress(blob[1:], _MAX_INFLATED)
        source, provider, event, encoding, body, problem, fields = orjson.loads(packed)
        raw = base64.b64decode(body) if encoding == "b" else body.encode()
        call = None if fields is None else _call(source, provider, fields)
    except (zlib.error, ValueError, TypeError, AttributeError) as error:
        raise EnvelopeError("damaged envelope") from error
    return Envelope(source, provider, Webhook(event, raw), call, problem)


def _call(source: str, provider: str, fields: list[Any]) -> Call:
    ref, direction, phone, duration, started_at, status, dated, result, link, extension = fields
    return Call(
        source, provider, ref, Direction(direction), phone, duration, started_at, CallStatus.numbered(status),
        dated, result, link, extension,
    )  # fmt: skip


def call_in(sealed: bytes, link: bytes = b"") -> Call | None:
    """The stored call with the link that was joined to it. None where the bytes hold no call that we can read: for a person,
    not for the CRM.
    """
    try:
        call = unseal(sealed).call
        return replace(call, link=link.decode()) if call and link else call
    except (EnvelopeError, ValueError):
        return None


def content_digest(call: Call) -> str:
    """Eight characters that differ when the same call comes again with other content.

    A start time that we estimated ourselves and the recording's link, which may come later, are no content.
    """
    started_at = call.started_at if call.dated else 0
    parts = (call.direction, call.phone, call.duration, started_at, call.status, call.extension, call.result)
    content = "\x1f".join(map(str, parts))
    return _short(content)


def link_digest(link: str) -> str:
    """Eight characters that tell the recordings of one call apart: the same for a link that was signed anew."""
    return _short(recording_at(link))


def _short(text: str) -> str:
    return base64.urlsafe_b64encode(
        hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    ).decode()
