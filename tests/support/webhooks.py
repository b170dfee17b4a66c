"""Senders of webhooks, an inbox in memory, and the fixtures on disk: what the tests of intake have in common."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from multidict import MultiDict

from callbridge.call import Arrival, CallId, CallStatus, Direction, IgnoredEvent, Receipt, ReceiptKind
from callbridge.errors import Unauthenticated, Undecodable
from callbridge.intake.providers import PROVIDERS, provider_named
from callbridge.intake.providers.base import (
    Broken,
    Challenge,
    Event,
    Finished,
    Ignored,
    Recording,
    Source,
    WebhookRequest,
)

NOW = 1_790_000_100.0
SECRET = "whsec_" + base64.b64encode(b"a secret of the test suite").decode()
OLD_SECRET = "whsec_" + base64.b64encode(b"and the one it had before").decode()
MANGO_KEY, MANGO_SALT = "0a1b2c3d4e5f60718293a4b5c6d7e8f9", "pepper-and-salt-0815"

FIXTURES = Path(__file__).parent.parent / "fixtures"


def a_source(**changes: Any) -> Source:
    defaults: dict[str, Any] = {
        "name": "office",
        "account": "main",
        "provider": "generic",
        "auth": "signature",
        "secrets": (SECRET,),
        "key": None,
        "path_token": None,
        "timezone": "Europe/Moscow",
        "hold": 0.0,
        "own_numbers": (),
        "status_overrides": {},
        "max_body": 65_536,
    }
    return Source(**(defaults | changes))


def a_mango_source(**changes: Any) -> Source:
    return a_source(**({"provider": "mango", "key": MANGO_KEY, "secrets": (MANGO_SALT,)} | changes))


def a_request(
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    *,
    method: str = "POST",
    path: tuple[str, ...] = (),
    query: str = "",
    origin: str = "https://hooks.example.com",
    peer: str = "203.0.113.7",
) -> WebhookRequest:
    """`query` as it stands in the URL, without its question mark."""
    target = "/".join(("/hooks/office", *path)) + (f"?{query}" if query else "")
    pairs = parse_qsl(query, keep_blank_values=True)
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    return WebhookRequest(method, path, MultiDict(pairs), lowered, body, target, origin, peer)


def signed(body: bytes, secret: str = SECRET, *, at: float = NOW, name: str = "msg_2Wq") -> dict[str, str]:
    """Standard Webhooks headers, made without the code under test."""
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    content = f"{name}.{int(at)}.".encode() + body
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": name, "webhook-timestamp": str(int(at)), "webhook-signature": f"v1,{signature}"}


def mango_form(told: Any, *, key: str = MANGO_KEY, salt: str = MANGO_SALT) -> bytes:
    """A signed body as Mango sends it; `told` is text as it stands, or a value to write as JSON."""
    text = told if isinstance(told, str) else json.dumps(told)
    sign = hashlib.sha256(f"{key}{text}{salt}".encode()).hexdigest()
    return urlencode({"vpbx_api_key": key, "sign": sign, "json": text}).encode()


@dataclass
class MemoryInbox:
    """Keeps what it is given. `error` is raised instead; `gate`, once set to an unset event, holds every put."""

    arrivals: list[Arrival] = field(default_factory=list)
    error: Exception | None = None
    gate: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    stored: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        self.entered.set()
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        start = len(self.arrivals)
        self.arrivals.extend(arrivals)
        self.stored.set()
        return [
            Receipt(ReceiptKind.COUNTED)
            if isinstance(arrival, IgnoredEvent)
            else Receipt(ReceiptKind.STORED, CallId(f"call{start + place:012d}"))
            for place, arrival in enumerate(arrivals)
        ]


@dataclass(frozen=True)
class Fixture:
    """One recorded request: `.headers.json` (method, path, headers; where needed query, origin, now and how the source is set
    up), `.body`, `.expected.json` (events; or refused, undecodable, greeted; and repeats).
    """

    provider: str
    name: str

    @property
    def _told(self) -> dict[str, Any]:
        return json.loads((FIXTURES / self.provider / f"{self.name}.headers.json").read_text())

    @property
    def source(self) -> Source:
        changes = {name: _frozen(value) for name, value in self._told.get("source", {}).items()}
        if self.provider == "mango":
            changes = {"key": MANGO_KEY, "secrets": (MANGO_SALT,)} | changes
        changes["status_overrides"] = {
            code: CallStatus(word) for code, word in changes.get("status_overrides", {}).items()
        }
        changes["directions"] = {start: Direction(word) for start, word in changes.get("directions", {}).items()}
        changes["allow_from"] = tuple(map(ip_network, changes.get("allow_from", ())))
        provider = self.provider if self.provider in PROVIDERS else f"preset:{self.provider}"
        return a_source(**({"provider": provider} | changes))

    @property
    def request(self) -> WebhookRequest:
        body = (FIXTURES / self.provider / f"{self.name}.body").read_bytes()
        told = self._told
        return a_request(
            body,
            told["headers"],
            method=told["method"],
            path=tuple(told["path"]),
            query=told.get("query", ""),
            origin=told.get("origin", "https://hooks.example.com"),
        )

    @property
    def now(self) -> float:
        return self._told.get("now", NOW)

    @property
    def expected(self) -> dict[str, Any]:
        return json.loads((FIXTURES / self.provider / f"{self.name}.expected.json").read_text())


def as_told(event: Event) -> dict[str, Any]:
    """An event as `.expected.json` tells it."""
    match event:
        case Finished(call, recording=recording):
            told = {k: v for k, v in dataclasses.asdict(call).items() if v is not None}
            return {"finished": told} if recording is None else {"finished": told, "recording": recording}
        case Recording(ref, link, at, recording=recording):
            named = {"link": link} if recording is None else {"name": recording}
            return {"recording": {"ref": ref, **named, "at": at}}
        case Ignored(name):
            return {"ignored": name}
        case Challenge(name, reply):
            return {"challenge": name, "reply": reply.body.decode()}
        case Broken(problem):
            return {"broken": problem}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def outcome_of(case: Fixture) -> dict[str, Any]:
    """What the provider makes of a fixture, in the words of its `.expected.json`."""
    provider, source, request = provider_named(case.source.provider), case.source, case.request
    if greeting := provider.greet(request, source):
        return {"greeted": greeting.body.decode()}
    try:
        provider.verify(request, source, case.now)
    except Unauthenticated as error:
        return {"refused": error.reason}
    try:
        return {"events": [as_told(event) for event in provider.parse(request, source, case.now)]}
    except Undecodable as error:
        return {"undecodable": error.reason}


def fixtures(provider: str) -> list[Fixture]:
    return [
        Fixture(provider, path.name.removesuffix(".headers.json"))
        for path in sorted((FIXTURES / provider).glob("*.headers.json"))
    ]
