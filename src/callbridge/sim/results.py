"""How the results of a batch of calls are told [pure], and how the telling can be wrong.

200 as soon as one call was stored, else 400 with the same body; refused calls stand in `errors` under their request_id. The
twists are the faults of the catalogue that change only what is said, never what was stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from callbridge.sim.answers import HAL, PROBLEM, Answer, problem, text
from callbridge.sim.calls import NO_SUCH_ENTITY, Refused, Results
from callbridge.sim.entities import plural
from callbridge.sim.faults import ArmedFault
from callbridge.sim.notes import Note


def tell(
    results: Results,
    twists: Mapping[str, ArmedFault],
    *,
    account_id: int,
    base: str,
    russian: bool,
    shuffle: Callable[[list[Any]], None],
) -> Answer:
    """The answer to a batch whose calls were well-formed."""
    api = f"{base}/api/v4"
    stored = results.stored
    if omitted := twists.get("omit"):
        stored = stored[int(omitted.number) :]
    calls = [_stored(request_id, note, account_id, api) for request_id, note in stored]
    errors = [_refused(item, russian=russian) for item in results.refused]
    if twists:
        _twist(calls, errors, twists, shuffle)
    body: dict[str, Any] = {"_total_items": len(calls), "errors": errors, "_embedded": {"calls": calls}}
    if "errors-null" in twists:
        body["errors"] = None
    if "errors-missing" in twists:
        del body["errors"]
    if "extra-fields" in twists:
        body |= {"_page": 1, "took_ms": 12, "warnings": [{"code": "future", "request_id": None}]}
    if results.stored or "all-unmatched-200" in twists:
        return Answer(200, orjson.dumps(body), HAL)
    return Answer(400, orjson.dumps(body), PROBLEM)


def invalid(entries: list[dict[str, Any]], *, russian: bool = False) -> Answer:
    """The 400 that names (or fails to name) malformed calls; nothing was stored."""
    return problem(400, "Request validation failed", russian=russian, extra={"validation-errors": entries})


def poisoned(request_ids: list[str], fault: str, *, russian: bool = False) -> Answer:
    """The 400 of the `validation...` faults, for the calls that were made to be poison."""
    error = {"code": "NotSupportedChoice", "path": "link", "detail": "The value you selected is not a valid choice."}
    match fault:
        case "validation":
            entries: list[dict[str, Any]] = [{"request_id": each, "errors": [error]} for each in request_ids]
        case "validation-unnamed":
            entries = [{"errors": [error]}]
        case _:
            entries = []
    return invalid(entries, russian=russian)


def _stored(request_id: str, note: Note, account_id: int, api: str) -> dict[str, Any]:
    kind, entity_id = note.target
    return {
        "id": note.id,
        "entity_id": entity_id,
        "entity_type": kind,
        "account_id": account_id,
        "request_id": request_id,
        "_embedded": {"entity": {"id": entity_id, "_links": {"self": {"href": f"{api}/{plural(kind)}/{entity_id}"}}}},
    }


def _refused(item: Refused, *, russian: bool) -> dict[str, Any]:
    title = text(item.title, russian=russian)
    return {"title": title, "status": item.status, "detail": title, "request_id": item.request_id}


def _twist(
    calls: list[dict[str, Any]],
    errors: list[dict[str, Any]],
    twists: Mapping[str, ArmedFault],
    shuffle: Callable[[list[Any]], None],
) -> None:
    if "both-lists" in twists and calls:
        errors.append(_refused(Refused(calls[0]["request_id"], NO_SUCH_ENTITY, "Entity not found"), russian=False))
    if "shuffle" in twists:
        shuffle(calls)
    if "int-request-ids" in twists:
        for entry in (*calls, *errors):
            if entry["request_id"].isdecimal():
                entry["request_id"] = int(entry["request_id"])
    if "extra-fields" in twists:
        for entry in (*calls, *errors):
            entry["shard"] = "b"
