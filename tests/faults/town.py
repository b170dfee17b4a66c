"""The whole bridge as processes of a test: Redis, receivers, workers, a CRM, senders; all of it can be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any
from zlib import crc32

import aiohttp

from callbridge.ops.filters import Filter
from callbridge.ops.inspect import Inspector
from callbridge.settings import Durability
from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from callbridge.sim.journal import Seen
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.durability import stands
from callbridge.store.presence import RedisPresence
from callbridge.store.records import RedisRecords
from callbridge.store.scripts import Scripts
from callbridge.store.tally import RedisTally
from faults.checker import Evidence, Verdict, judge
from faults.nursery import NURSERY
from faults.offices import QUICK, TOKEN, office, source_named
from faults.powercut import ForgetfulRedis
from faults.role import Role
from support.redis_server import RedisServer, accepting, free_port
from support.webhooks import SECRET, signed

__all__ = ["TOKEN", "Town", "a_body", "town"]


@dataclass
class Town:
    directory: Path
    seed: int
    crms: Sequence[CrmSim]
    redis: RedisServer
    env: dict[str, str]
    dice: Random = field(init=False)
    roles: dict[str, Role] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)

    @property
    def crm(self) -> CrmSim:
        return self.crms[0]

    @property
    def requests(self) -> list[Seen]:
        return [seen for crm in self.crms for seen in crm.requests]

    def arm(self, fault: str) -> None:
        for crm in self.crms:
            crm.arm(fault)

    @property
    def slowest(self) -> float:
        return round(max(self.waits, default=0.0), 2)

    # --- processes ---------------------------------------------------------------------------------------------------

    async def start(self, name: str, kind: str, **env: str) -> Role:
        role = self.roles.get(name) or Role(name, kind, env)
        assert not role.alive, f"{name} is running"
        self.roles[name] = role
        order = {
            "command": kind.split(),
            "env": {**_clean(), **self.env, **role.env},
            "cwd": str(self.directory),
            "log": str(self.directory / f"{name}.log"),
            "output": str(self.directory / f"{name}.out"),
        }
        role.begun(await asyncio.to_thread(NURSERY.fork, order))
        return role

    async def ended(self, name: str, seconds: float = 30) -> None:
        await self.until(lambda: not self.roles[name].alive, seconds, f"{name} to end")

    async def receiver(self, name: str = "receiver", **env: str) -> str:
        """Starts a receiver, waits until it is ready, returns its address."""
        await self.start(name, "receiver", **{"CALLBRIDGE_RECEIVER__PORT": str(free_port())} | env)
        return await self.ready(name)

    async def ready(self, name: str = "receiver") -> str:
        url = f"http://127.0.0.1:{self.roles[name].env['CALLBRIDGE_RECEIVER__PORT']}"
        await self.until(lambda: _ready(url), 20, f"{name} to be ready")
        return url

    def asleep(self, name: str) -> bool:
        try:
            return Path(f"/proc/{self.roles[name].pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def kill(self, name: str, what: signal.Signals = signal.SIGKILL) -> None:
        self.roles[name].signal(what)
        self.kills[f"{self.roles[name].kind} {what.name}"] += 1

    async def restart(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        role = self.roles[name]
        self.kill(name, how)
        while role.alive:  # noqa: ASYNC110 - it is not our child, there is nothing to wait on
            await asyncio.sleep(0.005)
        await self.start(name, role.kind)

    async def kill_redis(self, away: float = 0.0) -> None:
        await asyncio.to_thread(self.redis.kill)
        self.kills["redis"] += 1
        await asyncio.sleep(away)
        await asyncio.to_thread(self.redis.start)

    async def cut_power(self) -> int:
        assert isinstance(self.redis, ForgetfulRedis)
        lost = await asyncio.to_thread(self.redis.cut)
        self.kills["power cut"] += 1
        await asyncio.to_thread(self.redis.start)
        return lost

    async def until(self, happened: Callable[[], Any], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while True:
            answer = happened()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:.0f} s for {what} (seed {self.seed})\n{self.logs()[-3000:]}")
            await asyncio.sleep(0.1)

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in sorted(self.directory.glob("*.log")))

    # --- senders -----------------------------------------------------------------------------------------------------

    async def send(
        self,
        url: str,
        refs: Sequence[str],
        *,
        senders: int = 20,
        insist: bool = True,
        patience: float = 5.0,
        pause: float = 0.0,
    ) -> None:
        """Posts a call for each ref; `insist`: again and again until it is acknowledged."""
        waiting = list(reversed(refs))

        async def one(session: aiohttp.ClientSession) -> None:
            while waiting:
                ref = waiting.pop()
                self.sent.add(ref)
                while not await self.tell(session, url, ref) and insist:  # noqa: ASYNC110 - it is a sender
                    await asyncio.sleep(0.05)
                if pause:
                    await asyncio.sleep(pause)

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=patience)) as session:
            await asyncio.gather(*(one(session) for _ in range(senders)))

    async def tell(self, session: aiohttp.ClientSession, url: str, ref: str, body: bytes | None = None) -> bool:
        """One webhook; whether it was acknowledged."""
        body = body or a_body(ref)
        began = time.monotonic()
        try:
            headers = signed(body, SECRET, at=time.time(), name=f"msg_{ref}")
            source = source_named(crc32(ref.encode()) % len(self.crms))
            async with session.post(f"{url}/hooks/{source}", data=body, headers=headers) as answer:
                await answer.read()
                self.answers[str(answer.status)] += 1
                if answer.status == 200:
                    self.acknowledged.add(ref)
                    return True
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self.answers[type(error).__name__] += 1
        finally:
            self.waits.append(time.monotonic() - began)
        return False

    # --- what became of it -------------------------------------------------------------------------------------------

    async def rows(self) -> list[dict[str, Any]]:
        async with connected(self.redis.url, patience=10) as redis:
            scripts = Scripts(redis, keys.root("callbridge"))
            inspector = Inspector(
                RedisRecords(scripts),
                RedisTally(scripts),
                RedisPresence(redis, scripts.root),
                lambda: stands(redis, Durability.ALWAYS),
                ("main",),
            )
            return [call.as_json() async for call in inspector.calls(Filter())]

    async def under_way(self) -> int:
        async with connected(self.redis.url, patience=10) as redis:
            tally = await RedisTally(Scripts(redis, keys.root("callbridge"))).read()
            return tally.queued + tally.retrying + tally.sending + tally.uncertain

    async def draining(self) -> str | None:
        """The name of a worker that drains an account now."""
        async with connected(self.redis.url) as redis:
            holders = set((await RedisPresence(redis, keys.root("callbridge")).drains()).values())
        pids = {int(holder.rsplit("-", 2)[1]) for holder in holders}
        return next((name for name, role in self.roles.items() if role.pid in pids), None)

    async def drained(self, seconds: float) -> None:
        """Until nothing is on its way; says nothing if it takes longer: the judge does."""
        deadline, quiet = time.monotonic() + seconds, 0
        while time.monotonic() < deadline and quiet < 3:  # a call that moves while they are counted may be missed once
            quiet = 0 if await self.under_way() else quiet + 1
            await asyncio.sleep(0.15)

    async def verdict(self, *, rate: float | None = None) -> Verdict:
        return judge(
            Evidence(
                sent=frozenset(self.sent),
                acknowledged=frozenset(self.acknowledged),
                rows=await self.rows(),
                notes=[{"uniq": note.uniq, "id": note.id} for crm in self.crms for note in crm.notes],
                request_times=[[seen.monotonic for seen in crm.requests] for crm in self.crms],
                rate=rate,
            )
        )


def a_body(ref: str) -> bytes:
    call = {
        "id": ref, "direction": "inbound", "phone": f"+7916{crc32(ref.encode()) % 10_000_000:07d}", "duration": 30,
        "started_at": int(time.time()) // 600 * 600,
    }  # fmt: skip
    return json.dumps(call).encode()


@asynccontextmanager
async def town(
    directory: Path,
    seed: int,
    *,
    crm: SimConfig | None = None,
    redis: Callable[[Path], RedisServer] = RedisServer,
    offices: int = 1,
    batch: int = 250,
    **env: str,
) -> AsyncIterator[Town]:
    """Everything that was started ends with it, whatever happens."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing runs yet
    config = crm or SimConfig(contacts=0, rate=0, match_all=True, seed=seed, max_notes=200_000, max_requests=200_000)
    sims = [CrmSim(replace(config, seed=config.seed + number)) for number in range(offices)]
    for sim in sims:
        await sim.start()
    server = redis(directory)
    settings = QUICK | {
        **accepting(),
        "CALLBRIDGE_REDIS__URL": server.url,
        "CALLBRIDGE_DATA_DIR": str(directory / "var"),
    }
    for number, sim in enumerate(sims):
        settings |= office(number, sim.url, batch)
    made = Town(directory, seed, sims, server, settings | env)
    try:
        yield made
    finally:
        for role in made.roles.values():
            role.signal(signal.SIGCONT)
            role.signal(signal.SIGKILL)
            role.forget()
        await asyncio.to_thread(server.stop)
        for sim in sims:
            await sim.stop()


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CALLBRIDGE_")}


async def _ready(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError):
        return False
