"""A request becomes the document that a preset's expressions look at [pure]. Raises `Undecodable`, and nothing else.

The kind of body is the preset's word; a Content-Type is not believed. A GET request, which has no body, is read from its
query. Signatures over form fields need the bytes of the fields, so they are kept.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from callbridge.call import plain_text
from callbridge.errors import Undecodable
from callbridge.intake.decode import MAX_FIELDS, MAX_STRING, Json, decode_form, decode_json
from callbridge.intake.multipart import decode_multipart
from callbridge.intake.providers.base import Source, WebhookRequest
from callbridge.presets.expressions import Expression, Path, Scope
from callbridge.presets.model import Accept

MAX_BRACKETS: Final = 8
"""Levels of a[b][c]."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a request says. `form` is there where its body was a form."""

    root: Json
    form: Mapping[str, bytes] | None = None


def decode(accept: Accept, request: WebhookRequest) -> Document:
    document = _decoded(accept, request)
    root = document.root
    for path in accept.percent_decoded:
        root = _changed(root, path, _percent_decoded)
    for path in accept.nested_json:
        root = _changed(root, path, _nested)
    return Document(root, document.form)


def scope_of(document: Document, request: WebhookRequest, source: Source) -> Scope:
    return Scope(
        element=document.root,
        root=document.root,
        method=request.method,
        path="/".join(request.path),
        query=request.query,
        headers=request.headers,
        internal_digits=source.internal_digits,
        timezone=source.timezone,
    )


def jwt_payload(token: bytes) -> bytes:
    """The claims of a JWT, unverified, as their JSON."""
    parts = token.strip().split(b".")
    if len(parts) != 3:
        raise Undecodable("is not a JWT")
    try:
        return unpadded(parts[1])
    except ValueError:
        raise Undecodable("is not a JWT") from None


def unpadded(text: bytes) -> bytes:
    """Base64url without its padding, as JWTs are written. Raises `ValueError`."""
    if b"+" in text or b"/" in text or b"=" in text:
        raise ValueError("is not base64url")
    return base64.b64decode(text.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(text) % 4), validate=True)


def _decoded(accept: Accept, request: WebhookRequest) -> Document:
    body, kind = request.body, accept.decode
    if kind == "query" or (request.method == "GET" and not body):
        return _as_form(request.target.partition("?")[2].encode("utf-8", "surrogatepass"), brackets=True)
    if kind == "auto":
        start = body.lstrip(b" \t\r\n")[:2]
        kind = "json" if start[:1] in {b"{", b"["} else "multipart" if start == b"--" else "form_brackets"
    match kind:
        case "form" | "form_brackets":
            return _as_form(body, brackets=kind == "form_brackets")
        case "multipart":
            form = decode_multipart(body)
            return Document(_texts(form), form)
        case "form_json" | "form_base64_json":
            form = decode_form(body)
            return Document(decode_json(_inner(form.get(accept.field or "", b""), kind)), form)
        case "jwt":
            plain = body.lstrip(b" \t\r\n").startswith(b"{")
            return Document(decode_json(body if plain else jwt_payload(body)))
        case _:
            return Document(decode_json(body))


def _inner(value: bytes, kind: str) -> bytes:
    if kind == "form_json":
        return value
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise Undecodable("has a field that is not Base64") from None


def _as_form(body: bytes, *, brackets: bool) -> Document:
    form = decode_form(body)
    texts = _texts(form)
    return Document(_nest(texts) if brackets else texts, form)


def _texts(form: Mapping[str, bytes]) -> dict[str, Json]:
    texts: dict[str, Json] = {}
    for name, value in form.items():
        if len(value) > 4 * MAX_STRING:
            raise Undecodable(f"has a string of more than {MAX_STRING} characters")
        texts[name] = value.decode("utf-8", "replace")
    return texts


def _nest(flat: dict[str, Json]) -> dict[str, Json]:
    """a[b][c]=1 is {"a": {"b": {"c": "1"}}}, as PHP reads it; [] counts from 0."""
    root: dict[str, Json] = {}
    for name, value in flat.items():
        first, *rest = name.replace("]", "").split("[") if "[" in name and name.endswith("]") else [name]
        if len(rest) > MAX_BRACKETS:
            raise Undecodable(f"is nested deeper than {MAX_BRACKETS} levels")
        here, step = root, first
        for inner in rest:
            below = here.setdefault(step, {})
            if not isinstance(below, dict):
                raise Undecodable("has a field that is both text and an object")
            here, step = below, inner or str(len(below))
        if step in here:
            raise Undecodable("has a field twice")
        here[step] = value
    return _with_lists(root)


def _with_lists(found: dict[str, Json]) -> dict[str, Json]:
    return {name: _listed(value) for name, value in found.items()}


def _listed(value: Json) -> Json:
    """An object whose names count from 0 is an array."""
    if not isinstance(value, dict):
        return value
    inner = _with_lists(value)
    counted = inner and len(inner) <= MAX_FIELDS and all(str(place) in inner for place in range(len(inner)))
    return [inner[str(place)] for place in range(len(inner))] if counted else inner


def _changed(root: Json, path: Expression, change: object) -> Json:
    """The document with what stands at `path` changed; unchanged where nothing stands there."""
    assert isinstance(path, Path) and callable(change)  # noqa: S101, PT018 - the model of a preset takes only these
    return _along(root, tuple(map(str, path.steps)), change)


def _along(found: Json, steps: tuple[str, ...], change: object) -> Json:
    assert callable(change)  # noqa: S101 - see above
    if not steps:
        changed: Json = change(found)
        return changed
    if not isinstance(found, dict) or steps[0] not in found:
        return found
    return {**found, steps[0]: _along(found[steps[0]], steps[1:], change)}


def _percent_decoded(value: Json) -> Json:
    match value:
        case str():
            return plain_text(unquote(value, errors="replace"))
        case dict():
            return {name: _percent_decoded(inner) for name, inner in value.items()}
        case list():
            return [_percent_decoded(inner) for inner in value]
        case _:
            return value


def _nested(value: Json) -> Json:
    return decode_json(value.encode("utf-8", "replace")) if isinstance(value, str) and value.strip() else value
