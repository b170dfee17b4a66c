"""How many calls stand where, which accounts are paused, what the sources sent.

Reads only, and never a set as a whole: a figure costs the same at ten and at a million calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import RedisError

from callbridge.breaker import Breaker, Phase
from callbridge.errors import StoreUnavailable
from callbridge.outcome import FINAL, PauseReason, State
from callbridge.store import keys
from callbridge.store.pace import standing
from callbridge.store.scripts import Scripts

SLOTS_OF: Final = 10_000
"""Milliseconds whose slots are counted together, as `pace.lua` does."""


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
class BreakerTally:
    """Whether the account is left alone, why, since when (Unix seconds of the store's clock), and in how many seconds a few
    calls are tried.
    """

    state: Phase = Phase.CLOSED
    reason: str | None = None
    since: float | None = None
    open_for: float | None = None
    next_try_in: float | None = None


@dataclass(frozen=True, slots=True)
class AccountTally:
    """`oldest_waiting` is how many seconds the oldest due call has been due; None when none is. Of those that wait, `bulk`
    are replayed or tried again, `isolated` are sent one at a time because workers died over them. `leads_closed` is why the
    account takes no incoming leads, where it was asked for them. `pace` is the share of the configured rate in force,
    `used` how many requests a second there were in the last minute. `slowed_times` counts the answers that asked for fewer,
    the last of them at `slowed_at` (Unix seconds).
    """

    account: str
    waiting: int
    uncertain: int
    parked: int
    oldest_waiting: float | None
    pause: Pause | None
    slowed: Slowed | None = None
    leads_closed: str | None = None
    breaker: BreakerTally = BreakerTally()
    pace: float = 1.0
    bulk: int = 0
    isolated: int = 0
    used: float = 0.0
    slowed_times: int = 0
    slowed_at: float | None = None


@dataclass(frozen=True, slots=True)
class SourceTally:
    """`counts` by stored, duplicate, variant, folded, recording, ignored; `last_seen` in seconds ago."""

    source: str
    last_seen: float
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Tally:
    """Every stored call is counted once, those too that only the ledger has by now; one that moves while the figures are read
    may be counted before or after. `untold` are changes that the ledger has not heard of yet.
    """

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
    erased: int = 0
    untold: int = 0

    @property
    def total(self) -> int:
        live = self.queued + self.retrying + self.sending + self.uncertain + self.parked
        return live + self.delivered + self.unmatched + self.dead + self.ignored + self.erased


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
            finals = await self._finals()
            leases = int(await self._redis.zcard(f"{self._root}leases"))
            retrying = int(await self._redis.scard(f"{self._root}retrying"))
            sources = await self._sources(now)
            untold = int(await self._redis.xlen(keys.ledger(self._root)))
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
            erased=finals[State.ERASED],
            untold=untold,
            accounts=tuple(rows),
            sources=sources,
        )

    async def _finals(self) -> dict[State, int]:
        """With those that are forgotten."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for state in FINAL:
                pipeline.zcard(keys.final(self._root, state))
            pipeline.hgetall(f"{self._root}forgotten")
            *here, forgotten = await pipeline.execute()
        return {
            state: int(count) + int(forgotten.get(state.value.encode(), 0))
            for state, count in zip(FINAL, here, strict=True)
        }

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
            seconds, microseconds = await self._redis.time()
            now = seconds * 1000 + microseconds / 1000
            return _pause(await self._redis.hgetall(keys.pause(self._root, account)), now)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"pause: {error}") from error

    async def slowed_of(self, account: str) -> Slowed | None:
        """Raises `StoreUnavailable`."""
        try:
            seconds, _ = await self._redis.time()
            return _slowed(_standing(await self._redis.hgetall(keys.pace(self._root, account))), seconds * 1000)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"pace: {error}") from error

    async def _account(self, account: str, now: float) -> AccountTally:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for lane in keys.lanes(self._root, account):
                pipeline.zcard(lane)
                pipeline.zrange(lane, 0, 0, withscores=True)
            pipeline.zcard(keys.uncertain(self._root, account))
            pipeline.zcard(keys.parked(self._root, account))
            pipeline.hgetall(keys.pause(self._root, account))
            pipeline.get(keys.closed(self._root, account))
            pipeline.hgetall(keys.pace(self._root, account))
            live, first, bulk, second, alone, third, uncertain, parked, pause, closed, pace = await pipeline.execute()
        breaker = _standing(pace)
        due = [(now - score) / 1000 for _, score in (*first, *second, *third) if score <= now]
        return AccountTally(
            account,
            live + bulk + alone,
            uncertain,
            parked,
            oldest_waiting=max(due) if due else None,
            pause=_pause(pause, now),
            slowed=_slowed(breaker, now),
            leads_closed=closed.decode() if closed else None,
            breaker=_breaker(breaker, float(pace.get(b"trial_until") or 0), now),
            pace=round(breaker.share, 3),
            bulk=bulk,
            isolated=alone,
            used=_used(pace.get(b"slots", b"").decode(), now),
            slowed_times=int(pace.get(b"asked_times") or 0),
            slowed_at=float(pace[b"asked_at"]) / 1000 if b"asked_at" in pace else None,
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


def _standing(row: Mapping[bytes, bytes]) -> Breaker:
    return standing({name.decode(): value.decode() for name, value in row.items()})


def _used(slots: str, now: float) -> float:
    """Requests a second by the slots of the last minute, which are counted in tens of seconds, the last of them under way."""
    bucket = int(now // SLOTS_OF)
    counts = (slot.split(":") for slot in slots.split())
    taken = sum(int(count) for at, count in counts if bucket - 6 < int(at) <= bucket)
    return round(1000 * taken / (5 * SLOTS_OF + now % SLOTS_OF), 2)


def _slowed(breaker: Breaker, now: float) -> Slowed | None:
    return Slowed(breaker.why, breaker.failures, max(0.0, breaker.until - now / 1000)) if breaker.failures else None


def _breaker(breaker: Breaker, trial_until: float, now: float) -> BreakerTally:
    if breaker.opened is None:
        return BreakerTally()
    return BreakerTally(
        Phase.HALF_OPEN if trial_until > now else Phase.OPEN,
        breaker.why,
        since=breaker.opened,
        open_for=max(0.0, now / 1000 - breaker.opened),
        next_try_in=max(0.0, breaker.until - now / 1000),
    )
