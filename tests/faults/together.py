"""Runs several scenarios side by side: most of a storm is waiting for leases, delays and restarts."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from faults.report import Report

AT_ONCE: Final = 4
SEED: Final = int(os.environ.get("STORM_SEED", time.time()))
"""Of the bounded storms; a failing test names it."""

Job = Callable[[], Awaitable[Report]]


def run_together(jobs: Mapping[str, Job]) -> dict[str, Report | Exception]:
    """What became of each, by name; one that breaks does not keep the others from ending."""

    async def run() -> dict[str, Report | Exception]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(job: Job) -> Report | Exception:
            async with gate:
                try:
                    return await job()
                except Exception as error:  # noqa: BLE001 - its own test raises it
                    return error

        return dict(zip(jobs, await asyncio.gather(*map(one, jobs.values())), strict=True))

    return asyncio.run(run())


def held(outcome: Report | Exception) -> None:
    """Raises with all there is to know when a promise did not hold."""
    if isinstance(outcome, Exception):
        raise outcome
    assert outcome.holds, f"STORM_SEED={outcome.seed}: {outcome.violations}\n{dict(outcome.figures)}"
