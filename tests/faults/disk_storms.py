"""N5 and N19: the power goes, files are torn. What was acknowledged is on the disk, and what is on the disk fits together."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import urllib.request
from pathlib import Path
from random import Random

from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from faults.checker import Verdict
from faults.consistency import inconsistencies
from faults.powercut import ForgetfulRedis
from faults.report import Report, reported
from faults.town import town
from faults.walk import Walk
from support.redis_server import RedisServer

ROOT = "{callbridge}:"


async def n5_power_cuts(
    directory: Path, seed: int, *, level: str, cuts: int, senders: int = 20, spacing: float = 1.2, **env: str
) -> Report:
    """The power goes `cuts` times while senders are at work. `always` keeps every acknowledged call; `everysec` may lose the
    last second, and says that it is what it is. Whatever is left fits together.
    """
    options = () if level == "always" else ("--appendfsync", level)
    env = {"CALLBRIDGE_REDIS__DURABILITY": level, "CALLBRIDGE_RECEIVER__SPOOL_SIZE": "0"} | env
    async with town(directory, seed, redis=lambda path: ForgetfulRedis(path, *options), **env) as place:
        url = await place.receiver()
        forgotten, shown = 0, {await asyncio.to_thread(durability_shown, url)}
        for cut in range(cuts):
            refs = [f"n5-{seed}-{cut}-{n}" for n in range(100_000)]
            sending = asyncio.create_task(place.send(url, refs, senders=senders, insist=False))
            await asyncio.sleep(spacing + place.dice.uniform(0, 0.5))
            forgotten += await place.cut_power()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await place.ready()
            shown.add(await asyncio.to_thread(durability_shown, url))
        stored = {str(row["ref"]) for row in await place.rows()}
        lost = place.acknowledged - stored
        async with connected(place.redis.url) as redis:
            problems = await inconsistencies(redis, ROOT)
        if shown != {level}:
            problems.append(f"the receiver shows {shown}")
        if level == "always" and lost:
            problems.append(f"{len(lost)} acknowledged calls are lost: {sorted(lost)[:5]}")
        if level != "always" and not lost:
            problems.append("nothing was lost: this disk does not forget, and proves nothing about the other level")
        return reported(
            "N5", f"power cuts, {level}: " + ("0 acked lost" if level == "always" else "loses, and says what it is"), seed,
            Verdict(len(lost), 0, 0, ()), *problems[:10],
            cuts=place.kills["power cut"], acknowledged=len(place.acknowledged), bytes_forgotten=forgotten,
            shown=", ".join(sorted(shown)),
        )  # fmt: skip


def durability_shown(url: str) -> str:
    with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
        return str(json.load(answer)["durability"])


async def n19_torn_files(directory: Path, seed: int, *, files: int, steps: int = 600) -> Report:
    """The append-only file of a store in which every move was made, cut at random places: it opens, and nothing is half."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing runs yet
    dice = Random(seed)
    whole = directory / "whole"
    whole.mkdir()
    server = await asyncio.to_thread(RedisServer, whole)
    async with connected(server.url) as redis:
        await Walk(Scripts(redis, ROOT), dice).run(steps)
        problems = [f"before anything was torn: {found}" for found in await inconsistencies(redis, ROOT)]
        calls = await redis.zcard(f"{ROOT}index")
    await asyncio.to_thread(server.kill)
    kept = []
    for number in range(files):
        torn = directory / f"torn-{number}"
        await asyncio.to_thread(shutil.copytree, whole, torn)
        size = _tear(torn, dice)
        server = await asyncio.to_thread(RedisServer, torn)
        try:
            async with connected(server.url) as redis:
                kept.append(await redis.zcard(f"{ROOT}index"))
                problems += [f"torn at byte {size}: {found}" for found in await inconsistencies(redis, ROOT)]
        finally:
            await asyncio.to_thread(server.stop)
        await asyncio.to_thread(shutil.rmtree, torn)
    if not any(0 < count < calls for count in kept):
        problems.append("no file lost a part of its calls: nothing was torn")
    return reported(
        "N19", "torn files: no move is half on the disk", seed, Verdict(0, 0, 0, ()), *problems[:10],
        files=files, calls=calls, moves=steps, fewest_kept=min(kept), most_kept=max(kept),
    )  # fmt: skip


def _tear(directory: Path, dice: Random) -> int:
    """Cuts the last file of the log at a random place; returns where."""
    (log,) = [file for file in directory.rglob("*.aof") if file.name == "appendonly.aof" or ".incr." in file.name]
    size = dice.randrange(1, log.stat().st_size)
    os.truncate(log, size)
    return size
