"""One element of a request becomes a call or a recording, by the [map] and [recording] tables of a preset [pure].

`ValueError` names the place in the preset and the field in the request, never the value. The source's own words
(`status_overrides`, `directions`, `own_numbers`) come before the preset's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, TypeVar
from urllib.parse import quote

from callbridge.call import MAX_STARTED_AT, MAX_TEXT, MIN_STARTED_AT, Call, CallStatus, Direction
from callbridge.intake.providers.base import Finished, Recording, Source
from callbridge.intake.providers.fields import MAX_EXTENSION, cut_text, exact_text, identity, link, phone
from callbridge.intake.providers.numbers import is_one_of
from callbridge.presets import times
from callbridge.presets.conditions import holds
from callbridge.presets.expressions import Apply, Expression, Scope, written
from callbridge.presets.functions import as_text, bare_number, evaluate, is_short
from callbridge.presets.mapping import CallMap, DirectionRule, Duration, Link, Mapped, Moment, RecordingMap, Status

Tell = Callable[[str, object], None]
"""Hears of each field how it came out."""

T = TypeVar("T")

WORDS: Final = {
    word: direction
    for direction, words in {
        Direction.INBOUND: ("inbound", "in", "incoming", "received"),
        Direction.OUTBOUND: ("outbound", "out", "outgoing", "placed"),
        Direction.INTERNAL: ("internal", "local"),
    }.items()
    for word in words
}
"""What a direction rule without a table knows."""

_ADDRESSES: Final = ("tel:", "sip:", "sips:")


def finished(told: CallMap, scope: Scope, source: Source, now: float, event: str, body: bytes, tell: Tell) -> Finished:
    ref = identity(evaluate(told.ref, scope), _place("ref", told.ref))
    tell("ref", _heard(ref, told.ref))
    direction = _direction(told, scope, source)
    tell("direction", direction.value)
    called = told.phone.of(direction)
    number = phone(_number(called, scope), _place("phone", called))
    tell("phone", _heard(number or "hidden or absent", called))
    whom = told.extension.of(direction) if told.extension else None
    extension = exact_text(_number(whom, scope), _place("extension", whom), MAX_EXTENSION)
    tell("extension", _heard(extension, whom))
    talk = _seconds(told.duration, scope, "duration")
    answered = talk > 0 if told.answered is None else holds(told.answered, scope)
    duration = talk if answered else 0
    tell("duration", _heard(f"{duration} s" if answered else "0 s, not answered", _where(told.duration)))
    begun = _begun(told.started_at, scope, source, duration, "started_at")
    tell("started_at", _heard(begun, _first(told.started_at)))
    status = _status(told, scope, source, answered)
    tell("status", _heard(status.value, told.status.value))
    result = _optional(told.result, scope, "result", MAX_TEXT)
    tell("result", _heard(result, told.result))
    address, recording = _recording(told, scope)
    tell("link", _heard(address, _where(told.link)))
    tell("recording", _heard(recording, told.recording))
    call = Call(
        source=source.name,
        provider=source.provider,
        ref=ref,
        direction=direction,
        phone=number,
        duration=duration,
        started_at=int(now) - duration if begun is None else begun,
        status=status,
        dated=begun is not None and not told.unique,
        result=result,
        link=address,
        extension=extension,
    )
    return Finished(call, event, body, None if address else recording)


def recorded(
    told: RecordingMap, scope: Scope, source: Source, now: float, event: str, body: bytes, tell: Tell
) -> Recording:
    ref = identity(evaluate(told.ref, scope), _place("ref", told.ref))
    tell("ref", _heard(ref, told.ref))
    address, recording = _recording(told, scope)
    tell("link", _heard(address, _where(told.link)))
    tell("recording", _heard(recording, told.recording))
    if address is None and recording is None:
        raise ValueError(
            "link is an http or https URL" if told.link else f"{_place('recording', told.recording)} is missing"
        )
    begun = _begun(told.at, scope, source, 0, "at")
    tell("at", _heard(begun, _first(told.at)))
    at = int(now) if begun is None else begun
    if not MIN_STARTED_AT <= at < MAX_STARTED_AT:
        raise ValueError(f"{_place('at', _first(told.at))} is a time between the years 2000 and 2100")
    return Recording(ref, address, at, event, body, None if address else recording)


def _where(told: Duration | Link | None) -> Expression | None:
    return None if told is None else told.value


def _first(told: tuple[Moment, ...]) -> Expression | None:
    """All that is looked at for a point in time, as one list."""
    values = tuple(each.value for each in told)
    return Apply("first", values) if len(values) > 1 else values[0] if values else None


def _heard(value: object, expression: Expression | None) -> str | None:
    """For people: where it was looked for, and what was there."""
    if value is None:
        return f"{written(expression)} -> absent" if expression is not None else None
    return f"{written(expression)} -> {value}" if expression is not None else str(value)


def _place(name: str, expression: Expression | None) -> str:
    return f"{name} ({written(expression)})" if expression is not None else name


def _optional(expression: Expression | None, scope: Scope, name: str, limit: int) -> str | None:
    if expression is None:
        return None
    return cut_text(as_text(evaluate(expression, scope)), _place(name, expression), limit)


def _number(expression: Expression | None, scope: Scope) -> str | None:
    """A number or a person; out of its SIP or telephone address, where it is one."""
    found = as_text(evaluate(expression, scope)) if expression is not None else None
    return bare_number(found) if found and found.lower().lstrip("<").startswith(_ADDRESSES) else found


def _seconds(told: Duration | None, scope: Scope, name: str) -> int:
    if told is None:
        return 0
    value = evaluate(told.value, scope)
    if told.required and value is None:
        raise ValueError(f"{_place(name, told.value)} is missing")
    try:
        found = times.clock(value) if told.unit == "hms" else times.number(value)
    except ValueError as error:
        raise ValueError(f"{_place(name, told.value)} {error}") from None
    if (found or 0) < 0:
        raise ValueError(f"{_place(name, told.value)} is less than nothing")
    match told.unit:
        case "ms":
            return math.floor((found or 0) / 1_000)
        case "min":
            return math.floor((found or 0) * 60)
        case _:
            return math.floor(found or 0)


def _begun(told: tuple[Moment, ...], scope: Scope, source: Source, talk: int, name: str) -> int | None:
    found = (_moment(each, scope, source, talk, name) for each in told)
    return next((at for at in found if at is not None), None)


def _moment(told: Moment, scope: Scope, source: Source, talk: int, name: str) -> int | None:
    zone = {"source": source.timezone, "utc": "UTC"}.get(told.zone, told.zone)
    try:
        at = times.moment(evaluate(told.value, scope), told.format, zone)
    except ValueError as error:
        raise ValueError(f"{_place(name, told.value)}: {error}") from None
    if at is None:
        return None
    if told.of == "end":
        at -= _seconds(told.length, scope, "length") if told.length else talk
    return math.floor(at)


def _direction(told: CallMap, scope: Scope, source: Source) -> Direction:
    for rule in told.direction:
        if (found := _by_rule(rule, scope, source)) is not None:
            return found
    raise ValueError("direction cannot be told by any rule")


def _by_rule(rule: DirectionRule, scope: Scope, source: Source) -> Direction | None:
    if rule.condition is not None:
        return rule.then if holds(rule.condition, scope) else None
    if rule.numbers is not None:
        caller, called = (_is_ours(_number(each, scope) or "", source) for each in rule.numbers)
        if caller is called:
            return Direction.INTERNAL if caller else None
        return Direction.OUTBOUND if caller else Direction.INBOUND
    if rule.routes is not None:
        return by_prefix(source.directions, as_text(evaluate(rule.routes, scope)) or "")
    if rule.value is None:
        return rule.const
    word = as_text(evaluate(rule.value, scope)) or ""
    table = rule.table if rule.table or rule.prefix else WORDS
    return by_word(table, word) or by_prefix(rule.prefix, word)


def _is_ours(number: str, source: Source) -> bool:
    return is_short(number, source.internal_digits) or is_one_of(number, source.own_numbers)


def by_word(table: Mapping[str, T], word: str) -> T | None:
    wanted = word.strip().casefold()
    return next((meaning for each, meaning in table.items() if each.casefold() == wanted), None)


def by_prefix(table: Mapping[str, T], word: str) -> T | None:
    """The meaning of the longest beginning that fits."""
    wanted = word.strip().casefold()
    fitting = [each for each in table if wanted.startswith(each.casefold())]
    return table[max(fitting, key=len)] if fitting else None


def _status(told: CallMap, scope: Scope, source: Source, answered: bool) -> CallStatus:
    if told.voicemail is not None and holds(told.voicemail, scope):
        return CallStatus.VOICEMAIL
    if answered:
        return CallStatus.ANSWERED
    return _of_word(told.status, told.result, scope, source)


def _of_word(status: Status, result: Expression | None, scope: Scope, source: Source) -> CallStatus:
    expression = status.value if status.value is not None else result
    word = (as_text(evaluate(expression, scope)) if expression is not None else None) or ""
    if (override := source.status_overrides.get(word)) is not None:
        return override
    return by_word(status.table, word) or by_prefix(status.prefix, word) or status.default


def _recording(told: Mapped, scope: Scope) -> tuple[str | None, str | None]:
    """The address of a recording, and its file name or id."""
    address = link(as_text(_address(told.link, scope))) if told.link else None
    return address, _optional(told.recording, scope, "recording", 512)


def _address(told: Link, scope: Scope) -> str | None:
    if told.value is not None:
        return as_text(evaluate(told.value, scope))
    address = told.template or ""
    for name, expression in told.values.items():
        value = as_text(evaluate(expression, scope))
        if value is None:
            return None
        address = address.replace(f"{{{name}}}", quote(value.encode("utf-8", "replace"), safe=""))
    return address
