"""Who really sent a request, where proxies stand in front [pure].

`X-Forwarded-For` grows from left to right, each proxy appending whom it heard. It is read from the right, and only as far
as those who wrote it are trusted: what a stranger wrote on the left is never believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, Protocol, TypeAlias

Network: TypeAlias = IPv4Network | IPv6Network

MAX_HOPS: Final = 10


class Headers(Protocol):
    def getall(self, key: str, default: list[str]) -> list[str]: ...


class Received(Protocol):
    """The two things of an HTTP request that tell where it came from."""

    @property
    def remote(self) -> str | None: ...
    @property
    def headers(self) -> Headers: ...


def sender_of(request: Received, trusted: Sequence[Network]) -> str:
    """The IP address of the sender, "" where it cannot be told."""
    peer = request.remote or ""
    if not trusted:
        return peer
    hops = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    for hop in reversed(hops[-MAX_HOPS:]):
        if not is_inside(peer, trusted):
            return peer
        if not hop.strip():
            break
        peer = hop.strip()
    return peer


def is_inside(address: str, networks: Sequence[Network]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)
