"""How a running role ends: the first signal asks it to finish what it has begun, the second does not ask any more.

Nothing is lost by force: calls in flight come back by their leases and are looked for in the CRM before anybody sends again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from callbridge import observe

FORCED: Final = 1
"""Exit code after a second signal."""

FORCE_WITHIN: Final = 3.0
"""Seconds that what has to be put away first may take."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_signals(stopping: asyncio.Event, *, put_away: Callable[[], Awaitable[object]] | None = None) -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM set `stopping`; a second one ends the process, after `put_away`."""
    loop = asyncio.get_running_loop()
    forcing: list[asyncio.Task[None]] = []

    def on_signal(number: signal.Signals) -> None:
        if not stopping.is_set():
            observe.event("process.stopping", signal=number.name)
            stopping.set()
        elif not forcing:
            forcing.append(loop.create_task(_force(put_away)))

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _force(put_away: Callable[[], Awaitable[object]] | None) -> None:
    with contextlib.suppress(Exception):
        if put_away is not None:
            await asyncio.wait_for(put_away(), FORCE_WITHIN)
    observe.shutdown()
    sys.stdout.flush()
    os._exit(FORCED)
