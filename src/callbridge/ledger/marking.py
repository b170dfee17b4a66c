"""What people said of a group of dead calls: open, acknowledged or fixed, by whom, with a note."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import select

from callbridge.ledger.database import Ledger
from callbridge.ledger.tables import GROUPS
from callbridge.ledger.upsert import fitted, put

Status = Literal["open", "acknowledged", "fixed"]


class Marking:
    """Raises `LedgerUnavailable`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def status(self, account: str, reason: str, cause: str) -> tuple[str, str | None]:
        """What the group is said to be, and the note; open where nobody has said anything."""
        which = (GROUPS.c.account == account) & (GROUPS.c.reason == reason) & (GROUPS.c.cause == cause)
        async with self._ledger.read() as connection:
            found = (await connection.execute(select(GROUPS.c.status, GROUPS.c.note).where(which))).one_or_none()
        return (found.status, found.note) if found else ("open", None)

    async def mark(
        self, account: str, reason: str, cause: str, status: Status, *, by: str, note: str | None, now: float
    ) -> None:
        row: dict[str, Any] = fitted(
            GROUPS,
            {
                "account": account, "reason": reason, "cause": cause, "status": status,
                "changed_at": round(now * 1000), "changed_by": by, "note": note,
            },
        )  # fmt: skip
        async with self._ledger.begin() as connection:
            await connection.execute(put(self._ledger.dialect, GROUPS, row), [row])
