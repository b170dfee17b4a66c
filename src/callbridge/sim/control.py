"""The simulator's own endpoints under `/_sim`: look at what it saw, arm and clear faults, add contacts, start again.

Apart from the API because these are for the person who rehearses: they need no token and do not count for the rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Protocol

import orjson
from aiohttp import web

from callbridge.sim.config import SimConfig
from callbridge.sim.desk import Desk
from callbridge.sim.entities import Card
from callbridge.sim.faults import FAULTS, ArmedFault

ROOT = "/_sim"
MAX_LISTED = 10_000

ENDPOINTS = {
    "GET /_sim": "this page",
    "GET /_sim/summary": "totals: requests by status, notes, repeated uniqs, most requests in any sliding second",
    "GET /_sim/requests?since=&after=&limit=": "requests from that Unix time on, or after that number",
    "GET /_sim/notes?after=&uniq=&limit=": "notes with an id above, or with this uniq",
    "GET /_sim/faults": "the armed faults",
    "POST /_sim/faults": 'arm: {"name": "502-after", "value": 3} or {"name": "slow", "value": "2s", "times": 3}',
    "DELETE /_sim/faults": "clear all faults; /_sim/faults/NAME clears one",
    "POST /_sim/contacts": 'add a card: {"phone": "...", "name": "", "kind": "contact", "leads": 0, "customers": 0}',
    "POST /_sim/reset": "back to the start",
}


_Query = Mapping[str, str]
_Body = dict[str, Any]


class Simulator(Protocol):
    """What the control endpoints need of it."""

    config: SimConfig
    clock: Callable[[], float]
    desk: Desk
    url: str

    def reset(self) -> None: ...

    def arm(self, fault: str | ArmedFault, value: object = None, *, times: float | None = None) -> ArmedFault: ...

    def disarm(self, name: str | None = None) -> bool: ...

    def add_contact(
        self, phone: str, *, name: str = "", kind: str = "contact", leads: int = 0, customers: int = 0
    ) -> Card: ...


class _Wrong(Exception):
    """A request that is answered 400 with this text."""


async def handle(sim: Simulator, request: web.Request) -> web.Response:
    first, _, rest = request.path.removeprefix(ROOT).strip("/").partition("/")
    handler = _HANDLERS.get((request.method, first))
    if handler is None or (rest and first != "faults"):
        return _json({"error": "no such endpoint", "endpoints": ENDPOINTS}, 404)
    try:
        body = await _body(request) if request.method == "POST" else {"name": rest or None}
        return _json(handler(sim, request.query, body))
    except _Wrong as wrong:
        return _json({"error": str(wrong)}, 400)


def summary(desk: Desk) -> dict[str, Any]:
    """The totals of a rehearsal; `repeated_uniqs` is what a bridge must keep empty."""
    book = desk.account.book
    repeats = book.repeats
    return desk.journal.summary() | {
        "notes": len(book) + book.dropped,
        "notes_dropped": book.dropped,
        "contacts": len(desk.account.world),
        "surplus_notes": sum(repeats.values()) - len(repeats),
        "repeated_uniqs": dict(islice(repeats.items(), 100)),
    }


def _help(sim: Simulator, _query: _Query, _body: _Body) -> dict[str, Any]:
    config = sim.config
    return {
        "what": "A simulated CRM account for rehearsals.",
        "url": sim.url,
        "endpoints": ENDPOINTS,
        "limits": {"rate": config.rate, "account": config.account_limit(), "ban_after": config.ban_after},
        "armed": sim.desk.arsenal.listing(sim.clock()),
        "writing_a_fault": "NAME[@SCOPE][=VALUE][*TIMES]; scopes: calls, writes, reads, all; times: 3 or 10%",
        "faults": {
            fault.name: {"description": fault.description, "takes": fault.takes, "scope": fault.scope.value}
            for fault in FAULTS.values()
        },
    }


def _summary(sim: Simulator, _query: _Query, _body: _Body) -> dict[str, Any]:
    return summary(sim.desk)


def _requests(sim: Simulator, query: _Query, _body: _Body) -> dict[str, Any]:
    since, after, journal = _amount(query, "since"), _amount(query, "after"), sim.desk.journal
    found = (seen.told() for seen in journal if seen.at >= since and seen.number > after)
    return {"total": journal.total, "dropped": journal.dropped, "requests": list(islice(found, _limit(query)))}


def _notes(sim: Simulator, query: _Query, _body: _Body) -> dict[str, Any]:
    after, uniq, book = _amount(query, "after"), query.get("uniq"), sim.desk.account.book
    found = (note.told() for note in book if note.id > after and (uniq is None or note.uniq == uniq))
    return {"total": len(book), "dropped": book.dropped, "notes": list(islice(found, _limit(query)))}


def _armed(sim: Simulator, _query: _Query, _body: _Body) -> dict[str, Any]:
    return {"armed": sim.desk.arsenal.listing(sim.clock())}


def _disarm(sim: Simulator, _query: _Query, body: _Body) -> dict[str, Any]:
    return {"cleared": sim.disarm(body["name"])}


def _reset(sim: Simulator, _query: _Query, _body: _Body) -> dict[str, Any]:
    sim.reset()
    return {"reset": True}


def _arm(sim: Simulator, _query: _Query, body: _Body) -> dict[str, Any]:
    name, value, times = body.get("name"), body.get("value"), body.get("times")
    if not isinstance(name, str) or not isinstance(value, str | int | float | None):
        raise _Wrong('a fault is {"name": text, "value": text or number, "times": number}')
    if times is not None and not isinstance(times, int | float):
        raise _Wrong("times is a number, or a share below 1")
    try:
        sim.arm(name, value, times=times)
    except ValueError as error:
        raise _Wrong(str(error)) from None
    return {"armed": sim.desk.arsenal.listing(sim.clock())}


def _add_contact(sim: Simulator, _query: _Query, body: _Body) -> dict[str, Any]:
    phone, name, kind = body.get("phone"), body.get("name", ""), body.get("kind", "contact")
    counts = [body.get("leads", 0), body.get("customers", 0)]
    if not isinstance(phone, str) or not phone or not isinstance(name, str) or kind not in {"contact", "company"}:
        raise _Wrong("phone is text, name is text, kind is contact or company")
    if not all(type(count) is int and 0 <= count <= 100 for count in counts):
        raise _Wrong("leads and customers are numbers from 0 to 100")
    card = sim.add_contact(phone, name=name, kind=kind, leads=counts[0], customers=counts[1])
    target = card.target()
    return {"id": card.id, "takes_calls": {"entity_type": target.entity_type, "entity_id": target.entity_id}}


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read() or b"{}")
    except (orjson.JSONDecodeError, web.HTTPRequestEntityTooLarge):
        raise _Wrong("the body is not JSON") from None
    if not isinstance(body, dict):
        raise _Wrong("the body is not an object")
    return body


def _limit(query: _Query) -> int:
    return int(max(0, min(_amount(query, "limit", 1_000), MAX_LISTED)))


def _amount(query: _Query, name: str, default: float = 0.0) -> float:
    text = query.get(name)
    try:
        amount = float(text) if text else default
    except ValueError:
        raise _Wrong(f"{name} is a number") from None
    if not math.isfinite(amount):
        raise _Wrong(f"{name} is a number")
    return amount


def _json(payload: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(payload), status=status, content_type="application/json")


_HANDLERS: dict[tuple[str, str], Callable[[Simulator, _Query, _Body], dict[str, Any]]] = {
    ("GET", ""): _help,
    ("GET", "summary"): _summary,
    ("GET", "requests"): _requests,
    ("GET", "notes"): _notes,
    ("GET", "faults"): _armed,
    ("POST", "faults"): _arm,
    ("DELETE", "faults"): _disarm,
    ("POST", "contacts"): _add_contact,
    ("POST", "reset"): _reset,
}
