"""Flat bodies whose wrapping varies [pure]: a form, a multipart form or a JSON object with the same fields.

Some PBXs change the wrapping from one release or region to the next, and the Content-Type does not always follow; the body's
first bytes tell. Apart from `decode` because only those PBXs need it. The limits and the promise are the same: no input
makes it raise anything but `Undecodable`, and no cause repeats what was sent.

Source: RFC 7578 (multipart/form-data), of which this reads what webhooks use: one level, text parts, CRLF. A file is read as
text; `Content-Transfer-Encoding`, which the RFC deprecates, is not looked at.
"""

from __future__ import annotations

import re
from typing import Final

from callbridge.errors import Undecodable
from callbridge.intake.decode import MAX_FIELDS, Json, decode_form, decode_json

MAX_BOUNDARY: Final = 70
"""Characters (RFC 2046, 5.1.1)."""

MAX_PART_HEADERS: Final = 1_024
"""Bytes of the headers of one part."""

_NAME: Final = re.compile(rb';[ \t]*name="([^"\r\n]*)"', re.IGNORECASE)


def decode_flat(body: bytes) -> dict[str, bytes]:
    """The fields of a body in any of the three wrappings, as bytes: signatures cover bytes."""
    start = body.lstrip(b" \t\r\n")[:2]
    if start.startswith(b"{"):
        fields = decode_json(body)
        return {name: _written(value) for name, value in fields.items()} if isinstance(fields, dict) else {}
    return decode_multipart(body) if start == b"--" else decode_form(body)


def decode_multipart(body: bytes) -> dict[str, bytes]:
    """The fields of a `multipart/form-data` body. Its boundary is its first line, as every client writes it."""
    line, _, _ = body.partition(b"\r\n")
    boundary = line.rstrip(b" \t")
    if not boundary.startswith(b"--") or not 2 < len(boundary) <= MAX_BOUNDARY + 2:
        raise Undecodable("is not a multipart form")
    if body.count(boundary) > MAX_FIELDS + 1:
        raise Undecodable(f"has more than {MAX_FIELDS} fields")
    _, *parts, end = (b"\r\n" + body).split(b"\r\n" + boundary)
    if not end.startswith(b"--"):
        raise Undecodable("is a multipart form that does not end")
    fields: dict[str, bytes] = {}
    for part in parts:
        name, value = _field(part)
        if name in fields:
            raise Undecodable("has a field twice")
        fields[name] = value
    return fields


def _field(part: bytes) -> tuple[str, bytes]:
    """Name and value of what stands between two boundaries."""
    padding, line_end, rest = part.partition(b"\r\n")
    headers, gap, value = rest.partition(b"\r\n\r\n")
    if padding.strip(b" \t") or not line_end or not gap or len(headers) > MAX_PART_HEADERS:
        raise Undecodable("has a part that is no field of a form")
    for header in headers.split(b"\r\n"):
        kind, _, told = header.partition(b":")
        found = _NAME.search(told) if kind.strip().lower() == b"content-disposition" else None
        if found:
            return found[1].decode("utf-8", "replace"), value
    raise Undecodable("has a part without a name")


def _written(value: Json) -> bytes:
    """A JSON value as a form would carry it. What a form cannot carry is left out: it is no field of a flat body."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, bool):
        return b"1" if value else b"0"
    return str(value).encode() if isinstance(value, int | float) else b""
