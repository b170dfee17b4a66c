"""Texts of others as a page shows them [pure]: webhooks, requests, answers, what a CRM said, without what may not be seen.

A body is shown field by field where it is JSON or a form, line by line where it is not. Secrets are hidden in any case; phone
numbers until somebody asked for them by name, which is in the audit. It errs on the side of hiding: a long number is taken
for a phone unless its field says that it is a time.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from callbridge.call import phone_tail
from callbridge.ops.masking import masked
from callbridge.redaction import HIDDEN, clean, text, without_secrets

MOST_INFLATED: Final = 1024 * 1024
"""Bytes of a kept body that are unpacked; what is kept is bounded, what it unpacks to is not."""

MOST_SHOWN: Final = 100_000
_MOST_LINES: Final = 2_000
_MOST_PAIRS: Final = 500
_MOST_PARSED: Final = 300_000

_FORM: Final = re.compile(r"[\w%.+\-\[\]*~]{1,200}=[^\s<>{}\"]*")
_NUMBER: Final = re.compile(
    r"\s*(?:(?:tel|sips?|callto):)?\+{0,2}[\d\s().,_*/\-\u2010-\u2015]{7,60}(?:;.*|@.*)?\s*", re.DOTALL
)
_NO_NUMBER: Final = re.compile(
    r"\s*(?:(?:19|20)\d\d[-./]\d\d?[-./]\d\d?(?:[T ].*)?|\d\d[./]\d\d[./](?:19|20)\d\d(?:[T ].*)?"
    r"|\d{1,3}(?:\.\d{1,3}){3})\s*",
    re.DOTALL,
)
_TIME_KEY: Final = re.compile(
    r"(?:time|date|stamp|uts|(?:^|_)(?:at|start|end|answer|begin|finish|since|until)|(?:start|creat|updat|end|answer)ed(?:_?at)?|At)$"
)
_SECONDS: Final = range(946_684_800, 4_102_444_800)
_INVISIBLE: Final = re.compile("(?<=\\d)[\xad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+(?=[\\d\\s()+-])")
_SPACE: Final = re.compile("[\u1680\u2000-\u200a\u202f\u205f\u3000]")
_TIED: Final = re.compile(r"(?<!\w)\+?\d+(?:_+\d+){2,}(?!\w)")
"""A number held together by what elsewhere holds names together."""

_SHORT: Final = re.compile(r"(?<![\w.:-])\d{3}[ -]\d\d[ -]\d\d(?![\w.:-])")
"""A number without its area: too short for what a log takes for one."""


@dataclass(frozen=True, slots=True)
class Veil:
    """`lifted`: numbers are shown."""

    lifted: bool = False

    def phone(self, number: str | None) -> str | None:
        return number if self.lifted else masked(number)

    def ref(self, ref: str | None, number: str | None) -> str | None:
        """The PBX's own id of a call: digits that look like a number, and are needed to find it there. It is left as it is
        where it does not hold the call's number.
        """
        tail = phone_tail(number or "")[-7:]
        apart = len(tail) == 7 and tail not in "".join(each for each in ref or "" if each.isdecimal())
        return without_secrets(ref) if apart and ref else self.line(ref)

    def line(self, words: str | None) -> str | None:
        """A text of others on one line."""
        return None if words is None else self._line(words)

    def body(self, raw: bytes) -> str:
        """What went over the wire, made readable."""
        words = raw.decode("utf-8", "replace")
        read = _parsed(words) if len(words) <= _MOST_PARSED else None
        if read is None:
            return _bounded("\n".join(self._line(line) for line in words.splitlines()[:_MOST_LINES]))
        return self.shown(read)

    def shown(self, read: Any) -> str:
        """Plain data, made readable."""
        return _bounded(json.dumps(self.value(read), ensure_ascii=False, indent=2))

    def packed(self, kept: bytes | None) -> str | None:
        """The same of a body as it is kept, deflated."""
        return None if kept is None else self.body(inflated(kept))

    def value(self, value: Any, key: str = "") -> Any:
        """Plain data with each of its parts as it may be seen."""
        if key and value and clean("x", key) == HIDDEN:
            return HIDDEN
        match value:
            case dict():
                return {self._line(str(name)): self.value(each, str(name)) for name, each in value.items()}
            case list():
                return [self.value(each, key) for each in value]
            case bool():
                return value
            case int():
                return value if self.lifted or _is_harmless(value, key) else masked(str(value))
            case str():
                return self._text(value, key)
            case _:
                return value

    def _text(self, value: str, key: str) -> Any:
        if value[:1] in {"{", "["} and (nested := _json(value)) is not None:
            return self.value(nested, key)
        if self.lifted:
            return without_secrets(value)
        seen = _INVISIBLE.sub("", value)
        if _NUMBER.fullmatch(seen) and not _NO_NUMBER.fullmatch(seen):
            digits = "".join(character for character in seen if character.isdecimal())
            if len(digits) >= 7 and not (digits == seen.strip() and _is_time(digits, key)):
                return masked(f"+{digits}" if seen.strip().startswith("+") else digits)
        return "\n".join(self._line(line) for line in value.splitlines()) if "\n" in value else self._line(value)

    def _line(self, words: str) -> str:
        if self.lifted:
            return without_secrets(words)
        seen = _SPACE.sub(" ", _INVISIBLE.sub("", words)).replace("%2B", "+").replace("%2b", "+")
        seen = _TIED.sub(lambda found: masked(found[0].replace("_", "")), seen)
        return text(_SHORT.sub(lambda found: masked(found[0]), seen))


def inflated(kept: bytes) -> bytes:
    """As much of a deflated body as is looked at; what is no deflated one is left as it is."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(kept, MOST_INFLATED)
    except zlib.error:
        return kept


