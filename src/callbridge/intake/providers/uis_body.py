"""What a user of UIS and its sisters may have made of a notification, as one flat set of fields [pure].

Apart from `uis`, which knows what the fields mean: here is only how they can be wrapped. JSON, flat or in groups; or the
query of a GET. Placeholders are rendered with quotes around text and `null` for what is missing, also where the user
wrote a query or put quotes around them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from callbridge.errors import Undecodable
from callbridge.intake import verify
from callbridge.intake.decode import Json, decode_json
from callbridge.intake.providers.base import WebhookRequest

KEY: Final = "integration_key"

_GROUPS: Final = ("contact_info", "employee_info", "call_info", "call_record_file_info")

_KEY_IN_BODY: Final = re.compile(rb'"integration_key"[ \t\r\n]{0,64}:[ \t\r\n]{0,64}"([^"\\]{1,512})"')
"""The key in a body that is no JSON: it must be authenticated before its user is told what is wrong with it."""

_EVENT_IN_BODY: Final = re.compile(rb'"event"[ \t\r\n]{0,64}:[ \t\r\n]{0,64}"([^"\\]{1,64})"')

_DOUBLED: Final = re.compile(rb':[ \t\r\n]{0,64}""(?![ \t\r\n]{0,64}[,}\]])')
"""A value that begins with two quotes and does not end there."""


def fields_of(request: WebhookRequest) -> dict[str, Json]:
    """The fields, groups dissolved and nulls left out. Raises `Undecodable`."""
    told: Mapping[str, Json] = _in_query(request) if request.method == "GET" else _in_body(request.body)
    fields: dict[str, Json] = {}
    for group in (*(told.get(name) for name in _GROUPS), told):
        if isinstance(group, Mapping):
            fields |= {name: value for name, value in group.items() if value not in (None, "null", "")}
    return fields


def keys_of(request: WebhookRequest) -> tuple[bytes, bytes]:
    """What the body and the query give as the user's secret."""
    found = _KEY_IN_BODY.search(request.body)
    in_body = found[1] if found else b""
    try:
        value = _in_body(request.body).get(KEY)
        in_body = verify.wire_bytes(value) if isinstance(value, str) else b""
    except Undecodable:
        pass
    return in_body, verify.wire_bytes(_unquoted(request.query.get(KEY, "")))


def event_in(request: WebhookRequest) -> str:
    """The event's name as it stands in a body that may be broken."""
    found = _EVENT_IN_BODY.search(request.body)
    return found[1].decode("utf-8", "replace") if found else _unquoted(request.query.get("event", ""))


def _in_body(body: bytes) -> dict[str, Json]:
    try:
        told = decode_json(body)
    except Undecodable:
        if _DOUBLED.search(body):
            raise Undecodable(
                'has doubled quotes: placeholders bring their own, so write "x": {{x}} and not "x": "{{x}}" in the template'
            ) from None
        raise
    if not isinstance(told, dict):
        raise Undecodable("is not a JSON object")
    return told


def _in_query(request: WebhookRequest) -> dict[str, Json]:
    fields: dict[str, Json] = {}
    for name, value in request.query.items():
        fields.setdefault(name, _unquoted(value))
    return fields


def _unquoted(value: str) -> str:
    text = value.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
