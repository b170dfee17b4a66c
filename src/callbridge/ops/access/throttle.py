"""How long logins must wait after failed ones [pure].

A try is counted before its password is looked at, and taken back where it was right: tries that come at the same time count
as if they came one after the other. Counted per name and address, and more generously per address alone; never per name
alone, which would let a stranger lock an operator out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from callbridge.ledger.access import Strikes

FORGET_AFTER: Final = 3600.0
"""Seconds without a try after which an origin begins anew."""

_FREE_BY_NAME: Final = 5
_FREE_BY_ADDRESS: Final = 30
_LONGEST: Final = 900.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who tries, as digests: what people mistype as a name may be their password."""

    by_name: str
    by_address: str

    @property
    def keys(self) -> tuple[str, str]:
        return self.by_name, self.by_address


def origin_of(name: str, address: str) -> Origin:
    return Origin(_digest(f"name {name}\0{address}"), _digest(f"address {address}"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def attempt(known: Mapping[str, Strikes], origin: Origin, now: float) -> Mapping[str, Strikes] | float:
    """What is known after one more try, or the seconds for which none is taken."""
    wait = max((each.blocked_until - now for key in origin.keys if (each := known.get(key))), default=0.0)
    if wait > 0:
        return min(wait, _LONGEST)
    return {
        key: _one_more(known.get(key), free, now)
        for key, free in ((origin.by_name, _FREE_BY_NAME), (origin.by_address, _FREE_BY_ADDRESS))
    }


def pardon(known: Mapping[str, Strikes], origin: Origin, now: float) -> Mapping[str, Strikes]:
    """What is known once the try was a right one: that name has a clean sheet, the address one failure less."""
    address = known.get(origin.by_address, Strikes(1, now, now))
    failures = max(0, address.failures - 1)
    until = address.changed_at + pause_after(failures, _FREE_BY_ADDRESS)
    return {origin.by_name: Strikes(0, now, now), origin.by_address: Strikes(failures, until, address.changed_at)}


def _one_more(strikes: Strikes | None, free: int, now: float) -> Strikes:
    fresh = strikes is None or now - strikes.changed_at > FORGET_AFTER
    failures = 1 if fresh or strikes is None else strikes.failures + 1
    return Strikes(failures, now + pause_after(failures, free), now)


def pause_after(failures: int, free: int) -> float:
    """Seconds: none for the first `free`, then 2, 4, 8 and so on."""
    return 0.0 if failures < free else min(_LONGEST, 2.0 ** min(20, failures - free + 1))
