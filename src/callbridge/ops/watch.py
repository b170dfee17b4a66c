"""Watches the overview and tells: the loop that turns what `alerting` decides into messages, until each has arrived.

One console of all tells, by a lease in the ledger. Where the ledger is away it tells all the same, from what it remembers
itself: a second message is better than none. A monitor outside is pinged while all parts work, so that the end of this
process is noticed by somebody who does not live in it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from callbridge import observe
from callbridge.errors import LedgerUnavailable
from callbridge.ledger.views import KnownProblem
from callbridge.ops.alerting import Trouble, step
from callbridge.ops.telling import Channel, Message, message

LOOK_EVERY: Final = 5.0
LEASE: Final = 30.0
"""Seconds for which one console is the one that tells without saying so again."""

AGAIN: Final = (5.0, 15.0, 60.0, 300.0)
"""Seconds before a message that did not arrive is sent again; the last of them from then on."""

GIVE_UP_AFTER: Final = 3600.0
MOST_WAITING: Final = 100
PING_EVERY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """What is wrong now. `alive`: receipts and deliveries go their way, as far as can be seen."""

    troubles: Mapping[str, Trouble]
    alive: bool


class Memory(Protocol):
    """Where what was told is kept. All raise `LedgerUnavailable`."""

    async def hold(self, runner: str, seconds: float, now: float) -> bool: ...
    async def load(self) -> Mapping[str, KnownProblem]: ...
    async def save(self, known: Mapping[str, KnownProblem]) -> None: ...


@dataclass(slots=True)
class _Sending:
    told: Message
    channel: Channel
    tries: int = 0
    next_at: float = 0.0


@dataclass(slots=True)
class Watch:
    """`look` never raises; `ping` returns why it did not work."""

    look: Callable[[], Awaitable[Look]]
    channels: Sequence[Channel]
    memory: Memory
    now: Callable[[], float]
    after: float
    runner: str
    console: Callable[[], str]
    ping: Callable[[], Awaitable[str | None]] | None = None
    _known: dict[str, KnownProblem] = field(default_factory=dict)
    _sending: list[_Sending] = field(default_factory=list)
    _pinged: float = 0.0

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            await self.step()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), LOOK_EVERY)

    async def step(self) -> None:
        now = self.now()
        look = await self.look()
        if await self._is_ours(now):
            await self._compare(look, now)
        await self._send(now)
        if self.ping and look.alive and now - self._pinged >= PING_EVERY:
            self._pinged = now
            if problem := await self.ping():
                observe.event("alert.failed", level="warning", channel="heartbeat", problem=problem)

    async def _is_ours(self, now: float) -> bool:
        try:
            if not await self.memory.hold(self.runner, LEASE, now):
                return False
            self._known = dict(await self.memory.load())
        except LedgerUnavailable:
            pass  # what this process remembers is the best there is
        return True

    async def _compare(self, look: Look, now: float) -> None:
        known, news = step(self._known, look.troubles, now=now, after=self.after)
        for item in news:
            told = message(item, at=now, console=self.console())
            observe.event("alert.told", cause=item.known.cause, kind=type(item).__name__.lower())
            self._sending += [_Sending(told, channel) for channel in self.channels]
        del self._sending[:-MOST_WAITING]
        if known != self._known:
            self._known = known
            with contextlib.suppress(LedgerUnavailable):
                await self.memory.save(known)

    async def _send(self, now: float) -> None:
        """What is due; messages of one channel keep their order only as long as they arrive at once."""
        due = [sending for sending in self._sending if sending.next_at <= now]
        problems = await asyncio.gather(*(sending.channel.tell(sending.told) for sending in due))
        for sending, problem in zip(due, problems, strict=True):
            lost = problem is not None and now - sending.told.at > GIVE_UP_AFTER
            if problem is None or lost:
                self._sending.remove(sending)
            if problem is None:
                continue
            observe.event(
                "alert.failed", level="error" if lost else "warning", channel=sending.channel.name, problem=problem
            )
            sending.next_at = now + AGAIN[min(sending.tries, len(AGAIN) - 1)]
            sending.tries += 1
