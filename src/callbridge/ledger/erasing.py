"""What erasing a call takes out of the ledger besides its row.

Apart because two do it: an operator's erasure by phone number, and the writer when Redis shows that a call was erased.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from callbridge.ledger.database import Dialect
from callbridge.ledger.tables import ATTEMPTS, BATCHES, BODIES, EVENTS, TOMBSTONES
from callbridge.ledger.upsert import put_new


async def bury(connection: AsyncConnection, dialect: Dialect, ids: Collection[str], now: int) -> None:
    """Puts a tombstone on each call and takes its contents away: the webhook, what the story quotes, and the requests that
    carried it, for all of a request's calls, because nobody can cut one out of a body as it was sent.
    """
    if not ids:
        return
    tombs: list[dict[str, Any]] = [{"call_id": call_id, "erased_at": now} for call_id in sorted(ids)]
    await connection.execute(put_new(dialect, TOMBSTONES), tombs)
    await connection.execute(BODIES.delete().where(BODIES.c.call_id.in_(ids)))
    await connection.execute(update(EVENTS).where(EVENTS.c.call_id.in_(ids)).values(facts="{}"))
    await connection.execute(update(ATTEMPTS).where(ATTEMPTS.c.call_id.in_(ids)).values(detail=None))
    carried_by = select(ATTEMPTS.c.batch_id).where(ATTEMPTS.c.call_id.in_(ids))
    await connection.execute(update(BATCHES).where(BATCHES.c.id.in_(carried_by)).values(request=None, response=None))
