"""Wake-ups through arq: "account X may have work".

A ring is an arq job with a fixed id per account, so any number of rings is one job until a worker took it. Ringing is never
waited for by a sender and never retried hard: the workers' sweep looks each second anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Final

import orjson
from arq.connections import ArqRedis
from redis.exceptions import RedisError

from callbridge import observe
from callbridge.store.connect import pool_of

DRAIN: Final = "drain"
RECONCILE: Final = "reconcile"
NOTE: Final = "note"

RING_EVERY: Final = 0.2
"""Seconds between two rings for one account: the first of a burst rings at once, a last one always follows."""


def arq_redis(url: str, root: str, *, patience: float) -> ArqRedis:
    """arq's view of our Redis: bounded waits, JSON instead of its default serialiser, a queue of our own."""
    return ArqRedis(
        pool_of(url, patience=patience, connections=32),
        job_serializer=orjson.dumps,
        job_deserializer=orjson.loads,
        default_queue_name=f"{root}arq",
    )


def job_id(root: str, function: str, account: str) -> str:
    return f"{root}{function}:{account}"


class Bell:
    """Rings for accounts from one process. `ring` only takes note and returns."""

    def __init__(self, redis: ArqRedis, root: str) -> None:
        self._redis = redis
        self._root = root
        self._wanted: set[str] = set()
        self._more = asyncio.Event()
        self._rung: dict[str, float] = {}
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, accounts: Iterable[str]) -> None:
        self._wanted.update(accounts)
        self._more.set()
        if self._wanted and (self._ringing is None or self._ringing.done()):
            self._ringing = asyncio.create_task(self._ring_all())

    async def _ring_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._wanted:
            account = min(self._wanted, key=lambda name: self._rung.get(name, 0.0))
            wait = self._rung.get(account, 0.0) + RING_EVERY - loop.time()
            if wait > 0:
                self._more.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._more.wait(), wait)
                continue  # somebody who was not rung lately may have come
            self._wanted.discard(account)
            self._rung[account] = loop.time()
            try:
                await self._redis.enqueue_job(DRAIN, account, _job_id=job_id(self._root, DRAIN, account))
            except (RedisError, OSError, TimeoutError) as error:
                observe.event("store.unavailable", level="warning", stage="ring", error=error)
                return

    async def close(self) -> None:
        if self._ringing is not None:
            self._ringing.cancel()
            await asyncio.gather(self._ringing, return_exceptions=True)
        await self._redis.aclose(close_connection_pool=True)
