"""Who is who on one leg of a call of a programmable carrier [pure]: which side is the employee, which the customer.

Such carriers (Twilio, Telnyx) have no extensions: a side is a telephone number, or a device of the company that is named
by an address (`client:anna`, `sip:101@office.example.com`). Apart from the providers because the question is the same
however a leg is told. A device or one of the company's own numbers on one side beats what the carrier calls the leg: its
"outbound" may well be the leg that rings an employee about an inbound call.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from callbridge.call import MAX_PHONE, Direction, plain_text
from callbridge.intake.decode import Json
from callbridge.intake.providers.base import Source
from callbridge.intake.providers.fields import exact_text, is_internal, phone
from callbridge.intake.providers.numbers import is_one_of

MAX_ADDRESS: Final = 512

_ADDRESS: Final = re.compile(r"(client|sips?|tel|whatsapp):(.*)", re.IGNORECASE | re.DOTALL)
_TAIL: Final = re.compile(r"[@;?].*", re.DOTALL)
_TELEPHONE: Final = re.compile(r"\+?[0-9]+")


@dataclass(frozen=True, slots=True)
class Party:
    """One side. `employee` is the name of a device of the company; `number` is "" where there is none or it is hidden. A
    SIP address whose user is a telephone number has both.
    """

    number: str
    employee: str | None = None


@dataclass(frozen=True, slots=True)
class Sides:
    direction: Direction
    phone: str
    extension: str | None
    assumed: bool = False
    """Neither the sides nor the carrier told the direction."""


def party(value: Json, name: str, source: Source) -> Party:
    """Raises `ValueError` that names the field."""
    text = exact_text(value, name, MAX_ADDRESS) or ""
    address = _ADDRESS.fullmatch(text)
    if address is None:
        number = phone(text, name)
        return Party("", number) if number and is_internal(number, source.internal_digits) else Party(number)
    user = plain_text(unquote(_TAIL.sub("", address[2])))
    number = phone(user[:MAX_PHONE], name)
    scheme = address[1].lower()
    if not number or scheme in {"tel", "whatsapp"}:
        return Party(number)
    dialled = _TELEPHONE.fullmatch(user) and len(user) <= MAX_PHONE and not is_internal(user, source.internal_digits)
    return Party(number if dialled and scheme != "client" else "", user)


def sides(caller: Party, called: Party, told: Direction | None, source: Source) -> Sides:
    """`told` is what the carrier calls the leg; without it and without any sign of the company on either side the call
    is taken for an inbound one.
    """
    caller_is_ours, called_is_ours = _is_ours(caller, source), _is_ours(called, source)
    if caller.employee and called.employee and called.number and not is_one_of(called.number, source.own_numbers):
        called_is_ours = False  # a desk phone dialled out: its SIP proxy writes the number as an address too
    if told is Direction.INTERNAL or (caller_is_ours and called_is_ours):
        return Sides(Direction.INTERNAL, called.number or (called.employee or "")[:MAX_PHONE].rstrip(), caller.employee)
    if caller_is_ours or called_is_ours:
        direction = Direction.OUTBOUND if caller_is_ours else Direction.INBOUND
    else:
        direction = told or Direction.INBOUND
    assumed = told is None and not (caller_is_ours or called_is_ours) and caller != called
    if direction is Direction.INBOUND:
        return Sides(direction, caller.number, called.employee, assumed)
    return Sides(direction, called.number, caller.employee, assumed)


def _is_ours(side: Party, source: Source) -> bool:
    return side.employee is not None or is_one_of(side.number, source.own_numbers)
