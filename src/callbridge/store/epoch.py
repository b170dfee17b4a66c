"""Is this the Redis that we know? A token kept in Redis and on each host that uses it, compared before anything is sent.

A Redis that was emptied, or another one at its address, knows no call any more: what a PBX sends again, or a spool hands
over, would look new and could be posted twice. So a host that knows a token and finds none, or another one, stops: its
receiver is not ready and its worker sends nothing, until the data is restored or a person accepts the loss.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from callbridge import observe
from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.store.scripts import REPLICAS_WITHIN

_ID: Final = b"id"
_CONFIRMED: Final = b"confirmed"
_AFTER: Final = b"after:"
"""Begins the name of a field for each token that a person has accepted the present one after."""


def difference(known: str | None, found: Mapping[bytes, bytes]) -> str | None:
    """What is wrong with a Redis that holds `found`, for a host that knows `known`; None where nothing is. [pure]"""
    if known is None or found.get(_ID) == known.encode() or (_ID in found and _AFTER + known.encode() in found):
        return None
    what = "this is another Redis than before" if _ID in found else "Redis has been emptied"
    return (
        f"{what}: it does not know the calls of before, which could be posted twice. Restore its data, "
        "or accept the loss with `callbridge epoch accept` on this host"
    )


class Epoch:
    """`path` is where this host keeps the token; `forgetful`: a Redis that was declared to keep nothing is accepted as it
    comes. A token that fewer than `replicas` have is not learnt: a failover would take it for an emptied Redis. `problem` is
    as last looked.
    """

    def __init__(self, redis: Redis, root: str, path: Path, *, forgetful: bool = False, replicas: int = 0) -> None:
        self._redis: Any = redis  # typed for both worlds, sync and async
        self._key = f"{root}epoch"
        self._path = path
        self._forgetful = forgetful
        self._replicas = replicas
        self._known: str | None = None
        self._kept = True
        self.problem: str | None = None

    def allows(self) -> bool:
        return self.problem is None

    async def differs(self) -> str | None:
        """As `look`, and changes nothing."""
        try:
            found = await self._redis.hgetall(self._key)
            return None if self._forgetful else difference(self._read(), found)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"epoch: {error}") from error

    async def look(self) -> str | None:
        """What is wrong, if anything. A new Redis gets a token, a new host learns it. Raises `StoreUnavailable`."""
        try:
            found = await self._redis.hgetall(self._key)
            known = self._known or self._read()
            problem = difference(known, found)
            if problem and self._forgetful:
                observe.event("store.epoch", level="warning", problem=problem, accepted=True)
                found = await self._accept(known, found)
                problem = None
            elif not problem and _ID not in found:
                found = await self._create()
            if problem is None and known != found[_ID].decode():
                await self._confirm()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"epoch: {error}") from error
        if problem is None:
            self._learn(found[_ID].decode())
        if problem != self.problem:
            observe.event("store.epoch", level="error" if problem else "info", problem=problem, accepted=not problem)
        self.problem = problem
        return problem

    async def accept(self) -> str:
        """A person decides that what this Redis does not know is gone; every host that knew the same Redis as this one goes
        on with it. Returns the token. Raises `StoreUnavailable`, and `Misconfigured` where there is nothing to decide.
        """
        known = self._read()
        try:
            found = await self._redis.hgetall(self._key)
            if difference(known, found) is None:
                raise Misconfigured("this Redis is the one that this host knows: there is nothing to accept")
            found = await self._accept(known, found)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"epoch: {error}") from error
        token = found[_ID].decode()
        self._learn(token)
        self.problem = None
        return str(token)

    async def _create(self) -> Mapping[bytes, bytes]:
        await self._redis.hsetnx(self._key, _ID, secrets.token_hex(8))
        found: Mapping[bytes, bytes] = await self._redis.hgetall(self._key)
        return found

    async def _confirm(self) -> None:
        """Replicas get what is written in its order, so whoever has this write has the token. It changes nothing else."""
        if not self._replicas:
            return
        both = self._redis.pipeline(transaction=False)
        both.hset(self._key, _CONFIRMED, "1")
        both.execute_command("WAIT", self._replicas, REPLICAS_WITHIN)
        _, confirmed = await both.execute()
        if confirmed < self._replicas:
            raise ResponseError(f"NOREPLICAS {confirmed} of {self._replicas} replicas have confirmed it")

    async def _accept(self, known: str | None, found: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
        if _ID not in found:
            await self._create()
        if known:
            await self._redis.hset(self._key, _AFTER + known.encode(), "accepted")
        accepted: Mapping[bytes, bytes] = await self._redis.hgetall(self._key)
        return accepted

    # --- on this host ------------------------------------------------------------------------------------------------

    def _read(self) -> str | None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return self._path.read_bytes().decode("ascii", "replace").strip() or None
        return None

    def _learn(self, token: str) -> None:
        """A host that cannot write it down is as safe as before there were tokens; it says so once."""
        if token == self._known:
            return
        self._known = token
        try:
            if self._read() != token:
                _write(self._path, token)
        except OSError as error:
            if self._kept:
                observe.event("store.epoch", level="warning", problem=f"not kept on this host: {error}", accepted=True)
            self._kept = False


def _write(path: Path, token: str) -> None:
    """On the disk when it returns, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with fresh.open("w", encoding="ascii") as file:
        file.write(f"{token}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
