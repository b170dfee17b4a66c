"""JSON and form bodies under limits [pure]: what a sender wrote becomes plain values, or `Undecodable` with the cause.

Apart from the providers because the limits are the same for all. It knows nothing of calls. No input makes it raise
anything else, recurse deeply or take long, and no cause repeats what was sent.

Two ways to the same value: orjson reads what cheap counts of bytes show to keep every limit, the standard library's
scanner with a hook at each number and object reads everything else. The first is a subset of the second (property-tested);
it is there because reading is a fifth of what accepting a webhook costs.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

import orjson

from callbridge.errors import Undecodable

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_DEPTH, MAX_VALUES, MAX_NUMBER, MAX_STRING = 32, 1_000, 20, 8_192
"""Levels of nesting; values, containers included; characters of a number; characters of a string."""

MAX_FIELDS: Final = 200
"""Fields of a form."""

_STRUCTURE: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{},]', re.DOTALL)
"""Strings, closed or not, and the marks between values. The optional last quote keeps it linear."""

_HALF_PAIR: Final = re.compile("[\ud800-\udfff]")
"""JSON can spell half a surrogate pair. No encoder takes it, so it would fail much later."""

_DIGITS: Final = bytes(ord("0") if chr(byte) in "0123456789+-.eE" else ord("x") for byte in range(256))
_LONG_NUMBER: Final = b"0" * 19
"""Up to 18 digits fit 64 bits whatever they are: beyond them orjson would make a float of a whole number."""


def decode_json(body: bytes, values: int = MAX_VALUES, string: int = MAX_STRING) -> Json:
    """The JSON value of `body`, of at most `values` values and with strings of at most `string` characters: a PBX that says
    everything it knows needs more of both.
    """
    if _is_plain(body, min(values, MAX_VALUES)):
        try:
            value: Json = orjson.loads(body)
        except orjson.JSONDecodeError:  # or half a surrogate pair, which we forgive
            return _decode_carefully(body, values, string)
        if _members(value) == body.count(b":") - body.count(b"://"):
            return value
    return _decode_carefully(body, values, string)


def _is_plain(body: bytes, values: int) -> bool:
    """Whether counts of bytes, which can only be too high, already keep every limit that orjson does not know."""
    openings = body.count(b"{") + body.count(b"[")
    return (
        len(body) <= MAX_STRING
        and openings <= MAX_DEPTH
        and openings + body.count(b",") < values
        and _LONG_NUMBER not in body.translate(_DIGITS)
    )


def _members(value: Json) -> int:
    """Members of all objects. Each has a colon of its own in the text, never one before `//`; so if no more colons were
    written than members came out, none was overwritten by another of the same name.
    """
    if type(value) is dict:
        count, inner = len(value), list(value.values())
    elif type(value) is list:
        count, inner = 0, value
    else:
        return 0
    for child in inner:
        if type(child) is dict or type(child) is list:
            count += _members(child)
    return count


def _decode_carefully(body: bytes, values: int = MAX_VALUES, string: int = MAX_STRING) -> Json:
    text = _text(body)
    _measure(body, values)
    reader = _READER if string == MAX_STRING else _Reader(string)
    try:
        value: Json = reader.decode(text)
    except json.JSONDecodeError as error:
        raise Undecodable(f"is not JSON, at character {error.pos}") from None
    return value


def _text(body: bytes) -> str:
    if not body.strip(b" \t\r\n"):
        raise Undecodable("is empty")
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in body[:4]:
        raise Undecodable("is UTF-16 or UTF-32; JSON is sent as UTF-8")
    if body.startswith(codecs.BOM_UTF8):
        raise Undecodable("begins with a byte order mark")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Undecodable(f"is not UTF-8, at byte {error.start}") from None


def _measure(body: bytes, most: int) -> None:
    """Refuses what would recurse too deep or be too many values, before anything is built."""
    if body.count(b"{") + body.count(b"[") + body.count(b",") < MAX_DEPTH:
        return
    depth, values = 0, 1
    for token in _STRUCTURE.finditer(body):
        match body[token.start()]:
            case 0x5B | 0x7B:
                depth, values = depth + 1, values + 1
            case 0x5D | 0x7D:
                depth -= 1
            case 0x2C:
                values += 1
            case _:  # a string
                pass
        if depth > MAX_DEPTH:
            raise Undecodable(f"is nested deeper than {MAX_DEPTH} levels")
        if values > most:
            raise Undecodable(f"holds more than {most} values")


def _integer(digits: str) -> int:
    return int(_number(digits))


def _decimal(digits: str) -> float:
    value = float(_number(digits))
    if not math.isfinite(value):
        raise Undecodable("has a number that is too large")
    return value


def _number(digits: str) -> str:
    if len(digits) > MAX_NUMBER:
        raise Undecodable(f"has a number of more than {MAX_NUMBER} characters")
    return digits


def _constant(_name: str) -> float:
    raise Undecodable("has NaN or Infinity for a number")


class _Reader(json.JSONDecoder):
    """The scanner with our hooks; a bare string or array at the top passes no object hook."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        super().__init__(
            object_pairs_hook=self._object,
            parse_int=_integer,
            parse_float=_decimal,
            parse_constant=_constant,
            strict=True,
        )

    def decode(self, s: str, *args: Any) -> Any:
        return self._value(super().decode(s, *args))

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Json]:
        members = {self._string(name): self._value(value) for name, value in pairs}
        if len(members) != len(pairs):
            raise Undecodable("has an object with the same name twice")
        return members

    def _value(self, value: Any) -> Any:
        """Strings inside an object or array, cleaned; arrays have no hook of their own, and objects have been here before."""
        if isinstance(value, str):
            return self._string(value)
        return [self._value(item) for item in value] if isinstance(value, list) else value

    def _string(self, text: str) -> str:
        if len(text) > self._longest:
            raise Undecodable(f"has a string of more than {self._longest} characters")
        return text if text.isascii() else _HALF_PAIR.sub("\ufffd", text)


