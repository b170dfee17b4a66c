"""What changed, for whoever keeps the history: the stream that the scripts write, read by one group of consumers.

An entry names a call that stands otherwise than before, or holds the record of a request. It is given out until it is done,
to one consumer at a time: after a crash to the same one, or to another once the first has been silent for a while. What is
done is deleted, so the length of the stream is how far the reader is behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.exceptions import RedisError, ResponseError

from callbridge.errors import StoreUnavailable
from callbridge.store import keys
from callbridge.store.scripts import Scripts

GROUP: Final = "ledger"

LONGEST_WAIT: Final = 1.0
"""Seconds for which one command waits: less than a connection's patience."""

GONE_AFTER: Final = 3_600.0
"""Seconds after which a silent consumer that owes nothing is struck off the list; each process is one of its own."""


@dataclass(frozen=True, slots=True)
class Change:
    """Exactly one of the two is set: the call that changed, or the record of a request (`delivery` says what is in it)."""

    entry: str
    call_id: str | None = None
    batch: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Behind:
    """How many entries are not done, and how many seconds ago the oldest of them was written; None where there are none."""

    entries: int
    oldest: float | None


class RedisChanges:
    """One consumer, whose name no other process has at the same time. All methods raise `StoreUnavailable`."""

    def __init__(self, scripts: Scripts, consumer: str, *, abandoned_after: float = 60.0) -> None:
        """What another consumer took is taken over once it has not been done for `abandoned_after` seconds."""
        self._redis: Any = scripts.redis  # typed for both worlds, sync and async
        self._key = keys.ledger(scripts.root)
        self._consumer = consumer
        self._abandoned_after = round(abandoned_after * 1000)
        self._owed: set[str] = set()
        self._unsure = True
        """There may be entries that this name was given and that we do not know of: from an earlier life, a lost answer."""
        self._swept = "0-0"

    async def take(self, count: int, wait: float) -> list[Change]:
        """Up to `count` changes, oldest first: what was given out before and is not done, then what others left lying, then
        new ones. Where there is none it waits for the first, `wait` seconds, but no longer than `LONGEST_WAIT`.
        """
        try:
            try:
                return await self._take(count, wait)
            except ResponseError as error:
                if not str(error).startswith("NOGROUP"):
                    raise
            await self._create()
            return await self._take(count, wait)
        except (RedisError, OSError, TimeoutError) as error:
            self._unsure = True
            raise StoreUnavailable(f"changes: {error}") from error

    async def done(self, entries: Sequence[str]) -> None:
        """They are written down elsewhere, and go. May be repeated."""
        if not entries:
            return
        try:
            # No transaction: Redis refuses any when its memory is full. Cut short in between, it is an entry without fields.
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.xdel(self._key, *entries)
                pipeline.xack(self._key, GROUP, *entries)
                await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"changes: {error}") from error
        self._owed.difference_update(entries)

    async def behind(self) -> Behind:
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.time()
                pipeline.xlen(self._key)
                pipeline.xrange(self._key, count=1)
                (seconds, microseconds), length, first = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"changes: {error}") from error
        if not first:
            return Behind(0, None)
        written = int(first[0][0].partition(b"-")[0]) / 1000
        return Behind(int(length), max(0.0, seconds + microseconds / 1e6 - written))

    async def _take(self, count: int, wait: float) -> list[Change]:
        while self._unsure or self._owed:
            rows = await self._read("0", count)
            if changes := await self._given(rows):
                return changes
            if not rows:
                if self._unsure:
                    await self._strike_off()
                self._owed, self._unsure = set(), False
        if changes := await self._given(await self._left_lying(count)):
            return changes
        block = max(1, round(1000 * min(wait, LONGEST_WAIT))) if wait > 0 else None
        return await self._given(await self._read(">", count, block))

    async def _read(self, since: str, count: int, block: int | None = None) -> list[Any]:
        reply = await self._redis.xreadgroup(GROUP, self._consumer, {self._key: since}, count=count, block=block)
        return reply[0][1] if reply else []

    async def _left_lying(self, count: int) -> list[Any]:
        """Entries that are another consumer's no more; the next look goes on where this one ended."""
        reply = await self._redis.xautoclaim(
            self._key, GROUP, self._consumer, self._abandoned_after, self._swept, count=count
        )
        self._swept = reply[0].decode()
        self._unsure = any(entry is None for entry, _ in reply[1])
        return list(reply[1])

    async def _given(self, rows: list[Any]) -> list[Change]:
        """What was deleted while somebody had it comes without fields, at first perhaps without name: done."""
        await self.done([entry.decode() for entry, fields in rows if entry and not fields])
        changes = [_change(entry.decode(), fields) for entry, fields in rows if entry and fields]
        self._owed.update(change.entry for change in changes)
        return changes

    async def _create(self) -> None:
        try:
            await self._redis.xgroup_create(self._key, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # somebody else was first
                raise

    async def _strike_off(self) -> None:
        for row in await self._redis.xinfo_consumers(self._key, GROUP):
            if row["name"].decode() != self._consumer and not row["pending"] and row["idle"] > GONE_AFTER * 1000:
                await self._redis.xgroup_delconsumer(self._key, GROUP, row["name"])


def _change(entry: str, fields: Mapping[bytes, bytes]) -> Change:
    if call_id := fields.get(b"id"):
        return Change(entry, call_id=call_id.decode())
    text = fields.get(b"batch", b"")
    try:
        batch = orjson.loads(text)
    except ValueError:
        batch = None
    if isinstance(batch, dict) and batch:
        return Change(entry, batch=batch)
    return Change(entry, batch={"unreadable": text[:200].decode(errors="replace")})
