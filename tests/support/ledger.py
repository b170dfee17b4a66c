"""A Redis of the tests, as the ledger's writer sees it: calls as they stand, and a stream of what changed."""

from __future__ import annotations

import asyncio
import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Table

from callbridge.call import Call, CallId, Webhook
from callbridge.ledger.database import Ledger
from callbridge.store.envelope import Envelope, seal
from callbridge.store.records import Record
from support.builders import a_call

NOW = 1_790_000_100.0
"""When the calls of these tests are received, if they do not say otherwise."""


@dataclass(frozen=True, slots=True)
class Shown:
    record: Record
    story: Sequence[Mapping[str, Any]] = ()
    sealed: bytes | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    entry: str
    call_id: str | None = None
    batch: Mapping[str, Any] | None = None


def shown(call_id: str, call: Call | None = None, *, at: float = NOW, **changes: Any) -> Shown:
    """A call that was just received, or as `changes` of its record have it."""
    call = call or a_call(ref=f"ref-{call_id}")
    envelope = Envelope(call.source, call.provider, Webhook("call.finished", b'{"id":"x"}'), call)
    story, replayed = changes.pop("story", ()), changes.pop("replayed", False)
    defaults: dict[str, Any] = {
        "id": CallId(call_id), "state": "queued", "account": "main", "source": call.source, "attempts": 0,
        "received_at": at, "updated_at": at, "reason": None, "detail": None, "note_id": None, "entity_type": None,
        "entity_id": None, "link": call.link, "duplicates": 0, "variants": 0, "envelope": envelope,
    }  # fmt: skip
    return Shown(Record(**(defaults | changes)), tuple(story), seal(envelope), replayed)


def moved(before: Shown, state: str, at: float, *, batch: str | None = None, **changes: Any) -> Shown:
    """The call after a step that its story tells of."""
    entry: dict[str, Any] = {"at": round(at * 1000), "what": state, "account": before.record.account}
    if batch:
        entry |= {"batch": batch, "size": 1, "seconds": 0.2, "answer": "PerCall"}
    entry |= {name: changes[name] for name in ("reason", "detail") if changes.get(name)}
    replayed = changes.pop("replayed", before.replayed)
    changes = {"reason": None, "detail": None, "attempts": before.record.attempts + bool(batch)} | changes
    record = replace(before.record, state=state, updated_at=at, **changes)
    return replace(before, record=record, story=(*before.story, entry), replayed=replayed)


def delivered(before: Shown, at: float, *, batch: str = "b-1", **changes: Any) -> Shown:
    card = {"note_id": 7001, "entity_type": "contact", "entity_id": 12}
    return moved(before, "delivered", at, batch=batch, **card, **changes)


def emptied(before: Shown, at: float) -> Shown:
    """Erased, as Redis then shows it."""
    kept = {name: getattr(before.record, name) for name in ("id", "account", "source", "received_at")}
    record = Record(
        **kept, state="erased", attempts=0, updated_at=at, reason=None, detail=None, note_id=None, entity_type=None,
        entity_id=None, link=None, duplicates=0, variants=0, envelope=None,
    )  # fmt: skip
    return Shown(record, ({"at": round(at * 1000), "what": "erased"},))


def a_batch(name: str, ids: Sequence[str], **changes: Any) -> dict[str, Any]:
    deflated = base64.b64encode(zlib.compress(b"[]")).decode()
    defaults: dict[str, Any] = {
        "id": name, "account": "main", "at": round(NOW * 1000), "kind": "calls", "size": len(ids), "why": "due",
        "parent": None, "seconds": 0.2, "answer": "PerCall", "detail": None, "status": 200, "request_id": "r-1",
        "calls": list(ids), "request": deflated, "response": deflated,
    }  # fmt: skip
    return defaults | changes


@dataclass
class Office:
    """`changes` and `records` of a writer. What was taken and not done is given again, to whoever asks next."""

    calls: dict[str, Shown] = field(default_factory=dict)
    stream: dict[str, Changed] = field(default_factory=dict)
    taken: int = 0
    away: Exception | None = None
    undead: list[str] = field(default_factory=list)

    def put(self, *calls: Shown) -> None:
        for call in calls:
            self.calls[call.record.id] = call
            self.change(call.record.id)

    def change(self, call_id: str) -> None:
        self._add(call_id=call_id)

    def tell(self, *batches: Mapping[str, Any]) -> None:
        for batch in batches:
            self._add(batch=batch)

    def _add(self, **what: Any) -> None:
        self.taken += 1
        name = f"{self.taken}-0"
        self.stream[name] = Changed(name, **what)

    async def take(self, count: int, wait: float) -> list[Changed]:
        self._check()
        if not self.stream:
            await asyncio.sleep(min(wait, 0.01))
        return list(self.stream.values())[:count]

    async def done(self, entries: Sequence[str]) -> None:
        self._check()
        for entry in entries:
            self.stream.pop(entry, None)

    async def snapshots(self, ids: Sequence[str]) -> list[Shown]:
        self._check()
        return [self.calls[call_id] for call_id in ids if call_id in self.calls]

    async def forget(self, ids: Sequence[CallId]) -> frozenset[CallId]:
        self._check()
        return frozenset(call_id for call_id in ids if self.calls.pop(call_id, None))

    async def erase(self, ids: Sequence[CallId]) -> frozenset[CallId]:
        self._check()
        there = [call_id for call_id in ids if call_id in self.calls]
        self.put(*(emptied(self.calls[call_id], NOW + 500) for call_id in there))
        return frozenset(there)

    async def on_undead(self, ids: Sequence[str]) -> None:
        self._check()
        self.undead += ids

    def _check(self) -> None:
        if self.away:
            raise self.away


async def rows(ledger: Ledger, table: Table) -> list[dict[str, Any]]:
    """All of a table, by its key."""
    async with ledger.read(10) as connection:
        found = await connection.execute(table.select().order_by(*table.primary_key.columns))
        return [dict(row) for row in found.mappings()]


async def figures(ledger: Ledger, table: Table) -> dict[tuple[Any, ...], int]:
    """A table of counters as one mapping, without those at zero."""
    return {tuple(row.values())[:-1]: row["calls"] for row in await rows(ledger, table) if row["calls"]}
