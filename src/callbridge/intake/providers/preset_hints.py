"""Why the credential of a preset does not hold, for whoever writes the preset [pure].

Where it was looked for and whether it stood there, what was signed, and what the signature over it by the given secret would
be, in every way of writing it. Told to a person at his own terminal with his own secret (`callbridge providers try`) and to
nobody else: no answer and no log line is made from this. The secret itself is never told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, get_args

from callbridge.errors import Misconfigured
from callbridge.intake.providers.preset_auth import Seen
from callbridge.presets import signing
from callbridge.presets.expressions import Expression, Path, written
from callbridge.presets.signatures import (
    Auth,
    Basic,
    Bearer,
    Digest,
    Ed25519,
    FieldToken,
    HeaderToken,
    Hmac,
    Item,
    Jwt,
    QueryToken,
    StandardWebhooks,
    Written,
)

MAX_SIGNED: Final = 200
"""Characters told of what was signed."""

MASK: Final = "[secret]"
MIN_SECRET: Final = 6
"""Characters from which on a secret is hidden where it is explained; a shorter one would take ordinary words with it."""

_OUTS: Final[tuple[Written, ...]] = tuple(out for out in get_args(Written) if out != "raw")


def hints(auth: Auth, seen: Seen, problems: list[str | None]) -> Iterator[tuple[str, str]]:
    """For each item that does not hold, in their order: a name and what is to be known."""
    for item, problem in zip(auth.items, problems, strict=True):
        if problem is None or problem.startswith("stale"):
            continue
        place = _place(item)
        if place is not None:
            yield f"{item.kind} looked for", f"{_said(place)}: {_found(item, place, seen)}"
        if isinstance(item, Digest | Hmac | Ed25519):
            yield f"{item.kind} signed", _signed(item, seen)
        if isinstance(item, Digest | Hmac):
            yield from _expected(item, seen)


def hidden(text: str, seen: Seen) -> str:
    """Without what the source keeps to itself."""
    for secret in filter(None, (*seen.source.secrets, seen.source.key, seen.source.path_token)):
        if len(secret) >= MIN_SECRET:
            text = text.replace(secret, MASK)
    return text


def _place(item: Item) -> Expression | None:
    match item:
        case HeaderToken(name=name):
            return _at("header", name)
        case QueryToken(name=name):
            return _at("query", name)
        case FieldToken(name=place) | Digest(value=place) | Hmac(value=place) | Ed25519(value=place):
            return place
        case Bearer() | Basic():
            return _at("header", "Authorization")
        case Jwt(place=place):
            return _at("header", "Authorization") if place == "bearer" else Path("body", (), "@body")
        case StandardWebhooks():
            return _at("header", "webhook-signature")
        case _:
            return None


def _at(root: str, name: str) -> Path:
    return Path(root, (name,), f"@{root}.{name}")


def _said(place: Expression) -> str:
    match place:
        case Path("header", (name,)):
            return f"header {name}"
        case Path("query", (name,)):
            return f"query parameter {name}"
        case Path("body", ()):
            return "body"
        case _:
            return f"field {written(place)}"


def _found(item: Item, place: Expression, seen: Seen) -> str:
    """A signature is told as it came; a secret that came as it is is not."""
    value = signing.value_of(place, seen.signable)
    if not value:
        return "not found"
    return (
        f"found {_escaped(value, seen)}" if isinstance(item, Digest | Hmac | Ed25519) else "found, and it does not hold"
    )


def _signed(item: Digest | Hmac | Ed25519, seen: Seen) -> str:
    parts = signing.parts_of(item, seen.signable.scope)
    if parts is None:
        return "nothing: parts_by has no such event"
    signed = signing.content(parts, seen.signable, MASK)
    return f"{' + '.join(map(written, parts))}, which is: {_escaped(signed, seen)}"


def _expected(item: Digest | Hmac, seen: Seen) -> Iterator[tuple[str, str]]:
    parts = signing.parts_of(item, seen.signable.scope)
    given = signing.value_of(item.value, seen.signable)
    for place, secret in enumerate(seen.source.secrets if parts else ()):
        name = f"{item.kind} expected" + (" of the previous secret" if place else "")
        try:
            made = signing.digest(item, signing.content(parts or (), seen.signable, secret), secret)
        except Misconfigured as error:
            yield name, f"nothing: the secret {error}"
            continue
        told = [(out, item.prefix + signing.written_as(out, made).decode()) for out in _OUTS]
        fitting = [out for out, value in told if value.encode() == given or (out == "hex" and _folds(value, given))]
        yield (
            name,
            "; ".join(f"{out}{'' if out in item.out else ' (not in out)'} {value}" for out, value in told)
            + (f"; what came is {fitting[0]}" if fitting else ""),
        )


def _folds(value: str, given: bytes) -> bool:
    return value.lower().encode() == given.lower()


def _escaped(value: bytes, seen: Seen) -> str:
    """One line of printable characters, cut; the secret is gone before anything else is done."""
    text = hidden(value.decode("utf-8", "surrogateescape"), seen)
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return shown if len(shown) <= MAX_SIGNED else f"{shown[:MAX_SIGNED]}..."
