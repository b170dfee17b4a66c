"""Jobs over a real Redis and a ledger in a file: what tests, and the processes that they kill, stand on."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from callbridge.call import CallId
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.jobs import JobBook
from callbridge.ledger.queries import Queries
from callbridge.ledger.views import CallFilter
from callbridge.ledger.writer import Writer
from callbridge.ops.jobs import ByFilter, Hands, Job, JobAction, Jobs, Lane
from callbridge.ops.who import Role, Who
from callbridge.outcome import State
from callbridge.store.changes import RedisChanges
from callbridge.store.connect import connected
from callbridge.store.doubts import RedisDoubts
from callbridge.store.mending import RedisMending
from callbridge.store.records import RedisRecords
from callbridge.store.repair import RedisRepair
from callbridge.store.scripts import Scripts
from support.store import Bench

EVE = Who("eve", Role.OPERATOR, "session")
DEAD = ByFilter(CallFilter(states=("dead",)))
LANES = {"main": Lane(max_batch=250, requests_per_second=7.0)}


@dataclass
class Audit:
    """Keeps what it is told. `away`: cannot be written."""

    entries: list[tuple[str, str, dict[str, Any], int | None]] = field(default_factory=list)
    away: Exception | None = None

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
            raise self.away
        told = dict(target) | {"reason": reason, "outcome": outcome}
        self.entries.append((who.name, action, told, count))
        return len(self.entries)

    @property
    def actions(self) -> list[str]:
        return [action for _, action, _, _ in self.entries]


class Stopping(RedisRepair):
    """Replays as ever, and stops the process in the middle: says so, and waits to be killed."""

    def __init__(self, scripts: Scripts, after: int, *, before: bool) -> None:
        super().__init__(scripts)
        self._left = after
        self._before = before

    async def replay(self, ids: Sequence[CallId], by: str = "", why: str = "") -> frozenset[CallId]:
        self._left -= 1
        if self._before and self._left < 0:
            await self._stop()
        moved = await super().replay(ids, by, why)
        if not self._before and self._left < 0:
            await self._stop()
        return moved

    async def _stop(self) -> None:
        print("here", flush=True)  # noqa: T201 - whoever kills this process waits for it
        await asyncio.sleep(3600)


def hands_of(scripts: Scripts, repair: RedisRepair | None = None, *, unknown_after: float = 0.0) -> Hands:
    return Hands(repair or RedisRepair(scripts), RedisMending(scripts), RedisDoubts(scripts), unknown_after)


def jobs_of(ledger: Ledger, scripts: Scripts, runner: str, audit: Audit, repair: RedisRepair | None = None) -> Jobs:
    return Jobs(
        JobBook(ledger), Queries(ledger), hands_of(scripts, repair), audit, lanes=LANES, now=time.time, runner=runner
    )


async def caught_up(ledger: Ledger, scripts: Scripts) -> None:
    """The ledger knows all that Redis has told of."""
    changes = RedisChanges(scripts, "writer")
    writer = Writer(ledger, changes, RedisRecords(scripts), time.time)
    while (await changes.behind()).entries:
        await writer.step()


async def ended(jobs: Jobs, *job_ids: str) -> list[Job]:
    """The jobs once none of them runs any more."""
    for _ in range(2000):
        found = [await jobs.get(job_id) for job_id in job_ids]
        if all(job and job.state not in {"preparing", "running"} for job in found):
            return [job for job in found if job]
        await asyncio.sleep(0.01)
    raise AssertionError(f"still at it: {found}")


async def dead(bench: Bench, ledger: Ledger, count: int, reason: str = "refused_by_crm", **more: Any) -> list[CallId]:
    ids: list[CallId] = []
    for start in range(0, count, 200):
        many = min(200, count - start)
        ids += await bench.bring_to(State.DEAD, many, reason=reason, ref=f"{reason}-{start}-", **more)
    await caught_up(ledger, bench.scripts)
    return ids


async def started(jobs: Jobs, job_id: str = "job-00001", selection: Any = DEAD, **more: Any) -> Job:
    action = more.pop("action", JobAction.REPLAY)
    preview = await jobs.preview(action, selection)
    given = {"expected_total": preview.total, "confirmed": str(preview.total)} | more
    job = await jobs.start(job_id, action, selection, "the CRM is mended", EVE, **given)
    assert isinstance(job, Job), job
    return job


async def times_replayed(bench: Bench, ids: Sequence[CallId]) -> list[int]:
    stories = [await bench.records.story(call_id) for call_id in ids]
    return [sum(entry["what"] == "replayed" for entry in story) for story in stories]


@asynccontextmanager
async def opened(redis_url: str, root: str, ledger_url: str) -> AsyncIterator[tuple[Ledger, Scripts]]:
    async with connected(redis_url) as redis, open_ledger(ledger_url) as ledger:
        yield ledger, Scripts(redis, root)


async def main(redis_url: str, root: str, ledger_url: str, slices: str, where: str) -> None:
    """A console that is to be killed at its job, after so many slices."""
    async with opened(redis_url, root, ledger_url) as (ledger, scripts):
        repair = Stopping(scripts, int(slices), before=where == "before")
        await jobs_of(ledger, scripts, "killed", Audit(), repair).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
