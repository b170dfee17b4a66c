"""The receiver role: webhooks in, durable calls out, and a word to the workers.

It is ready only while Redis keeps the promise that an acknowledgement makes, or while Redis is away and the spool keeps it;
it looks again every second, because an operator may change Redis under a running receiver.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import ip_network

from callbridge import observe
from callbridge.errors import StoreUnavailable
from callbridge.intake.accept import Acceptor, Inbox
from callbridge.intake.http import Readiness, Running, build_app, serve
from callbridge.intake.refused import Refusals
from callbridge.settings import Settings
from callbridge.store.bell import Bell, arq_redis
from callbridge.store.durability import HIGH_WATER, Asked, Standing, stands
from callbridge.store.inbox import RedisInbox
from callbridge.store.refusals import RedisRefusals
from callbridge.store.spool import SPOOL_FILE, SpoolFile
from callbridge.store.spooling import Spool, SpoolingInbox
from callbridge.store.trouble import passes, trouble_of, words_for
from callbridge.wiring import Store, asked, open_store, sources

SPOOL = "spool"
"""The durability of a webhook that is on this host's disk only."""

UNKNOWN = "unknown"

LOOK_EVERY = 1.0
"""Seconds between two looks at how Redis persists."""

TELL_EVERY = 30.0
"""Seconds between two reports of an unchanged spool."""

TELL_REFUSALS_EVERY = 1.0
"""Seconds between two reports of webhooks that were turned away."""

LOW_WATER = 0.05
"""How far the memory in use has to fall below the high-water mark until new calls go to Redis again."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look. `problems` want a person: nothing is acknowledged. `passing` wants time: the spool keeps the promise."""

    durability: str = UNKNOWN
    problems: tuple[str, ...] = ()
    passing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    replicas: int = 0
    primary: str | None = None

    @property
    def well(self) -> bool:
        return not self.problems and not self.passing

    @property
    def shape(self) -> tuple[object, ...]:
        """What makes it another state: not the figures within a sentence."""
        told = (*self.problems, *self.passing, *self.warnings)
        return self.durability, bool(self.problems), self.primary, *(re.sub(r"[\d.]+", "#", line) for line in told)


class Promise:
    """Whether a 2xx may be given now, and who would keep it. A Redis that keeps less than was promised is not made good by
    the spool: its operator has to hear of it.
    """

    def __init__(self, wanted: Asked, store: Store, spool: Spool | None) -> None:
        self._wanted = wanted
        self._store = store
        self._spool = spool
        self._since = time.time()
        self._seen = _Seen(problems=("not looked yet",))
        self._spool_problem: str | None = None
        self._told: tuple[object, float] = (None, 0.0)
        self.redis_is_well = False

    async def look(self) -> None:
        """Never raises: whatever it was, nobody has seen that the promise holds."""
        try:
            seen = await self._look()
        except Exception as error:  # noqa: BLE001 # see above
            seen = _Seen(problems=("Redis cannot be looked at",))
            observe.event("store.unavailable", level="error", stage="durability", error=error)
        self._spool_problem = await self._look_at_spool()
        if seen.shape != self._seen.shape:
            self._since = time.time()
            ready = self._judged(seen)
            observe.event(
                "store.durability",
                level="info" if seen.well else "error",
                ok=ready.ok,
                durability=ready.durability,
                problems=ready.problems,
                warnings=seen.warnings,
                replicas=seen.replicas,
                primary=seen.primary,
            )
        if seen.well:
            self._wanted = replace(self._wanted, running=True)
        self._seen, self.redis_is_well = seen, seen.well

    @property
    def readiness(self) -> Readiness:
        return self._judged(self._seen)

    async def keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def _look(self) -> _Seen:
        try:
            standing = await stands(self._store.scripts.redis, self._wanted)
            full = standing.memory is not None and standing.memory > self._wanted.high_water
            self._wanted = replace(self._wanted, high_water=HIGH_WATER - (LOW_WATER if full else 0.0))
            foreign = None if standing.problems or standing.passing else await self._store.epoch.look()
        except StoreUnavailable as error:
            told = (words_for(trouble_of(error)),)
            return _Seen(passing=told) if passes(trouble_of(error)) else _Seen(problems=told)
        return _seen(standing, foreign)

    async def _look_at_spool(self) -> str | None:
        """Why it takes nothing, if so; what waits in it is told to Redis for whoever looks from elsewhere."""
        if self._spool is None:
            return None
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self._spool.look()
        except StoreUnavailable as error:
            return str(error)
        except TimeoutError:
            return "the spool's disk does not answer"
        standing, now = self._spool.standing, time.time()
        if self.redis_is_well and (standing != self._told[0] or now - self._told[1] > TELL_EVERY):
            with suppress(StoreUnavailable):
                await self._store.spools.tell(socket.gethostname(), standing, now)
                self._told = standing, now
        return self._spool.problem

    def _judged(self, seen: _Seen) -> Readiness:
        spool_problem = self._spool_problem or (self._spool.problem if self._spool else None)
        spooling = not seen.problems and bool(seen.passing) and self._spool is not None and spool_problem is None
        problems = (*seen.problems, *seen.passing)
        if spool_problem and seen.passing:
            problems += (spool_problem,)
        return Readiness(
            ok=seen.well or spooling,
            durability=SPOOL if spooling else seen.durability,
            problems=problems,
            more=self._more(seen),
        )

    def _more(self, seen: _Seen) -> dict[str, object]:
        more: dict[str, object] = {"redis": seen.durability, "replicas": seen.replicas, "warnings": seen.warnings}
        if not seen.well:
            more["since"] = round(self._since, 1)
        if self._spool is not None:
            standing = self._spool.standing
            oldest, damaged = standing.oldest_at, standing.damaged
            more["spool"] = {"waiting": standing.waiting, "oldest_at": oldest, "damaged": damaged}
        return more


