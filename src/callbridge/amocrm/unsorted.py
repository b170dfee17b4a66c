"""A stranger's call as an incoming lead (`POST /api/v4/leads/unsorted/sip`) [pure]: its words, and what the CRM answers.

One item makes a lead among the incoming ones ("unsorted"), a contact with the number and, by `is_call_event_needed`, the
call's note with our `uniq`, by which the read-back knows it. Each post makes all of that anew; the server compares nothing.
The same call gives the same bytes, always.

Two fields of `metadata` are read in two ways. On the vendor's page `phone` is who called, and its example has the name of a
PBX in `from`; MIKO's connector sends that. The older example of the vendor's PHP client has the caller in `from` and an
internal number in `phone`, and iqtek's connector and ksenonda's client follow it. That client calls `from` deprecated since
2023-05-11, hence the default. Its issue 441 reports the two exchanged once a lead is accepted. `caller_field` says which of
them an account shows right; the contact carries the number in either case.

    200 with the item         became a lead; its id and the contact's are embedded
    200 without it            unanswered
    400 naming it             no lead of it; nothing was stored, so its neighbours can go again
    403 as JSON, 404, 405     the account takes no leads from us: `/calls` was answered a moment ago
    else                      as for calls, see `classify`

Not verified against a live account: the answer while incoming leads are switched off. Any refusal makes the client ask the
account (`is_unsorted_on`).

Sources: the vendor's page "Unsorted" and its changelog (`call_responsible`, 2023-02-07); `SipMetadata` of its PHP client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, assert_never

import orjson

from callbridge.amocrm.classify import classify, named, shown
from callbridge.amocrm.schema import json_object, positive
from callbridge.amocrm.translate import dialable, extension_key
from callbridge.call import Call, CallId
from callbridge.outcome import (
    AccountStopped,
    Answer,
    BecameLead,
    NoAnswer,
    NoLead,
    Outcome,
    PauseReason,
    PerCall,
    Reason,
    Resend,
    Unanswered,
)

UNSORTED_PATH: Final = "/api/v4/leads/unsorted/sip"

SERVICE_CODE: Final = "callbridge"

SWITCHED_OFF: Final = "incoming leads are switched off in the CRM's settings"


class CallerField(StrEnum):
    """Which field of `metadata` holds the number that called."""

    PHONE = "phone"
    FROM = "from"


@dataclass(frozen=True, slots=True)
class LeadWords:
    """What an account's operator decided about its incoming leads. Without `pipeline_id` they go to the main pipeline."""

    pipeline_id: int | None = None
    caller_field: CallerField = CallerField.PHONE


def lead_item(call: Call, users: Mapping[str, int], words: LeadWords) -> bytes:
    """The item's bytes, for a call that has been put into the words of `/calls` before. `users` as in `translate`."""
    phone = dialable(call.phone)
    user = None if call.extension is None else users.get(extension_key(call.extension))
    item = {
        "request_id": call.uniq,
        "source_uid": call.source,
        "source_name": call.source,
        "pipeline_id": words.pipeline_id,
        "created_at": call.started_at,
        "metadata": _metadata(call, phone, user, words.caller_field),
        "_embedded": {
            "leads": [{"name": phone}],
            "contacts": [
                {
                    "name": phone,
                    "custom_fields_values": [
                        {"field_code": "PHONE", "values": [{"value": phone, "enum_code": "WORK"}]}
                    ],
                }
            ],
        },
    }
    return orjson.dumps(_told(item))


def _metadata(call: Call, phone: str, user: int | None, caller_field: CallerField) -> dict[str, Any]:
    """`from` is sent in both readings: it left the vendor's table, but stands in its example."""
    match caller_field:
        case CallerField.PHONE:
            parties = {"phone": phone, "from": call.source}
        case CallerField.FROM:
            parties = {"phone": call.extension or call.source, "from": phone}
        case _:
            assert_never(caller_field)
    return _told(
        {
            "is_call_event_needed": True,
            "uniq": call.uniq,
            **parties,
            "called_at": call.started_at,
            "duration": call.duration,
            "link": call.link,
            "service_code": SERVICE_CODE,
            "call_responsible": user,
        }
    )


def _told(item: dict[str, Any]) -> dict[str, Any]:
    """Null is refused where a key is optional, so a key without a value is left out."""
    return {key: value for key, value in item.items() if value is not None}


def classify_leads(
    status: int, headers: Mapping[str, str], body: bytes, ids: Mapping[str, CallId], *, now: float
) -> Answer:
    """`ids` maps the `request_id` of every item sent to our id of its call; `now` (Unix seconds) is for HTTP dates."""
    if 200 <= status < 300:
        answer = json_object(body)
        return NoAnswer(f"HTTP {status} without a JSON object") if answer is None else _per_lead(answer, ids)
    answer = json_object(body) or {}
    if status == 400:
        invalid = {ids[key]: item for key, item in named(answer.get("validation-errors")) if key in ids}
        if invalid:
            return PerCall({i: NoLead(shown(invalid[i])) if i in invalid else Resend() for i in ids.values()})
    verdict = classify(status, headers, body, {}, now=now)
    match verdict:
        case AccountStopped(PauseReason.FORBIDDEN, detail):
            return takes_none(ids.values(), detail)
        case AccountStopped(PauseReason.WRONG_HOST, detail) if status >= 400:
            return takes_none(ids.values(), detail)
        case PerCall():  # an error in the words of `/calls`, which says nothing about these
            return NoAnswer(f"HTTP {status} about calls")
        case _:
            return verdict


def takes_none(ids: Iterable[CallId], detail: str) -> PerCall:
    """Of none of these calls a lead will be made."""
    return PerCall({call_id: NoLead(detail, everyone=True) for call_id in ids})


def _per_lead(answer: dict[str, Any], ids: Mapping[str, CallId]) -> PerCall:
    embedded = answer.get("_embedded")
    outcomes: dict[CallId, Outcome] = {}
    for key, item in named(embedded.get("unsorted") if isinstance(embedded, dict) else None):
        lead, contact = _first_id(item, "leads"), _first_id(item, "contacts")
        uid = item.get("uid")
        if key in ids and (lead or (isinstance(uid, str) and uid)):
            outcomes.setdefault(ids[key], BecameLead(lead, contact))
    return PerCall({id_: outcomes.get(id_, Unanswered(Reason.NOT_IN_ANSWER)) for id_ in ids.values()})


def _first_id(item: dict[str, Any], name: str) -> int:
    embedded = item.get("_embedded")
    entries = embedded.get(name) if isinstance(embedded, dict) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    return (positive(first.get("id")) if isinstance(first, dict) else None) or 0
