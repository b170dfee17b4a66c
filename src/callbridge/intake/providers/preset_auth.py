"""Whether a request is from whom it says, by the [auth] table of a preset [pure].

Every item is looked at with every live secret, always, whatever the others said: neither the answer nor its time tells
which one failed. `path_token` and `ip` were checked by intake before; where the source has a secret that another item
could use, they do not replace it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Final, assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from callbridge.errors import Misconfigured
from callbridge.intake import verify
from callbridge.intake.providers import preset_jwt
from callbridge.intake.providers.base import Source, WebhookRequest
from callbridge.intake.providers.preset_decode import Document, scope_of
from callbridge.presets import signing, times
from callbridge.presets.expressions import Path, Scope, walk
from callbridge.presets.functions import as_text, evaluate
from callbridge.presets.signatures import (
    Auth,
    Basic,
    Bearer,
    Digest,
    Ed25519,
    FieldToken,
    HeaderToken,
    Hmac,
    Ip,
    Item,
    Jwt,
    PathToken,
    QueryToken,
    StandardWebhooks,
    Timestamp,
)

MAX_SIGNATURES: Final = 8
"""Signatures tried in one header."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, one source, about now."""

    request: WebhookRequest
    source: Source
    document: Document
    now: float

    @property
    def scope(self) -> Scope:
        return scope_of(self.document, self.request, self.source)

    @property
    def signable(self) -> signing.Signable:
        key = signing.wire(self.source.key or "")
        url = self.request.public_url(self.source)
        return signing.Signable(self.scope, self.request.body, url, self.document.form, key)


def outcomes(auth: Auth, seen: Seen) -> list[tuple[str, str | None]]:
    """The kind of each item, and a code for what is wrong with it; None where it holds."""
    return [(item.kind, _problem(item, auth, seen)) for item in auth.items]


def problem(auth: Auth, found: list[tuple[str, str | None]]) -> str | None:
    """None if the sender has proved who it is; else a code for our logs: of what was given rather than of what was not."""
    problems = [code for _, code in found]
    if auth.any_of and None in problems:
        return None
    return next(iter(sorted(filter(None, problems), key=lambda code: not code.startswith(("stale", "bad")))), None)


def check(auth: Auth, source: Source) -> None:
    """Raises `Misconfigured` for a source that could never be verified."""
    lacking = {item.kind: lack for item in auth.items if (lack := _lack(item, auth, source))}
    if lacking and (auth.all_of or len(lacking) == len({item.kind for item in auth.items})):
        wanted = sorted(set(lacking.values()))
        raise Misconfigured(f"sources.{source.name}.{' or .'.join(wanted)} is missing")
    for secret in source.secrets:
        refusals = [refusal for item in auth.items if (refusal := _refusal(item, secret))]
        usable = len(auth.items) - len(refusals)
        if refusals and (auth.all_of or not usable):
            raise Misconfigured(f"sources.{source.name}.secret: {refusals[0]}")


def _takes_secret(item: Item) -> bool:
    return not isinstance(item, PathToken | Ip)


def _lack(item: Item, auth: Auth, source: Source) -> str | None:
    """The setting without which this item never holds."""
    match item:
        case PathToken():
            return None if source.path_token and _stands_alone(auth, source) else "path_token"
        case Ip():
            return None if source.allow_from and _stands_alone(auth, source) else "allow_from"
        case Digest() | Hmac() | Ed25519() if not source.key and _uses_key(item):
            return "key"
        case _:
            return None if source.secrets else "secret"


def _uses_key(item: Digest | Hmac | Ed25519) -> bool:
    parts = (inner for each in item.every_parts() for part in each for inner in walk(part))
    return any(isinstance(part, Path) and part.root == "key" for part in parts)


def _stands_alone(auth: Auth, source: Source) -> bool:
    """Whether the path token or the network is proof enough: asked for together with the rest, or nothing else can be."""
    return bool(auth.all_of) or not source.secrets or not any(map(_takes_secret, auth.any_of))


def _refusal(item: Item, secret: str) -> str | None:
    """Why this secret cannot be one of this item's."""
    try:
        match item:
            case Hmac():
                signing.key_of(item, secret)
            case Ed25519():
                _public_key(secret)
            case StandardWebhooks():
                verify.signing_key(secret)
            case _:
                pass
    except Misconfigured as error:
        return str(error)
    return None


