"""The closed list of functions in expressions, and how an expression gets its value [pure].

| function                   | value                                                                                  |
|----------------------------|----------------------------------------------------------------------------------------|
| first(a, b, ...)           | the first that is present; a list in the file is the same                              |
| lower(x)  trim(x)          | in lower case; without blanks at its ends                                              |
| digits(x)                  | its digits only                                                                        |
| strip(x)                   | without tel: sip: sips:, @host, ;parameters and <>                                     |
| short(x)                   | x if it is an internal number (at most the source's internal_digits digits)             |
| long(x)                    | x if it is not                                                                         |
| split(x, 'marks', n)       | piece n (from 0; -1 the last) of x, cut at any of the marks                            |
| join('between', a, b, ...) | those that are present, with the text between them                                     |
| sha256(a, b, ...)          | hex digest of all with | between them, absent ones empty: an id where the PBX gives none |
| sub(a, b)                  | a - b, both numbers                                                                    |
| hms(x)                     | seconds of hh:mm:ss or mm:ss                                                           |
| seconds_between(a, b)      | seconds from the time a to the time b, each in any format that `auto` reads             |
| if_present(a, x)           | x if a is present                                                                      |
| hmac_sha256(x)             | hex HMAC of x with the secret; only in the reply of a signed handshake                  |

A function of something absent is absent. `ValueError` names the place of a value that is not what it should be.
"""

from __future__ import annotations

import hashlib
import hmac

from callbridge.presets import times
from callbridge.presets.expressions import (
    MAX_VALUE,
    Apply,
    Const,
    Expression,
    Json,
    Path,
    Scalar,
    Scope,
    lookup,
)


def evaluate(expression: Expression, scope: Scope) -> Scalar | None:
    """The value; None where it is absent. `ValueError` names the place."""
    match expression:
        case Const(value):
            return value
        case Path():
            return _scalar(lookup(expression, scope), expression.written)
        case Apply():
            return _apply(expression, scope)


def is_present(expression: Expression, scope: Scope) -> bool:
    """Whether there is anything; an object or array counts unless it is empty."""
    if isinstance(expression, Path):
        found = lookup(expression, scope)
        if isinstance(found, dict | list):
            return bool(found)
    return evaluate(expression, scope) is not None


def as_text(value: Scalar | None) -> str | None:
    """A value as its digits or words; true and false as these words."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def bare_number(text: str) -> str:
    """A telephone number out of a tel: or sip: address, with or without a name and angle brackets."""
    bare = text.strip()
    if bare.endswith(">") and "<" in bare:
        bare = bare[bare.rindex("<") + 1 : -1]
    scheme, colon, rest = bare.partition(":")
    if colon and scheme.lower() in {"tel", "sip", "sips"}:
        bare = rest
    return bare.split("@", 1)[0].split(";", 1)[0].strip()


def is_short(text: str, most: int) -> bool:
    """Whether it is an internal number: digits only, and few."""
    return text.isascii() and text.isdigit() and len(text) <= most


def _scalar(value: Json, place: str) -> Scalar | None:
    match value:
        case None:
            return None
        case str():
            if len(value) > MAX_VALUE:
                raise ValueError(f"{place} is at most {MAX_VALUE} characters")
            return value if value.strip() else None
        case list() | dict():
            if value:  # PHP writes an empty object as []
                raise ValueError(f"{place} is text or a number")
            return None
        case _:
            return value


def _apply(expression: Apply, scope: Scope) -> Scalar | None:
    name, arguments = expression.function, expression.arguments
    match name:
        case "first":
            return next((found for each in arguments if (found := evaluate(each, scope)) is not None), None)
        case "join":
            between, *rest = (as_text(evaluate(each, scope)) for each in arguments)
            return (between or "").join(part for part in rest if part)[:MAX_VALUE] or None
        case "sha256":
            parts = [as_text(evaluate(each, scope)) for each in arguments]
            told = "|".join(part or "" for part in parts).encode("utf-8", "replace")
            return hashlib.sha256(told).hexdigest() if any(parts) else None
        case "if_present":
            return evaluate(arguments[1], scope) if is_present(arguments[0], scope) else None
        case "sub" | "seconds_between":
            return _difference(name, arguments, scope)
        case _:
            value = evaluate(arguments[0], scope)
            return None if value is None else _of_one(name, value, arguments, scope)


def _difference(name: str, arguments: tuple[Expression, ...], scope: Scope) -> float | None:
    found: list[float] = []
    for each in arguments:
        value = evaluate(each, scope)
        try:
            at = times.number(value) if name == "sub" else times.moment(value, "auto", scope.timezone)
        except ValueError as error:
            raise ValueError(f"{place_of(each)} {error}") from None
        if at is None:
            return None
        found.append(at)
    return found[0] - found[1] if name == "sub" else found[1] - found[0]


def _of_one(name: str, value: Scalar, arguments: tuple[Expression, ...], scope: Scope) -> Scalar | None:
    text = as_text(value) or ""
    match name:
        case "lower":
            return text.lower()
        case "trim":
            return text.strip() or None
        case "digits":
            return "".join(c for c in text if c in "0123456789") or None
        case "strip":
            return bare_number(text) or None
        case "short" | "long":
            return text if is_short(text.strip(), scope.internal_digits) is (name == "short") else None
        case "split":
            return _piece(text, arguments)
        case "hms":
            return _clock(value, arguments[0])
        case _:  # hmac_sha256; the model lets it stand only where the secret is there
            if scope.secret is None:
                raise ValueError("there is no secret to answer with")
            return hmac.digest(_bytes(scope.secret), _bytes(text), "sha256").hex()


def _clock(value: Scalar, told: Expression) -> float | None:
    try:
        return times.clock(value)
    except ValueError as error:
        raise ValueError(f"{place_of(told)} {error}") from None


def _piece(text: str, arguments: tuple[Expression, ...]) -> str | None:
    marks, index = arguments[1], arguments[2]
    assert isinstance(marks, Const) and isinstance(index, Const)  # noqa: S101, PT018 - for the type checker: `check_arguments` saw to it
    for mark in marks.value[1:]:
        text = text.replace(mark, marks.value[0])
    pieces, at = text.split(marks.value[0]), int(index.value)
    return (pieces[at].strip() or None) if -len(pieces) <= at < len(pieces) else None


def place_of(expression: Expression) -> str:
    """The first field that an expression is about, for messages."""
    match expression:
        case Path():
            return expression.written
        case Const():
            return "a literal"
        case Apply(_, arguments):
            return next((place_of(each) for each in arguments if not isinstance(each, Const)), expression.function)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
