"""The store's clock, by which all times of a call are written: how far is it from ours?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.exceptions import RedisError

from callbridge.errors import StoreUnavailable
from callbridge.store.scripts import Scripts


async def clock_ahead(scripts: Scripts, now: Callable[[], float]) -> float:
    """Seconds that the store's clock is ahead of `now`, compared at the middle of the question. Raises
    `StoreUnavailable`.
    """
    redis: Any = scripts.redis  # typed for both worlds, sync and async
    before = now()
    try:
        seconds, microseconds = await redis.time()
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"clock: {error}") from error
    return float(seconds) + float(microseconds) / 1_000_000 - (before + now()) / 2
