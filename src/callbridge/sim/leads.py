"""`POST /api/v4/leads/unsorted/sip` [pure]: incoming leads of strangers who called.

Every item makes a lead and a contact, whatever is there already, and the call's note on the lead unless the item says no. One
invalid item fails them all. Apart from `endpoints` because its answer can be lost, as that of calls can; the number of the
contact is the one in the contact's own field, as the vendor's form of the item has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from callbridge.sim.answers import Answer, hal, problem
from callbridge.sim.calls import request_id_of
from callbridge.sim.endpoints import ROOT, Account, ApiRequest, phones_of, self_link
from callbridge.sim.entities import Target
from callbridge.sim.faults import ArmedFault

PATH: Final = f"{ROOT}/leads/unsorted/sip"

_REQUIRED: Final = ("source_uid", "source_name", "metadata")
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "source_uid": (str,),
    "source_name": (str,),
    "pipeline_id": (int,),
    "created_at": (int,),
    "request_id": (str, int),
}
_META_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "is_call_event_needed": (bool,),
    "uniq": (str,),
    "phone": (str, int),
    "from": (str, int),
    "called_at": (int,),
    "duration": (int,),
    "link": (str,),
    "service_code": (str,),
    "call_responsible": (str, int),
}


def refusal(account: Account, items: list[Any], *, russian: bool = False) -> Answer | None:
    """Why nothing of the batch is stored. What the vendor answers while incoming leads are off is not documented."""
    if not account.config.unsorted_on:
        return problem(400, "Unsorted is disabled", russian=russian)
    found = []
    for index, item in enumerate(items):
        if errors := _violations(item, account.config.pipelines):
            found.append({"request_id": request_id_of(item, index), "errors": errors})
    if not found:
        return None
    return problem(400, "Request validation failed", russian=russian, extra={"validation-errors": found})


def accept(
    account: Account, request: ApiRequest, items: list[Any], twists: Mapping[str, ArmedFault], now: float
) -> Answer:
    """Stores the batch, which has passed `refusal`, and tells of it."""
    accepted = [_accept(account, request, item, index, twists, now) for index, item in enumerate(items)]
    if omitted := twists.get("omit"):
        accepted = accepted[int(omitted.number) :]
    return hal({"_total_items": len(accepted), "_embedded": {"unsorted": accepted}})


def _accept(
    account: Account,
    request: ApiRequest,
    item: dict[str, Any],
    index: int,
    twists: Mapping[str, ArmedFault],
    now: float,
) -> dict[str, Any]:
    meta, contact = item["metadata"], _embedded(item, "contacts")
    numbers = phones_of(contact) or [str(meta["phone"])]
    card = account.world.add(*numbers, name=str(contact.get("name") or ""), leads=(True,))
    lead = card.leads[0]
    if meta.get("is_call_event_needed", True):
        call = {key: meta[key] for key in ("uniq", "duration", "link", "call_responsible") if key in meta}
        if "drop-uniq" in twists:
            call.pop("uniq", None)
        call |= {"direction": "inbound", "phone": str(meta["phone"]), "source": item["source_name"]}
        call["created_at"] = meta.get("called_at", int(now))
        account.book.write(Target("lead", lead.id), call, request.number, now)
    return {
        "uid": hashlib.sha256(f"{request.number}.{index}".encode()).hexdigest()[:60],
        "account_id": account.config.account_id,
        "request_id": request_id_of(item, index),
        "_embedded": {
            "contacts": [{"id": card.id, "_links": self_link(f"{request.base}{ROOT}/contacts/{card.id}")}],
            "leads": [{"id": lead.id, "_links": self_link(f"{request.base}{ROOT}/leads/{lead.id}")}],
            "companies": [],
        },
    }


def _embedded(item: dict[str, Any], name: str) -> dict[str, Any]:
    entries = (item.get("_embedded") or {}).get(name)
    first = entries[0] if isinstance(entries, list) and entries else {}
    return first if isinstance(first, dict) else {}


def _violations(item: Any, pipelines: tuple[int, ...]) -> list[dict[str, str]]:
    if not isinstance(item, dict):
        return [_violation("InvalidType", "", "This value should be of type array.")]
    errors = [_violation("FieldMissing", path, "This field is missing.") for path in _REQUIRED if path not in item]
    errors += _mistyped(item, _TYPES, "")
    meta = item.get("metadata")
    if not isinstance(meta, dict):
        return [*errors, _violation("InvalidType", "metadata", "This value should be of type array.")]
    if not meta.get("phone"):
        errors.append(_violation("FieldMissing", "metadata.phone", "This field is missing."))
    errors += _mistyped(meta, _META_TYPES, "metadata.")
    for path in ("source_uid", "source_name"):
        if item.get(path) == "":
            errors.append(_violation("NotBlank", path, "This value should not be blank."))
    if pipelines and "pipeline_id" in item and item["pipeline_id"] not in pipelines:
        errors.append(_violation("NotSupportedChoice", "pipeline_id", "The value you selected is not a valid choice."))
    embedded = item.get("_embedded")
    for name in ("leads", "contacts", "companies"):
        entries = embedded.get(name, []) if isinstance(embedded, dict) else []
        if not isinstance(entries, list) or len(entries) > 1:
            errors.append(
                _violation("TooMany", f"_embedded.{name}", "This collection should contain 1 element or less.")
            )
    return errors


def _mistyped(fields: dict[str, Any], types: Mapping[str, tuple[type, ...]], prefix: str) -> list[dict[str, str]]:
    errors = []
    for name, value in fields.items():
        if value is None and name in types and name != "call_responsible":
            errors.append(_violation("NotNullable", prefix + name, "This value should not be null."))
        elif value is not None and name in types and type(value) not in types[name]:
            errors.append(_violation("InvalidType", prefix + name, "This value is of the wrong type."))
    return errors


def _violation(code: str, path: str, detail: str) -> dict[str, str]:
    return {"code": code, "path": path, "detail": detail}