_READER: Final = _Reader(MAX_STRING)


def split_array(body: bytes) -> list[bytes] | None:
    """The elements of a JSON array as they were written, unread; None where the body is no array.

    One element that cannot be read must not take its neighbours along. Commas without an element after them are
    forgiven: shell loops write them.
    """
    trimmed = body.strip(b" \t\r\n")
    if not trimmed.startswith(b"["):
        return None
    elements, depth, start = [], 0, 1
    for token in _STRUCTURE.finditer(trimmed):
        match trimmed[token.start()]:
            case 0x5B | 0x7B:
                depth += 1
            case 0x5D | 0x7D:
                depth -= 1
            case 0x2C if depth == 1:
                elements.append(trimmed[start : token.start()])
                start = token.end()
            case _:  # a string, or a comma further in
                pass
        if depth == 0:
            if token.end() != len(trimmed):
                raise Undecodable("is not JSON: something follows the array")
            elements.append(trimmed[start : token.start()])
            return [kept for element in elements if (kept := element.strip(b" \t\r\n"))]
    raise Undecodable("is not JSON: the array does not end")


def decode_form(body: bytes, most: int = MAX_FIELDS) -> dict[str, bytes]:
    """The fields of an `application/x-www-form-urlencoded` body, decoded but still bytes: signatures cover bytes. `most` of
    them, for a PBX that writes whole trees into one form.

    A field that is given twice is refused, because sender and receiver might mean different ones.
    """
    if body.count(b"&") >= most:
        raise Undecodable(f"has more than {most} fields")
    fields: dict[str, bytes] = {}
    for part in body.split(b"&"):
        if not part:
            continue
        name, _, value = part.partition(b"=")
        key = unquote_to_bytes(name.replace(b"+", b" ")).decode("utf-8", "replace")
        if key in fields:
            raise Undecodable("has a field twice")
        fields[key] = unquote_to_bytes(value.replace(b"+", b" "))
    return fields
