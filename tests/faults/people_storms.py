"""N15 and N17: what people do while calls come in: they deploy, and two of them press the same button."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from callbridge.call import CallId
from callbridge.claim import Claim
from callbridge.outcome import Settlement, State
from callbridge.store.connect import connected
from callbridge.store.inbox import RedisInbox
from callbridge.store.queue import RedisQueue
from callbridge.store.records import RedisRecords
from callbridge.store.scripts import Scripts
from faults.consistency import inconsistencies
from faults.outage_storms import ROOT
from faults.report import Report, reported
from faults.town import Town, town
from support.builders import a_finished_call


async def n15_rolling_restarts(directory: Path, seed: int, *, restarts: int, rate: float = 60.0, **env: str) -> Report:
    """Two receivers and two workers, one after the other told to end and started again, while calls come in. Whoever wrote a
    whole webhook gets an answer, and no call in flight becomes uncertain or costs an attempt.
    """
    # A request that takes long because others storm beside it is no answer lost: restarts are what is looked at.
    patient = {"CALLBRIDGE_DELIVERY__REQUEST_TIMEOUT": "6s", "CALLBRIDGE_DELIVERY__LEASE": "8s"}
    async with town(directory, seed, **patient | env) as place:
        urls = [await place.receiver("left"), await place.receiver("right")]
        for name in ("early", "late"):
            await place.start(name, "worker")
        place.crm.arm("slow=300ms")
        balancer = Balancer(place, urls)
        sending = asyncio.create_task(balancer.stream(f"n15-{seed}", rate))
        for number in range(restarts):
            name = ("left", "early", "right", "late")[number % 4]
            await place.restart(name, signal.SIGTERM)
            if place.roles[name].kind == "receiver":
                await place.ready(name)
            else:
                await asyncio.sleep(place.dice.uniform(0.2, 0.6))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await place.drained(30)
        rows = await place.rows()
        problems = [f"whole webhooks without an answer: {dict(balancer.cut_off)}"] if balancer.cut_off else []
        if again := [row["id"] for row in rows if int(row["attempts"]) != 1]:
            problems.append(f"{len(again)} calls took more than one attempt: {again[:4]}")
        if uncertain := await _became(place, [CallId(str(row["id"])) for row in rows], "uncertain"):
            problems.append(f"{uncertain} calls became uncertain")
        killed = place.kills["receiver SIGTERM"] + place.kills["worker SIGTERM"]
        return reported(
            "N15", "rolling restarts: 0 resets, 0 uncertain, 1 attempt each", seed, await place.verdict(), *problems,
            calls=len(place.acknowledged), restarts=killed, resets=sum(balancer.cut_off.values()), uncertain=uncertain,
            answers=dict(place.answers),
        )  # fmt: skip


class Balancer:
    """What stands before two receivers: it sends to the other one when one does not listen or says 503, and counts the
    connections that were cut after a whole webhook had been written.
    """

    def __init__(self, place: Town, urls: Sequence[str]) -> None:
        self._place = place
        self._urls = urls

    @property
    def cut_off(self) -> dict[str, int]:
        heard = self._place.answers.items()
        return {answer: n for answer, n in heard if not answer.isdigit() and answer != "ClientConnectorError"}

    async def stream(self, name: str, rate: float) -> None:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            asyncio.TaskGroup() as tasks,
        ):
            number = 0
            while True:
                tasks.create_task(self._send(session, f"{name}-{number}", number))
                number += 1
                await asyncio.sleep(1 / rate)

    async def _send(self, session: aiohttp.ClientSession, ref: str, turn: int) -> None:
        self._place.sent.add(ref)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if await self._place.tell(session, self._urls[turn % 2], ref):
                return
            turn += 1
            await asyncio.sleep(0.02)


async def _became(place: Town, ids: Sequence[CallId], what: str) -> int:
    async with connected(place.redis.url) as redis:
        records = RedisRecords(Scripts(redis, ROOT))
        return sum([any(entry["what"] == what for entry in await records.story(call_id)) for call_id in ids])


async def n17_two_operators(
    directory: Path, seed: int, *, calls: int, kills: int, workers: int = 3, **env: str
) -> Report:
    """Dead calls; two operators replay all of them at the same moment, while workers die."""
    async with town(directory, seed, **env) as place, connected(place.redis.url) as redis:
        ids = await bury(Scripts(redis, ROOT), calls, f"n17-{seed}")
        place.sent |= {f"n17-{seed}-{n}" for n in range(calls)}
        place.acknowledged |= place.sent
        for number in range(workers):
            await place.start(f"worker-{number}", "worker")
        operators = ("anna", "boris")
        await asyncio.gather(*(place.start(name, "dead replay --all --yes --json") for name in operators))
        for _ in range(kills):
            await asyncio.sleep(place.dice.uniform(0.05, 0.2))
            await place.restart(f"worker-{place.dice.randrange(workers)}")
        for name in operators:
            await place.ended(name, 60)
        await place.drained(90)
        moved = [json.loads((directory / f"{name}.out").read_text())["moved"] for name in operators]
        records = RedisRecords(Scripts(redis, ROOT))
        told = Counter([sum(entry["what"] == "replayed" for entry in await records.story(call_id)) for call_id in ids])
        problems = await inconsistencies(redis, ROOT)
        if sum(moved) != calls:
            problems.append(f"the operators were told of {moved}, there were {calls}")
        if told != Counter({1: calls}):
            problems.append(f"replays a call: {dict(told)}")
        return reported(
            "N17", "two operators replay at once: each call once, counts add up", seed, await place.verdict(), *problems[:10],
            calls=calls, moved=moved, worker_kills=place.kills["worker SIGKILL"],
        )  # fmt: skip


async def bury(scripts: Scripts, count: int, name: str) -> list[CallId]:
    inbox = RedisInbox(scripts, time.time, lambda _: None)
    queue = RedisQueue(scripts, lease=60, look_in=1)
    ids = []
    for start in range(0, count, 100):
        numbers = range(start, min(count, start + 100))
        receipts = await inbox.put([a_finished_call(ref=f"{name}-{n}", phone=f"+7916{n:07}") for n in numbers])
        ids += [receipt.id for receipt in receipts if receipt.id]
        claim = await queue.claim("main", 250)
        assert isinstance(claim, Claim), claim
        taken = [call.id for call in claim.calls]
        await queue.mark_sending(claim.fence, taken, batch="b-1", lease=60)
        await queue.settle(claim.fence, [Settlement(i, State.DEAD, "refused_by_crm") for i in taken], {})
    return ids
