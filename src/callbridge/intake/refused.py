"""What was turned away at the door, counted in memory until somebody takes the counts away [pure].

Apart from the door because strangers decide how often this is asked: it is bounded in everything, and keeps nothing of a
webhook that could be a secret: no body, no query, no credential, and of the address only its network.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Final

from callbridge.call import plain_text

UNKNOWN: Final = "unknown"
"""Stands for every name that is no source: a stranger's text is kept nowhere."""

MAX_SAMPLES: Final = 20
MAX_AGENT: Final = 80
MAX_COUNTS: Final = 1_000
"""Pairs of source and code; there are fewer, unless a code is made up somewhere by mistake."""

Counts = Mapping[tuple[str, str], int]
Samples = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Refused:
    """One webhook that was turned away. `at` is Unix seconds, `size` the bytes that it said or sent."""

    source: str
    code: str
    at: float
    method: str
    size: int
    peer: str
    agent: str


class Refusals:
    """Those since they were last taken."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._samples: dict[str, deque[Mapping[str, Any]]] = {}

    def add(self, refused: Refused) -> None:
        key = refused.source, refused.code
        if key not in self._counts and len(self._counts) >= MAX_COUNTS:
            return
        self._counts[key] += 1
        kept = self._samples.setdefault(refused.source, deque(maxlen=MAX_SAMPLES))
        kept.append(
            {
                "at": round(refused.at, 3),
                "code": refused.code,
                "method": plain_text(refused.method)[:10],
                "bytes": refused.size,
                "ip": network_of(refused.peer),
                "agent": plain_text(refused.agent[: 2 * MAX_AGENT])[:MAX_AGENT],
            }
        )

    def take(self) -> tuple[Counts, Samples]:
        """All of them, the samples of a source in order of time; from now on they are somebody else's."""
        counts, samples = self._counts, [(name, each) for name, kept in self._samples.items() for each in kept]
        self._counts, self._samples = Counter(), {}
        return counts, samples


def network_of(peer: str) -> str:
    """The neighbourhood of an address: /24, or /48 of IPv6; "" for what is none."""
    try:
        ip = ip_address(peer)
    except ValueError:
        return ""
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    bits = 48 if isinstance(ip, IPv6Address) else 24
    return str(ip_network(f"{ip.compressed.partition('%')[0]}/{bits}", strict=False))
