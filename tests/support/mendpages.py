"""What the pages that put calls right stand on in a test: real jobs, gate and audit, and calls made up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from callbridge.call import phone_tail
from callbridge.ledger.access import AccessBook, AuditBook
from callbridge.ledger.database import open_ledger
from callbridge.ledger.jobs import JobBook
from callbridge.ledger.views import (
    Attempt,
    BatchRow,
    CallFilter,
    CallRow,
    Counted,
    ErrorGroup,
    Facets,
    Page,
    ParkedNumber,
    Told,
)
from callbridge.ops.access.audit import Audit
from callbridge.ops.answers import Erased, Marked, Paused, Resumed, Revealed, SourceTest
from callbridge.ops.jobs import Hands, Jobs, Lane
from callbridge.ops.web import Console
from callbridge.ops.who import Who
from callbridge.settings import Settings
from callbridge.store.refusals import SourceRefusals
from support.access import Clock, make_gate
from support.callpages import PHONE, a_row
from support.overviews import NOW, a_status, a_tally, an_overview
from support.pages import Overviews, a_console

OTHER_PHONE = "+74955550142"


def a_group(**fields: Any) -> ErrorGroup:
    group = ErrorGroup(
        "main", "refused_by_crm", "c0ffee", 73, NOW - 9000, NOW - 60, f"no {PHONE}", "open", None, None, None
    )
    return replace(group, **fields)


def a_setting(**changes: Any) -> Settings:
    given: dict[str, Any] = {
        "accounts": {"main": {"url": "https://example.amocrm.ru", "token": "sample-token"}},
        "sources": {
            "office": {"provider": "mango", "key": "k", "secret": "sample-secret", "path_token": "a-hidden-word"}
        },
    }
    return Settings.model_validate(given | changes)


@dataclass
class Rows:
    """Calls as the ledger has them, found by what a filter says."""

    known: list[CallRow] = field(default_factory=list)
    dead: list[ErrorGroup] = field(default_factory=list)
    sent: list[BatchRow] = field(default_factory=list)
    asked: list[CallFilter] = field(default_factory=list)
    story: tuple[Mapping[str, Any], ...] = ()
    attempts: tuple[Attempt, ...] = ()

    def meant(self, wanted: CallFilter) -> list[CallRow]:
        self.asked.append(wanted)
        return [row for row in self.known if _fits(row, wanted)]

    async def calls(
        self, wanted: CallFilter, *, after: str | None = None, limit: int = 50, order: str = "received"
    ) -> Page[CallRow]:
        start, rows = int(after or 0), self.meant(wanted)
        following = str(start + limit) if len(rows) > start + limit else None
        return Page(tuple(rows[start : start + limit]), following)

    async def count(self, wanted: CallFilter, at_most: int = 10_000) -> Counted:
        calls = len(self.meant(wanted))
        return Counted(min(calls, at_most), calls > at_most)

    async def ids(self, wanted: CallFilter, *, at_most: int) -> tuple[list[str], bool]:
        ids = [row.id for row in self.meant(wanted)]
        return ids[:at_most], len(ids) > at_most

    async def facets(self) -> Facets:
        counts: list[dict[str, int]] = [{}, {}, {}, {}]
        for row in self.known:
            for found, value in zip(counts, (row.state, row.account, row.source, row.reason), strict=True):
                if value:
                    found[value] = found.get(value, 0) + 1
        return Facets(*counts)

    async def rows(self, ids: Sequence[str]) -> dict[str, CallRow]:
        return {row.id: row for row in self.known if row.id in ids}

    async def call(self, call_id: str) -> Told | None:
        row = next((row for row in self.known if row.id == call_id), None)
        return Told(row, self.story, self.attempts, None) if row else None

    async def batches(self, *, account: str | None = None, limit: int = 50) -> Page[BatchRow]:
        return Page(tuple(row for row in self.sent if row.account == account)[:limit], None)

    async def groups(self, *, account: str | None = None, status: str | None = None) -> tuple[ErrorGroup, ...]:
        return tuple(row for row in self.dead if account in {None, row.account} and status in {None, row.status})

    async def parked_numbers(self, limit: int = 50, *, account: str | None = None) -> tuple[ParkedNumber, ...]:
        parked = self.meant(CallFilter(states=("parked",), account=account))
        numbers = {(row.account, row.phone): row for row in parked if row.phone}
        found = []
        for (held, phone), newest in numbers.items():
            same = [row.received_at for row in parked if (row.account, row.phone) == (held, phone)]
            found.append(ParkedNumber(held, phone or "", len(same), min(same), max(same), newest.id))
        return tuple(found[:limit])


def _fits(row: CallRow, wanted: CallFilter) -> bool:
    named = ("account", "source", "direction", "reason", "cause")
    if wanted.states and row.state not in wanted.states:
        return False
    if any(getattr(wanted, name) not in {None, getattr(row, name)} for name in named):
        return False
    return wanted.phone is None or phone_tail(row.phone or "").endswith(wanted.phone)


@dataclass
class Actions:
    """Writes down what was asked of it; `answers` by name are given instead of doing it."""

    done: list[tuple[Any, ...]] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)

    def _answer(self, name: str, otherwise: Any, *told: Any) -> Any:
        self.done.append((name, *told))
        return self.answers.get(name, otherwise)

    async def mark_group(
        self, who: Who, account: str, reason: str, cause: str, status: Any, note: str | None = None
    ) -> Any:
        return self._answer("mark", Marked("open", status), account, reason, cause, status, note)

    async def pause_account(self, who: Who, account: str, reason: str, seconds: float | None = None) -> Any:
        return self._answer("pause", Paused(None), account, reason, seconds)

    async def resume_account(self, who: Who, account: str, reason: str = "") -> Any:
        return self._answer("resume", Resumed(5.0), account)

    async def begin_authorising(self, who: Who, account: str) -> Any:
        return self._answer("begin", "https://www.amocrm.ru/oauth?client_id=i&state=s", account)

    async def finish_authorising(self, who: Who, query: Mapping[str, str]) -> Any:
        return self._answer("finish", None, dict(query))

    async def reveal(self, who: Who, call_id: str, reason: str | None = None) -> Any:
        return self._answer("reveal", Revealed(PHONE, None, None), call_id)

    async def erase(self, who: Who, phone: str, reason: str) -> Any:
        return self._answer("erase", Erased(2), phone, reason)

    async def test_source(self, who: Who, source: str) -> Any:
        return self._answer("test", SourceTest(ok=True, steps=(("signature", "fits"),), problem=None), source)

    def door(self, account: str) -> Any:
        return self.answers.get("door")


@dataclass
class Moved:
    """The store's verbs: every call that is asked for is moved; what was asked stands in `ids`, for each verb."""

    ids: list[str] = field(default_factory=list)

    async def replay(self, ids: Sequence[Any], by: str = "", why: str = "") -> frozenset[Any]:
        self.ids += ids
        return frozenset(ids)

    discard = replay

    async def unpark(self, ids: Sequence[Any], how: str, by: str, why: str) -> frozenset[Any]:
        self.ids += ids
        return frozenset(ids)

    async def resolve(self, verdict: Any, ids: Sequence[Any], **_told: Any) -> frozenset[Any]:
        self.ids += ids
        return frozenset(ids)


