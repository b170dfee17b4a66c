"""Who is alive: worker heartbeats, and which worker drains which account.

One drain per account keeps batches large and the order kept; it is not what keeps calls safe, fences do that. So an entry of
a worker without a heartbeat is simply taken over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from callbridge.errors import StoreUnavailable

T = TypeVar("T")

GONE_AFTER = 6.0
"""Seconds without a heartbeat after which a worker counts as dead; it beats every two."""

_FORGOTTEN_AFTER = 3600.0


class RedisPresence:
    """All methods raise `StoreUnavailable`."""

    def __init__(self, redis: Redis, root: str) -> None:
        self._redis: Any = redis  # typed for both worlds, sync and async
        self._workers = f"{root}workers"
        self._drains = f"{root}drains"

    async def beat(self, worker: str, draining: Callable[[], Collection[str]]) -> None:
        """The worker is alive and drains these accounts. An entry of its own for another account was left behind by an end
        that Redis did not hear of; it would keep everybody off that account for as long as this worker lives.
        """

        async def beat() -> None:
            now = await self._now()
            await self._redis.zadd(self._workers, {worker: now})
            await self._redis.zremrangebyscore(self._workers, "-inf", now - _FORGOTTEN_AFTER)
            rows = await self._redis.hgetall(self._drains)
            mine = {account.decode() for account, holder in rows.items() if holder == worker.encode()}
            if left := mine - set(draining()):
                await self._redis.hdel(self._drains, *left)

        await _reached("heartbeat", beat)

    async def leave(self, worker: str) -> None:
        await _reached("leave", lambda: self._redis.zrem(self._workers, worker))

    async def workers(self) -> Mapping[str, float]:
        """Seconds since the last heartbeat of each worker heard of in the last hour."""

        async def read() -> Mapping[str, float]:
            now = await self._now()
            rows = await self._redis.zrange(self._workers, 0, -1, withscores=True)
            return {worker.decode(): max(0.0, now - seen) for worker, seen in rows}

        return await _reached("workers", read)

    async def drains(self) -> Mapping[str, str]:
        """Account to the living worker that drains it."""
        alive = {worker for worker, silent in (await self.workers()).items() if silent <= GONE_AFTER}
        rows = await _reached("drains", lambda: self._redis.hgetall(self._drains))
        drains = {account.decode(): worker.decode() for account, worker in rows.items()}
        return {account: worker for account, worker in drains.items() if worker in alive}

    async def begin_drain(self, account: str, worker: str) -> bool:
        """False while another living worker drains the account. A full Redis that takes no entry does not stop the drain: it
        is what makes room again.
        """
        if (await self.drains()).get(account, worker) != worker:
            return False

        async def begin() -> None:
            with contextlib.suppress(OutOfMemoryError):
                await self._redis.hset(self._drains, account, worker)

        await _reached("drain", begin)
        return True

    async def end_drain(self, account: str, worker: str) -> None:
        async def end() -> None:
            if await self._redis.hget(self._drains, account) == worker.encode():
                await self._redis.hdel(self._drains, account)

        await _reached("drain", end)

    async def _now(self) -> float:
        seconds, microseconds = await self._redis.time()
        return float(seconds) + float(microseconds) / 1_000_000


async def _reached(what: str, ask: Callable[[], Awaitable[T]]) -> T:
    try:
        return await ask()
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"{what}: {error}") from error