def part_about(read: Any, mark: str) -> Any:
    """The part of a request or an answer that is about one call: the innermost member of a list in which `mark` stands as a
    value. None where there is none.
    """
    found: Any = None
    members = read if isinstance(read, list) else read.values() if isinstance(read, dict) else ()
    for member in members:
        if isinstance(member, dict | list):
            inner = part_about(member, mark)
            found = inner if inner is not None else member if isinstance(read, list) and _says(member, mark) else found
            if found is not None:
                return found
    return None


def readable(body: bytes) -> Any:
    """A JSON body, None for any other."""
    return _json(body.decode("utf-8", "replace")) if len(body) <= MOST_INFLATED else None


def _says(value: Any, mark: str) -> bool:
    if isinstance(value, dict):
        return any(_says(each, mark) for each in value.values())
    return any(_says(each, mark) for each in value) if isinstance(value, list) else value == mark


def _parsed(words: str) -> Any:
    """JSON, or the fields of a form; None for anything else."""
    found = _json(words)
    if found is not None or not _FORM.fullmatch(words.strip()):
        return found
    try:
        pairs = parse_qsl(words.strip(), keep_blank_values=True, max_num_fields=_MOST_PAIRS)
    except ValueError:
        return None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        before = fields.get(name)
        fields[name] = value if before is None else [*(before if isinstance(before, list) else [before]), value]
    return fields


def _json(words: str) -> Any:
    """An object or an array; a bare value says nothing by its form."""
    try:
        found = orjson.loads(words.encode("utf-8", "replace"))
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None


def _bounded(words: str) -> str:
    return words if len(words) <= MOST_SHOWN else f"{words[:MOST_SHOWN]}\n..."


def _is_harmless(value: int, key: str) -> bool:
    digits = str(abs(value))
    if clean(1_000_000, key) != 1_000_000:
        return False  # its field is a phone's
    return len(digits) < 10 or _is_time(digits, key)


def _is_time(digits: str, key: str) -> bool:
    if not _TIME_KEY.search(key) or len(digits) not in {10, 13, 16}:
        return False
    return int(digits[:10]) in _SECONDS
