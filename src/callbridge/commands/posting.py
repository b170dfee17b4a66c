"""Puts signed sample webhooks on the wire, as a PBX would: one after the other over kept connections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import aiohttp

from callbridge.errors import Unavailable
from callbridge.sim.pbx import SignedWebhook

PATIENCE = 10.0
"""Seconds that a PBX waits for its answer."""


async def post_all(
    session: aiohttp.ClientSession, hook: str, webhooks: Iterable[SignedWebhook], answered: Callable[[int], None]
) -> None:
    """`answered` is told each status. Raises `Unavailable` when nobody answers: the rest would fare no better."""
    for webhook in webhooks:
        try:
            async with session.request(
                webhook.method,
                hook + webhook.path_suffix,
                data=webhook.body,
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
