"""One webhook: who sent it, what it says, stored, answered.

The order is the promise. Nothing is read before the credential holds, nothing is answered before the inbox says that it is
durable. What cannot be read is stored as it came, because most PBXs never send again after a 4xx. This module knows
neither HTTP nor Redis: it raises `BadWebhook` and `StoreUnavailable`, and is given an `Inbox`.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Protocol, assert_never
from urllib.parse import quote, quote_plus

from callbridge import observe
from callbridge.call import (
    Arrival,
    Call,
    Direction,
    FinishedCall,
    IgnoredEvent,
    Receipt,
    RecordingReady,
    UndecodableWebhook,
    Webhook,
)
from callbridge.errors import MethodRefused, Unauthenticated, Undecodable
from callbridge.intake.links import link_of
from callbridge.intake.providers import check_source, provider_named
from callbridge.intake.providers.base import (
    Broken,
    Challenge,
    Event,
    Finished,
    Ignored,
    Provider,
    Recording,
    Reply,
    Source,
    WebhookRequest,
)
from callbridge.intake.providers.numbers import is_one_of
from callbridge.intake.proxies import is_inside
from callbridge.intake.verify import any_same, wire_bytes

HANDSHAKE: Final = "handshake"

HIDDEN: Final = b"***"

MIN_HIDDEN: Final = 6
"""Characters from which on a secret is hidden in what is kept; a shorter one would take ordinary words with it."""

MAX_LOGGED: Final = 20
"""Ids of calls named in one log event; an array brings up to a hundred."""


class Inbox(Protocol):
    """Where arrivals become durable."""

    async def put(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """One receipt per arrival, in order, once all are durable. Raises `StoreUnavailable`.

        What was put is written even if the caller is cancelled meanwhile: a sender that goes away must not undo a write
        that others share.
        """


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the sender is told, and what became of each thing that it sent."""

    reply: Reply
    receipts: Sequence[Receipt]


class Acceptor:
    """Raises `Misconfigured` where it is built, if a source could never be verified."""

    def __init__(self, sources: Mapping[str, Source], inbox: Inbox, now: Callable[[], float]) -> None:
        for source in sources.values():
            check_source(source)
        self._sources = dict(sources)
        self._inbox = inbox
        self._now = now
        self._decoys = tuple(map(_decoy, self._sources.values())) or (_decoy(_ANY_SOURCE),)

    def max_body(self, source_name: str) -> int | None:
        """Bytes that this source may send; None for a source that does not exist."""
        source = self._sources.get(source_name)
        return source.max_body if source else None

    async def accept(self, source_name: str, request: WebhookRequest) -> Accepted:
        """`request.path` still begins with the path token, where the source has one.

        Raises `Unauthenticated`, `MethodRefused` and `StoreUnavailable`.
        """
        now = self._now()
        source, provider, request, greeting = self._authenticated(source_name, request, now)
        if greeting:
            await self._inbox.put([IgnoredEvent(source.name, HANDSHAKE)])
            observe.event("webhook.greeted", source=source.name)
            return Accepted(greeting, ())
        if request.method not in provider.methods:
            raise MethodRefused("method", tuple(sorted(provider.methods)))
        try:
            events = provider.parse(request, source, now)
        except Undecodable as error:
            events = [Broken(error.reason, provider.event_of(request), request.evidence)]
        arrivals = [arrival_of(event, source) for event in events]
        receipts = await self._inbox.put(arrivals)
        _log(source, events, receipts)
        challenge = next((event.reply for event in events if isinstance(event, Challenge)), None)
        return Accepted(challenge or provider.reply, receipts)

    def _authenticated(
        self, name: str, request: WebhookRequest, now: float
    ) -> tuple[Source, Provider, WebhookRequest, Reply | None]:
        """Network, path token and the provider's credential: all are always looked at, and all must hold. A handshake, whose
        reply comes with it, has no credential beyond the first two.
        """
        known = self._sources.get(name)
        source = known or self._decoys[zlib.crc32(wire_bytes(name)) % len(self._decoys)]
        problem = None if known else "unknown_source"
        if source.path_token is not None:
            token, path = (request.path[0], request.path[1:]) if request.path else ("", ())
            if not any_same(wire_bytes(token), (source.path_token,)):
                problem = problem or "bad_path_token"
            request = replace(request, path=path)
        if source.allow_from and not is_inside(request.peer, source.allow_from):
            problem = problem or "network_not_allowed"
        provider = provider_named(source.provider)
        greeting = provider.greet(request, source)
        try:
            if greeting is None:
                provider.verify(request, source, now)
        except Unauthenticated as refused:
            problem = problem or refused.reason
        if problem or not known:
            # The name of an unknown source is a stranger's text and stays out of the log.
            observe.event("webhook.refused", level="warning", source=name if known else "unknown", reason=problem)
            raise Unauthenticated(problem or "unknown_source")
        return source, provider, request, greeting


