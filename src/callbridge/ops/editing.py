"""What a person may correct in a dead call, read from what was typed [pure]: every field that does not fit is told, by name.

The rules are those of a `Call`, tried one field at a time, so that a form can say beside each what is wrong with it. What was
shown and is not changed is no change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, assert_never

from callbridge.amocrm.translate import translate
from callbridge.call import Call, CallStatus, Direction, plain_text
from callbridge.outcome import NotForCrm, Ready, Untranslatable

EDITABLE: Final = ("direction", "phone", "duration", "started_at", "status", "result", "link", "extension")
NEEDED: Final = ("direction", "phone", "duration", "started_at", "status")
"""What has to be told of a call where nothing could be read from its webhook."""

ProblemCode = Literal["unknown_field", "missing", "not_a_choice", "not_a_number", "not_a_time", "does_not_fit"]


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """`detail` is for people, in English, and does not repeat what was typed."""

    field: str
    code: ProblemCode
    detail: str


@dataclass(frozen=True, slots=True)
class Edited:
    """By field of `Call`, only what differs. `ignored` is why the call would still not go to the CRM, if so."""

    changes: Mapping[str, Any]
    ignored: str | None = None


@dataclass(frozen=True, slots=True)
class NotEdited:
    problems: tuple[FieldProblem, ...]


def edited(
    before: Call | None, typed: Mapping[str, Any], *, source: str = "", provider: str = ""
) -> Edited | NotEdited:
    """`before` is the call as it stands, its recording's link included; None where no call could be read. `typed` is text of
    a form, or JSON.
    """
    problems: list[FieldProblem] = []
    read: dict[str, Any] = {}
    for name, value in typed.items():
        if name not in EDITABLE:
            problems.append(FieldProblem(name[:64], "unknown_field", "that cannot be changed"))
            continue
        found = _read(name, value)
        if isinstance(found, FieldProblem):
            problems.append(found)
        else:
            read[name] = found
    if before is None:
        known = {problem.field for problem in problems}
        missing = [name for name in NEEDED if name not in read and name not in known]
        problems += [FieldProblem(name, "missing", "has to be told") for name in missing]
    changes = {name: value for name, value in read.items() if before is None or getattr(before, name) != value}
    base = before or _blank(source, provider)
    problems += [problem for name, value in changes.items() if (problem := _misfit(base, name, value))]
    if problems:
        return NotEdited(tuple(problems))
    return _judged(base, changes)


def _judged(base: Call, changes: Mapping[str, Any]) -> Edited | NotEdited:
    after = replace(base, **changes)
    if after.key != base.key and base.ref != _NO_REF:
        detail = "the day (UTC) is part of which call it is, and cannot be changed"
        return NotEdited((FieldProblem("started_at", "does_not_fit", detail),))
    match translate(after, {}):
        case Ready():
            return Edited(changes)
        case NotForCrm(reason):
            return Edited(changes, ignored=reason.value)
        case Untranslatable(problem):
            name = problem.partition(":")[0]
            field = _OURS.get(name, name)
            return NotEdited((FieldProblem(field, "does_not_fit", "cannot be put into the CRM's words"),))
        case unknown:
            assert_never(unknown)


_OURS: Final = {"created_at": "started_at", "call_status": "status", "call_result": "result"}
"""What the CRM calls some of our fields."""

_NO_REF: Final = "unread"


def _blank(source: str, provider: str) -> Call:
    """Stands for a call of which nothing is known, to try fields on."""
    return Call(
        source or "unknown",
        provider or "unknown",
        _NO_REF,
        Direction.INBOUND,
        "0",
        0,
        1_700_000_000,
        CallStatus.ANSWERED,
        dated=False,
    )


def _misfit(base: Call, name: str, value: Any) -> FieldProblem | None:
    try:
        replace(base, **{name: value})
    except ValueError as error:
        return FieldProblem(name, "does_not_fit", str(error))
    return None


def _read(name: str, value: Any) -> Any:
    """The value of a field, or what is wrong with it."""
    text = plain_text(value) if isinstance(value, str) else value
    match name:
        case "direction":
            return _choice(name, text, {direction.value: direction for direction in Direction})
        case "status":
            named = {status.value: status for status in CallStatus}
            return _choice(name, text, named | {str(status.number): status for status in CallStatus})
        case "duration":
            return _whole(name, text)
        case "started_at":
            return _moment(name, text)
        case "phone":
            return text if isinstance(text, str) else FieldProblem(name, "does_not_fit", "is text")
        case _:  # result, link, extension: an empty one is none
            if text is None or isinstance(text, str):
                return text or None
            return FieldProblem(name, "does_not_fit", "is text")


def _choice(name: str, value: Any, choices: Mapping[str, Any]) -> Any:
    found = choices.get(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    return found or FieldProblem(
        name, "not_a_choice", f"is one of {', '.join(key for key in choices if not key.isdigit())}"
    )


def _whole(name: str, value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 12:
        return int(value)
    return FieldProblem(name, "not_a_number", "is a whole number of seconds")


def _moment(name: str, value: Any) -> Any:
    """Unix seconds, or a date and time with its zone."""
    whole = _whole(name, value)
    if not isinstance(whole, FieldProblem):
        return whole
    wanted = "is a time with its zone, such as 2026-03-01T08:30:00+03:00, or Unix seconds"
    try:
        at = datetime.fromisoformat(value)
        return int(at.timestamp()) if at.tzinfo else FieldProblem(name, "not_a_time", wanted)
    except (ValueError, TypeError, OverflowError, OSError):
        return FieldProblem(name, "not_a_time", wanted)