def _seen(standing: Standing, foreign: str | None) -> _Seen:
    problems = (*standing.problems, foreign) if foreign else standing.problems
    return _Seen(
        durability=standing.level.value,
        problems=problems,
        passing=standing.passing,
        warnings=standing.warnings,
        replicas=standing.replicas,
        primary=standing.primary,
    )


@asynccontextmanager
async def receiver(settings: Settings, url: str) -> AsyncIterator[Running]:
    """A listening receiver. On the way out it stops listening first, finishes what it has read, and closes Redis last."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, url))
        bell = Bell(arq_redis(url, store.scripts.root, patience=settings.redis.timeout), store.scripts.root)
        stack.push_async_callback(bell.close)
        inbox: Inbox = RedisInbox(store.scripts, time.time, bell.ring, replicas=settings.redis.replicas)
        spool = _spool(settings)
        promise = Promise(asked(settings), store, spool)
        await promise.look()
        stack.callback(asyncio.create_task(promise.keep_looking()).cancel)
        if spool is not None:
            stack.push_async_callback(spool.close)
            inbox = SpoolingInbox(inbox, spool, lambda: promise.redis_is_well)
            stack.push_async_callback(_end, asyncio.create_task(inbox.keep_draining()))
        refusals = Refusals()
        stack.push_async_callback(_end, asyncio.create_task(_keep_telling(refusals, RedisRefusals(store.scripts))))
        app = build_app(
            Acceptor(sources(settings), inbox, time.time),
            ready=lambda: promise.readiness,
            body_timeout=settings.receiver.body_timeout,
            max_body=settings.receiver.max_body,
            trusted_proxies=tuple(map(ip_network, settings.receiver.trusted_proxies)),
            refusals=refusals,
        )
        running = await serve(
            app, settings.receiver.host, settings.receiver.port, keepalive=settings.receiver.keepalive
        )
        stack.push_async_callback(running.stop)
        yield running


def _spool(settings: Settings) -> Spool | None:
    if not settings.receiver.spool_size:
        return None
    return Spool(SpoolFile(settings.data_dir / SPOOL_FILE, settings.receiver.spool_size), time.time)


async def _keep_telling(refusals: Refusals, store: RedisRefusals) -> None:
    """For whoever looks from elsewhere: at most once a second, and once more at the end. A Redis that is away misses them."""
    stopping = False
    while not stopping:
        try:
            await asyncio.sleep(TELL_REFUSALS_EVERY)
        except asyncio.CancelledError:
            stopping = True
        counts, samples = refusals.take()
        with suppress(StoreUnavailable):
            await store.add(counts, samples)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
