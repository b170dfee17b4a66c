"""Rows of the ledger, laid down as they are: for tests of what is read from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, insert, update

from callbridge.ledger.database import Ledger
from callbridge.ledger.figures import cause_of, tail_of
from callbridge.ledger.tables import CALLS, TALLIES

T0 = 1_790_000_000_000 // 3_600_000 * 3_600_000
"""Milliseconds: a whole hour, at which these calls are received, if they do not say otherwise."""

ENDED = frozenset({"delivered", "unmatched", "dead", "ignored", "erased"})


def a_row(call_id: str, **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(column.name for column in CALLS.c)
    row |= {
        "id": call_id, "state": "delivered", "account": "main", "source": "office", "received_at": T0, "updated_at": T0,
        "attempts": 0, "duplicates": 0, "variants": 0, "replayed": False, "direction": "inbound",
    }  # fmt: skip
    row |= changes
    if row["settled_at"] is None and row["state"] in ENDED:
        row["settled_at"] = row["received_at"] + 1000
    if row["cause"] is None and row["reason"]:
        row["cause"] = cause_of(row["reason"], row["detail"])
    return row | {"tail": tail_of(row["phone"])}


async def lay(ledger: Ledger, rows: Sequence[dict[str, Any]]) -> None:
    """Adds calls, and counts them."""
    held = Counter((row["account"], row["source"], row["state"]) for row in rows)
    async with ledger.begin() as connection:
        if rows:
            await connection.execute(insert(CALLS), list(rows))
        for (account, source, state), calls in held.items():
            t = TALLIES.c
            here = (t.account == account) & (t.source == source) & (t.state == state)
            known = await connection.execute(update(TALLIES).where(here).values(calls=t.calls + calls))
            if not known.rowcount:
                new = {"account": account, "source": source, "state": state, "calls": calls}
                await connection.execute(insert(TALLIES).values(new))


async def put(ledger: Ledger, table: Table, *rows: dict[str, Any]) -> None:
    async with ledger.begin() as connection:
        await connection.execute(insert(table), list(rows))
