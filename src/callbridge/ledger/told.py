"""From what the tables hold to what is told of it [pure]: milliseconds become seconds, columns the fields of the views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import RowMapping

from callbridge.ledger.views import Attempt, BatchRow, CallRow


def seconds(ms: int) -> float:
    return ms / 1000


def seconds_or_none(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def call_told(row: RowMapping) -> CallRow:
    """Of a whole row of `tables.CALLS`."""
    return CallRow(
        id=row["id"],
        state=row["state"],
        account=row["account"],
        source=row["source"],
        provider=row["provider"],
        uniq=row["uniq"],
        direction=row["direction"],
        phone=row["phone"],
        duration=row["duration"],
        started_at=row["started_at"],
        received_at=seconds(row["received_at"]),
        attempts=row["attempts"],
        reason=row["reason"],
        entity_type=row["entity_type"],
        entity_id=row["entity_id"],
        note_id=row["note_id"],
        updated_at=seconds(row["updated_at"]),
        ref=row["ref"],
        call_status=row["status"],
        link=row["link"],
        detail=row["detail"],
        duplicates=row["duplicates"],
        variants=row["variants"],
        extension=row["extension"],
        result=row["result"],
        event=row["event"],
        cause=row["cause"],
        settled_at=seconds_or_none(row["settled_at"]),
        replayed=bool(row["replayed"]),
        forgotten=row["forgotten_at"] is not None,
    )


def batch_told(row: RowMapping) -> BatchRow:
    return BatchRow(
        id=row["id"],
        account=row["account"],
        at=seconds(row["at"]),
        kind=row["kind"],
        size=row["size"],
        why=row["why"],
        parent=row["parent"],
        seconds=row["seconds"],
        answer=row["answer"],
        status=row["status"],
        request_id=row["request_id"],
    )


def attempt_told(row: RowMapping, batch: BatchRow | None) -> Attempt:
    """`batch` is None where the ledger has heard of the request from the call's story only."""
    return Attempt(
        batch_id=row["batch_id"],
        at=seconds(row["at"]),
        became=row["became"],
        reason=row["reason"],
        detail=row["detail"],
        size=batch.size if batch else None,
        answer=batch.answer if batch else None,
        status=batch.status if batch else None,
        seconds=batch.seconds if batch else None,
    )


def event_told(row: RowMapping) -> Mapping[str, Any]:
    """An entry of a call's story; its facts were written by `rows`, as an object."""
    return {**orjson.loads(row["facts"]), "at": seconds(row["at"]), "what": row["what"]}