_ANY_SOURCE: Final = Source(
    name="decoy",
    account="decoy",
    provider="generic",
    auth="signature",
    secrets=("",),
    key=None,
    path_token=None,
    timezone="UTC",
    hold=0.0,
    own_numbers=(),
    status_overrides={},
    max_body=0,
)


def _decoy(source: Source) -> Source:
    """What stands in for an unknown name: verified by the same steps as a real source, with secrets that nobody has."""
    return replace(
        source,
        secrets=tuple(secrets.token_hex() for _ in source.secrets),
        key=source.key and secrets.token_hex(),
        path_token=source.path_token and secrets.token_hex(),
    )


def arrival_of(event: Event, source: Source) -> Arrival:
    """What is stored of an event."""
    match event:
        case Finished(call, name, body, recording):
            if is_one_of(call.phone, source.own_numbers):
                call = replace(call, direction=Direction.INTERNAL)  # our own number is nobody's contact
            return FinishedCall(
                source.account, _linked(call, recording, source), _kept(name, body, source), source.hold
            )
        case Recording(ref, told, at, name, body, recording):
            link = link_of(source, told, ref=ref, recording=recording, at=at)
            if link is None:
                return IgnoredEvent(source.name, name)
            kept = _kept(name, body, source)
            return RecordingReady(source.account, source.name, ref, link, at, kept, source.note_late_recording)
        case Broken(problem, name, body):
            return UndecodableWebhook(source.account, source.name, source.provider, _kept(name, body, source), problem)
        case Ignored(name) | Challenge(name):
            return IgnoredEvent(source.name, name)
        case _:
            assert_never(event)


def _kept(name: str, body: bytes, source: Source) -> Webhook:
    """The bytes as they came, less the secret where the PBX writes it into them: what is stored is exported and backed up."""
    for spelling in _spellings(source.secrets):
        body = body.replace(spelling, HIDDEN)
    return Webhook(name, body)


@lru_cache(maxsize=256)
def _spellings(live: tuple[str, ...]) -> tuple[bytes, ...]:
    """How the secrets look as they are, in a form or query, and in JSON; the longest first."""
    told = {
        spelling
        for secret in live
        if len(secret) >= MIN_HIDDEN
        for spelling in (
            secret,
            quote(secret, safe=""),
            quote_plus(secret),
            *(json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)),
        )
    }
    return tuple(sorted(map(wire_bytes, told), key=len, reverse=True))


def _linked(call: Call, recording: str | None, source: Source) -> Call:
    """The call with its link, as far as links are allowed; a template is for calls that can have a recording at all."""
    if call.link is None and (source.link_template is None or call.rank <= 0):
        return call
    link = link_of(source, call.link, ref=call.ref, recording=recording, at=call.started_at)
    return call if link == call.link else replace(call, link=link)


def _log(source: Source, events: Sequence[Event], receipts: Sequence[Receipt]) -> None:
    broken = [event.problem for event in events if type(event) is Broken]
    if len(receipts) == 1:
        told: object = receipts[0].kind.value
    else:
        told = Counter(receipt.kind.value for receipt in receipts)
    observe.event(
        "webhook.accepted",
        level="warning" if broken else "info",
        source=source.name,
        webhook=events[0].event,
        receipts=told,
        calls=[receipt.id for receipt in receipts[:MAX_LOGGED] if receipt.id],
        **({"undecodable": len(broken), "problem": broken[0]} if broken else {}),
    )
