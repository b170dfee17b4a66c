"""N1 to N4: workers, Redis and receivers are killed or put to sleep while calls come in and go out."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from faults.report import Report, reported
from faults.town import Town, town

BAD_ANSWERS = (
    "502-after*3%", "504-before*2%", "reset-after*3%", "truncate*2%", "html-200*2%", "503-half*2%", "500-after*3%",
)  # fmt: skip
"""Faults of the CRM, together more than a tenth of its answers; most of them after the calls were stored."""


async def n1_crash_storm(
    directory: Path,
    seed: int,
    *,
    calls: int,
    kills: int,
    redis_kills: int,
    workers: int = 4,
    offices: int = 8,
    batch: int = 50,
    **env: str,
) -> Report:
    """Workers killed at random moments, Redis too, and a CRM that misbehaves until the last call is through."""
    async with town(directory, seed, offices=offices, batch=batch, **env) as place:
        url = await place.receiver()
        for number in range(workers):
            await place.start(f"worker-{number}", "worker")
        for fault in BAD_ANSWERS:
            place.arm(fault)
        began = time.monotonic()
        sending = asyncio.create_task(place.send(url, [f"n1-{seed}-{n}" for n in range(calls)], senders=30))
        killing = asyncio.create_task(_kill_workers(place, kills, workers))
        for _ in range(redis_kills):
            await asyncio.sleep(place.dice.uniform(1.5, 3.0))
            await place.kill_redis(place.dice.uniform(0, 0.3))
        await asyncio.gather(sending, killing)
        await place.drained(120)
        seconds = time.monotonic() - began
        verdict = await place.verdict(rate=50)
        answered = [seen for seen in place.requests if seen.method == "POST"]
        faulty = sum(1 for seen in answered if seen.faults)
        return reported(
            "N1", "crash storm: 0 lost, 0 doubled, nothing stuck", seed, verdict,
            calls=len(place.acknowledged), worker_kills=place.kills["worker SIGKILL"], redis_kills=place.kills["redis"],
            faulty_answers=f"{100 * faulty / max(1, len(answered)):.0f} % of {len(answered)}", took=f"{seconds:.0f} s",
        )  # fmt: skip


async def _kill_workers(place: Town, kills: int, workers: int) -> None:
    for _ in range(kills):
        await asyncio.sleep(place.dice.uniform(0.1, 0.4))
        await place.restart(f"worker-{place.dice.randrange(workers)}")


LANES = 3
"""Workers asleep at once, so that one is always awake."""


async def n2_pause_storm(
    directory: Path, seed: int, *, calls: int, pauses: int, workers: int = 4, nap: float = 3.0, **env: str
) -> Report:
    """Workers stopped for longer than their lease and woken: whatever they still want to write is refused."""
    async with town(directory, seed, batch=10, **{"CALLBRIDGE_LOG__LEVEL": "info"} | env) as place:
        url = await place.receiver()
        for number in range(workers):
            await place.start(f"worker-{number}", "worker")
        place.crm.arm("slow=300ms")
        sending = asyncio.create_task(place.send(url, [f"n2-{seed}-{n}" for n in range(calls)], senders=10, pause=0.02))

        async def doze() -> None:
            """The worker that drains is the one with something to write; another takes over while it sleeps."""
            deadline = time.monotonic() + 5
            while not (name := await place.draining()) and time.monotonic() < deadline:  # noqa: ASYNC110 - Redis tells nobody
                await asyncio.sleep(0.05)
            name = name or f"worker-{place.dice.randrange(workers)}"
            await asyncio.sleep(place.dice.uniform(0, 0.3))
            place.kill(name, signal.SIGSTOP)
            await asyncio.sleep(nap)
            place.kill(name, signal.SIGCONT)

        async def lane(start: int) -> None:
            for _ in range(start, pauses, LANES):
                await doze()

        await asyncio.gather(*(lane(start) for start in range(LANES)), sending)
        place.crm.disarm()
        await place.drained(60)
        verdict = await place.verdict()
        refused = stale_writes(place)
        idle = [] if refused or "fence" in env.get("GUARDS_OFF", "") else ["no stale write was refused"]
        return reported(
            "N2", "pause storm: 0 lost, 0 doubled, stale writes refused", seed, verdict, *idle,
            calls=len(place.acknowledged), pauses=place.kills["worker SIGSTOP"], stale_refused=refused,
        )  # fmt: skip


def stale_writes(place: Town) -> int:
    """Settlements that the store refused because the fence was another's by then."""
    return sum(
        '"call.settled"' in line and '"stale":true' in line.replace(" ", "") for line in place.logs().splitlines()
    )


