"""Figures over time, out of the counters that the writer keeps by the minute: no chart reads a call."""

from __future__ import annotations

import math
from typing import Any, Final

from sqlalchemy import func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from callbridge.ledger.figures import percentile
from callbridge.ledger.tables import LATENCIES, MINUTES
from callbridge.ledger.views import Point, Speed

SHOWN: Final = ("received", "delivered", "unmatched", "dead", "ignored")
MOST_POINTS: Final = 500
MOST_DAYS: Final = 31
"""What can be added up minute by minute while somebody waits."""


async def chart(
    connection: AsyncConnection, *, since: float, until: float, step: int, account: str | None
) -> tuple[Point, ...]:
    """A point for each step, also where nothing happened. The first begins with the minute of `since`. Raises `ValueError`
    for a step that is not whole minutes, for more than 500 of them, and for more than 31 days.
    """
    first, end = _minutes(since, until)
    wide = step // 60
    if step <= 0 or step % 60:
        raise ValueError("step is a multiple of 60")
    if end - first > MOST_POINTS * wide:
        raise ValueError(f"there are at most {MOST_POINTS} steps")
    place: Any = ((MINUTES.c.minute - literal(first)) // literal(wide)).label("place")
    found = (
        select(place, MINUTES.c.what, func.sum(MINUTES.c.calls))
        .where(MINUTES.c.minute >= first, MINUTES.c.minute < end, MINUTES.c.what.in_(SHOWN))
        .group_by(place, MINUTES.c.what)
    )
    if account is not None:
        found = found.where(MINUTES.c.account == account)
    counts: list[dict[str, int]] = [dict.fromkeys(SHOWN, 0) for _ in range(first, end, wide)]
    for at, what, calls in await connection.execute(found):
        counts[int(at)][what] = int(calls)
    return tuple(Point((first + place * wide) * 60.0, told) for place, told in enumerate(counts))


async def speed(connection: AsyncConnection, *, since: float, until: float) -> Speed:
    """Of whole minutes, those of both ends included. `delivered` counts every delivery, the rest those that took no longer
    than we made them take. Raises `ValueError` for more than 31 days.
    """
    first, end = _minutes(since, until)
    timed = (
        select(LATENCIES.c.bucket, func.sum(LATENCIES.c.calls))
        .where(LATENCIES.c.minute >= first, LATENCIES.c.minute < end)
        .group_by(LATENCIES.c.bucket)
    )
    told = (
        select(MINUTES.c.what, func.sum(MINUTES.c.calls))
        .where(MINUTES.c.minute >= first, MINUTES.c.minute < end, MINUTES.c.what.in_(("delivered", "in_time")))
        .group_by(MINUTES.c.what)
    )
    buckets = {int(bucket): int(calls) for bucket, calls in await connection.execute(timed)}
    counts = {what: int(calls) for what, calls in await connection.execute(told)}
    all_timed = sum(buckets.values())
    return Speed(
        delivered=counts.get("delivered", 0),
        p50=percentile(buckets, 0.5),
        p95=percentile(buckets, 0.95),
        in_time=counts.get("in_time", 0) / all_timed if all_timed > 0 else None,
    )


def _minutes(since: float, until: float) -> tuple[int, int]:
    """The first, and the one behind the last."""
    if not 0 <= until - since <= MOST_DAYS * 86_400:
        raise ValueError(f"a time of at most {MOST_DAYS} days")
    return math.floor(since / 60), math.ceil(until / 60)
