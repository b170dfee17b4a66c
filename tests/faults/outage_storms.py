"""N7, N8 and N10: Redis away, Redis full, the CRM away or not paid for. Nothing is lost, and nobody has to do anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from redis.asyncio import Redis

from callbridge.sim.config import SimConfig
from callbridge.store.connect import connected
from callbridge.store.spool import SPOOL_FILE, SpoolFile
from faults.consistency import inconsistencies
from faults.proxy import Mode, proxied
from faults.report import Report, reported
from faults.town import Town, town

ROOT = "{callbridge}:"
WIRE_FAULTS = (
    (Mode.REFUSE, 0.0), (Mode.BLACKHOLE, 0.0), (Mode.RESET, 0.0), (Mode.DROP_REPLIES, 0.0), (Mode.LATENCY, 0.3),
    (Mode.SLICE, 0.0), (Mode.CUT, 300.0),
)  # fmt: skip


async def n7_redis_away(
    directory: Path, seed: int, *, away: float, restarts: int, wire: float, rate: float, within: float = 1.5, **env: str
) -> Report:
    """A calm stream of calls; Redis's wire misbehaves in every way for `wire` seconds each, then Redis is away, restarts, and
    loads slowly. Every sender is answered within `within` seconds and keeps its 2xx; no process has to be started again.
    """
    async with town(directory, seed, **env) as place, proxied(place.redis.port) as proxy:
        place.env["CALLBRIDGE_REDIS__URL"] = f"redis://127.0.0.1:{proxy.port}/0"
        url = await place.receiver()
        for number in range(2):
            await place.start(f"worker-{number}", "worker")
        sending = asyncio.create_task(stream(place, url, f"n7-{seed}", rate))
        for mode, amount in WIRE_FAULTS:
            proxy.set(mode, amount)
            await asyncio.sleep(wire)
            proxy.set(Mode.PASS)
            await asyncio.sleep(wire / 3)
        for _ in range(restarts):
            await place.kill_redis(place.dice.uniform(0, 0.5))
            await asyncio.sleep(wire / 3)
        await place.kill_redis(away)
        place.redis.options += ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
        await place.kill_redis()
        await asyncio.sleep(wire / 3)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        began = time.monotonic()
        spool = SpoolFile(directory / "var" / SPOOL_FILE, 1 << 30)
        await place.until(lambda: not spool.standing().waiting, 60, "the spool to drain")
        await place.drained(60)
        recovered = time.monotonic() - began
        problems = [f"{name} had to be started again" for name, role in place.roles.items() if not role.alive]
        if place.slowest > within:
            problems.append(f"a sender waited {place.slowest} s")
        if bad := {answer: n for answer, n in place.answers.items() if answer != "200"}:
            problems.append(f"senders heard {bad}")
        return reported(
            "N7", "Redis away: accepts answered, 0 lost, spool drained, nobody restarted", seed, await place.verdict(),
            *problems, calls=len(place.acknowledged), away=f"{away:.0f} s", restarts=place.kills["redis"],
            slowest_accept=f"{place.slowest} s", answers=dict(place.answers), recovered=f"{recovered:.1f} s",
        )  # fmt: skip


async def stream(place: Town, url: str, name: str, rate: float) -> None:
    """One new call every now and then, whatever becomes of the ones before it; nothing is sent twice."""
    number = 0
    async with asyncio.TaskGroup() as tasks:
        while True:
            tasks.create_task(place.send(url, [f"{name}-{number}"], senders=1, insist=False))
            number += 1
            await asyncio.sleep(1 / rate)


async def n8_memory_full(directory: Path, seed: int, *, spool: bool, extra: int = 1_500_000, **env: str) -> Report:
    """Redis reaches `maxmemory`. At the door the spool takes over, or the sender hears 503; the drain goes on to the end."""
    size = str(1 << 30 if spool else 0)
    async with town(directory, seed, CALLBRIDGE_RECEIVER__SPOOL_SIZE=size, **env) as place:
        url = await place.receiver()
        async with connected(place.redis.url) as redis:
            await redis.config_set("maxmemory", (await redis.info("memory"))["used_memory"] + extra)
            full = await _fill(place, url, f"n8-{seed}")
            stored = await redis.zcard(f"{ROOT}index")
            await redis.config_set("maxmemory", 1_000_000)
            for number in range(2):
                await place.start(f"worker-{number}", "worker")
            await place.drained(60)
            left = await place.under_way()
            problems = [f"{left} calls did not drain"] if left else []
            problems += await inconsistencies(redis, ROOT)
            await redis.config_set("maxmemory", 0)
        await place.until(lambda: _spooled(directory) == 0, 60, "the spool to drain")
        await place.drained(60)
        if strange := place.answers.keys() - {"200", "503"}:
            problems.append(f"senders heard {strange}")
        if not full:
            problems.append("the memory was never full")
        return reported(
            "N8", f"memory full, {'spool' if spool else '503'} at the door: the drain reaches 0", seed, await place.verdict(),
            *problems[:10], stored=stored, acknowledged=len(place.acknowledged), answers=dict(place.answers),
        )  # fmt: skip


async def _fill(place: Town, url: str, name: str) -> bool:
    """Sends until Redis takes no more; True when that came about."""
    for wave in range(200):
        await place.send(url, [f"{name}-{wave}-{n}" for n in range(200)], senders=20, insist=False)
        if place.answers["503"] or _spooled(place.directory):
            return True
    return False


def _spooled(directory: Path) -> int:
    path = directory / "var" / SPOOL_FILE
    return SpoolFile(path, 1 << 30).standing().waiting if path.exists() else 0


class MovedClock:
    """The time of the scripts and of the simulator; ours stays what it is."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    async def move(self, redis: Redis, seconds: float) -> None:
        self.ahead += seconds
        await redis.set(f"{ROOT}clock", int(self.ahead))


