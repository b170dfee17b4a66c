"""The whole bridge as processes of a test: Redis, receivers, workers, a CRM, senders; all of it can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from callbridge.ops.filters import Filter
from callbridge.ops.inspect import Inspector
from callbridge.settings import Durability
from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.durability import stands
from callbridge.store.presence import RedisPresence
from callbridge.store.records import RedisRecords
from callbridge.store.scripts import Scripts
from callbridge.store.tally import RedisTally
from faults.checker import Evidence, Verdict, judge
from faults.powercut import ForgetfulRedis
from support.redis_server import RedisServer, free_port
from support.webhooks import SECRET, signed

TOKEN = "token-of-the-storm"
QUICK = {
    "HASTE": "0.25",
    "CALLBRIDGE_LOG__FORMAT": "json",
    "CALLBRIDGE_LOG__LEVEL": "warning",
    "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN": TOKEN,
    "CALLBRIDGE_ACCOUNTS__MAIN__REQUESTS_PER_SECOND": "50",
    "CALLBRIDGE_ACCOUNTS__MAIN__NO_MATCH__POLICY": "record",
    "CALLBRIDGE_DELIVERY__LEASE": "1500ms",
    "CALLBRIDGE_DELIVERY__REQUEST_TIMEOUT": "1s",
    "CALLBRIDGE_DELIVERY__SETTLE_DELAY": "500ms",
    "CALLBRIDGE_DELIVERY__PROBE_AFTER": "500ms",
    "CALLBRIDGE_SOURCES__OFFICE__PROVIDER": "generic",
    "CALLBRIDGE_SOURCES__OFFICE__SECRET": SECRET,
}


@dataclass
class Role:
    """One process of the bridge. `restarts` of it share the name."""

    name: str
    kind: str
    env: dict[str, str]
    pid: int = 0

    @property
    def alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def signal(self, what: signal.Signals) -> None:
        """Only ever to a process that this town has started."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, what)


@dataclass
class Town:
    directory: Path
    seed: int
    crm: CrmSim
    redis: RedisServer
    nursery: asyncio.subprocess.Process
    env: dict[str, str]
    dice: Random = field(init=False)
    roles: dict[str, Role] = field(default_factory=dict)
    sent: set[str] = field(default_factory=set)
    acknowledged: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    _ordering: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)

    @property
    def slowest(self) -> float:
        return round(max(self.waits, default=0.0), 2)

    # --- processes ---------------------------------------------------------------------------------------------------

    async def start(self, name: str, kind: str, **env: str) -> Role:
        role = self.roles.get(name) or Role(name, kind, env)
        self.roles[name] = role
        order = {
            "command": kind.split(),
            "env": {**_clean(), **self.env, **role.env},
            "cwd": str(self.directory),
            "log": str(self.directory / f"{name}.log"),
            "output": str(self.directory / f"{name}.out"),
        }
        assert self.nursery.stdin and self.nursery.stdout
        async with self._ordering:
            self.nursery.stdin.write(json.dumps(order).encode() + b"\n")
            await self.nursery.stdin.drain()
            role.pid = json.loads(await self.nursery.stdout.readline())["pid"]
        return role

    async def ended(self, name: str, seconds: float = 30) -> None:
        await self.until(lambda: not self.roles[name].alive, seconds, f"{name} to end")

    async def receiver(self, name: str = "receiver", **env: str) -> str:
        """Starts a receiver, waits until it is ready, returns its address."""
        if "CALLBRIDGE_RECEIVER__PORT" not in env:
            env["CALLBRIDGE_RECEIVER__PORT"] = str(free_port())
        role = await self.start(name, "receiver", **env)
        port = role.env["CALLBRIDGE_RECEIVER__PORT"]
        url = f"http://127.0.0.1:{port}"
        await self.until(lambda: _ready(url), 20, f"{name} to be ready")
        return url

    def kill(self, name: str, what: signal.Signals = signal.SIGKILL) -> None:
        self.roles[name].signal(what)
        self.kills[f"{self.roles[name].kind} {what.name}"] += 1

    async def restart(self, name: str) -> None:
        role = self.roles[name]
        role.signal(signal.SIGKILL)
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
                while not await self._post(session, url, ref) and insist:  # noqa: ASYNC110 - it is a sender
                    await asyncio.sleep(0.05)
                if pause:
                    await asyncio.sleep(pause)

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=patience)) as session:
            await asyncio.gather(*(one(session) for _ in range(senders)))

    async def _post(self, session: aiohttp.ClientSession, url: str, ref: str) -> bool:
        body = a_body(ref)
        began = time.monotonic()
        try:
            headers = signed(body, SECRET, at=time.time(), name=f"msg_{ref}")
            async with session.post(f"{url}/hooks/office", data=body, headers=headers) as answer:
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
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not await self.under_way():
                return
            await asyncio.sleep(0.3)

    async def verdict(self, *, rate: float | None = None) -> Verdict:
        return judge(
            Evidence(
                sent=frozenset(self.sent),
                acknowledged=frozenset(self.acknowledged),
                rows=await self.rows(),
                notes=[{"uniq": note.uniq, "id": note.id} for note in self.crm.notes],
                request_times=[seen.monotonic for seen in self.crm.requests],
                rate=rate,
            )
        )


def a_body(ref: str) -> bytes:
    call = {
        "id": ref, "direction": "inbound", "phone": f"+7916{abs(hash(ref)) % 10_000_000:07d}", "duration": 30,
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
    **env: str,
) -> AsyncIterator[Town]:
    """Everything that was started ends with it, whatever happens."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing runs yet
    sim = CrmSim(
        crm or SimConfig(contacts=0, rate=0, match_all=True, seed=seed, max_notes=200_000, max_requests=200_000)
    )
    await sim.start()
    server = redis(directory)
    nursery = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faults.nursery",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=directory,
        env={**_clean(), "PYTHONPATH": str(Path(__file__).parent.parent)},
    )  # fmt: skip
    settings = QUICK | {
        "CALLBRIDGE_REDIS__URL": server.url,
        "CALLBRIDGE_ACCOUNTS__MAIN__URL": sim.url,
        "CALLBRIDGE_DATA_DIR": str(directory / "var"),
    }
    made = Town(directory, seed, sim, server, nursery, settings | env)
    try:
        yield made
    finally:
        for role in made.roles.values():
            role.signal(signal.SIGCONT)
            role.signal(signal.SIGKILL)
        assert nursery.stdin
        nursery.stdin.close()
        await nursery.wait()
        await asyncio.to_thread(server.stop)
        await sim.stop()


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CALLBRIDGE_")}


async def _ready(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError):
        return False
