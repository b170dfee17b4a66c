"""Connections to Redis, with every wait bounded.

redis-py waits for ever by default: a silent network would then hang a receiver. The pool blocks for a moment instead of
failing at its limit, and no command is repeated behind our back. Behind Sentinels every new connection goes to the primary
that they name then.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.exceptions import RedisError

from callbridge.errors import Misconfigured, StoreUnavailable

_SENTINEL_PORT: Final = 26_379
_SENTINEL_PATIENCE: Final = 0.5
"""Seconds for one Sentinel: they are asked one after the other, and a sender waits meanwhile."""


@dataclass(frozen=True, slots=True, repr=False)
class SentinelAddress:
    """redis+sentinel://[user:password@]h1:26379,h2:26379/SERVICE[/db][?sentinel_username=&sentinel_password=]"""

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int
    encrypted: bool
    login: dict[str, str]
    sentinel_login: dict[str, str]


def sentinels_in(url: str) -> SentinelAddress | None:
    """None for an address of a plain Redis. Raises `ValueError`."""
    parts = urlsplit(url)
    if parts.scheme not in {"redis+sentinel", "rediss+sentinel"}:
        return None
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = (unquote(part) for part in credentials.partition(":"))
    service, _, db = parts.path.strip("/").partition("/")
    asked = {key: values[-1] for key, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
    if not service or asked.keys() - {"sentinel_username", "sentinel_password"}:
        raise ValueError("no service is named, or an option is unknown")
    return SentinelAddress(
        hosts=tuple(_host(text) for text in hosts.split(",")),
        service=unquote(service),
        db=int(db or 0),
        encrypted=parts.scheme == "rediss+sentinel",
        login=_login(user, password),
        sentinel_login=_login(asked.get("sentinel_username", ""), asked.get("sentinel_password", "")),
    )


def _host(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a Sentinel has no host")
    return parts.hostname, parts.port or _SENTINEL_PORT


def _login(user: str, password: str) -> dict[str, str]:
    return {key: value for key, value in (("username", user), ("password", password)) if value}


class _SentinelPool(BlockingConnectionPool, SentinelConnectionPool):
    """Blocks at its limit as the other does; closes its connections to the Sentinels with its own."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        await super().disconnect(inuse_connections)
        if inuse_connections:
            for sentinel in self.sentinel_manager.sentinels:
                await sentinel.connection_pool.disconnect()


def pool_of(url: str, *, patience: float, connections: int) -> BlockingConnectionPool:
    """`patience` in seconds bounds one command, and the wait for a free connection. Raises `Misconfigured` for a bad URL."""
    options: dict[str, Any] = {"socket_timeout": patience, "health_check_interval": 15, "client_name": "callbridge"}
    if not url.startswith("unix:"):
        options |= {"socket_connect_timeout": min(patience, 1.0), "socket_keepalive": True}
    try:
        if address := sentinels_in(url):
            return _sentinel_pool(address, options, max_connections=connections, timeout=patience)
        return BlockingConnectionPool.from_url(url, max_connections=connections, timeout=patience, **options)
    except ValueError as error:
        raise Misconfigured("redis.url: not an address like redis://host:6379/0") from error


def _sentinel_pool(address: SentinelAddress, options: dict[str, Any], **limits: Any) -> _SentinelPool:
    quick = {"socket_timeout": _SENTINEL_PATIENCE, "socket_connect_timeout": _SENTINEL_PATIENCE}
    encrypted = {"ssl": True} if address.encrypted else {}
    manager: Any = Sentinel(address.hosts, sentinel_kwargs=quick | address.sentinel_login | encrypted)  # type: ignore[no-untyped-call] # redis-py
    given: dict[str, Any] = {
        "service_name": address.service,
        "sentinel_manager": manager,
        "connection_class": SentinelManagedSSLConnection if address.encrypted else SentinelManagedConnection,
        "db": address.db,
    }
    return _SentinelPool(**(given | address.login | options | limits))


@asynccontextmanager
async def connected(url: str, *, patience: float = 2.0, connections: int = 32) -> AsyncIterator[Redis]:
    pool = pool_of(url, patience=patience, connections=connections)
    try:
        yield Redis(connection_pool=pool)
    finally:
        await pool.aclose()


async def follow_primary(redis: Redis) -> str | None:
    """Behind Sentinels: who is the primary now; idle connections to another are closed. None where there are no Sentinels.
    Raises what redis-py raises.
    """
    pool = redis.connection_pool
    if not isinstance(pool, _SentinelPool):
        return None
    host, port = await pool.get_master_address()  # type: ignore[no-untyped-call] # redis-py
    return f"{host}:{port}"


async def drop_connections(redis: Redis) -> None:
    """Closes the idle ones, so that the next command asks anew where the primary is; one in use meets the same error."""
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        await redis.connection_pool.disconnect(inuse_connections=False)


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
