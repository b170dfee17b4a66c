"""What intake and a provider say to each other [pure].

A provider is the only place that knows one PBX: how it proves who it is and what it calls things. It turns a request into
events and knows nothing of sockets, stores or the CRM. It never raises for what a sender wrote, except the two errors
that `Provider` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from callbridge.call import Call, CallStatus, plain_text

MAX_EVENT = 64


@dataclass(frozen=True, slots=True)
class Source:
    """One configured PBX. `secrets` are the current one and, while it is being rotated, the one before."""

    name: str
    account: str
    provider: str
    auth: Literal["signature", "bearer"]
    secrets: tuple[str, ...] = field(repr=False)
    key: str | None = field(repr=False)
    path_token: str | None = field(repr=False)
    timezone: str
    hold: float
    own_numbers: tuple[str, ...]
    status_overrides: Mapping[str, CallStatus]
    max_body: int


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One request as a provider sees it.

    `path` are the segments below `/hooks/{source}`; intake takes the path token off before a provider gets it. `headers`
    are looked up by lower-case names.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished call. `body` is the part of the request that told of it."""

    call: Call
    event: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Recording:
    """The recording of the call `ref` is at `link`; `at` is Unix seconds."""

    ref: str
    link: str
    at: int
    event: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that tells of no finished call."""

    event: str


@dataclass(frozen=True, slots=True)
class Broken:
    """One element without a readable call. Its neighbours in the same request stand."""

    problem: str
    event: str
    body: bytes


Event = Finished | Recording | Ignored | Broken


@dataclass(frozen=True, slots=True)
class Reply:
    """The 200 that the PBX expects."""

    content_type: str
    body: bytes


class Provider(Protocol):
    """One kind of PBX."""

    @property
    def name(self) -> str: ...

    @property
    def methods(self) -> frozenset[str]:
        """The HTTP methods by which it sends."""

    @property
    def reply(self) -> Reply: ...

    def check(self, source: Source) -> None:
        """Raises `Misconfigured` for a source that could never be verified."""

    def verify(self, request: WebhookRequest, source: Source, now: float) -> None:
        """Raises `Unauthenticated`. The path token is not its business. Equal work whatever is wrong."""

    def parse(self, request: WebhookRequest, source: Source, now: float) -> list[Event]:
        """Reads a verified request. Raises `Undecodable` where nothing in it can be read."""

    def event_of(self, request: WebhookRequest) -> str:
        """What the request says it is about, without reading it: the label of one that cannot be read."""


def event_name(text: str) -> str:
    """A sender's name of an event, fit for logs and counters."""
    return plain_text(text[:MAX_EVENT]) or "unnamed"
