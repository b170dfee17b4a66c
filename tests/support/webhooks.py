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
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from callbridge.call import Arrival, CallId, CallStatus, IgnoredEvent, Receipt, ReceiptKind
from callbridge.intake.providers.base import Broken, Event, Finished, Ignored, Recording, Source, WebhookRequest

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
    body: bytes, headers: dict[str, str] | None = None, *, method: str = "POST", path: tuple[str, ...] = ()
) -> WebhookRequest:
    return WebhookRequest(method, path, {}, headers or {}, body)


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
    """One recorded request: `.headers.json` (method, path, headers, how the source is set up), `.body`, `.expected.json`."""

    provider: str
    name: str

    @property
    def _told(self) -> dict[str, Any]:
        return json.loads((FIXTURES / self.provider / f"{self.name}.headers.json").read_text())

    @property
    def source(self) -> Source:
        make = a_mango_source if self.provider == "mango" else a_source
        changes = self._told.get("source", {})
        overrides = {code: CallStatus(word) for code, word in changes.pop("status_overrides", {}).items()}
        return make(status_overrides=overrides, **{name: _frozen(value) for name, value in changes.items()})

    @property
    def request(self) -> WebhookRequest:
        body = (FIXTURES / self.provider / f"{self.name}.body").read_bytes()
        told = self._told
        return a_request(body, told["headers"], method=told["method"], path=tuple(told["path"]))

    @property
    def expected(self) -> dict[str, Any]:
        return json.loads((FIXTURES / self.provider / f"{self.name}.expected.json").read_text())


def as_told(event: Event) -> dict[str, Any]:
    """An event as `.expected.json` tells it."""
    match event:
        case Finished(call):
            return {"finished": {k: v for k, v in dataclasses.asdict(call).items() if v is not None}}
        case Recording(ref, link, at):
            return {"recording": {"ref": ref, "link": link, "at": at}}
        case Ignored(name):
            return {"ignored": name}
        case Broken(problem):
            return {"broken": problem}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def fixtures(provider: str) -> list[Fixture]:
    return [
        Fixture(provider, path.name.removesuffix(".headers.json"))
        for path in sorted((FIXTURES / provider).glob("*.headers.json"))
    ]
