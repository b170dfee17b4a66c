"""The receiver role: webhooks in, durable calls out, and a word to the workers.

It is ready only while Redis keeps the promise that an acknowledgement makes, or while Redis is away and the spool keeps it;
it looks again every second, because an operator may change Redis under a running receiver.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network

from callbridge import observe
from callbridge.errors import StoreUnavailable
from callbridge.intake.accept import Acceptor, Inbox
from callbridge.intake.http import Readiness, Running, build_app, serve
from callbridge.settings import Settings
from callbridge.store.bell import Bell, arq_redis
from callbridge.store.durability import stands
from callbridge.store.inbox import RedisInbox
from callbridge.store.spool import SPOOL_FILE, SpoolFile
from callbridge.store.spooling import Spool, SpoolingInbox
from callbridge.wiring import Store, open_store, sources

SPOOL = "spool"
"""The durability of a webhook that is on this host's disk only."""

LOOK_EVERY = 1.0
"""Seconds between two looks at how Redis persists."""


class Promise:
    """Whether a 2xx may be given now, and who would keep it. A Redis that keeps less than was promised is not made good by
    the spool: its operator has to hear of it.
    """

    def __init__(self, settings: Settings, store: Store, spool: Spool | None) -> None:
        self._wanted = settings.redis.durability
        self._redis = store.scripts.redis
        self._spool = spool
        self.redis_is_well = False
        self.readiness = Readiness(ok=False, durability="unknown", problems=("not looked yet",))

    async def look(self) -> None:
        try:
            standing = await stands(self._redis, self._wanted)
        except StoreUnavailable as error:
            self.redis_is_well = False
            seen = await self._without_redis(str(error))
        else:
            self.redis_is_well = not standing.problems
            seen = Readiness(ok=not standing.problems, durability=standing.level.value, problems=standing.problems)
        if seen != self.readiness:
            level: observe.Level = "info" if seen.ok and self.redis_is_well else "error"
            observe.event(
                "store.durability", level=level, ok=seen.ok, durability=seen.durability, problems=seen.problems
            )
        self.readiness = seen

    async def _without_redis(self, problem: str) -> Readiness:
        if self._spool is None:
            return Readiness(ok=False, durability="unknown", problems=(problem,))
        try:
            await self._spool.look()
        except StoreUnavailable as error:
            return Readiness(ok=False, durability="unknown", problems=(problem, str(error)))
        return Readiness(ok=True, durability=SPOOL, problems=(problem,))

    async def keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 # whatever it was, nobody has seen that the promise holds
                self.redis_is_well = False
                self.readiness = Readiness(ok=False, durability="unknown", problems=("cannot be looked at",))
                observe.event("store.unavailable", level="error", stage="durability", error=error)


@asynccontextmanager
async def receiver(settings: Settings, url: str) -> AsyncIterator[Running]:
    """A listening receiver. On the way out it stops listening first, finishes what it has read, and closes Redis last."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, url))
        bell = Bell(arq_redis(url, store.scripts.root, patience=settings.redis.timeout), store.scripts.root)
        stack.push_async_callback(bell.close)
        inbox: Inbox = RedisInbox(store.scripts, time.time, bell.ring)
        spool = _spool(settings)
        promise = Promise(settings, store, spool)
        await promise.look()
        stack.callback(asyncio.create_task(promise.keep_looking()).cancel)
        if spool is not None:
            stack.push_async_callback(spool.close)
            inbox = SpoolingInbox(inbox, spool, lambda: promise.redis_is_well)
            stack.push_async_callback(_end, asyncio.create_task(inbox.keep_draining()))
        app = build_app(
            Acceptor(sources(settings), inbox, time.time),
            ready=lambda: promise.readiness,
            body_timeout=settings.receiver.body_timeout,
            max_body=settings.receiver.max_body,
            trusted_proxies=tuple(map(ip_network, settings.receiver.trusted_proxies)),
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


async def _end(draining: asyncio.Task[None]) -> None:
    draining.cancel()
    await asyncio.wait([draining])