def _problem(item: Item, auth: Auth, seen: Seen) -> str | None:
    match item:
        case PathToken() | Ip():
            return "no_secret_given" if _lack(item, auth, seen.source) else None
        case FieldToken() | HeaderToken() | QueryToken():
            return _token(_carried(item, seen), seen)
        case Bearer():
            return verify.bearer_problem(seen.request.headers, seen.source.secrets)
        case Basic():
            return _basic(seen)
        case StandardWebhooks():
            return verify.signature_problem(seen.request.headers, seen.request.body, seen.source.secrets, seen.now)
        case Jwt():
            return preset_jwt.problem(item, seen.request, seen.source.secrets, seen.now)
        case Digest() | Hmac():
            return _keyed(item, seen)
        case Ed25519():
            return _ed25519(item, seen)
        case _:
            assert_never(item)


def _carried(item: FieldToken | HeaderToken | QueryToken, seen: Seen) -> str:
    """The secret as it came."""
    match item:
        case HeaderToken(name=name, prefix=prefix):
            given = seen.request.headers.get(name.lower(), "")
            return given.removeprefix(prefix) if given.startswith(prefix) else ""
        case QueryToken(name=name):
            return seen.request.query.get(name, "")
        case FieldToken(name=place):
            try:
                return as_text(evaluate(place, seen.scope)) or ""
            except ValueError:
                return ""


def _token(given: str, seen: Seen) -> str | None:
    held = verify.any_same(verify.wire_bytes(given), seen.source.secrets)
    return None if held and given else "bad_token"


def _basic(seen: Seen) -> str | None:
    scheme, _, given = seen.request.headers.get("authorization", "").partition(" ")
    try:
        user, _, password = base64.b64decode(verify.wire_bytes(given.strip()), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        user, password = b"", b""
    held = verify.any_same(password, seen.source.secrets) & (scheme.lower() == "basic")
    if seen.source.key is not None:
        held &= verify.same(user, verify.wire_bytes(seen.source.key))
    return None if held and password else "bad_token"


def _keyed(item: Digest | Hmac, seen: Seen) -> str | None:
    signable = seen.signable
    parts = signing.parts_of(item, signable.scope)
    told = signing.value_of(item.value, signable)
    given = [each.strip() for each in told.split(item.split.encode())[:MAX_SIGNATURES]] if item.split else [told]
    prefix, held = item.prefix.encode(), False
    for secret in seen.source.secrets:
        try:
            made = signing.digest(item, signing.content(parts or (), signable, secret), secret)
        except Misconfigured:  # another item's kind of secret
            continue
        for out in item.out:
            expected = prefix + signing.written_as(out, made)
            for each in given:
                held |= hmac.compare_digest(*((each.lower(), expected.lower()) if out == "hex" else (each, expected)))
    if item.unless_header and item.unless_header.lower() in seen.request.headers:
        return "no_signature"
    if not held or parts is None:
        return "bad_signature" if told else "no_signature"
    return _staleness(item.timestamp, seen)


def _ed25519(item: Ed25519, seen: Seen) -> str | None:
    signable = seen.signable
    parts = signing.parts_of(item, signable.scope)
    told = signing.value_of(item.value, signable)
    signed = signing.content(parts or (), signable, "")
    held = False
    for secret in seen.source.secrets:
        try:
            signature = bytes.fromhex(told.decode()) if item.out == "hex" else base64.b64decode(told, validate=True)
            _public_key(secret).verify(signature, signed)
        except (InvalidSignature, Misconfigured, ValueError):
            continue
        held = True
    if not held or parts is None:
        return "bad_signature" if told else "no_signature"
    return _staleness(item.timestamp, seen)


def _public_key(secret: str) -> Ed25519PublicKey:
    """Raises `Misconfigured`."""
    try:
        raw = bytes.fromhex(secret) if len(secret) == 64 else base64.b64decode(verify.wire_bytes(secret), validate=True)
        return Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError):
        raise Misconfigured("is a public key of 32 bytes, in Base64 or hex") from None


def _staleness(timestamp: Timestamp | None, seen: Seen) -> str | None:
    if timestamp is None:
        return None
    try:
        at = times.number(evaluate(timestamp.value, seen.scope))
    except ValueError:
        at = None
    if at is None or abs(seen.now - at / (1_000 if timestamp.unit == "ms" else 1)) > timestamp.tolerance:
        return "stale_timestamp"
    return None
