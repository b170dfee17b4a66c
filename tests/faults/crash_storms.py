"""N1 to N4: workers, Redis and receivers are killed or put to sleep while calls come in and go out."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from faults.report import Report, reported
from faults.town import Town, town

BAD_ANSWERS = (
    "502-after*3%", "504-before*1%", "reset-after*3%", "truncate*3%", "html-200*2%", "503-before*1%", "500-after*3%",
)  # fmt: skip
"""Faults of the CRM, together more than a tenth of its answers; several of them after the calls were stored."""


async def n1_crash_storm(
    directory: Path, seed: int, *, calls: int, kills: int, redis_kills: int, workers: int = 4, **env: str
) -> Report:
    """Workers killed at random moments, Redis too, and a CRM that misbehaves: nothing lost, doubled or stuck."""
    async with town(directory, seed, **{"CALLBRIDGE_ACCOUNTS__MAIN__MAX_BATCH": "25"} | env) as place:
        url = await place.receiver()
        for number in range(workers):
            await place.start(f"worker-{number}", "worker")
        for fault in BAD_ANSWERS:
            place.crm.arm(fault)
        began = time.monotonic()
        sending = asyncio.create_task(place.send(url, [f"n1-{seed}-{n}" for n in range(calls)], senders=30))
        killing = asyncio.create_task(_kill_workers(place, kills, workers))
        for _ in range(redis_kills):
            await asyncio.sleep(place.dice.uniform(1.5, 3.0))
            await place.kill_redis(place.dice.uniform(0, 0.3))
        await asyncio.gather(sending, killing)
        place.crm.disarm()
        await place.drained(60)
        seconds = time.monotonic() - began
        verdict = await place.verdict(rate=50)
        faulty = sum(1 for seen in place.crm.requests if seen.faults)
        return reported(
            "N1 crash storm", "0 lost, 0 doubled, nothing stuck", seed, verdict,
            calls=len(place.acknowledged), worker_kills=place.kills["worker SIGKILL"], redis_kills=place.kills["redis"],
            faulty_answers=f"{faulty}/{len(place.crm.requests)}", seconds=round(seconds, 1),
        )  # fmt: skip


async def _kill_workers(place: Town, kills: int, workers: int) -> None:
    for _ in range(kills):
        await asyncio.sleep(place.dice.uniform(0.1, 0.4))
        name = f"worker-{place.dice.randrange(workers)}"
        place.kills["worker SIGKILL"] += 1
        await place.restart(name)


LANES = 3
"""Workers asleep at once, so that one is always awake."""


async def n2_pause_storm(
    directory: Path, seed: int, *, calls: int, pauses: int, workers: int = 4, **env: str
) -> Report:
    """Workers stopped for longer than their lease and woken: whatever they still want to write is refused."""
    async with town(directory, seed, CALLBRIDGE_LOG__LEVEL="info", **env) as place:
        url = await place.receiver()
        for number in range(workers):
            await place.start(f"worker-{number}", "worker")
        place.crm.arm("slow=400ms*50%")
        sending = asyncio.create_task(place.send(url, [f"n2-{seed}-{n}" for n in range(calls)], senders=10, pause=0.01))

        async def doze() -> None:
            """The worker that drains is the one with something to write; another takes over while it sleeps."""
            await asyncio.sleep(place.dice.uniform(0, 0.6))
            name = await place.draining() or f"worker-{place.dice.randrange(workers)}"
            place.kill(name, signal.SIGSTOP)
            await asyncio.sleep(3.0)
            place.kill(name, signal.SIGCONT)

        async def lane(start: int) -> None:
            for _ in range(start, pauses, LANES):
                await doze()

        await asyncio.gather(*(lane(start) for start in range(LANES)), sending)
        place.crm.disarm()
        await place.drained(60)
        verdict = await place.verdict()
        stale = place.logs().count('"stale": true') + place.logs().count('"stale":true')
        return reported(
            "N2 pause storm", "0 lost, 0 doubled, stale writes refused", seed, verdict,
            calls=len(place.acknowledged), pauses=place.kills["worker SIGSTOP"], stale_refused=stale,
        )  # fmt: skip


async def n3_late_commit(directory: Path, seed: int, *, calls: int, late: float, settle: str, **env: str) -> Report:
    """The CRM stores seconds after we gave up: no double where the settle delay is longer than that."""
    async with town(directory, seed, CALLBRIDGE_DELIVERY__SETTLE_DELAY=settle, **env) as place:
        url = await place.receiver()
        await place.start("worker-0", "worker")
        place.crm.arm(f"late-commit={late}s*4")
        await place.send(url, [f"n3-{seed}-{n}" for n in range(calls)], senders=5, pause=0.02)
        await asyncio.sleep(1)
        place.crm.disarm()
        await place.drained(60)
        await asyncio.sleep(late)
        return reported(
            "N3 late commit", "0 doubled when the settle delay exceeds the lateness", seed, await place.verdict(),
            calls=len(place.acknowledged), late=f"{late} s", settle=settle,
        )  # fmt: skip


async def n4_accept_crash(
    directory: Path, seed: int, *, calls: int, kills: int, senders: int = 50, **env: str
) -> Report:
    """The receiver is killed again and again under senders that insist: every 2xx is stored, once."""
    async with town(directory, seed, **env) as place:
        url = await place.receiver()
        refs = [f"n4-{seed}-{n}" for n in range(calls)]
        sending = asyncio.create_task(place.send(url, refs, senders=senders, pause=0.02))
        done = 0
        while done < kills and not sending.done():
            await asyncio.sleep(place.dice.uniform(0.05, 0.25))
            place.kills["receiver SIGKILL"] += 1
            await place.restart("receiver")
            done += 1
        await sending
        await place.start("worker-0", "worker")
        await place.drained(60)
        return reported(
            "N4 accept crash", "every 2xx is stored, once", seed, await place.verdict(),
            calls=len(place.acknowledged), receiver_kills=place.kills["receiver SIGKILL"],
            answers=dict(place.answers),
        )  # fmt: skip
