"""How many calls stand where, which accounts are paused, what the sources sent.

Reads only, and never a set as a whole: a figure costs the same at ten and at a million calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from callbridge.errors import StoreUnavailable
from callbridge.outcome import PauseReason, State
from callbridge.store import keys
from callbridge.store.scripts import Scripts


@dataclass(frozen=True, slots=True)
class Pause:
    """Unix seconds of the store's clock; `probe_in` in seconds. One by hand has an `owner` and no probes, and perhaps ends at
    `until` by itself.
    """

    reason: PauseReason
    detail: str
    since: float
    probe_in: float | None
    owner: str | None = None
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Slowed:
    """The account did not answer, or asked for it, `failures` times in a row; the next try is in `ask_in` seconds."""

    why: str
    failures: int
    ask_in: float


@dataclass(frozen=True, slots=True)
class AccountTally:
    """`oldest_waiting` is how many seconds the oldest due call has been due; None when none is. `leads_closed` is why the
    account takes no incoming leads, where it was asked for them.
    """

    account: str
    waiting: int
    uncertain: int
    parked: int
    oldest_waiting: float | None
    pause: Pause | None
    slowed: Slowed | None = None
    leads_closed: str | None = None


@dataclass(frozen=True, slots=True)
class SourceTally:
    """`counts` by stored, duplicate, variant, folded, recording, ignored; `last_seen` in seconds ago."""

    source: str
    last_seen: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """Every stored call is counted once; one that moves while the figures are read may be counted before or after."""

    queued: int
    retrying: int
    sending: int
    uncertain: int
    parked: int
    delivered: int
    unmatched: int
    dead: int
    ignored: int
    accounts: tuple[AccountTally, ...]
    sources: tuple[SourceTally, ...]

    @property
    def total(self) -> int:
        live = self.queued + self.retrying + self.sending + self.uncertain + self.parked
        return live + self.delivered + self.unmatched + self.dead + self.ignored


class RedisTally:
    def __init__(self, scripts: Scripts) -> None:
        self._redis: Any = scripts.redis  # typed for both worlds, sync and async
        self._root = scripts.root

    async def read(self) -> Tally:
        """Raises `StoreUnavailable`."""
        try:
            seconds, microseconds = await self._redis.time()
            now = seconds * 1000 + microseconds / 1000
            accounts = sorted(name.decode() for name in await self._redis.smembers(f"{self._root}accounts"))
            rows = [await self._account(account, now) for account in accounts]
            finals = {
                state: int(await self._redis.zcard(keys.final(self._root, state)))
                for state in (State.DELIVERED, State.UNMATCHED, State.DEAD, State.IGNORED)
            }
            leases = int(await self._redis.zcard(f"{self._root}leases"))
            retrying = int(await self._redis.scard(f"{self._root}retrying"))
            sources = await self._sources(now)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"tally: {error}") from error
        waiting = sum(row.waiting for row in rows)
        return Tally(
            queued=max(0, waiting - retrying),  # the figures are read one after the other, and calls move meanwhile
            retrying=retrying,
            sending=leases,
            uncertain=sum(row.uncertain for row in rows),
            parked=sum(row.parked for row in rows),
            delivered=finals[State.DELIVERED],
            unmatched=finals[State.UNMATCHED],
            dead=finals[State.DEAD],
            ignored=finals[State.IGNORED],
            accounts=tuple(rows),
            sources=sources,
        )

    async def account(self, account: str) -> AccountTally:
        """Raises `StoreUnavailable`."""
        try:
            seconds, microseconds = await self._redis.time()
            return await self._account(account, seconds * 1000 + microseconds / 1000)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"tally: {error}") from error

    async def pause_of(self, account: str) -> Pause | None:
        """Raises `StoreUnavailable`."""
        try:
            seconds, _ = await self._redis.time()
            return _pause(await self._redis.hgetall(keys.pause(self._root, account)), seconds * 1000)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"pause: {error}") from error

    async def slowed_of(self, account: str) -> Slowed | None:
        """Raises `StoreUnavailable`."""
        try:
            seconds, _ = await self._redis.time()
            row = await self._redis.hmget(keys.pace(self._root, account), "failures", "why", "blocked_until")
            return _slowed(row, seconds * 1000)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"pace: {error}") from error

    async def _account(self, account: str, now: float) -> AccountTally:
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zcard(keys.due(self._root, account))
            pipeline.zcard(keys.uncertain(self._root, account))
            pipeline.zcard(keys.parked(self._root, account))
            pipeline.zrange(keys.due(self._root, account), 0, 0, withscores=True)
            pipeline.hgetall(keys.pause(self._root, account))
            pipeline.get(keys.closed(self._root, account))
            pipeline.hmget(keys.pace(self._root, account), "failures", "why", "blocked_until")
            waiting, uncertain, parked, oldest, pause, closed, pace = await pipeline.execute()
        due = [(now - score) / 1000 for _, score in oldest if score <= now]
        return AccountTally(
            account,
            waiting,
            uncertain,
            parked,
            oldest_waiting=due[0] if due else None,
            pause=_pause(pause, now),
            slowed=_slowed(pace, now),
            leads_closed=closed.decode() if closed else None,
        )

    async def _sources(self, now: float) -> tuple[SourceTally, ...]:
        seen = await self._redis.hgetall(f"{self._root}seen")
        counts: dict[str, dict[str, int]] = {}
        for field, value in (await self._redis.hgetall(f"{self._root}counts")).items():
            source, _, what = field.decode().rpartition(":")
            counts.setdefault(source, {})[what] = int(value)
        return tuple(
            SourceTally(name.decode(), max(0.0, (now - int(at)) / 1000), counts.get(name.decode(), {}))
            for name, at in sorted(seen.items())
        )


def _pause(row: Mapping[bytes, bytes], now: float) -> Pause | None:
    if not row or (b"until" in row and float(row[b"until"]) <= now):
        return None
    return Pause(
        PauseReason(row[b"reason"].decode()),
        row[b"detail"].decode(),
        int(row[b"since"]) / 1000,
        probe_in=max(0.0, (float(row[b"probe_at"]) - now) / 1000) if b"probe_at" in row else None,
        owner=row[b"owner"].decode() if b"owner" in row else None,
        until=float(row[b"until"]) / 1000 if b"until" in row else None,
    )


def _slowed(row: Sequence[bytes | None], now: float) -> Slowed | None:
    failures, why, blocked_until = row
    if not failures:
        return None
    ask_in = max(0.0, float(blocked_until or 0) / 1_000_000 - now / 1000)
    return Slowed((why or b"").decode(), int(failures), ask_in)
