"""The Lua scripts, known to the server by their digests and run by name; redis errors end here.

One file a verb under `lua/`, its header names KEYS, ARGV and what it returns. Redis below 7.0 does not know the first line
(`#!lua flags=allow-oom`), so it is left out there: the bundled 6.2 is accepted as the embedded server only.
"""

from __future__ import annotations

import asyncio
import hashlib
from importlib import resources
from typing import Any, Final, Literal, get_args

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from callbridge.errors import StoreUnavailable
from callbridge.store.connect import drop_connections
from callbridge.store.trouble import Trouble, trouble_of

Verb = Literal[
    "put", "patch", "count",
    "claim", "sending", "settle", "release", "reclaim", "look", "revive",
    "late", "noting", "noted",
    "token", "lock", "unpark", "amend", "refuse", "tell",
    "replay", "discard", "resolve", "forget", "remnants", "erase",
    "leads", "renew", "pace", "breaker", "pause", "hold", "reprobe", "resume", "agenda",
]  # fmt: skip

VERBS: Final[tuple[Verb, ...]] = get_args(Verb)

FLAGS_SINCE: Final = 7
"""The major version of Redis that understands `#!lua flags=...`."""

Argument = str | bytes | int | float


def source_of(verb: Verb) -> str:
    """The script's text as it stands in its file."""
    return resources.files("callbridge.store").joinpath("lua", f"{verb}.lua").read_text("utf-8")


def without_flags(text: str) -> str:
    """The text without its `#!lua` line, for servers that do not know it."""
    return text.split("\n", 1)[1] if text.startswith("#!") else text


BUSY_PAUSE: Final = 0.2
"""Seconds before the one repetition of what met a busy server."""

REPLICAS_WITHIN: Final = 100
"""Milliseconds in which the replicas have to confirm."""


class Scripts:
    """Runs verbs against one Redis under one key root. What the server does not have (restart, failover) is sent along, and
    then run for the first time: a missing script has done nothing.
    """

    def __init__(self, redis: Redis, root: str, *, flags: bool | None = None) -> None:
        """`flags` tells whether the server knows the first line; None asks it when the first script is run."""
        self.redis = redis
        self.root = root
        self._flags = flags
        self._texts: dict[Verb, tuple[str, str]] = {}

    async def run(self, verb: Verb, *arguments: Argument, replicas: int = 0) -> Any:
        """The script's reply as redis-py decodes it, once that many replicas have what it wrote. Raises `StoreUnavailable`
        for anything that is not a reply; then it may have been done all the same.
        """
        try:
            try:
                return await self._once(verb, arguments, replicas)
            except ResponseError as error:
                if trouble_of(error) is not Trouble.BUSY:
                    raise
            await asyncio.sleep(BUSY_PAUSE)
            return await self._once(verb, arguments, replicas)
        except (RedisError, OSError, TimeoutError) as error:
            if trouble_of(error) is Trouble.FAILOVER:
                await drop_connections(self.redis)
            raise StoreUnavailable(f"{verb}: {error}") from error

    async def _once(self, verb: Verb, arguments: tuple[Argument, ...], replicas: int) -> Any:
        digest, text = self._texts.get(verb) or await self._read(verb)
        try:
            return await self._send("EVALSHA", digest, arguments, replicas)
        except NoScriptError:  # sent whole, it is known from now on; nobody can make the server forget it in between
            return await self._send("EVAL", text, arguments, replicas)

    async def _send(self, command: str, script: str, arguments: tuple[Argument, ...], replicas: int) -> Any:
        if not replicas:
            return await self.redis.execute_command(command, script, 1, self.root, *arguments)  # type: ignore[no-untyped-call] # redis-py
        # WAIT counts for what its own connection has written, so both go over one.
        both: Any = self.redis.pipeline(transaction=False)
        both.execute_command(command, script, 1, self.root, *arguments)
        both.execute_command("WAIT", replicas, REPLICAS_WITHIN)
        reply, confirmed = await both.execute(raise_on_error=False)
        for answer in (reply, confirmed):
            if isinstance(answer, Exception):
                raise answer
        if confirmed < replicas:
            raise ResponseError(f"NOREPLICAS {confirmed} of {replicas} replicas have confirmed it")
        return reply

    async def _read(self, verb: Verb) -> tuple[str, str]:
        if self._flags is None:
            version = str((await self.redis.info("server"))["redis_version"])
            self._flags = int(version.partition(".")[0]) >= FLAGS_SINCE
        text = source_of(verb) if self._flags else without_flags(source_of(verb))
        self._texts[verb] = found = (hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest(), text)
        return found
