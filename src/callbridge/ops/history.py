"""Calls that Redis has forgotten, out of the ledger, in the form in which people list calls.

Apart from `inspect`, which asks Redis and needs no SQL: this is joined to it where there is a ledger. An older call than any
that Redis holds is found as well as yesterday's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from callbridge.call import CallId
from callbridge.ledger.views import CallFilter, CallRow, Told
from callbridge.ops.advice import advice
from callbridge.ops.filters import Filter
from callbridge.ops.inspect import Listed, Story
from callbridge.store.envelope import EnvelopeError, unseal

CHUNK = 500


class Rows(Protocol):
    """The ledger. All raise `LedgerUnavailable`."""

    def export(self, wanted: CallFilter, chunk: int = CHUNK) -> AsyncGenerator[list[CallRow], None]: ...
    async def call(self, call_id: str) -> Told | None: ...


class History:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def calls(self, wanted: Filter) -> AsyncGenerator[Listed, None]:
        """Those that match and that Redis holds no more, the latest received first."""
        async with aclosing(self._rows.export(filter_of(wanted), CHUNK)) as chunks:
            async for rows in chunks:
                for row in rows:
                    if row.forgotten:
                        yield listed(row)

    async def call(self, call_id: CallId) -> Story | None:
        told = await self._rows.call(call_id)
        if told is None:
            return None
        row, body = told.row, _body(told.envelope)
        received = {"at": row.received_at, "what": "received", "bytes": len(body)}
        return Story(
            listed=listed(row),
            extension=row.extension,
            result=row.result,
            event=row.event or "",
            body=body,
            happened=(received, *_without_receipt(told.story)),
            advice=advice(row.state, row.reason),
        )


def filter_of(wanted: Filter) -> CallFilter:
    """The same filter as the ledger has it."""
    return CallFilter(
        states=(wanted.state,) if wanted.state else (),
        account=wanted.account,
        source=wanted.source,
        reason=wanted.reason,
        phone=wanted.phone,
        since=wanted.since,
        until=wanted.until,
    )


def listed(row: CallRow) -> Listed:
    return Listed(
        id=CallId(row.id),
        state=row.state,
        account=row.account,
        source=row.source,
        provider=row.provider,
        uniq=row.uniq,
        direction=row.direction,
        phone=row.phone,
        duration=row.duration,
        started_at=row.started_at,
        received_at=row.received_at,
        attempts=row.attempts,
        reason=row.reason,
        entity_type=row.entity_type,
        entity_id=row.entity_id,
        note_id=row.note_id,
        updated_at=row.updated_at,
        ref=row.ref,
        call_status=row.call_status,
        link=row.link,
        detail=row.detail,
        duplicates=row.duplicates,
        variants=row.variants,
    )


def _body(envelope: bytes | None) -> bytes:
    """The webhook as it was received; nothing once it is too old to be kept."""
    try:
        return unseal(envelope).webhook.body if envelope else b""
    except EnvelopeError:
        return b""


def _without_receipt(story: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return [entry for entry in story if entry.get("what") != "received"]
