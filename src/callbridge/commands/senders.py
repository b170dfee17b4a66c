"""The other end of a configured source: what a simulated PBX has to know to be taken for the real one.

Apart from the commands that send (`send`, `sim pbx`, `demo`), because all of them stand in for sources of the same settings.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

from callbridge.commands.frame import WrongUsage
from callbridge.settings import Settings
from callbridge.sim.speakers import SIGN_WITH_A_PRIVATE_KEY, speaker_named
from callbridge.sim.speakers.base import Auth, Credentials, Speaker
from callbridge.source_settings import SourceSettings

HOOKS: Final = "/hooks/"


def speaker_for(provider: str) -> Speaker:
    """Raises `WrongUsage` with the names that there are."""
    try:
        return speaker_named(provider)
    except ValueError as error:
        raise WrongUsage(str(error)) from None


def credentials_of(source: SourceSettings, private_key: str = "", timezone: str | None = None) -> Credentials:
    """`timezone` is another wall clock than the configured one. Raises `WrongUsage` where the settings hold a public key and
    no private one is given.
    """
    secret, key, token = (
        value.get_secret_value() if value else "" for value in (source.secret, source.key, source.path_token)
    )
    if source.provider in SIGN_WITH_A_PRIVATE_KEY and not private_key:
        raise WrongUsage(
            f"{source.provider} signs with a private key, and the settings hold the public one: give it as --secret"
        )
    auth = Auth(source.auth) if secret else Auth.PATH
    return Credentials(private_key or secret, key, token, auth, timezone=timezone or source.timezone)


def hook_at(url: str, source: str, path_token: str = "") -> str:
    """The address of the source at a receiver, without its path token. Raises `WrongUsage`."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
        raise WrongUsage(f"--url {url!r}: is an address like http://127.0.0.1:8080")
    hook = url.rstrip("/")
    if HOOKS not in f"{parts.path}/":
        return f"{hook}{HOOKS}{source}"
    return hook.removesuffix(f"/{path_token}") if path_token else hook


def known_as(credentials: Credentials, hook: str, source: str, public_url: str | None = None) -> Credentials:
    """With the address that a PBX signs: as the receiver is told that the world knows it, else where it is really sent."""
    address = f"{public_url}{HOOKS}{source}" if public_url else hook
    token = f"/{credentials.path_token}" if credentials.path_token else ""
    return replace(credentials, hook=address + token)


def receiver_url(settings: Settings) -> str:
    """Where the configured receiver listens, as seen from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.receiver.host, settings.receiver.host)  # noqa: S104 - an address to recognise, not to bind
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.receiver.port}"
