"""Connections to Redis, with every wait bounded.

redis-py waits for ever by default: a silent network would then hang a receiver. The pool blocks for a moment instead of
failing at its limit, and no command is repeated behind our back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import RedisError

from callbridge.errors import Misconfigured, StoreUnavailable


def pool_of(url: str, *, patience: float, connections: int) -> BlockingConnectionPool:
    """`patience` in seconds bounds one command, and the wait for a free connection. Raises `Misconfigured` for a bad URL."""
    options: dict[str, Any] = {"socket_timeout": patience, "health_check_interval": 15, "client_name": "callbridge"}
    if not url.startswith("unix:"):
        options |= {"socket_connect_timeout": min(patience, 1.0), "socket_keepalive": True}
    try:
        return BlockingConnectionPool.from_url(url, max_connections=connections, timeout=patience, **options)
    except ValueError as error:
        raise Misconfigured("redis.url: not an address like redis://host:6379/0") from error


@asynccontextmanager
async def connected(url: str, *, patience: float = 2.0, connections: int = 32) -> AsyncIterator[Redis]:
    pool = pool_of(url, patience=patience, connections=connections)
    try:
        yield Redis(connection_pool=pool)
    finally:
        await pool.aclose()


async def ping(url: str) -> bool:
    """Whether a Redis answers there now, its data loaded."""
    async with connected(url, connections=1) as redis:
        try:
            return bool(await redis.ping())
        except (RedisError, OSError, TimeoutError):
            return False


async def shut_down(url: str) -> None:
    """Asks the server to save and stop. Raises `StoreUnavailable` when nobody listens."""
    async with connected(url, connections=1, patience=10) as redis:
        try:
            await redis.shutdown(nosave=True)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"shutdown: {error}") from error
