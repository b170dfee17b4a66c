"""Calls, batches and dead calls by their cause: what was, and what is said of it."""

from __future__ import annotations

from typing import Any

from callbridge.call import CallId
from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ledger.views import CallRow, Page, Told
from callbridge.ops.actions import Refused
from callbridge.ops.api import rows, shown
from callbridge.ops.api.endpoint import Asked, Nothing
from callbridge.ops.api.given import BatchesQuery, CallsQuery, DeadQuery, GroupBody
from callbridge.ops.api.phones import hidden
from callbridge.ops.api.problems import ProblemError
from callbridge.ops.api.refusals import refused
from callbridge.ops.inspect import Story


async def list_calls(asked: Asked[CallsQuery, Nothing]) -> shown.Calls:
    query = asked.query
    wanted = query.as_filter()
    page: Page[CallRow]
    try:
        page = await asked.console.ledger.calls(wanted, after=query.cursor, limit=query.limit, order=query.order)
    except ValueError:
        raise ProblemError("no_such_page") from None
    masked = await hidden(
        asked, rows.phones_in(page.rows), filter=query.model_dump(exclude_defaults=True, exclude={"phone", "text"})
    )
    items = [rows.call(row, hidden=masked) for row in page.rows]
    return shown.Calls(items=items, next=page.next, partial=page.partial, masked=masked)


async def show_call(asked: Asked[Nothing, Nothing]) -> shown.CallStory:
    call_id = asked.path["id"]
    live = await _live(asked, call_id)
    told, away = await _told(asked, call_id)
    if live is not None:
        masked = await hidden(asked, 1 if live.listed.phone or live.body else 0, call=call_id)
        attempts = None if away else told.attempts if told else ()
        return rows.live_story(live, attempts, told.row if told else None, hidden=masked)
    if told is None:
        raise away or ProblemError("not_found")
    return rows.kept_story(told, hidden=await hidden(asked, 1 if told.row.phone else 0, call=call_id))


async def _live(asked: Asked[Any, Any], call_id: str) -> Story | None:
    """From the queue, which knows first. While it is away the history tells what it last heard."""
    try:
        return await asked.console.inspector.call(CallId(call_id))
    except StoreUnavailable:
        return None


async def _told(asked: Asked[Any, Any], call_id: str) -> tuple[Told | None, LedgerUnavailable | None]:
    try:
        return await asked.console.ledger.call(call_id), None
    except LedgerUnavailable as error:
        return None, error


async def reveal_call(asked: Asked[Nothing, Nothing]) -> shown.Revealed:
    found = await asked.console.actions.reveal(asked.who, asked.path["id"])
    if found is None:
        raise ProblemError("not_found")
    return shown.Revealed(id=asked.path["id"], phone=found.phone)


async def list_batches(asked: Asked[BatchesQuery, Nothing]) -> shown.Batches:
    query, ledger = asked.query, asked.console.ledger
    try:
        page = await ledger.batches(account=query.account, answer=query.answer, after=query.cursor, limit=query.limit)
    except ValueError:
        raise ProblemError("no_such_page") from None
    return shown.Batches(items=[rows.batch(row) for row in page.rows], next=page.next, partial=page.partial)


async def show_batch(asked: Asked[Nothing, Nothing]) -> shown.BatchXray:
    found = await asked.console.ledger.batch(asked.path["id"])
    if found is None:
        raise ProblemError("not_found")
    masked = await hidden(asked, rows.phones_in([row for row, _ in found.calls]), batch=found.row.id)
    return rows.xray(found, hidden=masked)


async def list_dead(asked: Asked[DeadQuery, Nothing]) -> shown.Groups:
    found = await asked.console.ledger.groups(account=asked.query.account, status=asked.query.status)
    return shown.Groups(items=[rows.group(row) for row in found])


async def mark_group(asked: Asked[Nothing, GroupBody]) -> shown.Group:
    account, reason, cause = (asked.path[part] for part in ("account", "reason", "cause"))
    found = await _group(asked, account, reason, cause)
    if found is None:
        raise ProblemError("not_found")
    done = await asked.console.actions.mark_group(asked.who, account, reason, cause, asked.body.status, asked.body.note)
    if isinstance(done, Refused):
        raise refused(done)
    return await _group(asked, account, reason, cause) or found


async def _group(asked: Asked[Any, Any], account: str, reason: str, cause: str) -> shown.Group | None:
    for row in await asked.console.ledger.groups(account=account):
        if (row.reason, row.cause) == (reason, cause):
            return rows.group(row)
    return None
