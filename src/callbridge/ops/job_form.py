"""What a job was asked to do, as it is stored and as the audit tells it [pure]."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, assert_never

from callbridge.ledger.views import CallFilter
from callbridge.ops.job_plan import ByFilter, ByIds, JobAction, Selection
from callbridge.ops.masking import masked


def written(action: JobAction, selection: Selection) -> dict[str, Any]:
    """A selection as JSON has it, with a digest by which the same request is known again."""
    facts: dict[str, Any]
    match selection:
        case ByIds(ids):
            facts = {"ids": list(ids)}
        case ByFilter(wanted):
            parts = {name: value for name, value in asdict(wanted).items() if value not in (None, ())}
            facts = {"filter": parts}
        case _:
            assert_never(selection)
    canonical = json.dumps([action.value, facts], sort_keys=True)
    return facts | {"digest": hashlib.sha256(canonical.encode()).hexdigest()[:32]}


def told(stored: Mapping[str, Any]) -> Selection:
    """What `written` wrote."""
    if "ids" in stored:
        return ByIds(tuple(map(str, stored["ids"])))
    parts = dict(stored["filter"])
    return ByFilter(CallFilter(**(parts | {"states": tuple(parts.get("states", ()))})))


def without_numbers(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The same once the calls are chosen, and in the audit: a number stays in neither, because it may have to be erased."""
    facts = {name: value for name, value in stored.items() if name != "filter"}
    if "filter" in stored:
        parts = dict(stored["filter"])
        if "phone" in parts:
            parts["phone"] = masked(str(parts["phone"]))
        facts["filter"] = parts
    return facts
