"""What waits in the spools of all hosts, as each last told Redis: a host that is gone for ever took its spool along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from callbridge.errors import StoreUnavailable
from callbridge.store.spool import EMPTY, SpoolStanding, read_standing


@dataclass(frozen=True, slots=True)
class SpoolReport:
    """`told_at` is Unix seconds of the host's clock; `problem` is why its file cannot be read."""

    standing: SpoolStanding
    told_at: float
    problem: str | None = None


def report_of(path: Path, now: float) -> SpoolReport:
    """What the file of this host says by itself."""
    try:
        return SpoolReport(read_standing(path), now)
    except StoreUnavailable as error:
        return SpoolReport(EMPTY, now, str(error))


class RedisSpools:
    """All methods raise `StoreUnavailable`."""

    def __init__(self, redis: Redis, root: str) -> None:
        self._redis: Any = redis  # typed for both worlds, sync and async
        self._key = f"{root}spools"

    async def tell(self, host: str, standing: SpoolStanding, now: float) -> None:
        told = orjson.dumps([standing.waiting, standing.oldest_at, standing.damaged, now])
        try:
            await self._redis.hset(self._key, host, told)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"spools: {error}") from error

    async def read(self) -> Mapping[str, SpoolReport]:
        """By host."""
        try:
            rows = await self._redis.hgetall(self._key)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"spools: {error}") from error
        return {host.decode(): _report(told) for host, told in rows.items()}


def _report(told: bytes) -> SpoolReport:
    waiting, oldest_at, damaged, told_at = orjson.loads(told)
    return SpoolReport(SpoolStanding(waiting, oldest_at, damaged), told_at)
