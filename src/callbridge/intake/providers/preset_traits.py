"""What a preset says to whoever sets up a source with it [pure]: read off its tables, so that it cannot contradict them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from callbridge.intake.providers.base import Traits
from callbridge.presets.expressions import Expression, Path, walk
from callbridge.presets.mapping import Moment
from callbridge.presets.model import Preset
from callbridge.presets.signatures import (
    Auth,
    Digest,
    Ed25519,
    HeaderToken,
    Hmac,
    Ip,
    Item,
    Jwt,
    PathToken,
    QueryToken,
)
from callbridge.presets.times import NAMED

_PLAIN: Final = {
    "path_token": "the path token",
    "ip": "the sender's network",
    "field_token": "the secret in the body",
    "bearer": "the secret as bearer token",
    "basic": "the secret as password of HTTP basic",
    "standard_webhooks": "Standard Webhooks signature",
    "ed25519": "Ed25519 signature; the secret is the public key",
}


def traits_of(preset: Preset) -> Traits:
    roots = {root for item in preset.auth.items for root in _roots(item)}
    joint = " and " if preset.auth.all_of else ", or "
    return Traits(
        joint.join(dict.fromkeys(map(_words, preset.auth.items))),
        needs=_needs(preset.auth, uses_key="key" in roots),
        has_legs=preset.map.legs,
        wall_clock=any(map(_is_wall_clock, preset.map.started_at)),
        signs_url=any(root.startswith("url") for root in roots),
    )


def _words(item: Item) -> str:
    match item:
        case HeaderToken(name=name):
            return f"the secret in the header {name}"
        case QueryToken(name=name):
            return f"the secret as ?{name}="
        case Jwt(place=place):
            return f"JWT (HS256) as {'bearer token' if place == 'bearer' else 'body'}"
        case Digest(algorithm=algorithm):
            return f"{algorithm.upper()} over parts and the secret"
        case Hmac(algorithm=algorithm):
            return f"HMAC-{algorithm.upper()} with the secret"
        case _:
            return _PLAIN[item.kind]


def _needs(auth: Auth, *, uses_key: bool) -> tuple[str, ...]:
    """The settings of the first way that takes a secret, else of the first; of all ways where all must hold."""
    secret = ("key", "secret") if uses_key else ("secret",)
    found = [
        ("path_token",) if isinstance(item, PathToken) else ("allow_from",) if isinstance(item, Ip) else secret
        for item in auth.items
    ]
    if auth.all_of:
        return tuple(dict.fromkeys(name for names in found for name in names))
    return secret if secret in found else found[0]


def _is_wall_clock(told: Moment) -> bool:
    """A pattern without an offset is one for certain; a named form may or may not have one, and then only the file knows."""
    if told.zone != "source":
        return False
    return "zz" not in told.format if told.format not in NAMED else "zone" in told.model_fields_set


def _roots(item: Item) -> Iterator[str]:
    """What of the request and of the source is signed."""
    if isinstance(item, Digest | Hmac | Ed25519):
        for part in (part for parts in item.every_parts() for part in parts):
            yield from _roots_in(part)


def _roots_in(expression: Expression) -> Iterator[str]:
    return (each.root for each in walk(expression) if isinstance(each, Path))
