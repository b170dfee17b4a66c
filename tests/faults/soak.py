"""A soak: a quiet stream for minutes, a fault now and then, and memory that has to stay where it is."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from callbridge.store.connect import connected
from faults.consistency import inconsistencies
from faults.door_storms import MEGABYTE, resident
from faults.outage_storms import ROOT, stream
from faults.report import Report, reported
from faults.town import Town, town

NUISANCES = (
    "502-after*2",
    "reset-after*1",
    "503-before*3",
    "truncate*1",
    "html-200*1",
    "429-retry-after=1*1",
    "omit*1",
)
WARM_UP = 0.4
"""Share of the time after which memory is expected to stay."""

SLOPE = 1.0
"""Megabytes a minute that a process may grow by in the rest of it: measured by the page, a quiet process does not."""

Sample = tuple[float, dict[str, int]]


async def soak(
    directory: Path, seed: int, *, minutes: float, rate: float = 20.0, every: float = 10.0, **env: str
) -> Report:
    """`every` seconds something goes wrong: the CRM misbehaves, a worker or the receiver ends, Redis restarts."""
    async with town(directory, seed, **env) as place:
        url = await place.receiver()
        for name in ("worker-0", "worker-1", "steady"):
            await place.start(name, "worker")
        sending = asyncio.create_task(stream(place, url, f"soak-{seed}", rate))
        end, samples, nuisances = time.monotonic() + 60 * minutes, list[Sample](), 0
        while (now := time.monotonic()) < end:
            samples.append((now, await _memory(place)))
            await asyncio.sleep(min(every, max(0.1, end - now)))
            await _annoy(place)
            nuisances += 1
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        place.crm.disarm()
        await place.drained(60)
        async with connected(place.redis.url) as redis:
            problems = await inconsistencies(redis, ROOT)
        slopes = {name: _slope(samples, name) for name in ("receiver", "steady")}
        if minutes >= 8:  # in less the allocator has not come to rest
            problems += [f"{name} grows by {slope:.1f} MB a minute" for name, slope in slopes.items() if slope > SLOPE]
        calls = max(1, len(place.acknowledged))
        return reported(
            "N18", f"soak of {minutes:g} min: memory stays, 0 lost, 0 doubled", seed, await place.verdict(), *problems[:10],
            calls=calls, nuisances=nuisances, growth_a_minute={name: f"{slope:.2f} MB" for name, slope in slopes.items()},
            resident={name: f"{samples[-1][1][name] / MEGABYTE:.0f} MB" for name in slopes},
            redis_a_call=f"{(samples[-1][1]['redis'] - samples[0][1]['redis']) / calls:.0f} bytes",
        )  # fmt: skip


async def _memory(place: Town) -> dict[str, int]:
    async with connected(place.redis.url, patience=5) as redis:
        used = int((await redis.info("memory"))["used_memory"])
    return {"redis": used} | {name: resident(place.roles[name].pid) for name in ("receiver", "steady")}


async def _annoy(place: Town) -> None:
    match place.dice.randrange(6):
        case 0:
            await place.restart(f"worker-{place.dice.randrange(2)}")
        case 1:
            await place.kill_redis(place.dice.uniform(0, 1))
        case _:
            place.crm.arm(place.dice.choice(NUISANCES))


def _slope(samples: list[Sample], name: str) -> float:
    """Megabytes a minute by least squares, after the warm-up."""
    later = samples[int(len(samples) * WARM_UP) :]
    points = [((at - later[0][0]) / 60, memory[name] / MEGABYTE) for at, memory in later]
    if len(points) < 3:
        return 0.0
    middle, level = (sum(column) / len(points) for column in zip(*points, strict=True))
    spread = sum((at - middle) ** 2 for at, _ in points)
    return sum((at - middle) * (held - level) for at, held in points) / spread
