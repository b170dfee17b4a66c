"""Which way a call went, for PBXs that tell numbers and names of routes only [pure].

Asterisk and FreeSWITCH know channels, not companies: from inside a call record "inbound" means nothing more than that
somebody called the PBX. The operator can name routes in `directions`; without that the lengths of the numbers tell,
and the company's own numbers. It knows nothing of record formats.
"""

from __future__ import annotations

from collections.abc import Iterable

from callbridge.call import Direction, phone_tail
from callbridge.intake.providers.base import Source
from callbridge.intake.providers.fields import is_internal


def is_ours(number: str, source: Source) -> bool:
    """Whether a number belongs to the company: an extension or feature code, one of its own numbers, or a login; a hidden
    number does not.
    """
    if not any(char.isdigit() for char in number):
        return bool(number)
    if is_internal(number.lstrip("*#").rstrip("#"), source.internal_digits):
        return True
    return is_one_of(number, source.own_numbers)


def is_one_of(number: str, numbers: Iterable[str]) -> bool:
    """Whether it is one of these in another spelling: the last ten digits tell. A number without a digit is none."""
    tail = phone_tail(number)
    return bool(tail) and tail in map(phone_tail, numbers)


def by_numbers(caller: str, called: str, source: Source) -> Direction:
    """Who is not ours is a customer; a customer who reaches a customer came in and was forwarded."""
    if not is_ours(caller, source):
        return Direction.INBOUND
    return Direction.INTERNAL if is_ours(called, source) else Direction.OUTBOUND


def by_route(source: Source, routes: Iterable[str]) -> Direction | None:
    """What the operator said of the first of `routes` that he named: the longest beginning counts."""
    for route in routes:
        told = [start for start in source.directions if start and route.startswith(start)]
        if told:
            return source.directions[max(told, key=len)]
    return None


def without_digits(number: str) -> bool:
    """Names such as `s` stand where a number was expected."""
    return not any(char.isdigit() for char in number)
