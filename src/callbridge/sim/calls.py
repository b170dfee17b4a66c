"""`POST /api/v4/calls` [pure]: which bodies are refused as a whole, and what becomes of each call of the others.

The vendor's page gives the fields; the codes of `validation-errors` are those met on calls and call notes since 2021:
null is not the same as absent, and one invalid call fails the whole batch. How results are told is in `results`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from callbridge.sim.answers import Answer, problem
from callbridge.sim.entities import World, digits
from callbridge.sim.notes import Note, NoteBook

MAX_ITEMS = 250
NO_SUCH_ENTITY = 263

_TYPES: dict[str, type] = {
    "direction": str,
    "uniq": str,
    "duration": int,
    "source": str,
    "link": str,
    "phone": str,
    "call_result": str,
    "call_status": int,
    "responsible_user_id": int,
    "created_by": int,
    "updated_by": int,
    "created_at": int,
    "updated_at": int,
}
_REQUIRED = ("direction", "duration", "source", "phone")
_DIRECTIONS = {"inbound", "outbound"}
_STATUSES = range(1, 9)
"""1-7 are documented; the vendor's own PHP client also sends 8, "undefined"."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One call that was not stored."""

    request_id: str
    status: int
    title: str


@dataclass(slots=True)
class Results:
    """What became of a batch, each call under its request_id."""

    stored: list[tuple[str, Note]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def read_batch(body: bytes) -> list[Any] | Answer:
    """The items of a body, or the answer that refuses it."""
    if not body.strip():
        return problem(400, "Request data can not be empty")
    try:
        items = orjson.loads(body)
    except orjson.JSONDecodeError:
        return problem(400, "Request body is not valid JSON")
    if not isinstance(items, list):
        return problem(400, "Request body should be an array")
    if not items:
        return problem(400, "Request data can not be empty")
    if len(items) > MAX_ITEMS:
        return problem(422, f"Limit {MAX_ITEMS} per page")
    return items


def request_id_of(item: Any, index: int) -> str:
    """Echoed as text; the zero-based index where none was sent."""
    given = item.get("request_id") if isinstance(item, dict) else None
    return str(index) if given is None else str(given)


def invalid_items(items: list[Any]) -> list[dict[str, Any]]:
    """The `validation-errors` of a batch; empty where every call is well-formed."""
    found = []
    for index, item in enumerate(items):
        if errors := violations(item):
            found.append({"request_id": request_id_of(item, index), "errors": errors})
    return found


def violations(item: Any) -> list[dict[str, str]]:
    if type(item) is not dict:
        return [_violation("InvalidType", "", "This value should be of type array.")]
    errors = [_violation("FieldMissing", path, "This field is missing.") for path in _REQUIRED if path not in item]
    for path, value in item.items():
        expected = _TYPES.get(path)
        if expected is not None and type(value) is not expected:
            errors.append(_wrong_type(path, value, expected.__name__))
    if errors:
        return errors
    if item["direction"] not in _DIRECTIONS:
        errors.append(_violation("NotSupportedChoice", "direction", "The value you selected is not a valid choice."))
    if "call_status" in item and item["call_status"] not in _STATUSES:
        errors.append(_violation("NotSupportedChoice", "call_status", "The value you selected is not a valid choice."))
    errors += [
        _violation("NotBlank", path, "This value should not be blank.")
        for path in ("source", "phone")
        if not item[path].strip()
    ]
    errors += _loose_fields(item)
    return errors


def _loose_fields(item: dict[str, Any]) -> list[dict[str, str]]:
    """`request_id` is sent as a number by some clients; `call_responsible` may be an id, a name or null (changelog, 2023)."""
    errors = []
    if type(item.get("request_id", "")) not in {str, int}:
        errors.append(_wrong_type("request_id", item["request_id"], "string"))
    if type(item.get("call_responsible")) not in {str, int, type(None)}:
        errors.append(_wrong_type("call_responsible", item["call_responsible"], "int"))
    return errors


def _wrong_type(path: str, value: Any, expected: str) -> dict[str, str]:
    if value is None:
        return _violation("NotNullable", path, "This value should not be null.")
    return _violation(
        "InvalidType", path, f"This value should be of type {'string' if expected == 'str' else expected}."
    )


def _violation(code: str, path: str, detail: str) -> dict[str, str]:
    return {"code": code, "path": path, "detail": detail}


def poisonous(items: list[Any], poison: str) -> list[str]:
    """The request_ids of the calls that a `validation...` fault means: by the end of their number or a part of their uniq."""
    ending = poison.removeprefix("+") if poison.removeprefix("+").isdecimal() else None
    return [
        request_id_of(item, index)
        for index, item in enumerate(items)
        if poison in str(item.get("uniq", "")) or (ending and digits(item["phone"]).endswith(ending))
    ]


def store(
    items: list[Any],
    world: World,
    book: NoteBook,
    *,
    request: int,
    now: float,
    dedup: bool = False,
    first_refused_with: int | None = None,
    drop_uniq: bool = False,
) -> Results:
    """Write a note for each call whose number is known. `items` have passed `invalid_items`."""
    results = Results()
    for index, item in enumerate(items):
        request_id = request_id_of(item, index)
        if first_refused_with is not None and not index:
            results.refused.append(Refused(request_id, first_refused_with, "Call is not accepted"))
        elif (card := world.find(item["phone"])) is None:
            results.refused.append(Refused(request_id, NO_SUCH_ENTITY, "Entity not found"))
        else:
            known = book.first_with(item.get("uniq")) if dedup else None
            kept = {key: value for key, value in item.items() if key != "uniq"} if drop_uniq else item
            results.stored.append((request_id, known or book.write(card.target(), kept, request, now)))
    return results
