"""What is wrong with a preset file, in words [pure].

The validator's own messages are about its classes; whoever writes a preset has keys, texts, tables and lists. Only what
the file itself says is repeated.
"""

from __future__ import annotations

import re
from typing import Any, Final

from pydantic import ValidationError

from callbridge.presets.model import PATTERNS

MAX_PROBLEMS: Final = 5
"""Problems told at once."""

_QUOTED: Final = re.compile(r"'([^']*)'")

_TYPES: Final = {
    "missing": "is missing",
    "extra_forbidden": "is not known here",
    "union_tag_not_found": "kind is missing",
    "string_type": "is a text, in quotes",
    "bool_type": "is true or false",
    "bool_parsing": "is true or false",
    "int_type": "is a whole number",
    "int_parsing": "is a whole number",
    "int_from_float": "is a whole number",
    "float_type": "is a number",
    "float_parsing": "is a number",
    "tuple_type": "is a list, in [ ]",
    "dict_type": "is a table, in { }",
    "model_type": "is a table, in { }",
    "model_attributes_type": "is a table, in { }",
}

_BOUNDS: Final = {
    "string_too_long": ("is at most {} long", "max_length", "character", "characters"),
    "string_too_short": ("is at least {} long", "min_length", "character", "characters"),
    "too_long": ("has at most {}", "max_length", "entry", "entries"),
    "too_short": ("has at least {}", "min_length", "entry", "entries"),
    "greater_than_equal": ("is at least {}", "ge", "", ""),
    "less_than_equal": ("is at most {}", "le", "", ""),
}
"""In words, the name of the limit, and what is counted: one and several."""


def complaints(error: ValidationError) -> str:
    """Each with its place, and no more than a few."""
    problems = error.errors(include_url=False, include_input=False)
    places = [problem["loc"] for problem in problems]
    told = [
        f"{_place(problem['loc'])}: {_words(problem)}"
        for problem in problems
        if not (problem["type"] == "too_short" and any(_is_within(place, problem["loc"]) for place in places))
    ]
    more = [f"and {len(told) - MAX_PROBLEMS} more"] if len(told) > MAX_PROBLEMS else []
    return "; ".join(told[:MAX_PROBLEMS] + more)


def _is_within(inner: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    """A list whose only element is wrong is not wrong because it is empty without it."""
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _place(steps: tuple[int | str, ...]) -> str:
    """map.direction[0].if; the tag of an auth item is told as part of its place."""
    place = ""
    for step in steps:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else step
    return place or "the file"


def _words(problem: Any) -> str:
    said, kind = problem.get("ctx", {}), problem["type"]
    if kind in _BOUNDS:
        form, name, noun, nouns = _BOUNDS[kind]
        return form.format(f"{said[name]} {noun if said[name] == 1 else nouns}".rstrip())
    match kind:
        case "union_tag_invalid":
            return f"kind = {said['tag']!r} is not known here; it is one of {_listed(said['expected_tags'])}"
        case "literal_error" | "enum":
            return f"is one of {_listed(said['expected'])}"
        case "string_pattern_mismatch":
            return PATTERNS[str(said["pattern"])]
        case "value_error":
            message: str = problem["msg"]
            return message.removeprefix("Value error, ")
        case _:
            return _TYPES.get(kind, str(problem["msg"]))


def _listed(quoted: str) -> str:
    return ", ".join(_QUOTED.findall(quoted))
