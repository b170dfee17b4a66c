"""How everything stands, computed once for all who look: pages, streams of figures, metrics, alerts.

Asked of Redis at most once a second, and of the ledger as often as its figures are worth it, and only while somebody looks.
Redis or the ledger away is a part of the answer, never an error: the last good figures stay, marked with their age.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from callbridge.ledger.views import ErrorGroup, LedgerStanding, Point, Speed
from callbridge.ops.health import Status
from callbridge.ops.lately import Lately
from callbridge.ops.troubles import Trouble
from callbridge.ops.verdict import Judgement, Sentence, Verdict, judged
from callbridge.store.refusals import SourceRefusals

__all__ = ["Overview", "Overviews", "Sentence", "Trouble", "Verdict", "judged"]

EVERY: Final = 1.0
"""Seconds between two looks at Redis."""

REFUSALS_EVERY: Final = 3.0
PATIENCE: Final = 0.8
LEDGER_PATIENCE: Final = 0.3
"""Seconds that a page waits for a part before it takes the last figures there are."""

LEDGER_SLOW: Final = 3.0

HOUR: Final = 3600.0
DAY: Final = 86_400.0
SHOWN_GROUPS: Final = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Overview:
    """Unix seconds. `stale_since` is of when `status` is while Redis is away; `speed` is the last day's, `speed_1h` the last
    hour's, `chart` the last hour by minute, `groups` the open ones with most calls.
    """

    at: float
    verdict: Verdict
    sentence: Sentence
    problems: tuple[Trouble, ...]
    warnings: tuple[Trouble, ...]
    status: Status | None
    store_problem: str | None
    ledger_problem: str | None
    stale_since: float | None
    speed: Speed | None
    speed_1h: Speed | None
    chart: tuple[Point, ...]
    groups: tuple[ErrorGroup, ...]
    standing: LedgerStanding | None


class Inspects(Protocol):
    async def status(self) -> Status: ...


class Figures(Protocol):
    """The ledger's. All raise `LedgerUnavailable`."""

    async def groups(self) -> tuple[ErrorGroup, ...]: ...
    async def chart(self, *, since: float, until: float, step: int) -> tuple[Point, ...]: ...
    async def speed(self, *, since: float, until: float) -> Speed: ...
    async def standing(self) -> LedgerStanding: ...


class Behind(Protocol):
    """How far the ledger is behind: changes, and the age of the oldest in seconds."""

    @property
    def entries(self) -> int: ...
    @property
    def oldest(self) -> float | None: ...


class Overviews:
    """`behind` asks Redis what the ledger has not heard of yet, `refusals` which webhooks were turned away."""

    def __init__(
        self,
        inspector: Inspects,
        figures: Figures,
        *,
        now: Callable[[], float],
        behind: Callable[[], Awaitable[Behind]] | None = None,
        refusals: Callable[[], Awaitable[Mapping[str, SourceRefusals]]] | None = None,
    ) -> None:
        def past(seconds: float) -> dict[str, float]:
            return {"since": now() - seconds, "until": now()}

        def minutes() -> Awaitable[tuple[Point, ...]]:
            until = (now() // 60 + 1) * 60
            return figures.chart(since=until - HOUR, until=until, step=60)

        def kept(ask: Callable[[], Awaitable[T]], every: float) -> Lately[T]:
            return Lately(ask, every=every, patience=LEDGER_PATIENCE, now=now, slow=LEDGER_SLOW)

        self._now = now
        self._status = Lately(inspector.status, every=EVERY, patience=PATIENCE, now=now)
        self._behind = Lately(behind, every=EVERY, patience=PATIENCE, now=now) if behind else None
        self._refusals = Lately(refusals, every=REFUSALS_EVERY, patience=PATIENCE, now=now) if refusals else None
        self._groups = kept(figures.groups, 3.0)
        self._chart = kept(minutes, 5.0)
        self._hour = kept(lambda: figures.speed(**past(HOUR)), 5.0)
        self._day = kept(lambda: figures.speed(**past(DAY)), 30.0)
        self._standing = kept(figures.standing, 10.0)
        self._past: tuple[Lately[Any], ...] = (self._groups, self._chart, self._hour, self._day, self._standing)
        self._parts: tuple[Lately[Any], ...] = (
            self._status,
            *self._past,
            *(part for part in (self._behind, self._refusals) if part),
        )
        self._latest: Overview | None = None
        self._boxes: set[asyncio.Queue[Overview]] = set()
        self._ticking: asyncio.Task[None] | None = None

    async def latest(self) -> Overview:
        """At most a second old. Never raises."""
        now = self._now()
        if self._latest is None or not 0 <= now - self._latest.at < EVERY:
            await asyncio.gather(*(part.refresh() for part in self._parts))
            self._latest = self._composed(self._now())
        return self._latest

    def outdate(self) -> None:
        """Somebody has done something in this process, and is about to look at what came of it."""
        self._latest = None
        self._status.outdate()

    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterator[Overview]]:
        """The latest at once, then each new one. Who reads slowly misses some."""
        return self._subscribed()

    async def close(self) -> None:
        """Ends what is being asked."""
        await self._stop()
        for part in self._parts:
            await part.close()

    @asynccontextmanager
    async def _subscribed(self) -> AsyncIterator[AsyncIterator[Overview]]:
        box: asyncio.Queue[Overview] = asyncio.Queue(1)
        box.put_nowait(await self.latest())
        self._boxes.add(box)
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick())
        try:
            yield _Reader(box)
        finally:
            self._boxes.discard(box)
            if not self._boxes:
                await self._stop()

    async def _stop(self) -> None:
        """Out of sight before it is waited for: who comes meanwhile starts another."""
        ticking, self._ticking = self._ticking, None
        if ticking is not None:
            ticking.cancel()
            await asyncio.wait({ticking})

    async def _tick(self) -> None:
        while self._boxes:
            await asyncio.sleep(EVERY)
            latest = await self.latest()
            for box in self._boxes:
                if box.full():
                    box.get_nowait()
                box.put_nowait(latest)

    def _composed(self, now: float) -> Overview:
        status, groups = self._status, self._groups.value or ()
        ledger_problem = next((part.problem for part in self._past if part.problem), None)
        standing = self._standing.value
        if standing and self._behind and self._behind.value:
            told = self._behind.value
            standing = replace(standing, behind=told.entries, lag=told.oldest or 0.0)
        judgement: Judgement = judged(
            status.value,
            groups,
            self._hour.value,
            standing,
            now,
            store_problem=status.problem,
            ledger_problem=ledger_problem,
            refusals=(self._refusals.value if self._refusals else None) or {},
        )
        return Overview(
            at=now,
            verdict=judgement.verdict,
            sentence=judgement.sentence,
            problems=judgement.problems,
            warnings=judgement.warnings,
            status=status.value,
            store_problem=status.problem,
            ledger_problem=ledger_problem,
            stale_since=status.at if status.problem else None,
            speed=self._day.value,
            speed_1h=self._hour.value,
            chart=self._chart.value or (),
            groups=tuple(group for group in groups if group.status == "open")[:SHOWN_GROUPS],
            standing=standing,
        )


class _Reader:
    def __init__(self, box: asyncio.Queue[Overview]) -> None:
        self._box = box

    def __aiter__(self) -> _Reader:
        return self

    async def __anext__(self) -> Overview:
        return await self._box.get()
