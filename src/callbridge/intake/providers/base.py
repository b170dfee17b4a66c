"""What intake and a provider say to each other [pure].

A provider is the only place that knows one PBX: how it proves who it is and what it calls things. It turns a request into
events and knows nothing of sockets, stores or the CRM. It never raises for what a sender wrote, except the two errors
that `Provider` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal, Protocol, runtime_checkable
from urllib.parse import urlencode

from callbridge.call import Call, CallStatus, Direction, plain_text

MAX_EVENT = 64


@dataclass(frozen=True, slots=True)
class Source:
    """One configured PBX. `secrets` are the current one and, while it is being rotated, the one before.

    `directions` maps the beginning of what the PBX calls a route (an Asterisk context, say) to a direction, for PBXs that
    do not tell one. A number of at most `internal_digits` digits is an extension. `public_url` is the receiver's address as
    the world knows it, without a slash at its end. `allow_from` are networks; empty: any.
    """

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
    public_url: str | None = None
    allow_from: tuple[IPv4Network | IPv6Network, ...] = ()
    link_hosts: tuple[str, ...] = ()
    link_template: str | None = None
    note_late_recording: bool = False
    internal_digits: int = 6
    directions: Mapping[str, Direction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One request as a provider sees it.

    `path` are the segments below `/hooks/{source}`; intake takes the path token off before a provider gets it. `headers`
    are looked up by lower-case names. `target` is the path and query exactly as they came, and `origin` the scheme and host
    that the sender addressed: together the URL that some PBXs sign. `peer` is the sender's IP address, "" where unknown.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str = ""
    origin: str = ""
    peer: str = ""

    def public_url(self, source: Source) -> str:
        """The URL that the sender was given. The configured address counts; only without one is the Host header believed,
        which lets nobody in: a signature over the URL still needs the secret.
        """
        return (source.public_url or self.origin) + self.target

    @property
    def evidence(self) -> bytes:
        """The bytes that tell what happened: the body, or of a request without one its query. Two requests that nobody could
        read are kept as two only if these differ.
        """
        return self.body or urlencode(list(self.query.items()), errors="surrogatepass").encode()


@dataclass(frozen=True, slots=True)
class Reply:
    """The 2xx that the PBX expects."""

    content_type: str
    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished call. `body` is the part of the request that told of it. `recording` is the file name or id of a recording
    without an address of its own.
    """

    call: Call
    event: str
    body: bytes
    recording: str | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """The recording of the call `ref` is at `link`, or has the file name or id `recording`; `at` is Unix seconds."""

    ref: str
    link: str | None
    at: int
    event: str
    body: bytes
    recording: str | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """An event that tells of no finished call."""

    event: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """A test of ours by the PBX, authenticated like any webhook, that wants an answer of its own."""

    event: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class Broken:
    """One element without a readable call. Its neighbours in the same request stand."""

    problem: str
    event: str
    body: bytes


Event = Finished | Recording | Ignored | Challenge | Broken


@dataclass(frozen=True, slots=True)
class Step:
    """One step on the way of a request, for people: its name, what came of it, and whether it went well; None where it only
    explains another.
    """

    name: str
    text: str
    ok: bool | None


@runtime_checkable
class Explains(Protocol):
    """A provider that can tell how it reads a request. It never raises for what a sender wrote."""

    def explain(self, request: WebhookRequest, source: Source, now: float) -> Iterator[Step]: ...


@dataclass(frozen=True, slots=True)
class Traits:
    """What whoever sets a source up must know of its PBX. `credential` says how the PBX proves who it is; `needs` are the
    settings of the source without which it cannot. `wall_clock`: it tells times without an offset. `has_legs`: it tells of
    one call in several webhooks. `signs_url`: its signature covers the address that it was given.
    """

    credential: str
    needs: tuple[str, ...] = ("secret",)
    wall_clock: bool = False
    has_legs: bool = False
    signs_url: bool = False


class Provider(Protocol):
    """One kind of PBX."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str:
        """What its users call it."""

    @property
    def setup(self) -> str:
        """One line for the table of providers: what to enter where in the PBX's own settings."""

    @property
    def guide(self) -> str:
        """The long text for `callbridge providers show`: the module's docstring."""

    @property
    def traits(self) -> Traits: ...

    @property
    def methods(self) -> frozenset[str]:
        """The HTTP methods by which it sends."""

    @property
    def reply(self) -> Reply: ...

    def greet(self, request: WebhookRequest, source: Source) -> Reply | None:
        """The answer to a handshake that the PBX does not authenticate (its path token was checked); None for a webhook."""

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
