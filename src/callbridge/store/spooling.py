"""The way in while Redis is away: what it cannot take goes to the spool, and from there to Redis when it is back.

A sender hears 2xx either way, because either way it is on a disk. Most PBXs never send again after an error, so this is what
keeps their calls through an outage. What Redis answered too late may be in both places; the store knows it by its key.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar, assert_never

import orjson

from callbridge import observe
from callbridge.call import (
    Arrival,
    FinishedCall,
    IgnoredEvent,
    Receipt,
    ReceiptKind,
    RecordingReady,
    UndecodableWebhook,
    Webhook,
)
from callbridge.errors import StoreUnavailable
from callbridge.store.envelope import Envelope, EnvelopeError, seal, unseal
from callbridge.store.spool import EMPTY, SpoolFile, SpoolStanding
from callbridge.store.trouble import Trouble, trouble_of

T = TypeVar("T")

ANSWER_WITHIN: Final = 1.0
"""Seconds that Redis may take for an accept before the spool gets it: a PBX gives up after three to five."""

SPOOLED_WITHIN: Final = 0.4
"""Seconds that the spool may take; together an accept is answered within a second and a half."""

REFUSES_FOR: Final = 5.0
"""Seconds for which a spool whose disk said no counts as full, before it is tried again."""

CHUNK: Final = 100
LEASE: Final = 30.0
"""Seconds for which a chunk is ours to hand over."""

LOOK_EVERY: Final = 0.5


class Inbox(Protocol):
    async def put(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]: ...


class Spool:
    """A spool file on a thread of its own. Appends that meet there share one commit."""

    def __init__(self, file: SpoolFile, now: Callable[[], float]) -> None:
        self._file = file
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        self._waiting: list[tuple[list[bytes], asyncio.Future[None]]] = []
        self._flush: asyncio.Task[None] | None = None
        self._refused: tuple[float, str] | None = None
        self.standing: SpoolStanding = EMPTY
        """As last looked at; an append or a hand-over updates it."""

    @property
    def problem(self) -> str | None:
        """Why it takes nothing now."""
        if self.standing.full:
            return "the spool is full (receiver.spool_size)"
        if self._refused and self._now() < self._refused[0]:
            return self._refused[1]
        return None

    async def append(self, arrivals: Sequence[Arrival]) -> None:
        """Returns once all of them are on the disk. Raises `StoreUnavailable`; a slow disk may have them all the same."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(([pack(arrival) for arrival in arrivals], done))
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_all())
        try:
            async with asyncio.timeout(SPOOLED_WITHIN):
                await done
        except TimeoutError as error:
            raise StoreUnavailable("spool: the disk is too slow") from error

    async def take(self) -> list[tuple[int, bytes]]:
        return await self._run(lambda: self._file.take(CHUNK, self._now(), LEASE))

    async def remove(self, numbers: Sequence[int]) -> None:
        await self._run(lambda: self._file.remove(numbers))

    async def give_back(self, numbers: Sequence[int]) -> None:
        await self._run(lambda: self._file.give_back(numbers))

    async def look(self) -> None:
        self.standing = await self._run(self._file.standing)

    async def close(self) -> None:
        if self._flush is not None:
            await asyncio.wait([self._flush])
        await self._run(self._file.close)
        self._thread.shutdown(wait=False)

    async def _flush_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            rows = [row for packed, _ in group for row in packed]
            try:
                await self._run(lambda rows=rows: self._file.append(rows, self._now()))  # type: ignore[misc] # mypy and lambda defaults
            except Exception as error:  # noqa: BLE001 # nobody may wait for ever, whatever it was
                self._refused = (self._now() + REFUSES_FOR, str(error))
                for _, done in group:
                    if not done.done():
                        done.set_exception(StoreUnavailable(str(error)))
            else:
                oldest = self.standing.oldest_at or self._now()
                self.standing = replace(self.standing, waiting=self.standing.waiting + len(rows), oldest_at=oldest)
                self._refused = None
                for _, done in group:
                    if not done.done():
                        done.set_result(None)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


