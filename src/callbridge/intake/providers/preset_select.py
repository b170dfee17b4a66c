"""Which event a request is, and which elements it has, by the [select] table of a preset [pure]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from callbridge.call import plain_text
from callbridge.errors import Undecodable
from callbridge.intake.decode import Json
from callbridge.presets.conditions import Condition, holds
from callbridge.presets.expressions import Apply, Expression, Path, Scope, lookup
from callbridge.presets.functions import as_text, evaluate
from callbridge.presets.model import MAX_EACH, Select

Kind = Literal["finished", "recording", "ignored"]

NO_ELEMENTS: Final = "has no array where select.each says"


def name_of(select: Select, scope: Scope) -> str:
    """What the PBX calls the event; "" where it does not say."""
    try:
        told = as_text(evaluate(select.by, scope)) if select.by is not None else None
    except ValueError:
        told = None
    return plain_text(told or "")


def label(select: Select, scope: Scope, otherwise: str) -> str:
    return name_of(select, scope) or otherwise


def kind_of(select: Select, scope: Scope) -> tuple[Kind, str]:
    """What to do with an element, and by which rule. `ValueError` from a condition."""
    name = name_of(select, scope)
    for place, condition in enumerate(select.skip_if):
        if holds(condition, scope):
            return "ignored", f"skip_if[{place}]"
    if _is_named(select, select.ignore, name):
        return "ignored", "ignore"
    if _is_named(select, select.recording, name):
        return "recording", "recording"
    if (held := _held(select.recording_if, scope)) is not None:
        return "recording", f"recording_if[{held}]"
    if _is_named(select, select.finished, name):
        return "finished", "finished"
    if (held := _held(select.finished_if, scope)) is not None:
        return "finished", f"finished_if[{held}]"
    if not (select.finished or select.finished_if):
        return "finished", "every event"
    return "ignored", "no rule"


def elements(select: Select, scope: Scope) -> list[Json] | None:
    """The elements; None where there is no array. Raises `Undecodable`."""
    if select.each is None:
        if not isinstance(scope.root, dict):
            raise Undecodable("is not an object")
        return [scope.root]
    found = _container(select.each, scope)
    if isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        return None
    if len(found) > MAX_EACH:
        raise Undecodable(f"is an array of more than {MAX_EACH} elements")
    return found


def _container(expression: Expression, scope: Scope) -> Json:
    """The first object or array that the paths of `each` lead to."""
    if isinstance(expression, Path):
        return lookup(expression, scope)
    if isinstance(expression, Apply) and expression.function == "first":
        found = (_container(argument, scope) for argument in expression.arguments)
        return next((each for each in found if isinstance(each, dict | list)), None)
    return None


def _is_named(select: Select, names: Sequence[str], name: str) -> bool:
    if not name:
        return False
    if select.case == "fold":
        name, names = name.casefold(), [each.casefold() for each in names]
    match select.match:
        case "whole":
            return name in names
        case "end":
            return name.endswith(tuple(names))
        case "start":
            return name.startswith(tuple(names))


def _held(conditions: Sequence[Condition], scope: Scope) -> int | None:
    return next((place for place, condition in enumerate(conditions) if holds(condition, scope)), None)
