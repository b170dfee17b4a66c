"""What only `check` looks at: rights that our Redis user does not need, and a memory limit that leaves little room."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from callbridge.errors import StoreUnavailable

_NEEDLESS: Final = (("FLUSHALL",), ("CONFIG", "SET", "save", ""), ("KEYS", "*"))
_ROOM: Final = 4
"""A limit below this many times of what is used now fills in one bad day."""


async def remarks(redis: Redis) -> list[str]:
    """Warnings, in words. Raises `StoreUnavailable`."""
    try:
        info = await redis.info("memory")
        return [*_little_room(info), *await _needless(redis)]
    except (RedisError, OSError, TimeoutError) as error:
        raise StoreUnavailable(f"rights: {error}") from error


def _little_room(info: dict[str, Any]) -> Iterator[str]:
    limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
    if limit and limit < _ROOM * used:
        yield f"maxmemory is {limit / used:.1f} times what is used now: {_ROOM} times leaves room for an outage of the CRM"


async def _needless(redis: Redis) -> list[str]:
    """A server that cannot tell (before 7.0), or does not let us ask, is not warned of."""
    ask: Any = redis  # typed for both worlds, sync and async
    found = []
    try:
        user = await ask.acl_whoami()
        for command in _NEEDLESS:
            answer = await ask.execute_command("ACL", "DRYRUN", user, *command)
            if answer in {b"OK", "OK", True}:
                found.append(" ".join(command[:2]).removesuffix(" *"))
    except ResponseError:
        return []
    if not found:
        return []
    return [f"the Redis user {user} may {', '.join(found)}: a user of its own with fewer rights is safer"]
