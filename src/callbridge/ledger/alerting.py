"""Which problems were told, and which console tells them: kept here, so that a restart tells nothing twice."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import delete, insert, select, update

from callbridge.ledger.database import Ledger
from callbridge.ledger.tables import ALERTS, MARKS
from callbridge.ledger.trouble import Clash
from callbridge.ledger.views import KnownProblem

RUNNER = "alerts.runner"


class LedgerAlerts:
    """Rows in and out; what they mean is decided elsewhere. All methods raise `LedgerUnavailable`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def hold(self, runner: str, seconds: float, now: float) -> bool:
        """Whether `runner` is the one that tells, for `seconds` from now; another may be once they are over."""
        until = json.dumps([runner, now + seconds])
        at = round(now * 1000)
        try:
            async with self._ledger.begin() as connection:
                held = (await connection.execute(select(MARKS.c.value).where(MARKS.c.name == RUNNER))).scalar()
                if held is None:
                    await connection.execute(insert(MARKS).values(name=RUNNER, value=until, changed_at=at))
                    return True
                holder, ends = json.loads(held)
                if holder != runner and ends > now:
                    return False
                same = MARKS.c.name == RUNNER, MARKS.c.value == held
                done = await connection.execute(update(MARKS).where(*same).values(value=until, changed_at=at))
                return done.rowcount == 1
        except Clash:  # another was faster
            return False

    async def load(self) -> dict[str, KnownProblem]:
        """What is known, by cause."""
        async with self._ledger.read() as connection:
            rows = (await connection.execute(select(ALERTS))).all()
        return {
            row.cause: KnownProblem(
                row.cause, row.detail, row.path, row.since / 1000, _seconds(row.told_at), _seconds(row.gone_since)
            )
            for row in rows
        }

    async def save(self, known: Mapping[str, KnownProblem]) -> None:
        """All that is known; what is not there is forgotten."""
        rows = [
            {
                "cause": problem.cause[:128],
                "detail": problem.detail,
                "path": problem.path[:255],
                "since": round(problem.since * 1000),
                "told_at": _ms(problem.told_at),
                "gone_since": _ms(problem.gone_since),
            }
            for problem in known.values()
        ]
        async with self._ledger.begin() as connection:
            await connection.execute(delete(ALERTS))
            if rows:
                await connection.execute(insert(ALERTS), rows)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
