"""A console whose parts are in memory, served over real HTTP: for the tests of the API and of the metrics."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from callbridge.call import CallId
from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger.views import (
    Attempt,
    BatchRow,
    BatchXray,
    CallFilter,
    CallRow,
    ErrorGroup,
    LedgerStanding,
    Page,
    Speed,
    Told,
)
from callbridge.ops.access.enforce import guard
from callbridge.ops.access.headers import PLAIN_COOKIE
from callbridge.ops.access.origins import Place
from callbridge.ops.actions import Marked, Paused, Refused, Resumed
from callbridge.ops.dashboard.render import setup_templates
from callbridge.ops.health import Status, assess
from callbridge.ops.inspect import Listed, Story
from callbridge.ops.jobs import Job, JobPreview, Refusal
from callbridge.ops.overview import Overview, Sentence, Trouble
from callbridge.ops.web import CONSOLE, Console, Route
from callbridge.ops.who import Role, Who
from callbridge.settings import Settings
from callbridge.store.durability import Standing, Worth
from callbridge.store.refusals import SourceRefusals
from callbridge.store.tally import AccountTally, SourceTally, Tally

NOW = 1_790_000_000.0
PHONE = "+79161234567"
"""The number that nobody without the right may see."""

TOKENS: Mapping[str, Role] = {f"{role.value}-token-of-the-tests": role for role in Role}


def call_row(number: int, **fields: Any) -> CallRow:
    row = CallRow(
        id=f"1j{number:06d}bcdfghjk", state="delivered", account="main", source="office", provider="mango",
        uniq=f"office-{number:024d}", direction="inbound", phone=PHONE, duration=73, started_at=int(NOW) - number,
        received_at=NOW - number, attempts=1, reason=None, entity_type="contact", entity_id=7, note_id=9,
        updated_at=NOW - number + 1, ref=f"ref-{number}", call_status="answered", link="https://rec.example.com/1.mp3",
        detail=f"the CRM has {PHONE} on two cards", duplicates=0, variants=0, extension="101", result=f"asked {PHONE}",
    )  # fmt: skip
    return replace(row, **fields)


def batch_row(number: int) -> BatchRow:
    return BatchRow(f"b{number:06d}", "main", NOW - number, "calls", 2, "full", None, 0.21, "PerCall", 200, "req-1")


@dataclass
class FakeLedger:
    """Cursors are positions; anything else is a ValueError."""

    rows: list[CallRow] = field(default_factory=list)
    xrays: dict[str, BatchXray] = field(default_factory=dict)
    dead: list[ErrorGroup] = field(default_factory=list)
    asked: list[CallFilter] = field(default_factory=list)
    answers: list[str | None] = field(default_factory=list)
    away: bool = False

    def _page(self, rows: Sequence[Any], after: str | None, limit: int) -> Page[Any]:
        self._reached()
        start = int(after or 0)
        following = str(start + limit) if len(rows) > start + limit else None
        return Page(tuple(rows[start : start + limit]), following)

    def _reached(self) -> None:
        if self.away:
            raise LedgerUnavailable("away")

    async def calls(
        self, wanted: CallFilter, *, after: str | None = None, limit: int = 50, order: str = "received"
    ) -> Page[CallRow]:
        self.asked.append(wanted)
        states = wanted.states
        return self._page([row for row in self.rows if not states or row.state in states], after, limit)

    async def call(self, call_id: str) -> Told | None:
        self._reached()
        attempt = Attempt("b000001", NOW, "delivered", None, f"{PHONE} taken", 2, "PerCall", 200, 0.21)
        story = ({"at": NOW, "what": "received"}, {"at": NOW + 1, "what": "noted", "phone": PHONE, "token": "abc"})
        return next((Told(row, story, (attempt,), None) for row in self.rows if row.id == call_id), None)

    async def batch(self, batch_id: str) -> BatchXray | None:
        self._reached()
        return self.xrays.get(batch_id)

    async def batches(
        self, *, account: str | None = None, answer: str | None = None, after: str | None = None, limit: int = 50
    ) -> Page[BatchRow]:
        self.answers.append(answer)
        return self._page([each.row for each in self.xrays.values()], after, limit)

    async def groups(self, *, account: str | None = None, status: str | None = None) -> tuple[ErrorGroup, ...]:
        self._reached()
        return tuple(row for row in self.dead if account in {None, row.account} and status in {None, row.status})


@dataclass
class FakeInspector:
    stories: dict[str, Story] = field(default_factory=dict)
    status_now: Status | None = None
    away: bool = False

    async def call(self, call_id: CallId) -> Story | None:
        if self.away:
            raise StoreUnavailable("away")
        return self.stories.get(call_id)

    async def status(self) -> Status:
        if self.away or self.status_now is None:
            raise StoreUnavailable("away")
        return self.status_now


@dataclass
class FakeAudit:
    added: list[tuple[Who, str, dict[str, Any], int | None]] = field(default_factory=list)
    away: bool = False

    async def add(
        self,
        who: Who,
        action: str,
        target: Mapping[str, Any],
        *,
        reason: str | None = None,
        count: int | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> int:
        if self.away:
            raise LedgerUnavailable("away")
        self.added.append((who, action, dict(target), count))
        return len(self.added)

    async def entries(
        self, *, actor: str | None = None, action: str | None = None, before: int | None = None, limit: int = 50
    ) -> Page[Any]:
        rows = [
            types.SimpleNamespace(
                seq=seq, at=NOW, actor=who.name, ip=who.ip, action=done, target=target, count=count,
                reason=f"asked by {PHONE}", outcome={"phone": PHONE},
            )
            for seq, (who, done, target, count) in reversed(list(enumerate(self.added, 1)))
            if before is None or seq < before
        ]  # fmt: skip
        return Page(tuple(rows[:limit]), str(rows[limit - 1].seq) if len(rows) > limit else None)


@dataclass
class FakeJobs:
    """Jobs that never move. Their dataclasses are the real ones."""

    jobs: dict[str, Any] = field(default_factory=dict)
    total: int = 3
    begun: int = 0
    refusal: Refusal | None = None
    sample: tuple[CallRow, ...] = (call_row(1),)

    async def preview(self, action: Any, selection: Any) -> Any:
        return JobPreview(
            total=self.total, more=False, by_reason={"refused_by_crm": self.total}, skipped={}, sample=self.sample,
            requests=1, seconds=0.2, fates={"would_send": self.total},
        )  # fmt: skip

    async def start(
        self, job_id: str, action: Any, selection: Any, reason: str, who: Who, *, expected_total: Any, confirmed: str
    ) -> Any:
        agreed = confirmed == str(self.total)
        if self.refusal or job_id in self.jobs:
            return self.refusal or self.jobs[job_id]
        if expected_total is not None and not agreed:
            return Refusal("look again", "changed", {"now": self.total})
        if self.total > 100 and not agreed:
            return Refusal("type the number", "unconfirmed", {"now": self.total})
        self.begun += 1
        self.jobs[job_id] = make_job(job_id, action, selection, reason, who, self.total)
        return self.jobs[job_id]

    async def get(self, job_id: str) -> Any:
        return self.jobs.get(job_id)

    async def list(self, limit: int = 50, after: str | None = None) -> Page[Any]:
        start, rows = int(after or 0), list(self.jobs.values())
        following = str(start + limit) if len(rows) > start + limit else None
        return Page(tuple(rows[start : start + limit]), following)

    async def _become(self, job_id: str, state: str) -> Any:
        if job_id in self.jobs:
            self.jobs[job_id] = replace(self.jobs[job_id], state=state)
        return self.jobs.get(job_id)

    async def pause(self, job_id: str, who: Who) -> Any:
        return await self._become(job_id, "paused")

    async def resume(self, job_id: str, who: Who) -> Any:
        return await self._become(job_id, "running")

    async def cancel(self, job_id: str, who: Who) -> Any:
        return await self._become(job_id, "cancelled")


@dataclass
class FakeRefusals:
    found: dict[str, SourceRefusals] = field(
        default_factory=lambda: {
            "office": SourceRefusals({"bad_signature": 4}),
            "unknown": SourceRefusals({"unknown": 1}),
        }
    )
    away: bool = False

    async def read(self) -> Mapping[str, SourceRefusals]:
        if self.away:
            raise StoreUnavailable("away")
        return self.found


@dataclass
class FakeActions:
    """`refusal` is what it answers instead of doing anything, `pair` what is stored for accounts that use OAuth."""

    ledger: FakeLedger
    done: list[tuple[str, ...]] = field(default_factory=list)
    refusal: Refused | None = None
    pair: Any = None

    async def reveal(self, who: Who, call_id: str) -> Any:
        self.done.append(("reveal", call_id))
        found = await self.ledger.call(call_id)
        return types.SimpleNamespace(phone=found.row.phone) if found else None

    async def mark_group(
        self, who: Who, account: str, reason: str, cause: str, status: Any, note: str | None = None
    ) -> Any:
        if self.refusal:
            return self.refusal
        self.ledger.dead = [
            replace(row, status=status, note=note) if (row.reason, row.cause) == (reason, cause) else row
            for row in self.ledger.dead
        ]
        return Marked("open", status)

    async def pause_account(self, who: Who, account: str, reason: str, seconds: float | None) -> Any:
        return self._do("pause", account, reason) or Paused(seconds)

    async def resume_account(self, who: Who, account: str) -> Any:
        return self._do("resume", account) or Resumed(None)

    def _do(self, *what: str) -> Refused | None:
        if self.refusal is None:
            self.done.append(what)
        return self.refusal

    def door(self, account: str) -> Any:
        return types.SimpleNamespace(vault=self)

    async def load(self) -> Any:
        """As a vault."""
        if isinstance(self.pair, Exception):
            raise self.pair
        return self.pair


def make_tally(accounts: Sequence[str] = ("main",), sources: Sequence[str] = ("office",)) -> Tally:
    rows = tuple(AccountTally(name, 3, 1, 2, 12.5, None) for name in accounts)
    seen = tuple(SourceTally(name, 4.0, {"stored": 10, "duplicate": 2}) for name in sources)
    return Tally(3, 0, 0, 1, 2, 100, 5, 2, 1, rows, seen)


def make_status(tally: Tally | None = None) -> Status:
    standing = Standing(Worth.ALWAYS, (), ())
    return assess(tally or make_tally(), {"worker-1": 1.0}, standing, ["main"], now=NOW)


@dataclass
class Desk:
    """The console of a test, and its parts by their fakes."""

    console: Console
    ledger: FakeLedger
    inspector: FakeInspector
    overviews: FakeOverviews
    jobs: FakeJobs
    actions: FakeActions
    audit: FakeAudit
    refusals: FakeRefusals


@dataclass
class FakeOverviews:
    now: Any
    outdated: int = 0

    async def latest(self) -> Any:
        return self.now

    def outdate(self) -> None:
        self.outdated += 1


def story_of(row: CallRow) -> Story:
    names = (name for name in Listed.__dataclass_fields__ if name != "id")
    listed = Listed(id=CallId(row.id), **{name: getattr(row, name) for name in names})
    happened = ({"at": NOW, "what": "received", "bytes": 40}, {"at": NOW, "what": "noted", "phone": PHONE})
    return Story(listed, row.extension, row.result, "call", f'{{"from": "{PHONE}"}}'.encode(), happened, "Nothing.")


def make_group(**fields: Any) -> ErrorGroup:
    group = ErrorGroup("main", "refused_by_crm", "abc123", 2, NOW, NOW, f"no {PHONE}", "open", None, None, None)
    return replace(group, **fields)


def make_desk(**overview: Any) -> Desk:
    rows = [call_row(number) for number in range(1, 8)] + [
        call_row(8, state="dead", reason="refused_by_crm", phone=None)
    ]
    attempt = Attempt("b000001", NOW, "delivered", None, f"{PHONE} taken", 2, "PerCall", 200, 0.21)
    xrays = {
        row.id: BatchXray(row, ((rows[0], attempt),), (batch_row(9),), f'[{{"phone":"{PHONE}"}}]'.encode(), b"{}")
        for row in map(batch_row, range(1, 4))
    }
    ledger = FakeLedger(rows, xrays, [make_group()])
    inspector = FakeInspector({rows[0].id: story_of(rows[0])}, make_status())
    jobs, actions, audit, refusals = FakeJobs(), FakeActions(ledger), FakeAudit(), FakeRefusals()
    overviews = FakeOverviews(make_overview(**overview))
    settings = Settings.model_validate(
        {
            "sealing": {"key": "c2FtcGxlIGtleSBvZiB0aGUgdGVzdHMsIDMyIGJ5dGU="},
            "accounts": {
                "main": {"url": "https://example.amocrm.ru", "token": "sample-token"},
                "office": {
                    "url": "https://sample.amocrm.ru", "client_id": "sample-id", "client_secret": "sample-secret",
                    "redirect_uri": "https://sample.example.com/oauth",
                },
            },
            "sources": {"office": {"provider": "generic", "account": "main", "secret": "sample-secret"}},
        }
    )  # fmt: skip
    parts: dict[str, Any] = {
        "settings": settings, "now": lambda: NOW, "inspector": inspector, "ledger": ledger, "overviews": overviews,
        "actions": actions, "jobs": jobs, "gate": FakeGate(), "audit": audit, "refusals": refusals,
        "hooks": lambda: {"office": "https://hooks.example.com/hooks/office"},
    }  # fmt: skip
    return Desk(Console(**parts), ledger, inspector, overviews, jobs, actions, audit, refusals)


def make_overview(**fields: Any) -> Any:
    told: dict[str, Any] = {
        "at": NOW, "verdict": "ok", "sentence": Sentence("well", {}), "status": make_status(),
        "problems": (Trouble("dead", {}, f"2 calls are dead, {PHONE} among them", "/dead"),), "warnings": (),
        "store_problem": None, "ledger_problem": None, "stale_since": None,
        "speed": Speed(100, 1.5, 9.0, 0.97), "speed_1h": Speed(3, 1.0, 2.0, 1.0), "chart": (), "groups": (make_group(),),
        "standing": LedgerStanding("1", "1", 108, 2, 0.5, NOW, 1000),
    } | fields  # fmt: skip
    return Overview(**told)


def make_job(job_id: str, action: Any, selection: Any, reason: str, who: Who, total: int) -> Any:
    return Job(
        id=job_id, action=action, selection=selection, reason=reason, actor=who.name, state="running", total=total,
        done=0, moved=0, skipped={}, problem=None, created_at=NOW, updated_at=NOW,
    )  # fmt: skip


# --- over HTTP -------------------------------------------------------------------------------------------------------


@dataclass
class FakeGate:
    """A token, or the cookie of a session, is the name of a role."""

    by_link = False

    async def by_token(self, token: str, ip: str) -> Who | None:
        role = TOKENS.get(token)
        return Who(f"a {role.value}", role, "token", ip) if role else None

    async def by_cookie(self, cookie: str) -> Who | None:
        return await self.by_token(cookie, "127.0.0.1")


def make_app(desk: Desk, routes: Sequence[Route]) -> web.Application:
    """The routes behind the console's own guard."""
    app = web.Application()
    app[CONSOLE] = desk.console
    setup_templates(app)
    guard(app, routes, place=Place("127.0.0.1", loopback_only=True))
    return app


def token_of(role: Role) -> str:
    return f"{role.value}-token-of-the-tests"


def bearer(role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {token_of(role)}"}


def session(role: Role) -> dict[str, str]:
    return {"Cookie": f"{PLAIN_COOKIE}={token_of(role)}"}