@dataclass(slots=True)
class SpoolingInbox:
    """An inbox that spools. `redis_is_well` says whether it is worth asking Redis at all."""

    inbox: Inbox
    spool: Spool
    redis_is_well: Callable[[], bool]

    async def put(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """Raises `StoreUnavailable` when neither Redis nor the spool took it."""
        if self.redis_is_well():
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    return await self.inbox.put(arrivals)
            except (StoreUnavailable, TimeoutError) as error:
                observe.event(
                    "store.unavailable", level="warning", stage="accept", trouble=trouble_of(error), error=error
                )
        kept = [arrival for arrival in arrivals if not isinstance(arrival, IgnoredEvent)]
        if kept:
            await self.spool.append(kept)
            observe.event("webhook.spooled", arrivals=len(kept), waiting=self.spool.standing.waiting)
        return [
            Receipt(ReceiptKind.COUNTED if isinstance(arrival, IgnoredEvent) else ReceiptKind.SPOOLED)
            for arrival in arrivals
        ]

    async def keep_draining(self) -> None:
        """Hands over whenever there is something and Redis is well. Ends only by being cancelled."""
        while True:
            try:
                await self.spool.look()
                while self.redis_is_well() and await self._hand_over():
                    pass
            except StoreUnavailable as error:
                observe.event("store.unavailable", level="warning", stage="spool", error=error)
            except Exception as error:  # noqa: BLE001 # whatever it was, the rows are on the disk and it is tried again
                observe.event("worker.failed", level="error", stage="spool", error=error)
            await asyncio.sleep(LOOK_EVERY)

    async def _hand_over(self) -> bool:
        """One chunk, oldest first; False when nothing is left."""
        rows = await self.spool.take()
        if not rows:
            return False
        arrivals = {number: arrival for number, packed in rows if (arrival := unpack(packed))}
        try:
            gone = await self._given(arrivals)
        except BaseException:
            with contextlib.suppress(StoreUnavailable):
                await asyncio.shield(self.spool.give_back([number for number, _ in rows]))
            raise
        await self.spool.remove(gone)
        await self.spool.look()
        observe.event("spool.drained", arrivals=len(gone), left=self.spool.standing.waiting)
        return bool(gone)

    async def _given(self, arrivals: Mapping[int, Arrival]) -> list[int]:
        """Which of them Redis has now. One that its script cannot digest keeps its place and holds up no other."""
        if not arrivals:
            return []
        try:
            await self.inbox.put(list(arrivals.values()))
        except StoreUnavailable as error:
            if trouble_of(error) is not Trouble.BUG:
                raise
            if len(arrivals) == 1:
                observe.event("store.unavailable", level="error", stage="spool", trouble=Trouble.BUG, error=error)
                return []
            one_by_one = [await self._given({number: arrival}) for number, arrival in arrivals.items()]
            return [number for given in one_by_one for number in given]
        return list(arrivals)


def pack(arrival: Arrival) -> bytes:
    """The stored form: a JSON array whose first element names the kind."""
    match arrival:
        case FinishedCall(account, call, webhook, hold):
            envelope = seal(Envelope(call.source, call.provider, webhook, call))
            return orjson.dumps(["finished", account, hold, base64.b64encode(envelope).decode()])
        case UndecodableWebhook(account, source, provider, webhook, problem):
            envelope = seal(Envelope(source, provider, webhook, None, problem))
            return orjson.dumps(["undecodable", account, 0, base64.b64encode(envelope).decode()])
        case RecordingReady(account, source, ref, link, at, webhook, note_late):
            body = base64.b64encode(webhook.body).decode()
            return orjson.dumps(["recording", account, source, ref, link, at, webhook.event, body, note_late])
        case IgnoredEvent(source, event):
            return orjson.dumps(["ignored", source, event])
        case _:
            assert_never(arrival)


def unpack(packed: bytes) -> Arrival | None:
    """None for a row that this version cannot read: it stays where it is."""
    try:
        match orjson.loads(packed):
            case ["finished", str(account), hold, str(sealed)]:
                envelope = unseal(base64.b64decode(sealed))
                return FinishedCall(account, envelope.call, envelope.webhook, hold) if envelope.call else None
            case ["undecodable", str(account), _, str(sealed)]:
                found = unseal(base64.b64decode(sealed))
                return UndecodableWebhook(account, found.source, found.provider, found.webhook, found.problem or "")
            case ["recording", str(account), source, ref, link, at, event, body, note_late]:
                webhook = Webhook(event, base64.b64decode(body))
                return RecordingReady(account, source, ref, link, at, webhook, note_late)
            case ["ignored", str(source), str(event)]:
                return IgnoredEvent(source, event)
            case _:
                return None
    except (ValueError, EnvelopeError):
        return None
