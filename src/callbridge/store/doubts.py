"""Calls of which nobody can tell whether the CRM has them: what is known of each, and an operator's decision.

Apart from `records`, which shows what every call has, and from `repair`, which is about dead calls: this is about both the
uncertain and those that died of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis.exceptions import RedisError

from callbridge.call import CallId
from callbridge.errors import StoreUnavailable
from callbridge.store import keys
from callbridge.store.records import Record
from callbridge.store.scripts import Scripts


class Verdict(StrEnum):
    """What an operator decides."""

    DELIVERED = "delivered"
    """It is in the CRM."""
    RESEND = "resend"
    """Send it again, at the risk of a double."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Unix seconds. `looks` are the complete read-backs that did not find it; `next_look_at` is None where nobody looks any
    more. It left last at `sent_at`, in `batch` with `batch_size` calls.
    """

    since: float | None
    looks: int
    next_look_at: float | None
    batch: str | None
    sent_at: float | None
    batch_size: int | None


class RedisDoubts:
    """Both methods raise `StoreUnavailable`."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def of(self, record: Record) -> Doubt:
        redis: Any = self._scripts.redis  # typed for both worlds, sync and async
        root = self._scripts.root
        try:
            async with redis.pipeline(transaction=False) as pipeline:
                pipeline.hmget(keys.call(root, record.id), "us", "lk", "ba", "sn")
                pipeline.zscore(keys.uncertain(root, record.account), record.id)
                (since, looks, batch, intent), next_look = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"doubt: {error}") from error
        sent_at, size = intent.decode().split(" ") if intent else (None, None)
        return Doubt(
            since=int(since) / 1000 if since else None,
            looks=int(looks or 0),
            next_look_at=float(next_look) / 1000 if next_look is not None else None,
            batch=batch.decode() if batch else None,
            sent_at=int(sent_at) / 1000 if sent_at else None,
            batch_size=int(size) if size else None,
        )

    async def resolve(
        self, verdict: Verdict, ids: Sequence[CallId], *, by: str, why: str, after: float
    ) -> frozenset[CallId]:
        """At most 200 calls. Moves those whose outcome is unknown: dead for that, or uncertain for `after` seconds. Returns
        them; what is neither any more stays as it is.
        """
        if not ids:
            return frozenset()
        arguments = (verdict.value, by[:100], why[:300], max(0, round(after * 1000)))
        return frozenset(CallId(i.decode()) for i in await self._scripts.run("resolve", *arguments, *ids))
