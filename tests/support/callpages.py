"""Calls, stories and batches for the tests of their pages, and parts of a console that know them."""

from __future__ import annotations

import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import orjson

from callbridge.call import CallId
from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger.views import (
    Attempt,
    BatchRow,
    BatchXray,
    CallFilter,
    CallRow,
    Counted,
    Facets,
    LedgerStanding,
    Page,
    Told,
)
from callbridge.ops.answers import Amended, Revealed
from callbridge.ops.filters import Filter
from callbridge.ops.inspect import Listed, Story
from callbridge.ops.web import Console
from callbridge.ops.who import Who
from support.pages import Overviews, a_console

Browse = Callable[..., Awaitable[Any]]
"""The fixture that opens a client of the pages."""

PHONE = "+79161234567"
NOW = time.time()
UNIQ = "office-abcdefghijklmnopqrstuvwx"


def a_row(number: int = 1, **fields: Any) -> CallRow:
    row = CallRow(
        id=f"1k{number:05d}abcdefghj", state="delivered", account="main", source="office", provider="mango", uniq=UNIQ,
        direction="inbound", phone=PHONE, duration=73, started_at=int(NOW) - 200, received_at=NOW - 100 - number,
        attempts=1, reason=None, entity_type="contact", entity_id=700, note_id=900, updated_at=NOW - 60,
        ref="pbx-1.42", call_status="answered", link=None, detail=None, duplicates=0, variants=0, extension="101",
        result="talked", event="summary",
    )  # fmt: skip
    return replace(row, **fields)


def dead(number: int = 1, **fields: Any) -> CallRow:
    told = {
        "state": "dead",
        "reason": "refused_by_crm",
        "detail": "phone is invalid",
        "entity_id": None,
        "note_id": None,
    }
    return a_row(number, **(told | {"entity_type": None, "cause": "c0ffee"} | fields))


def parked(number: int = 1, **fields: Any) -> CallRow:
    told = {"state": "parked", "reason": "no_matching_entity", "entity_id": None, "entity_type": None, "note_id": None}
    return a_row(number, **(told | fields))


def an_attempt(batch: str = "b1", **fields: Any) -> Attempt:
    return replace(Attempt(batch, NOW - 60, "delivered", None, None, 2, "PerCall", 200, 0.21), **fields)


def a_batch(batch: str = "b1", **fields: Any) -> BatchRow:
    return replace(BatchRow(batch, "main", NOW - 60, "calls", 2, "full", None, 0.21, "PerCall", 200, "req-1"), **fields)


def packed(value: Any) -> bytes:
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    deflate = zlib.compressobj(1, zlib.DEFLATED, -12, 4)
    return deflate.compress(raw) + deflate.flush()


def a_story(row: CallRow, body: bytes = b"{}", happened: Sequence[Mapping[str, Any]] = ()) -> Story:
    fields = {name: getattr(row, name) for name in Listed.__dataclass_fields__ if name != "id"}
    received = {"at": row.received_at, "what": "received", "bytes": len(body)}
    return Story(
        Listed(id=CallId(row.id), **fields), row.extension, row.result, "summary", body, (received, *happened), ""
    )


