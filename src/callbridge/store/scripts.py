"""The Lua scripts, loaded once and run by name; redis errors end here.

One file a verb under `lua/`, its header names KEYS, ARGV and what it returns. Redis below 7.0 does not know the first line
(`#!lua flags=allow-oom`), so it is left out there: the bundled 6.2 is accepted as the embedded server only.
"""

from __future__ import annotations

from importlib import resources
from typing import Any, Final, Literal, get_args

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from callbridge.errors import StoreUnavailable

Verb = Literal[
    "put", "patch", "count",
    "claim", "sending", "settle", "release", "reclaim", "look", "revive",
    "replay", "discard", "renew", "pace", "slow", "steady", "pause", "reprobe", "resume", "agenda",
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


class Scripts:
    """Runs verbs against one Redis under one key root. What the server does not have (restart, failover) is loaded, and then
    run for the first time: a missing script has done nothing.
    """

    def __init__(self, redis: Redis, root: str, *, flags: bool | None = None) -> None:
        """`flags` tells whether the server knows the first line; None asks it when the first script is loaded."""
        self.redis = redis
        self.root = root
        self._flags = flags
        self._shas: dict[Verb, str] = {}

    async def run(self, verb: Verb, *arguments: Argument) -> Any:
        """The script's reply as redis-py decodes it. Raises `StoreUnavailable` for anything that is not a reply."""
        try:
            sha = self._shas.get(verb) or await self._load(verb)
            try:
                return await self._evalsha(sha, *arguments)
            except NoScriptError:
                return await self._evalsha(await self._load(verb), *arguments)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"{verb}: {error}") from error

    async def _evalsha(self, sha: str, *arguments: Argument) -> Any:
        return await self.redis.execute_command("EVALSHA", sha, 1, self.root, *arguments)  # type: ignore[no-untyped-call] # redis-py

    async def _load(self, verb: Verb) -> str:
        if self._flags is None:
            version = str((await self.redis.info("server"))["redis_version"])
            self._flags = int(version.partition(".")[0]) >= FLAGS_SINCE
        text = source_of(verb)
        sha = str(await self.redis.script_load(text if self._flags else without_flags(text)))
        self._shas[verb] = sha
        return sha