async def n2_sleeper(directory: Path, seed: int, **env: str) -> Report:
    """One worker falls asleep with calls in hand, right before it marks them. Another sends them; the first wakes up while
    that request is under way. Only the fence keeps it from sending them again.
    """
    env = {"CALLBRIDGE_LOG__LEVEL": "info"} | env
    async with town(directory, seed, **env) as place:
        url = await place.receiver()
        await place.start("sleeper", "worker", SLEEP_AT="post.before_send")
        await place.send(url, [f"n2-{seed}-{n}" for n in range(5)], senders=1)
        await place.until(lambda: place.asleep("sleeper"), 20, "the worker to fall asleep")
        place.crm.arm("slow=900ms")
        await place.start("other", "worker")
        await place.until(lambda: place.crm.requests, 20, "the other worker to take over")
        place.kill("sleeper", signal.SIGCONT)
        await asyncio.sleep(1)
        await place.drained(30)
        return reported("N2", "a sleeper with calls in hand sends nothing", seed, await place.verdict())


async def n3_late_commit(directory: Path, seed: int, *, calls: int, late: float, settle: str, **env: str) -> Report:
    """The CRM stores seconds after we gave up: no double where the settle delay is longer than that."""
    async with town(directory, seed, CALLBRIDGE_DELIVERY__SETTLE_DELAY=settle, **env) as place:
        url = await place.receiver()
        await place.start("worker-0", "worker")
        place.crm.arm(f"late-commit={late}s*2")
        await place.send(url, [f"n3-{seed}-{n}" for n in range(calls)], senders=5, pause=0.02)
        await place.until(lambda: not place.crm.desk.arsenal.held("late-commit"), 30, "the late requests")
        await place.drained(60)
        await asyncio.sleep(late)
        return reported(
            "N3", "late commit: 0 doubled when the settle delay exceeds it", seed, await place.verdict(),
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
        for done in range(kills):
            await asyncio.sleep(place.dice.uniform(0.05, 0.25))
            await place.restart("receiver")
            if sending.done():  # the last kills shall have something to hit, too
                sending = asyncio.create_task(
                    place.send(url, [f"n4-{seed}-{done}-{n}" for n in range(500)], pause=0.02)
                )
        await sending
        await place.start("worker-0", "worker")
        await place.drained(60)
        return reported(
            "N4", "accept crash: every 2xx is stored, once", seed, await place.verdict(),
            calls=len(place.acknowledged), receiver_kills=place.kills["receiver SIGKILL"],
            answers=dict(place.answers),
        )  # fmt: skip


async def crash_at(directory: Path, seed: int, point: str, *, nth: int = 1, calls: int = 30, **env: str) -> Report:
    """A process dies at a named point with calls in hand, and another takes over."""
    async with town(directory, seed, batch=10, **env) as place:
        accepting = point.startswith("accept.")
        url = await place.receiver(**({"CRASH_AT": f"{point}:{nth}"} if accepting else {}))
        victim = "receiver" if accepting else "victim"
        if point == "reconcile.mid":
            place.crm.arm("reset-after*1")
        if not accepting:
            await place.start(victim, "worker", CRASH_AT=f"{point}:{nth}")
        sending = asyncio.create_task(place.send(url, [f"crash-{seed}-{n}" for n in range(calls)], senders=3))
        await place.ended(victim)
        if accepting:
            place.roles[victim].env.pop("CRASH_AT")
            await place.start(victim, "receiver")
        await sending
        await place.start("successor", "worker")
        await place.drained(60)
        return reported("crash point", f"{point}: nothing lost, nothing doubled", seed, await place.verdict())