@dataclass
class Ledger:
    """Cursors are positions; anything else is a `ValueError`, as it is in the real one."""

    rows: list[CallRow] = field(default_factory=list)
    told: dict[str, Told] = field(default_factory=dict)
    batches_known: dict[str, BatchXray] = field(default_factory=dict)
    asked: list[CallFilter] = field(default_factory=list)
    away: bool = False
    partial: bool = False
    more: bool = False

    def _reached(self) -> None:
        if self.away:
            raise LedgerUnavailable("away")

    async def calls(
        self, wanted: CallFilter, *, after: str | None = None, limit: int = 50, order: str = "received"
    ) -> Page[CallRow]:
        self._reached()
        self.asked.append(wanted)
        start = int(after or 0)
        rows = [row for row in self.rows if not wanted.states or row.state in wanted.states]
        following = str(start + limit) if len(rows) > start + limit else None
        return Page(tuple(rows[start : start + limit]), following, self.partial)

    async def count(self, wanted: CallFilter, at_most: int = 10_000) -> Counted:
        self._reached()
        return Counted(at_most if self.more else len(self.rows), self.more)

    async def facets(self) -> Facets:
        self._reached()
        states: dict[str, int] = {}
        for row in self.rows:
            states[row.state] = states.get(row.state, 0) + 1
        return Facets(states, {"main": len(self.rows)}, {"office": len(self.rows)}, {"refused_by_crm": 1})

    async def call(self, call_id: str) -> Told | None:
        self._reached()
        return self.told.get(call_id)

    async def batch(self, batch_id: str) -> BatchXray | None:
        self._reached()
        return self.batches_known.get(batch_id)

    async def batches(
        self, *, account: str | None = None, answer: str | None = None, after: str | None = None, limit: int = 50
    ) -> Page[BatchRow]:
        self._reached()
        rows = [each.row for each in self.batches_known.values() if answer in {None, each.row.answer}]
        start = int(after or 0)
        return Page(tuple(rows[start : start + limit]), None)


@dataclass
class Queue:
    """What Redis knows."""

    stories: dict[str, Story] = field(default_factory=dict)
    listed: list[Listed] = field(default_factory=list)
    asked: list[Filter] = field(default_factory=list)
    away: bool = False

    async def call(self, call_id: CallId) -> Story | None:
        if self.away:
            raise StoreUnavailable("away")
        return self.stories.get(call_id)

    async def calls(self, wanted: Filter, limit: int | None = None) -> AsyncIterator[Listed]:
        if self.away:
            raise StoreUnavailable("away")
        self.asked.append(wanted)
        for each in self.listed[:limit]:
            yield each


@dataclass
class Actions:
    """Writes down what was asked; `answer` is what an edit gets."""

    done: list[tuple[Any, ...]] = field(default_factory=list)
    answer: Any = field(default_factory=lambda: Amended(("phone",), None))

    async def reveal(self, who: Who, call_id: str, reason: str | None = None) -> Revealed | None:
        self.done.append(("reveal", who.name, call_id))
        return Revealed(PHONE, "101", None)

    async def edit_and_replay(
        self, who: Who, call_id: str, changes: Mapping[str, Any], expected_updated_at: float, reason: str
    ) -> Any:
        self.done.append(("edit", who.name, call_id, dict(changes), expected_updated_at, reason))
        return self.answer


@dataclass
class CallDesk:
    console: Console
    ledger: Ledger
    queue: Queue
    actions: Actions

    def know(self, *rows: CallRow, **told: Any) -> None:
        """The ledger has these calls, each with the same story."""
        for row in rows:
            self.ledger.rows.append(row)
            given: dict[str, Any] = {"story": (), "attempts": (), "envelope": None} | told
            self.ledger.told[row.id] = Told(row, **given)


def a_standing(**fields: Any) -> LedgerStanding:
    return replace(LedgerStanding("1", "1", 1, 0, 0.2, NOW, 1), **fields)


def a_desk(*, lag: float = 0.2, behind: int = 0, status: Any = None) -> CallDesk:
    ledger, queue, actions = Ledger(), Queue(), Actions()
    overview = SimpleNamespace(standing=a_standing(lag=lag, behind=behind), status=status, verdict="ok")
    settings = SimpleNamespace(
        accounts={"main": SimpleNamespace(url="https://example.amocrm.ru")},
        sources={"office": SimpleNamespace(provider="mango", account="main", internal_digits=6)},
    )
    console = a_console(
        settings=settings, ledger=ledger, inspector=queue, actions=actions, overviews=Overviews(overview)
    )
    return CallDesk(console, ledger, queue, actions)
