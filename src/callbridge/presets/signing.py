"""What a PBX signs and how it writes the signature [pure]: from the [auth] table of a preset to bytes.

Both the verifying side and the simulated PBX ask here, so that a user's own preset can be played back to itself; vendors'
vectors and their official libraries check it from outside in the tests.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from callbridge.errors import Misconfigured
from callbridge.presets.expressions import Expression, Path, Scope
from callbridge.presets.functions import as_text, evaluate
from callbridge.presets.signatures import Digest, Hmac, Proof, Written


@dataclass(frozen=True, slots=True)
class Signable:
    """One request as a signature sees it. `form` are the decoded fields, as bytes, of a body that is a form."""

    scope: Scope
    body: bytes
    url: str
    form: Mapping[str, bytes] | None
    key: bytes = field(repr=False)


def wire(text: str) -> bytes:
    """Text as bytes; never raises."""
    return text.encode("utf-8", "surrogatepass")


def parts_of(proof: Proof, scope: Scope) -> tuple[Expression, ...] | None:
    """What is signed; None for an event that has no signature."""
    if proof.parts_by is None:
        return proof.parts
    try:
        event = as_text(evaluate(proof.parts_by.value, scope))
    except ValueError:
        return None
    return proof.parts_by.table.get(event or "")


def content(parts: tuple[Expression, ...], signable: Signable, secret: str) -> bytes:
    """The bytes that are signed. What is absent or unreadable is empty: a signature over it does not hold anyway."""
    return b"".join(_part(part, signable, secret) for part in parts)


def value_of(expression: Expression, signable: Signable, secret: str = "") -> bytes:
    """The bytes at one place of the request."""
    return _part(expression, signable, secret)


def digest(item: Hmac | Digest, signed: bytes, secret: str) -> bytes:
    """Raises `Misconfigured` for a secret that is no key."""
    if isinstance(item, Hmac):
        return hmac.digest(key_of(item, secret), signed, item.algorithm)
    return hashlib.new(item.algorithm, signed, usedforsecurity=False).digest()


def key_of(item: Hmac, secret: str) -> bytes:
    """The HMAC key. Raises `Misconfigured`."""
    bare = secret.removeprefix(item.strip) if item.strip else secret
    if item.key == "text":
        return wire(bare)
    try:
        key = base64.b64decode(wire(bare), validate=True) if item.key == "base64" else bytes.fromhex(bare)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise Misconfigured(f"is not written in {item.key}")
    return key


def written_as(out: Written, made: bytes) -> bytes:
    """A digest as it goes over the wire."""
    match out:
        case "hex":
            return made.hex().encode()
        case "b64":
            return base64.b64encode(made)
        case "b64url":
            return base64.urlsafe_b64encode(made).rstrip(b"=")
        case "b64_of_hex":
            return base64.b64encode(made.hex().encode())
        case "raw":
            return made


def _part(part: Expression, signable: Signable, secret: str) -> bytes:
    whole = _whole(part, signable, secret) if isinstance(part, Path) else None
    if whole is not None:
        return whole
    try:
        return wire(as_text(evaluate(part, signable.scope)) or "")
    except ValueError:
        return b""


def _whole(part: Path, signable: Signable, secret: str) -> bytes | None:
    """What is bytes already. None for text at some place of the request."""
    match part.root:
        case "body":
            return signable.body
        case "url":
            return wire(signable.url)
        case "url_base":
            return wire(_base(signable.url))
        case "url_plivo_v3":
            return _plivo_v3(signable)
        case "form_sorted":
            return _sorted_fields(signable.form or {})
        case "secret":
            return wire(secret)
        case "key":
            return signable.key
        case "" if signable.form is not None and len(part.steps) == 1:
            return signable.form.get(str(part.steps[0]), b"")
        case _:
            return None


def _base(url: str) -> str:
    return url.partition("?")[0]


def _sorted_fields(form: Mapping[str, bytes]) -> bytes:
    return b"".join(wire(name) + form[name] for name in sorted(form))


def _plivo_v3(signable: Signable) -> bytes:
    """Plivo's canonical form: the address, its query sorted, and the sorted fields of a form. Its own library leaves a bare
    `?` where there are fields but no query: https://github.com/plivo/plivo-python/blob/master/plivo/utils/signature_v3.py
    """
    try:
        pairs = parse_qsl(urlsplit(signable.url).query, keep_blank_values=True, max_num_fields=200)
    except ValueError:
        pairs = []
    query = "&".join(f"{name}={value}" for name, value in sorted(pairs))
    fields = _sorted_fields(signable.form or {}) if signable.scope.method == "POST" else b""
    mark = "?" if query or fields else ""
    return wire(_base(signable.url) + mark + query + ("." if query and fields else "")) + fields
