"""What may not stand in a log: secrets by the name of their field, secrets and phone numbers by their shape [pure].

`clean` makes any value safe to write: plain data, bounded, one line, no secret, phone numbers masked to their last four
digits. It errs on the side of hiding. What must stay readable is spared by shape: our ids (base32 with a digit in front),
`uniq` and other mixtures of letters and digits, dates, addresses of hosts. Numbers that are numbers are no phone numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final

HIDDEN: Final = "***"
_MAX_TEXT, _MAX_ITEMS, _MAX_DEPTH = 2_000, 100, 6
_MAX_CAUSES, _MAX_FRAMES = 3, 12

_SECRET_KEY: Final = re.compile(
    r"token|secret|passw|authoriz|cookie|credential|api[_-]?key|salt|(?:^|[_-])(?:sign|sig|signature|jwt)(?:$|[_-])",
    re.IGNORECASE,
)
_PHONE_KEY: Final = re.compile(r"phone|(?:^|_)(?:number|caller|callee|msisdn)s?$", re.IGNORECASE)

_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
"""Control, line-separating, direction-changing and invisible characters, lone surrogates: shown as escapes."""

_SECRETS: Final = (
    (("bearer", "basic"), re.compile(r"\b(bearer|basic)\s+[\w.~+/=:-]+", re.IGNORECASE), rf"\1 {HIDDEN}"),
    (("whsec_",), re.compile(r"whsec_[\w+/=-]+", re.IGNORECASE), HIDDEN),
    (("eyj",), re.compile(r"\beyJ[\w-]{4,}(?:\.[\w-]*){1,2}"), HIDDEN),
    (("@",), re.compile(r"(//)[^/\s@]*@"), rf"\1{HIDDEN}@"),
    (("/hooks/",), re.compile(r"(/hooks/[^/\s?]+/)(?!events(?:/|\b))[^/\s?\"']+"), rf"\1{HIDDEN}"),
    (
        ("=", ":"),
        re.compile(
            r"((?:(?:token|secret|passw(?:or)?d|authorization|cookie|api[_-]?key|salt"
            r"|(?<![a-z])(?:sign|sig|signature))[\"']?\s*[=:]\s*(?:b?[\"'])?"
            # A consent's code is long and has digits; an error's code is a word, and the most useful one.
            r"|(?<![a-z])code[\"']?\s*[=:]\s*(?:b?[\"'])?(?![a-z_]{2,40}(?:[\"'&,;}\s]|$))))[^\s\"'&,;}]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
)
"""What marks the text that may hold it (lower case), its shape, and what is shown instead."""

_MAYBE_PHONE: Final = re.compile(r"\d[^a-zA-Z_]{7}")
"""A quick look that most text fails: `_PHONE` cannot match where this does not."""

_PHONE: Final = re.compile(
    r"""(?P<spared>
          [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}             # UUID
        | \b[12](?=\d*[a-z])[0-9a-hjkmnp-tv-z]{15}\b                               # our id: time, then digest
        | -(?=[2-7]*[a-z])[a-z2-7]{24}\b                                           # uniq, after its source
        | \b(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T ][0-2]\d:\d\d(?::\d\d(?:\.\d+)?)?)?(?!\d)  # date and time
        | (?<![\d.])(?:(?:2[0-5]|1?\d)?\d(?:\.|(?![\d.]))){4}                    # IPv4 address
        )
      | (?<![^\W_])(?:[^\W\d_]+)?                  # a word may stand right before it (tel7916...), a mixture may not
        (?P<number>\+?\d(?:[ \xa0().\-\u2010-\u2015/]{0,3}\d){7,})
        (?=[^\W\d_]*(?:[\W_]|$))                   # and right behind it
    """,
    re.VERBOSE,
)


_KNOWN_LENGTH: Final = 24


def clean(value: Any, key: str = "", depth: int = 0) -> Any:
    """`value` as plain data that JSON can hold and a log may show. What is no plain data is shown as its type only."""
    if value is None or value is True or value is False:
        return value
    if key and (hide := _hidden(key)):
        if hide == "secret":
            return HIDDEN
        if isinstance(value, str) or (isinstance(value, int) and 100_000 <= value < 1 << 63):
            return _masked(str(value))
    kind = type(value)
    if kind is str:
        return _known_text(value) if len(value) <= _KNOWN_LENGTH else text(value)
    if kind is int:
        return value if -(1 << 63) <= value < (1 << 63) else "(huge number)"
    return value if kind is float else _plain(value, key, depth)


@lru_cache(maxsize=2_048)
def _known_text(value: str) -> str:
    """Most short texts in a log are the same few names again and again."""
    return text(value)


def _plain(value: Any, key: str, depth: int) -> Any:
    match value:
        case Enum():
            return clean(value.value, "", depth)
        case BaseException():
            return exception(value)
        case str() | PurePath():
            return text(str(value))
        case int() | float():
            return clean(int(value) if isinstance(value, int) else float(value))
        case bytes() | bytearray() | memoryview():
            return f"({len(value)} bytes)"
        case Mapping() | list() | tuple() | set() | frozenset():
            return _each(value, key, depth)
        case _:
            return f"({type(value).__qualname__})"


def text(value: str) -> str:
    """One bounded line without secrets, phone numbers and characters that break a line, a terminal or an encoder."""
    if len(value) > _MAX_TEXT:
        value = f"{value[:_MAX_TEXT]}... ({len(value)} characters)"
    # Before anything is escaped: the last letter of an escape would pass for the beginning of a word with digits in it.
    if _MAYBE_PHONE.search(value):
        value = _PHONE.sub(_without_number, value)
    if not (value.isascii() and value.isprintable()):
        value = _UNSAFE.sub(_escaped, value)
    return value if value.isalnum() else without_secrets(value)


def without_secrets(value: str) -> str:
    """A text as it is, but for what looks like a secret."""
    lower = value.lower()
    for marks, pattern, replacement in _SECRETS:
        for mark in marks:
            if mark in lower:
                value = pattern.sub(replacement, value)
                break
    return value


def exception(error: BaseException, secrets: Sequence[str] = ()) -> dict[str, Any]:
    """Class, message and the places it came through; never the values of variables."""
    told: dict[str, Any] = {"type": type(error).__qualname__, "message": text(without(secrets, _message(error)))}
    told["trace"] = _trace(error)
    causes: list[str] = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < _MAX_CAUSES:
        causes.append(f"{type(cause).__qualname__}: {text(without(secrets, _message(cause)))}")
        cause = cause.__cause__ or cause.__context__
    return told | {"causes": causes} if causes else told


def without(secrets: Sequence[str], words: str) -> str:
    """`words` of others without these exact values, the longest first: a secret may stand in them in any shape."""
    for secret in secrets:
        if secret in words:
            words = words.replace(secret, HIDDEN)
    return words


def _each(value: Any, key: str, depth: int) -> Any:
    if depth >= _MAX_DEPTH:
        return "(nested too deeply)"
    if isinstance(value, Mapping):
        pairs = list(value.items())[:_MAX_ITEMS]
        return {(name := str(clean(k))): clean(v, k if isinstance(k, str) else name, depth + 1) for k, v in pairs}
    kept = [clean(item, key, depth + 1) for item in list(value)[:_MAX_ITEMS]]
    return kept if len(value) <= _MAX_ITEMS else [*kept, f"(and {len(value) - _MAX_ITEMS} more)"]


@lru_cache(maxsize=2_048)
def _hidden(key: str) -> str:
    return "secret" if _SECRET_KEY.search(key) else "phone" if _PHONE_KEY.search(key) else ""


def _masked(number: str) -> str:
    digits = "".join(c for c in number if c.isdecimal())
    return f"{HIDDEN}{digits[-4:] if len(digits) > 4 else ''}" if digits else text(number)


def _without_number(match: re.Match[str]) -> str:
    number = match["number"]
    if number is None:
        return match[0]
    return match[0].replace(number, _masked(number))


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not break the log
        return "(no message)"


def _trace(error: BaseException) -> list[str]:
    frames: list[str] = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frames.append(f"{'/'.join(PurePath(code.co_filename).parts[-2:])}:{step.tb_lineno} {code.co_name}")
        step = step.tb_next
    return frames[-_MAX_FRAMES:]
