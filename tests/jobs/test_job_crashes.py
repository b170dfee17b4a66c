"""A job that lost its console goes on in another one, and each of its calls is moved once all the same."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from callbridge.ledger.database import Ledger
from callbridge.ledger.jobs import JobBook
from callbridge.ops.jobs import Jobs
from support import jobs as nursery
from support.jobs import Audit, dead, ended, jobs_of, started, times_replayed
from support.redis_server import RedisServer
from support.store import Bench


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("slices", [0, 2])
async def test_a_killed_console_leaves_a_job_that_another_ends_each_call_once(
    bench: Bench,
    ledger: Ledger,
    ledger_url: str,
    redis_server: RedisServer,
    running: Any,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    slices: int,
) -> None:
    """Killed right before, or right after, the store was told of a slice: nobody wrote down what came of it."""
    ids = await dead(bench, ledger, 700)
    jobs = jobs_of(ledger, bench.scripts, "one", Audit())
    await started(jobs)
    async with ledger.begin() as connection:
        await connection.exec_driver_sql("UPDATE jobs SET held_until = NULL")
    command = [sys.executable, nursery.__file__, redis_server.url, bench.scripts.root, ledger_url, str(slices), where]
    paths = [str(Path(nursery.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    killed = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
    assert killed.stdout and await asyncio.wait_for(killed.stdout.readline(), 30) == b"here\n"
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    left = await jobs.get("job-00001")
    assert left and (left.state, left.done) == ("running", 200 * slices)

    assert (
        await JobBook(ledger).hold("job-00001", "one", now=left.updated_at, seconds=30) is None
    )  # still the dead one's
    now = [left.updated_at + 120]
    monkeypatch.setattr(nursery.time, "time", lambda: now[0])
    jobs = jobs_of(ledger, bench.scripts, "one", Audit())
    async with running(jobs):
        [job] = await ended(jobs, "job-00001")
    gone = job.skipped.get("moved_or_gone", 0)
    assert (job.state, job.done, job.moved + gone) == ("done", 700, 700)
    assert gone == (200 if where == "after" else 0)
    assert await times_replayed(bench, ids) == [1] * 700


async def test_a_preparation_that_was_interrupted_is_done_anew(
    jobs: Jobs, bench: Bench, ledger: Ledger, audit: Audit, running: Any
) -> None:
    ids = await dead(bench, ledger, 4)
    await started(jobs)
    await interrupt(ledger, total=4)
    async with running(jobs):
        [job] = await ended(jobs, "job-00001")
    assert (job.state, job.done, job.moved) == ("done", 4, 4)
    assert await times_replayed(bench, ids) == [1] * 4
    assert audit.actions == ["job.started", "job.started"]


async def test_a_preparation_that_would_mean_other_calls_by_now_is_given_up(
    jobs: Jobs, bench: Bench, ledger: Ledger, running: Any
) -> None:
    ids = await dead(bench, ledger, 4)
    await started(jobs)
    await interrupt(ledger, total=7)
    async with running(jobs):
        [job] = await ended(jobs, "job-00001")
    assert (job.state, job.problem, job.moved) == ("failed", "changed", 0)
    assert await times_replayed(bench, ids) == [0] * 4


async def interrupt(ledger: Ledger, total: int) -> None:
    """As if whoever began the job had been killed with two of its calls put down."""
    asked = (
        "UPDATE jobs SET state = 'preparing', runner = 'dead', held_until = 1, filter = replace(filter, 'chosen', 'x')"
    )
    async with ledger.begin() as connection:
        await connection.exec_driver_sql(asked)
        await connection.exec_driver_sql("DELETE FROM job_calls WHERE position > 1")
        await connection.exec_driver_sql("UPDATE jobs SET total = ?", (total,))
