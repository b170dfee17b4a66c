"""Requests gone wrong: recorded webhooks with parts flipped, cut, repeated, swollen, swapped; the same for the same dice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from multidict import MultiDict

from callbridge.intake.providers.base import WebhookRequest

MAX_BODY: Final = 60_000

CONTENT_TYPES: Final = (
    "",
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
    "multipart/form-data; boundary=x",
    'multipart/form-data; boundary="',
    "text/plain; charset=utf-16",
    "text/plain; charset=no-such",
    "application/xml",
    "application/jwt",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
)

_PIECES: Final = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"%", b"%zz", b"%00", b"%ff", b"&", b"=", b"+", b";", b",", b".", b"[",
    b"]", b"{", b"}", b'"', b'""', b"\\", b"\\ud800", b"\\u0000", b"&a[b][c]=1", b"&a[]=1", b"&a[[=1", b"--x\r\n",
    "\u202e\u0663".encode(),
)  # fmt: skip
_NUMBERS: Final = (
    b"9" * 30,
    b"9" * 6_000,
    b"-1",
    b"0",
    b"1e999",
    b"1.5",
    b"NaN",
    b"-Infinity",
    b"99999999999",
    b"253402300800",
)
_VALUES: Final = (
    b"null",
    b"[]",
    b"{}",
    b"true",
    b"-0",
    b"1e400",
    b'""',
    b'" "',
    b'"\\ud83d"',
    b"[[[[]]]]",
    b'{"a":{"b":[]}}',
    b"17.10",
)

_SOUND: Final[tuple[Any, ...]] = (
    None, True, 0, -1, 1.5, 10**30, "", " ", "x", "0", "\0", [], {}, [[]], [None], {"a": {}}, ["x", 1],
)  # fmt: skip

_DIGITS: Final = re.compile(rb"[0-9]+")
_JSON_VALUE: Final = re.compile(rb'(?<=":)\s*(?:"(?:[^"\\]|\\.)*"|[^,}\]\s]+)')
_FORM_VALUE: Final = re.compile(rb"=[^&]*")


def mutated(request: WebhookRequest, others: Sequence[WebhookRequest], dice: Random) -> WebhookRequest:
    """`others` lend their bodies."""
    for _ in range(dice.randint(1, 3)):
        request = dice.choice(_CHANGES)(request, others, dice)
    return replace(request, body=request.body[:MAX_BODY])


def _body(change: Callable[[bytes, Random], bytes]) -> Callable[..., WebhookRequest]:
    def changed(request: WebhookRequest, _others: Sequence[WebhookRequest], dice: Random) -> WebhookRequest:
        return replace(request, body=change(request.body, dice))

    return changed


def _flip(octets: bytes, dice: Random) -> bytes:
    flipped = bytearray(octets)
    for _ in range(dice.choice((1, 1, 1, 20)) if octets else 0):
        flipped[dice.randrange(len(flipped))] ^= dice.randint(1, 255)
    return bytes(flipped)


def _cut(octets: bytes, dice: Random) -> bytes:
    start, end = sorted(dice.randint(0, len(octets)) for _ in range(2))
    return dice.choice((octets[:start], octets[start:], octets[:start] + octets[end:]))


def _insert(octets: bytes, dice: Random) -> bytes:
    place = dice.randint(0, len(octets))
    piece = dice.choice(_PIECES) if dice.random() < 0.8 else dice.randbytes(dice.randint(1, 30))
    return octets[:place] + piece * dice.choice((1, 1, 1, 500)) + octets[place:]


def _nest(octets: bytes, dice: Random) -> bytes:
    place = dice.randint(0, len(octets))
    depth, (opening, closing) = (
        dice.choice((3, 40, 5_000)),
        dice.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[a", b"]"))),
    )
    return octets[:place] + opening * depth + dice.choice((b"", b"1" + closing * depth)) + octets[place:]


def _repeat(octets: bytes, dice: Random) -> bytes:
    start, end = sorted(dice.randint(0, len(octets)) for _ in range(2))
    return octets[:end] + octets[start:end] * dice.choice((1, 2, 300)) + octets[end:]


def _swell(octets: bytes, dice: Random) -> bytes:
    return _replaced(_DIGITS, octets, dice.choice(_NUMBERS), dice)


def _retype(octets: bytes, dice: Random) -> bytes:
    octets = _replaced(_JSON_VALUE, octets, dice.choice(_VALUES), dice)
    return _replaced(_FORM_VALUE, octets, b"=" + quote(dice.choice((*_VALUES, *_NUMBERS, b""))).encode(), dice)


def _rebuild(octets: bytes, dice: Random) -> bytes:
    """JSON that is sound still, with something else in one place of it; also inside a field of a form, or inside a string."""
    try:
        return json.dumps(_exchanged(json.loads(octets), dice)).encode()
    except (ValueError, RecursionError):
        fields = parse_qsl(octets.decode("utf-8", "replace"), keep_blank_values=True)
    if not fields:
        return octets
    place = dice.randrange(len(fields))
    name, value = fields[place]
    fields[place] = (name, _exchanged(value, dice) if value[:1] in {"{", "["} else dice.choice(_VALUES).decode())
    return urlencode([(name, str(value)) for name, value in fields], errors="replace").encode()


def _exchanged(value: Any, dice: Random) -> Any:
    """`value` with another one in one place of it, as often in place of an object or array as of what is in them."""
    places = list(_places(value, ()))
    containers = [path for path, inner in places if isinstance(inner, dict | list)]
    path = dice.choice(containers if containers and dice.random() < 0.5 else [path for path, _ in places])
    return _with(value, path, dice)


def _places(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    yield path, value
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from _places(value[key], (*path, key))


def _with(value: Any, path: tuple[Any, ...], dice: Random) -> Any:
    if path:
        changed = value.copy()
        if len(path) == 1 and dice.random() < 0.15:
            del changed[path[0]]
        else:
            changed[path[0]] = _with(value[path[0]], path[1:], dice)
        return changed
    if isinstance(value, str) and value[:1] in {"{", "["} and dice.random() < 0.8:
        with suppress(ValueError, RecursionError):
            return json.dumps(_exchanged(json.loads(value), dice))
    return dice.choice(_SOUND)


def _replaced(pattern: re.Pattern[bytes], octets: bytes, by: bytes, dice: Random) -> bytes:
    found = list(pattern.finditer(octets))
    if not found:
        return octets
    one = dice.choice(found)
    return octets[: one.start()] + by + octets[one.end() :]


def _of_another(request: WebhookRequest, others: Sequence[WebhookRequest], dice: Random) -> WebhookRequest:
    return replace(request, body=dice.choice(others).body)


def _other_type(request: WebhookRequest, _others: Sequence[WebhookRequest], dice: Random) -> WebhookRequest:
    return replace(request, headers=dict(request.headers) | {"content-type": dice.choice(CONTENT_TYPES)})


def _other_method(request: WebhookRequest, _others: Sequence[WebhookRequest], dice: Random) -> WebhookRequest:
    return replace(request, method=dice.choice(("GET", "POST", "OPTIONS")))


def _other_path(request: WebhookRequest, _others: Sequence[WebhookRequest], dice: Random) -> WebhookRequest:
    path = dice.choice((request.path[:-1], (*request.path, "events", "summary"), ("\u202e", "%00", "x" * 300)))
    return replace(request, path=path)


def _other_query(request: WebhookRequest, _others: Sequence[WebhookRequest], dice: Random) -> WebhookRequest:
    """Also moves the body's fields there, as a PBX does that is set to GET."""
    before = request.body if dice.random() < 0.3 else request.target.partition("?")[2].encode()
    query = dice.choice((_flip, _cut, _insert, _repeat, _swell, _retype))(before[:4_000], dice)[:4_000]
    written = quote(query, safe="%&=+[]")[:4_000]  # a request line is at most 8,190 bytes
    pairs = parse_qsl(written, keep_blank_values=True)
    return replace(request, query=MultiDict(pairs), target=f"{request.target.partition('?')[0]}?{written}")


def _other_header(request: WebhookRequest, _others: Sequence[WebhookRequest], dice: Random) -> WebhookRequest:
    if not request.headers:
        return request
    name = dice.choice(sorted(request.headers))
    value = dice.choice((_flip, _cut, _insert, _swell))(request.headers[name].encode("utf-8", "surrogateescape"), dice)
    text = value[:2_000].decode("utf-8", "surrogateescape")  # as aiohttp hands on bytes that are no UTF-8
    return replace(request, headers=dict(request.headers) | {name: text})


_CHANGES: Final[tuple[Callable[..., WebhookRequest], ...]] = (
    *map(_body, (_flip, _flip, _cut, _insert, _nest, _repeat, _swell, _retype, _retype, _rebuild, _rebuild, _rebuild)),
    _of_another,
    _other_type,
    _other_method,
    _other_path,
    _other_query,
    _other_header,
)
