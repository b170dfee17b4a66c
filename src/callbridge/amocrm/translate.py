"""A call in amoCRM's words [pure], or why it has none.

The same call gives the same bytes, always: a repeat after a crash must be recognisable by its `uniq`. Of the CRM it
knows the item's fields and the one rule by which a card is found: the last ten digits of a phone. Which user an
extension belongs to is told by the caller.

`updated_at` and `updated_by` stay out. Nothing was updated yet, the server sets the time itself, and the read-back
finds fresh notes by that time: a value from the call's start would hide the note from it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from callbridge.amocrm.schema import CallItem
from callbridge.call import Call, Direction
from callbridge.outcome import NotForCrm, Ready, Reason, Translation, Untranslatable

SHORTEST_NUMBER: Final = 5
"""Digits. Below it a number is an extension, a short code or a service, and no contact's phone."""

KEYPAD_WORDS: Final = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})
"""ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN, UNAVAILABLE typed on a keypad, as Twilio and its kin write a hidden caller.
None is a possible number behind its `+`; without it 7378742833 is somebody in Texas."""

_ADDRESS = re.compile(r"<([^<>]*)>")
_SCHEME = re.compile(r"\s*(?:tel|sips?|callto):(?://)?", re.IGNORECASE)
_OPTIONAL_TRUNK = re.compile(r"^(\s*\+\s*[0-9]{1,3}\s*)\(0\)")
_SPACING = frozenset(" ()-./\u2010\u2011\u2012\u2013\u2014\u2212")


def translate(call: Call, users: Mapping[str, int]) -> Translation:
    """`users` maps the extensions of the call's source, as `by_extension` has them, to amoCRM user ids."""
    if call.direction is Direction.INTERNAL:
        return NotForCrm(Reason.INTERNAL_CALL)
    phone = dialable(call.phone)
    digits = phone.removeprefix("+")
    if not digits.strip("0") or phone in KEYPAD_WORDS:
        return NotForCrm(Reason.HIDDEN_NUMBER)
    if len(digits) < SHORTEST_NUMBER:
        return NotForCrm(Reason.SHORT_NUMBER)
    try:
        return Ready(call.uniq, _item(call, phone, users).to_json())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        return Untranslatable(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    except (ValueError, TypeError) as error:  # TypeError is how orjson refuses text that is not Unicode
        return Untranslatable(type(error).__name__)


def _item(call: Call, phone: str, users: Mapping[str, int]) -> CallItem:
    user = None if call.extension is None else users.get(extension_key(call.extension))
    return CallItem(
        direction="inbound" if call.direction is Direction.INBOUND else "outbound",
        phone=phone,
        duration=call.duration,
        source=call.source,
        uniq=call.uniq,
        request_id=call.uniq,
        call_status=call.status.number,
        call_result=call.result,
        link=call.link,
        created_at=call.started_at,
        responsible_user_id=user,
        call_responsible=user,
        created_by=user,
    )


def extension_key(written: str) -> str:
    """What two spellings of one extension, login or e-mail share."""
    return " ".join(written.split()).casefold()


def by_extension(users: Mapping[str, int]) -> dict[str, int]:
    """A source's map of extensions as people wrote it, ready for `translate`."""
    return {extension_key(extension): user for extension, user in users.items()}


def dialable(written: str) -> str:
    """ASCII digits, after a `+` where the number began with one; "" where nothing can be dialled.

    Takes what PBXs write: `tel:` and `sip:` addresses, display names, brackets and dashes, digits of other scripts.
    What follows the subscriber's number (an extension, tones after the answer) goes: it would push the last ten digits
    out.
    """
    text = unicodedata.normalize("NFKC", written)
    if address := _ADDRESS.search(text):
        text = address[1]
    if scheme := _SCHEME.match(text):
        text = text[scheme.end() :]
    text = text.split("@", 1)[0]
    text = _OPTIONAL_TRUNK.sub(r"\1", text)
    digits, plus = "", ""
    for character in text:
        value = unicodedata.decimal(character, None)
        if value is not None:
            digits += str(value)
        elif character == "+" and not digits:
            plus = "+"
        elif len(digits) >= SHORTEST_NUMBER and character not in _SPACING:
            break  # `;ext=12`, `,,12`, `#12`, `x12`, `доб. 12`
    return plus + digits if digits else ""
