"""Both ends of every simulated PBX: how its source is configured, and what its speaker is given to sign with."""

from __future__ import annotations

import base64
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_PRIVATE = Ed25519PrivateKey.from_private_bytes(b"a private key of the test suite!")

PRIVATE_KEY = base64.b64encode(_PRIVATE.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())).decode()
PUBLIC_KEY = base64.b64encode(_PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()

_WHSEC = f"whsec_{base64.b64encode(b'signed by a simulated pbx').decode()}"

_OWN: dict[str, dict[str, str]] = {
    "generic": {"secret": _WHSEC},
    "telnyx": {"secret": PUBLIC_KEY},
}


def settings_for(provider: str) -> dict[str, Any]:
    """A source of the provider, as the configuration writes it."""
    usual = {"key": "0f1e2d3c4b5a69788796a5b4c3d2e1f0", "secret": "c1a0b2d3e4f5061728394a5b6c7d8e9f"}
    own = _OWN.get(provider, usual)
    return {"provider": provider, "timezone": "Europe/Moscow", **own}


def secret_of(provider: str) -> str:
    """What the sending side signs with."""
    return PRIVATE_KEY if provider == "telnyx" else str(settings_for(provider)["secret"])


def wrong_secret_for(provider: str) -> str:
    if provider == "telnyx":
        return base64.b64encode(b"another private key, just as long"[:32]).decode()
    return f"whsec_{base64.b64encode(b'signed by somebody else').decode()}"
