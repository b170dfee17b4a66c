"""What people ask about calls: a list, one call's story, how everything stands. Reads only.

The command line, and whatever else shows calls, is a skin over this. `Listed` is the public form of a call: its field names
are a contract. Lists are streams: memory stays the same at ten and at a million calls.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from callbridge.call import CallId
from callbridge.ops.advice import advice
from callbridge.ops.filters import Filter
from callbridge.ops.health import Status, assess
from callbridge.outcome import PublicState, State
from callbridge.store.durability import Standing
from callbridge.store.records import Record
from callbridge.store.spools import SpoolReport
from callbridge.store.tally import Pause, Slowed, Tally


@dataclass(frozen=True, slots=True)
class Listed:
    """One call as the world sees it. Times are Unix seconds. What a webhook without a readable call does not tell is None."""

    id: CallId
    state: PublicState
    account: str
    source: str
    provider: str | None
    uniq: str | None
    direction: str | None
    phone: str | None
    duration: int | None
    started_at: int | None
    received_at: float
    attempts: int
    reason: str | None
    entity_type: str | None
    entity_id: int | None
    note_id: int | None
    updated_at: float
    ref: str | None
    call_status: str | None
    link: str | None
    detail: str | None
    duplicates: int
    variants: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Story:
    """A call, the webhook that told of it, what happened since, and what is next. `body` is as it was received."""

    listed: Listed
    extension: str | None
    result: str | None
    event: str
    body: bytes
    happened: tuple[Mapping[str, Any], ...]
    advice: str

    def as_json(self) -> dict[str, Any]:
        """Bytes that are no UTF-8 are shown with replacement characters; `size` is that of the bytes."""
        webhook = {"event": self.event, "size": len(self.body), "body": self.body.decode("utf-8", "replace")}
        told = {"extension": self.extension, "result": self.result, "webhook": webhook}
        return self.listed.as_json() | told | {"story": [dict(entry) for entry in self.happened], "advice": self.advice}


class Records(Protocol):
    async def get(self, call_id: CallId) -> Record | None: ...
    async def story(self, call_id: CallId) -> Sequence[Mapping[str, Any]]: ...
    def newest(self, *, since: float | None = None, until: float | None = None) -> AsyncIterator[Record]: ...
    def in_state(self, state: State) -> AsyncIterator[Record]: ...


class Figures(Protocol):
    async def read(self) -> Tally: ...
    async def pause_of(self, account: str) -> Pause | None: ...
    async def slowed_of(self, account: str) -> Slowed | None: ...


class Presence(Protocol):
    async def workers(self) -> Mapping[str, float]: ...


class History(Protocol):
    """Calls that Redis holds no more."""

    def calls(self, wanted: Filter) -> AsyncGenerator[Listed, None]: ...
    async def call(self, call_id: CallId) -> Story | None: ...


class Inspector:
    """All methods raise `StoreUnavailable`. `configured` are the accounts that the settings name, `ends` what is to be said
    about their long-lived tokens now.
    """

    def __init__(
        self,
        records: Records,
        figures: Figures,
        presence: Presence,
        standing: Callable[[], Awaitable[Standing]],
        configured: Collection[str],
        ends: Callable[[], Mapping[str, tuple[str | None, str | None]]] = dict,
        spools: Callable[[], Awaitable[Mapping[str, SpoolReport]]] | None = None,
        history: History | None = None,
    ) -> None:
        self._records = records
        self._figures = figures
        self._presence = presence
        self._standing = standing
        self._configured = frozenset(configured)
        self._ends = ends
        self._spools = spools
        self._history = history

    async def calls(self, wanted: Filter, limit: int | None = None) -> AsyncGenerator[Listed, None]:
        """Calls that match: latest received first, those of a final state by when they got there; what only the ledger holds
        comes last then. Raises `LedgerUnavailable`, too, where there is one.
        """
        left = limit
        async with AsyncExitStack() as stack:
            here = await stack.enter_async_context(aclosing(self._listed(wanted)))
            found: AsyncGenerator[Listed, None] = here
            if self._history is not None:
                past = await stack.enter_async_context(aclosing(self._history.calls(wanted)))
                both = joined(here, past) if wanted.final_state else merged(here, past)
                found = await stack.enter_async_context(aclosing(both))
            async for call in found:
                if left == 0:
                    return
                yield call
                left = None if left is None else left - 1

    async def _listed(self, wanted: Filter) -> AsyncGenerator[Listed, None]:
        async with aclosing(self.records(wanted)) as records:
            async for record in records:
                yield listed(record)

    async def records(self, wanted: Filter) -> AsyncGenerator[Record, None]:
        final = wanted.final_state
        if final is None:
            async for record in self._records.newest(since=wanted.since, until=wanted.until):
                if wanted.admits(record):
                    yield record
            return
        async for record in self._records.in_state(final):
            if wanted.is_too_early(record.updated_at):
                return  # from here on all got there, and so were received, too early
            if wanted.admits(record):
                yield record

    async def call(self, call_id: CallId) -> Story | None:
        record = await self._records.get(call_id)
        if record is None:
            return await self._history.call(call_id) if self._history else None
        pause = await self._figures.pause_of(record.account)
        slowed = await self._figures.slowed_of(record.account)
        return _story(record, await self._records.story(call_id), pause, slowed)

    async def status(self) -> Status:
        return assess(
            await self._figures.read(),
            await self._presence.workers(),
            await self._standing(),
            self._configured,
            self._ends(),
            await self._spools() if self._spools else None,
            time.time(),
        )


async def merged(newer: AsyncIterator[Listed], older: AsyncIterator[Listed]) -> AsyncGenerator[Listed, None]:
    """Two lists, each the latest received first, as one."""
    one, other = await _next(newer), await _next(older)
    while one is not None or other is not None:
        if other is None or (one is not None and one.received_at >= other.received_at):
            if one is not None:
                yield one
            one = await _next(newer)
        else:
            yield other
            other = await _next(older)


async def joined(first: AsyncIterator[Listed], then: AsyncIterator[Listed]) -> AsyncGenerator[Listed, None]:
    async for call in first:
        yield call
    async for call in then:
        yield call


async def _next(rows: AsyncIterator[Listed]) -> Listed | None:
    return await anext(rows, None)


def listed(record: Record) -> Listed:
    call, envelope = record.call, record.envelope
    return Listed(
        id=record.id,
        state=record.state,
        account=record.account,
        source=record.source,
        provider=envelope.provider if envelope else None,
        uniq=call.uniq if call else None,
        direction=call.direction.value if call else None,
        phone=call.phone if call else None,
        duration=call.duration if call else None,
        started_at=call.started_at if call else None,
        received_at=record.received_at,
        attempts=record.attempts,
        reason=record.reason,
        entity_type=record.entity_type,
        entity_id=record.entity_id,
        note_id=record.note_id,
        updated_at=record.updated_at,
        ref=call.ref if call else None,
        call_status=call.status.value if call else None,
        link=record.link,
        detail=record.detail or (envelope.problem if envelope else "the stored webhook cannot be read any more"),
        duplicates=record.duplicates,
        variants=record.variants,
    )


def _story(record: Record, happened: Sequence[Mapping[str, Any]], pause: Pause | None, slowed: Slowed | None) -> Story:
    call, webhook = record.call, record.webhook
    body = webhook.body if webhook else b""
    received = {"at": record.received_at, "what": "received", "bytes": len(body)}
    return Story(
        listed=listed(record),
        extension=call.extension if call else None,
        result=call.result if call else None,
        event=webhook.event if webhook else "",
        body=body,
        happened=(received, *happened),
        advice=advice(record.state, record.reason, pause.reason if pause else None, slowed.why if slowed else None),
    )
