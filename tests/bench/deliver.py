"""Delivering: a backlog against the vendor's rate, many accounts against none, the way of a lone call, CPU and memory."""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

import uvloop

from bench.load import flood, paced, signed_requests
from bench.parts import Rig, get, rig
from bench.report import Figure
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.inbox import RedisInbox
from callbridge.store.queue import RedisQueue
from callbridge.store.scripts import Scripts
from support.builders import a_finished_call

BACKLOG = 10_000


def _fill(parts: Rig, accounts: int, per_account: int) -> None:
    """Waiting calls, put in as the receiver puts them."""

    async def fill() -> None:
        async with connected(parts.redis.url) as redis:
            inbox = RedisInbox(Scripts(redis, keys.root("callbridge")), time.time, lambda _: None)
            for account in range(accounts):
                calls = [
                    a_finished_call(
                        account=f"a{account}", ref=f"{account}-{n}", phone=f"+7916{n % 5000:07d}", body=b"x" * 600
                    )
                    for n in range(per_account)
                ]
                for start in range(0, per_account, 1000):
                    await inbox.put(calls[start : start + 1000])

    uvloop.run(fill())


def _drained(parts: Rig, notes: int, within: float) -> list[dict[str, float]]:
    """The CRM's own log of requests once it holds so many notes."""
    deadline = time.monotonic() + within
    while get(f"{parts.crm_url}/_sim/summary")["notes"] < notes:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {get(f'{parts.crm_url}/_sim/summary')} after {within} s")
        time.sleep(0.05)
    rows: list[dict[str, float]] = get(f"{parts.crm_url}/_sim/requests?limit=100000")["requests"]
    return [row for row in rows if row["method"] == "POST"]


def backlog(directory: Path) -> list[Figure]:
    with rig(directory) as parts:
        parts.crm("--rate", "7", "--latency", "200ms", "--match-all")
        _fill(parts, 1, BACKLOG)
        parts.worker()
        posts = _drained(parts, BACKLOG, 60)
        summary = get(f"{parts.crm_url}/_sim/summary")
    seconds = posts[-1]["at"] - posts[0]["at"] + 0.2
    ceiling = BACKLOG / 250 / 7
    return [
        Figure("backlog of 10,000 at 7/s, of the ceiling's time", seconds / ceiling, 1.15, "below", "x"),
        Figure("  requests", len(posts), None, "", ""),
        Figure("  answers 429", summary["by_status"].get("429", 0), 1, "below", ""),
        Figure("  most requests in any second", summary["max_requests_in_a_second"], 7.5, "below", ""),
        Figure("  notes doubled", summary["surplus_notes"], 1, "below", ""),
    ]


def accounts(directory: Path) -> list[Figure]:
    with rig(directory, accounts=50, requests_per_second=1000) as parts:
        parts.crm("--rate", "0", "--match-all")
        _fill(parts, 50, 200)
        parts.worker()
        posts = _drained(parts, 10_000, 60)
    return [
        Figure("50 accounts, one worker", 10_000 / (posts[-1]["at"] - posts[0]["at"]), 4_000, "at least", "calls/s"),
        Figure("  requests", len(posts), None, "", ""),
    ]


def lone_calls(directory: Path, count: int = 100) -> list[Figure]:
    sent: dict[str, float] = {}

    async def send(port: int) -> None:
        for number, request in enumerate(signed_requests(count, phone="+7917{:07d}")):
            sent[f"+7917{number:07d}"] = time.time()
            await flood(port, [request], connections=1)
            await asyncio.sleep(0.3)

    with rig(directory) as parts:
        parts.crm("--rate", "0", "--match-all")
        worker, receiver = parts.worker(), parts.receiver()
        time.sleep(1.5)
        asyncio.run(send(receiver.port))
        _drained(parts, count, 20)
        notes = get(f"{parts.crm_url}/_sim/notes?limit=1000")["notes"]
        idle = worker.cpu()
        time.sleep(2)
        idle = (worker.cpu() - idle) / 2
    waits = sorted(1000 * (note["at"] - sent[note["phone"]]) for note in notes)
    return [
        Figure("lone call, webhook to POST, median", statistics.median(waits), 30, "below", "ms"),
        Figure("lone call, webhook to POST, p99", waits[int(0.99 * len(waits))], 150, "below", "ms"),
        Figure("  an idle worker, of one core", 100 * idle, None, "", "%"),
    ]


def cpu(directory: Path, calls: int = 20_000, per_second: int = 500) -> list[Figure]:
    with rig(directory, requests_per_second=1000) as parts:
        parts.crm("--rate", "0", "--match-all")
        worker, receiver = parts.worker(), parts.receiver()
        asyncio.run(flood(receiver.port, list(signed_requests(500)), connections=4))
        _drained(parts, 500, 20)
        begun = receiver.cpu(), worker.cpu()
        asyncio.run(flood(receiver.port, list(signed_requests(calls, start=1_000_000))))
        _drained(parts, calls + 500, 60)
        busy = receiver.cpu() - begun[0], worker.cpu() - begun[1]
        begun = receiver.cpu(), worker.cpu()
        steady = per_second * 8
        asyncio.run(paced(receiver.port, list(signed_requests(steady, start=2_000_000)), per_second))
        _drained(parts, calls + steady + 500, 20)
        calm = receiver.cpu() - begun[0], worker.cpu() - begun[1]
    return [
        Figure("CPU a call under load, receiver + worker", 1000 * sum(busy) / calls, 0.5, "below", "ms"),
        Figure("  receiver", 1000 * busy[0] / calls, None, "", "ms"),
        Figure("  worker", 1000 * busy[1] / calls, None, "", "ms"),
        Figure(f"  both, at {per_second}/s", 1000 * sum(calm) / steady, None, "", "ms"),
    ]


def claim_depth(directory: Path) -> list[Figure]:
    """What a claim of 50 costs when 10,000 calls wait, and when a million do."""

    async def measure(url: str) -> tuple[float, float]:
        async with connected(url) as redis:
            queue = RedisQueue(Scripts(redis, keys.root("callbridge")), lease=60, look_in=30)

            async def median() -> float:
                waits = []
                for _ in range(50):
                    began = time.perf_counter()
                    await queue.claim("a0", 50)
                    waits.append(time.perf_counter() - began)
                return statistics.median(waits)

            few = await median()
            behind = time.time() * 1000
            for start in range(0, 990_000, 10_000):
                ids = {f"behind-{n}": behind for n in range(start, start + 10_000)}
                await redis.zadd(keys.due(keys.root("callbridge"), "a0"), ids)
            return few, await median()

    with rig(directory) as parts:
        _fill(parts, 1, BACKLOG)
        few, many = asyncio.run(measure(parts.redis.url))
    return [
        Figure("a claim at 1,000,000 waiting calls, of one at 10,000", many / few, 2, "below", "x"),
        Figure("  at 10,000 (median)", 1000 * few, None, "", "ms"),
    ]


def memory(directory: Path) -> list[Figure]:
    async def used(url: str) -> int:
        async with connected(url) as redis:
            return int((await redis.info("memory"))["used_memory"])

    with rig(directory) as parts:
        receiver = parts.receiver()
        asyncio.run(flood(receiver.port, list(signed_requests(100))))
        before = asyncio.run(used(parts.redis.url))
        asyncio.run(flood(receiver.port, list(signed_requests(20_000, start=1000))))
        grown = asyncio.run(used(parts.redis.url)) - before
    return [Figure("Redis memory a waiting call of 600 bytes", grown / 20_000, 1300, "below", "bytes")]
