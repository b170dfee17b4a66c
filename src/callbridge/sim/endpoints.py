"""The neighbours of the calls endpoint [pure]: account, users, contacts and notes.

Enough of them for a bridge to find out where it stands, and to read calls back. Apart from `calls` and `leads`: none of
them takes part in the fate of a batch. Apart from the server because a request is a value here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from callbridge.sim.answers import Answer, hal, no_content, not_found, problem
from callbridge.sim.calls import read_batch, request_id_of
from callbridge.sim.config import SimConfig
from callbridge.sim.entities import Card, Target, World
from callbridge.sim.notes import NoteBook
from callbridge.sim.staff import STAFF

ROOT = "/api/v4"
MAX_PAGE = 250
_ENTITY_TYPES = {"contacts": "contact", "companies": "company", "leads": "lead", "customers": "customer"}

_PATHS = re.compile(
    r"account|users|contacts|calls|leads/unsorted/sip|(?:contacts|companies|leads|customers)/(?:[0-9]+/)?notes"
)

Query = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """What the endpoints look at. `base` is scheme and host as the client wrote them, so that links can be followed."""

    number: int
    method: str
    path: str
    query: Query
    base: str
    body: bytes
    now: float
    token: str = ""
    refresh_token: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """Everything the CRM knows."""

    config: SimConfig
    world: World
    book: NoteBook


def respond(account: Account, request: ApiRequest) -> Answer:
    """The answer of any endpoint but those of calls and incoming leads; 404 for an unknown path, 405 for a verb that it does
    not take.
    """
    parts = request.path.removeprefix(ROOT).strip("/").split("/") if request.path.startswith(ROOT + "/") else []
    match (request.method, parts):
        case ("GET", [name]) if name in _LISTS:
            return _LISTS[name](account, request)
        case ("POST", ["contacts"]):
            return _create_contacts(account, request)
        case ("GET", [kind, "notes"]) if kind in _ENTITY_TYPES:
            return _notes(account, request, kind, None)
        case ("GET", [kind, entity_id, "notes"]) if kind in _ENTITY_TYPES and entity_id.isdecimal():
            return _notes(account, request, kind, int(entity_id))
        case ("POST", [kind, "notes"]) if kind in _ENTITY_TYPES:
            return _write_notes(account, request, kind, None)
        case ("POST", [kind, entity_id, "notes"]) if kind in _ENTITY_TYPES and entity_id.isdecimal():
            return _write_notes(account, request, kind, int(entity_id))
        case _ if _PATHS.fullmatch("/".join(parts)):
            return problem(405, "Method not allowed")
        case _:
            return not_found(request.method, request.base + request.path)


def _account(account: Account, request: ApiRequest) -> Answer:
    config = account.config
    return hal(
        {
            "id": config.account_id,
            "name": "Rehearsal",
            "subdomain": config.subdomain,
            "created_at": 1_600_000_000,
            "created_by": 0,
            "updated_at": 1_600_000_000,
            "updated_by": 0,
            "current_user_id": 700_001,
            "country": "RU",
            "currency": "RUB",
            "currency_symbol": "₽",
            "customers_mode": config.customers_mode,
            "is_unsorted_on": config.unsorted_on,
            "mobile_feature_version": 0,
            "is_loss_reason_enabled": True,
            "is_helpbot_enabled": False,
            "is_technical_account": False,
            "contact_name_display_order": 1,
            "_links": self_link(f"{request.base}{ROOT}/account"),
        }
    )


def _users(account: Account, request: ApiRequest) -> Answer:
    """For administrators only, as the vendor does it."""
    if request.token in account.config.plain_tokens:
        return problem(403, "Forbidden")
    return _page(request, "users", list(STAFF), lambda user: user.listed(request.base + request.path), totals=True)


def _notes(account: Account, request: ApiRequest, kind: str, entity_id: int | None) -> Answer:
    query = request.query
    types = {*query.get("filter[note_type][]", ()), *query.get("filter[note_type]", ())}
    earliest, latest = _number(query, "filter[updated_at][from]", 0), _number(query, "filter[updated_at][to]", 1 << 62)
    found = [
        note
        for note in account.book.of_entity_type(_ENTITY_TYPES[kind], entity_id)
        if earliest <= int(note.at) <= latest and (not types or note.note_type in types)
    ]
    newest_first = "desc" in {*query.get("order[id]", ()), *query.get("order[updated_at]", ())}
    if newest_first:
        found.reverse()
    return _page(request, "notes", found, lambda note: note.listed(account.config.account_id, request.base))


def _write_notes(account: Account, request: ApiRequest, kind: str, entity_id: int | None) -> Answer:
    """Notes of type `common` only; one invalid item fails them all. A card that is not there is answered 404."""
    items = read_batch(request.body)
    if isinstance(items, Answer):
        return items
    wanted: list[tuple[Target, str]] = []
    for item in items:
        fields = item if isinstance(item, dict) else {}
        params, card = fields.get("params"), fields.get("entity_id", entity_id)
        text = params.get("text") if isinstance(params, dict) else None
        if (
            fields.get("note_type") != "common"
            or not isinstance(text, str)
            or not text.strip()
            or type(card) is not int
        ):
            return problem(400, "Request validation failed", extra={"validation-errors": []})
        wanted.append((Target(_ENTITY_TYPES[kind], card), text))
    if not all(account.world.holds(target) for target, _ in wanted):
        return problem(404, "Entity not found")
    written = []
    for index, (item, (target, text)) in enumerate(zip(items, wanted, strict=True)):
        note = account.book.write_text(target, text, request.number, request.now)
        link = f"{request.base}{ROOT}/{kind}/{target.entity_id}/notes/{note.id}"
        told = {"id": note.id, "entity_id": target.entity_id, "request_id": request_id_of(item, index)}
        written.append(told | {"updated_at": int(note.at), "_links": self_link(link)})
    return hal({"_links": self_link(f"{request.base}{ROOT}/{kind}/notes"), "_embedded": {"notes": written}})


def _search(account: Account, request: ApiRequest) -> Answer:
    query = request.query.get("query", [""])[0]
    found = [card for card in account.world if card.kind == "contact"] if not query else account.world.search(query)
    return _page(request, "contacts", found, lambda card: _contact(card, account.config.account_id, request.base))


def _page(request: ApiRequest, name: str, found: list[Any], listed: Any, *, totals: bool = False) -> Answer:
    page, limit = max(1, _number(request.query, "page", 1)), _number(request.query, "limit", 50)
    if not 0 < limit <= MAX_PAGE:
        return problem(422, f"Limit {MAX_PAGE} per page")
    part = found[(page - 1) * limit : page * limit]
    if not part:
        return no_content()

    def href(number: int) -> str:
        return f"{request.base}{request.path}?{urlencode({**request.query, 'page': [str(number)]}, doseq=True)}"

    links = self_link(href(page))
    if len(found) > page * limit:
        links["next"] = {"href": href(page + 1)}
    counted = {"_total_items": len(found), "_page_count": -(-len(found) // limit)} if totals else {}
    return hal(counted | {"_page": page, "_links": links, "_embedded": {name: [listed(each) for each in part]}})


def _contact(card: Card, account_id: int, base: str) -> dict[str, Any]:
    values = [{"value": phone, "enum_id": 1, "enum_code": "WORK"} for phone in card.phones]
    field = {"field_id": 3, "field_name": "Phone", "field_code": "PHONE", "field_type": "multitext", "values": values}
    return {
        "id": card.id,
        "name": card.name,
        "first_name": "",
        "last_name": "",
        "responsible_user_id": 700_001,
        "group_id": 0,
        "is_deleted": False,
        "custom_fields_values": [field] if values else None,
        "account_id": account_id,
        "_links": self_link(f"{base}{ROOT}/contacts/{card.id}"),
        "_embedded": {
            "tags": [],
            "companies": [],
            "leads": [{"id": lead.id, "_links": self_link(f"{base}{ROOT}/leads/{lead.id}")} for lead in card.leads],
        },
    }


def _create_contacts(account: Account, request: ApiRequest) -> Answer:
    """A new contact each time: the vendor does not look whether the number is known already."""
    items = read_batch(request.body)
    if isinstance(items, Answer):
        return items
    if not all(isinstance(item, dict) for item in items):
        return problem(400, "Request validation failed", extra={"validation-errors": []})
    created = []
    for index, item in enumerate(items):
        card = account.world.add(*phones_of(item), name=str(item.get("name") or ""))
        created.append(
            {
                "id": card.id,
                "is_deleted": False,
                "is_unsorted": False,
                "request_id": request_id_of(item, index),
                "_links": self_link(f"{request.base}{ROOT}/contacts/{card.id}"),
            }
        )
    return hal({"_links": self_link(f"{request.base}{ROOT}/contacts"), "_embedded": {"contacts": created}})


def phones_of(item: dict[str, Any]) -> list[str]:
    fields = item.get("custom_fields_values") or []
    return [
        str(value["value"])
        for field in fields
        if isinstance(field, dict) and field.get("field_code") == "PHONE"
        for value in field.get("values") or []
        if isinstance(value, dict) and value.get("value")
    ]


def self_link(href: str) -> dict[str, Any]:
    return {"self": {"href": href}}


def _number(query: Query, name: str, default: int) -> int:
    text = query.get(name, [""])[0]
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else default


_LISTS: Final[Mapping[str, Callable[[Account, ApiRequest], Answer]]] = {
    "account": _account,
    "users": _users,
    "contacts": _search,
}
