"""Puts signed sample webhooks on the wire, as a PBX would: one after the other over kept connections."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable

import aiohttp
from yarl import URL

from callbridge.errors import Unavailable
from callbridge.sim.speakers.base import SignedWebhook

PATIENCE = 10.0
"""Seconds that a PBX waits for its answer."""


class Rate:
    """At most so many webhooks a second, however many PBXs send; 0 is no limit."""

    def __init__(self, per_second: float) -> None:
        self._gap = 1 / per_second if per_second else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        if self._gap:
            now = time.monotonic()
            self._next = max(now, self._next + self._gap)
            await asyncio.sleep(self._next - now)


UNLIMITED = Rate(0)


async def post_all(
    session: aiohttp.ClientSession,
    hook: str,
    webhooks: Iterable[SignedWebhook],
    answered: Callable[[int], None],
    rate: Rate = UNLIMITED,
) -> None:
    """`answered` is told each status. Raises `Unavailable` when nobody answers: the rest would fare no better."""
    for webhook in webhooks:
        await rate.turn()
        try:
            async with session.request(
                webhook.method,
                URL(hook + webhook.path_suffix, encoded=True),  # as it was signed, byte by byte
                data=webhook.body or None,
                headers=webhook.headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=PATIENCE),
            ) as response:
                await response.read()
                answered(response.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"no answer from {hook}: {str(error) or type(error).__name__}") from error


def told(statuses: Counter[int]) -> str:
    """Such as `200: 12, 401: 1`."""
    return ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())) or "none"


def all_accepted(statuses: Counter[int]) -> bool:
    return all(200 <= status < 300 for status in statuses)
