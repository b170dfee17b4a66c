"""How everything stands, the accounts, the sources, and what was done by whom."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from callbridge.ledger.views import LedgerStanding, Speed
from callbridge.ops import accounts as desk
from callbridge.ops.actions import Paused, Refused, Resumed
from callbridge.ops.api import rows, shown
from callbridge.ops.api.endpoint import Asked, Nothing
from callbridge.ops.api.given import AuditQuery, PauseBody
from callbridge.ops.api.problems import ProblemError
from callbridge.ops.api.refusals import refused
from callbridge.ops.health import states
from callbridge.ops.letting_in import authorised_now
from callbridge.ops.masking import without_phones
from callbridge.ops.overview import Overview
from callbridge.ops.web import Console
from callbridge.redaction import clean
from callbridge.store.tally import AccountTally, Tally


async def show_status(asked: Asked[Nothing, Nothing]) -> shown.Status:
    now = await asked.console.overviews.latest()
    status = now.status
    return shown.Status(
        at=now.at,
        verdict=now.verdict,
        summary=_summary(now),
        problems=[without_phones(trouble.detail) for trouble in now.problems],
        warnings=[without_phones(trouble.detail) for trouble in now.warnings],
        store_problem=without_phones(now.store_problem),
        ledger_problem=without_phones(now.ledger_problem),
        stale_since=now.stale_since,
        durability=status.standing.kept_as if status else None,
        states=states(status.tally) if status else None,
        accounts=await _accounts(asked.console, status.tally) if status else [],
        workers={name: round(age, 3) for name, age in status.workers.items()} if status else {},
        last_hour=_speed(now.speed_1h),
        last_day=_speed(now.speed),
        groups=[rows.group(group) for group in now.groups],
        ledger=_ledger(now.standing),
    )


def _summary(now: Overview) -> str:
    if now.status is not None:
        return without_phones(now.status.sentence)
    return without_phones(now.store_problem or "Nothing is known yet.")


def _speed(speed: Speed | None) -> shown.Speed | None:
    if speed is None:
        return None
    return shown.Speed(delivered=speed.delivered, p50=speed.p50, p95=speed.p95, in_time=speed.in_time)


def _ledger(standing: LedgerStanding | None) -> shown.Ledger | None:
    if standing is None:
        return None
    return shown.Ledger(calls=standing.calls, behind=standing.behind, lag=standing.lag, written_at=standing.written_at)


async def list_accounts(asked: Asked[Nothing, Nothing]) -> shown.Accounts:
    status = await asked.console.inspector.status()
    return shown.Accounts(items=await _accounts(asked.console, status.tally))


async def _accounts(console: Console, tally: Tally) -> list[shown.Account]:
    """Those that the settings name, and those that have calls all the same."""
    known = {row.account: row for row in tally.accounts}
    for name in console.settings.accounts:
        known.setdefault(name, AccountTally(name, 0, 0, 0, None, None))
    return await asyncio.gather(*(_account(console, known[name]) for name in sorted(known)))


async def _account(console: Console, tally: AccountTally) -> shown.Account:
    configured, authorised = console.settings.accounts.get(tally.account), None
    if configured is not None:
        authorised = await authorised_now(tally.account, configured, console.actions.door, console.now())
    row = desk.row(tally, configured, authorised)
    own = {"breaker", "oldest_waiting", "url", "detail", "slowed_by"}
    return shown.Account(
        **{name: getattr(row, name) for name in set(shown.Account.model_fields) - own},
        url=row.url or (configured.url if configured else None),
        detail=without_phones(row.detail),
        slowed_by=without_phones(row.slowed_by),
        breaker=tally.breaker.state.value,
        oldest_waiting=tally.oldest_waiting,
    )


async def pause_account(asked: Asked[Nothing, PauseBody]) -> shown.Account:
    name = _configured(asked)
    return await _done(
        asked, await asked.console.actions.pause_account(asked.who, name, asked.body.reason, asked.body.seconds)
    )


async def resume_account(asked: Asked[Nothing, Nothing]) -> shown.Account:
    return await _done(asked, await asked.console.actions.resume_account(asked.who, _configured(asked)))


async def _done(asked: Asked[Any, Any], answer: Paused | Resumed | Refused) -> shown.Account:
    """The account as it is now."""
    if isinstance(answer, Refused):
        raise refused(answer)
    asked.console.overviews.outdate()
    status = await asked.console.inspector.status()
    found = await _accounts(asked.console, status.tally)
    return next(row for row in found if row.account == asked.path["name"])


def _configured(asked: Asked[Any, Any]) -> str:
    name = asked.path["name"]
    if name not in asked.console.settings.accounts:
        raise ProblemError("not_found")
    return name


async def list_sources(asked: Asked[Nothing, Nothing]) -> shown.Sources:
    console = asked.console
    status = await console.inspector.status()
    refusals = await console.refusals.read()
    seen = {row.source: row for row in status.tally.sources}
    hooks = console.hooks()
    items = []
    for name in sorted({*console.settings.sources, *seen, *refusals}):
        source, row = console.settings.sources.get(name), seen.get(name)
        items.append(
            shown.Source(
                source=name,
                provider=source.provider if source else None,
                account=source.account if source else None,
                configured=source is not None,
                url=hooks.get(name),
                last_seen=row.last_seen if row else None,
                counts=dict(row.counts) if row else {},
                refused=dict(refusals[name].counts) if name in refusals else {},
            )
        )
    return shown.Sources(items=items)


async def list_audit(asked: Asked[AuditQuery, Nothing]) -> shown.Entries:
    query = asked.query
    before = int(query.cursor) if query.cursor else None
    page = await asked.console.audit.entries(actor=query.actor, action=query.action, before=before, limit=query.limit)
    items = [
        shown.Entry(
            seq=row.seq,
            at=row.at,
            actor=row.actor,
            ip=row.ip,
            action=row.action,
            target=_plain(row.target),
            count=row.count,
            reason=without_phones(row.reason),
            outcome=_plain(row.outcome),
        )
        for row in page.rows
    ]
    return shown.Entries(items=items, next=page.next)


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): clean(value, str(name)) for name, value in facts.items()}
