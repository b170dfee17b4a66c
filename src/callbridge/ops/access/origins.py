"""Where a request comes from, and whether it may do what it asks for from there [pure].

A page of somebody else must neither reach the console under a name of its own (rebinding) nor have a visitor's browser change
anything here (forged requests). Browsers tell where a request was made: `Sec-Fetch-Site`, and `Origin` where they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""

_OURS: Final = frozenset({"same-origin", "none"})
"""What a browser says of what its user does: `none` is the address bar or a bookmark."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the console is: what it listens on, its public address if it has one, and whether only this machine may ask."""

    host: str
    public_url: str | None = None
    loopback_only: bool = False


def knows(place: Place, host: str) -> bool:
    """Whether that `Host` is a name of ours. Addresses in figures are: only names can be pointed elsewhere."""
    name = _name_of(host)
    if name is None:
        return False
    if is_loopback(name):
        return True
    if place.public_url is not None and name == _name_of(urlsplit(place.public_url).netloc):
        return True
    if place.loopback_only:
        return False
    return _is_address(name) or name == place.host.lower()


def is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def origin_of(place: Place, scheme: str, host: str) -> str:
    """Our own origin, as the browser that sent `host` has it. `scheme` is how it reached us: a proxy may have had TLS."""
    if place.public_url is not None:
        public = urlsplit(place.public_url)
        if _netloc(public.scheme, host) == _netloc(public.scheme, public.netloc):
            return f"{public.scheme}://{_netloc(public.scheme, host)}"
    return f"{scheme}://{_netloc(scheme, host)}"


def is_forged(method: str, headers: Mapping[str, str], own_origin: str, *, by_token: bool) -> bool:
    """Whether somebody else's page may have sent this. What carries a token was not sent by a browser on its own."""
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if method in SAFE:
        return False
    if by_token:
        return site not in {None, *_OURS}
    if site is not None:
        return site != "same-origin"
    return origin is None or origin.lower() != own_origin


def is_read_elsewhere(headers: Mapping[str, str]) -> bool:
    """Whether another page asks for data, as pages do not: nobody follows a link to a stream or to JSON of ours."""
    return headers.get("Sec-Fetch-Site") not in {None, *_OURS}


def inner(path: str | None, default: str = "/") -> str:
    """`path` if it leads to a place of this console, else `default`: whatever browsers take for another host is none."""
    if not path or len(path) > 2000 or not path.startswith("/") or path.startswith("//"):
        return default
    if "\\" in path or not path.isascii() or any(ord(each) <= 32 or ord(each) == 127 for each in path):
        return default
    where = path.partition("?")[0].partition("#")[0]
    return default if where in {"/login", "/logout", "/proof"} else path


def _name_of(host: str) -> str | None:
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    plain = parts.netloc == host and parts.username is None and not parts.path
    return parts.hostname.rstrip(".") if plain and parts.hostname else None


def _netloc(scheme: str, host: str) -> str:
    """Without the port that goes without saying, as browsers write an origin."""
    lowered = host.lower()
    return lowered.removesuffix(":443" if scheme == "https" else ":80")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
