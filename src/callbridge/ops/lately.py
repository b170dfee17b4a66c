"""The last answer to a question that is asked again when the answer is old: never twice at once, and never longer than asked.

For what many readers want at once and some part may not answer. Who reads waits a moment for a fresh answer, then takes the
last one there is; the question goes on, and its answer is there for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from callbridge import observe
from callbridge.errors import Unavailable

T = TypeVar("T")

AGAIN = 1.0
"""Seconds after which a question without an answer is asked anew, however long an answer would have been good."""


class Lately(Generic[T]):
    """`value` is the last good answer, of the time `at`; `problem` is why there is no newer one. Seconds: an answer is old
    after `every`, a reader waits `patience`, and a question that has no answer after `slow` is a problem.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[T]],
        *,
        every: float,
        patience: float,
        now: Callable[[], float],
        slow: float = 0.0,
    ) -> None:
        self._ask = ask
        self._every = every
        self._patience = patience
        self._slow = slow
        self._now = now
        self._asking: asyncio.Task[None] | None = None
        self._asked_at: float | None = None
        self.value: T | None = None
        self.at: float | None = None
        self.problem: str | None = None

    async def refresh(self) -> None:
        """Asks if the answer is old. Never raises."""
        if self._asking is None:
            now = self._now()
            # A clock that was set back makes nothing young for ever.
            every = self._every if self.problem is None else min(self._every, AGAIN)
            if self._asked_at is not None and 0 <= now - self._asked_at < every:
                return
            self._asked_at = now
            self._asking = asyncio.create_task(self._answer())
        done, _ = await asyncio.wait({self._asking}, timeout=self._patience)
        waited = self._now() - (self._asked_at or 0.0)
        if not done and waited >= self._slow:
            self.problem = self.problem or f"no answer for {waited:.1f} s"

    def outdate(self) -> None:
        """The answer is old now: something was done that changes it. One that is being asked for is taken as it comes."""
        if self._asking is None:
            self._asked_at = None

    async def close(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _answer(self) -> None:
        began = self._now()
        try:
            self.value = await self._ask()
            self.at, self.problem = began, None
        except Unavailable as error:
            self.problem = str(error)
        except Exception as error:  # noqa: BLE001 - a fault in one figure must not take away the page that tells of it
            self.problem = type(error).__name__
            observe.event("overview.failed", level="error", error=error)
        finally:
            self._asking = None