async def n10_long_outage(
    directory: Path, seed: int, *, trouble: str, hours: float, step: float, calls: int = 40, **env: str
) -> Report:
    """The CRM is away, or not paid for, or bans us, for days on a moved clock: no attempt is used up, nothing expires, it is
    tried no oftener than it may be, and afterwards everything is delivered in order.
    """
    clock = MovedClock()
    sim = SimConfig(contacts=0, rate=0, match_all=True, seed=seed, clock=clock)
    real = {
        "MOVABLE_CLOCK": "1", "CALLBRIDGE_DELIVERY__PROBE_AFTER": "60s", "CALLBRIDGE_ACCOUNTS__MAIN__MAX_IN_FLIGHT": "1",
        "CALLBRIDGE_DELIVERY__LEASE": "60s",
    }  # fmt: skip
    async with town(directory, seed, crm=sim, batch=10, **real | env) as place, connected(place.redis.url) as redis:
        url = await place.receiver()
        healthy = await _break(place, trouble)
        await place.start("worker-0", "worker")
        await place.send(url, refs := [f"n10-{seed}-{n:03}" for n in range(calls)], senders=1, pause=0.005)
        await asyncio.sleep(2)
        moves, begun, most = 0, len(place.crm.requests), 0
        while clock.ahead < hours * 3600:
            before = len(place.crm.requests)
            await clock.move(redis, min(step, hours) * 3600)
            moves += 1
            await asyncio.sleep(1.5)
            most = max(most, len(place.crm.requests) - before)
        tried = len(place.crm.requests) - begun
        rows = await place.rows()
        used = sum(int(row["attempts"]) for row in rows)
        waiting = sum(row["state"] in {"queued", "retrying"} for row in rows)
        await healthy()
        await clock.move(redis, 4000)
        await place.drained(60)
        problems = []
        if used:
            problems.append(f"{used} attempts were used up by waiting")
        if waiting != len(rows):
            problems.append(f"{len(rows) - waiting} calls did not wait")
        if trouble != "away" and most > 1:
            problems.append(f"{most} requests in one step of the clock: probed too often")
        delivered = [note.uniq for note in sorted(place.crm.notes, key=lambda note: note.id)]
        by_ref = {str(row["ref"]): str(row["uniq"]) for row in rows}
        if delivered != [by_ref[ref] for ref in refs if ref in by_ref]:
            problems.append("they were not delivered in the order in which they came")
        return reported(
            "N10", f"{trouble} for {hours:.0f} h: 0 attempts used, 0 expired, then all delivered in order", seed,
            await place.verdict(), *problems, calls=len(rows), steps=moves, probes=tried, attempts_used=used,
        )  # fmt: skip


async def _break(place: Town, trouble: str) -> Callable[[], Awaitable[None]]:
    """Begins the trouble; what is returned ends it."""
    if trouble == "away":
        port = int(place.crm.url.rpartition(":")[2])
        await place.crm.stop()

        async def back() -> None:
            await place.crm.start(port=port)

        return back
    place.crm.arm(trouble)

    async def well() -> None:
        place.crm.disarm()

    return well