@dataclass
class Refusals:
    found: dict[str, SourceRefusals] = field(default_factory=dict)

    async def read(self) -> Mapping[str, SourceRefusals]:
        return self.found


@dataclass
class MendDesk:
    console: Console
    rows: Rows
    actions: Actions
    moved: Moved
    refusals: Refusals
    overviews: Overviews
    clock: Clock

    def know(self, *rows: CallRow) -> None:
        self.rows.known += rows

    def figures(self, **tally: Any) -> None:
        self.overviews.overview = an_overview(a_status(a_tally(**tally)))


@asynccontextmanager
async def a_mend_desk(where: Path, **settings: Any) -> AsyncIterator[MendDesk]:
    clock, rows, actions, moved, refusals = Clock(NOW), Rows(), Actions(), Moved(), Refusals()
    overviews = Overviews(an_overview())
    held = a_setting(**settings)
    async with open_ledger(f"sqlite:///{where}/ledger.db") as ledger:
        audit = Audit(AuditBook(ledger), clock)
        hands = Hands(repair=cast("Any", moved), mending=moved, doubts=moved, unknown_after=0.0)
        lanes = {name: Lane(each.max_batch, each.requests_per_second) for name, each in held.accounts.items()}
        console = a_console(
            settings=held,
            now=clock,
            ledger=rows,
            overviews=overviews,
            actions=actions,
            jobs=Jobs(JobBook(ledger), rows, hands, audit, lanes=lanes, now=clock, runner="r1"),
            gate=make_gate(AccessBook(ledger), audit, clock),
            audit=audit,
            refusals=refusals,
            hooks=lambda: dict.fromkeys(held.sources, "https://pbx.example.com/hooks/office"),
        )
        yield MendDesk(console, rows, actions, moved, refusals, overviews, clock)


def some(count: int, state: str, reason: str | None, first: int = 1, **fields: Any) -> list[CallRow]:
    """Calls that differ in their ids."""
    told = {"state": state, "reason": reason, "entity_type": None, "entity_id": None, "note_id": None}
    return [a_row(first + number, **told | fields) for number in range(count)]
