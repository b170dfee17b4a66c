"""Phone numbers as people see them who have not asked for one [pure].

A masked number keeps its country or area and its last four digits: enough to recognise a caller by, too little to call.
"""

from __future__ import annotations

from typing import Final, overload

from callbridge.redaction import text

STARS: Final = "***"
_SHORT: Final = 7
"""Digits up to which a number is an extension or a service number, which name nobody outside."""


@overload
def masked(phone: str) -> str: ...
@overload
def masked(phone: None) -> None: ...
@overload
def masked(phone: str | None) -> str | None: ...
def masked(phone: str | None) -> str | None:
    """`+7916***4567`. What is no number (a name, `anonymous`) loses what looks like one."""
    if phone is None:
        return None
    digits = [character for character in phone if character.isdecimal()]
    if len(digits) * 2 <= len(phone) - 4:
        return text(phone)
    if len(digits) < _SHORT:
        return phone if len(digits) <= 4 else f"{STARS}{''.join(digits[-2:])}"
    head = "".join(digits[: len(digits) - 7])[:4]
    return f"{'+' if phone.strip().startswith('+') else ''}{head}{STARS}{''.join(digits[-4:])}"


@overload
def without_phones(words: str) -> str: ...
@overload
def without_phones(words: None) -> None: ...
@overload
def without_phones(words: str | None) -> str | None: ...
def without_phones(words: str | None) -> str | None:
    """A text of others with whatever looks like a number or a secret masked; bounded, one line."""
    return None if words is None else text(words)
