"""The way in: arrivals become durable, many at a time.

Group commit: what arrives while a write is under way goes out together as the next one. One fsync then serves many
senders, and a lone sender waits for nobody. The write is a task of its own, so a sender that gives up does not undo it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import orjson

from callbridge.call import (
    Arrival,
    CallId,
    FinishedCall,
    IgnoredEvent,
    Receipt,
    ReceiptKind,
    RecordingReady,
    UndecodableWebhook,
    call_id,
    call_key,
    key_digest,
    raw_key,
    recording_keys,
)
from callbridge.errors import StoreUnavailable
from callbridge.outcome import Reason, State
from callbridge.store.envelope import Envelope, content_digest, link_digest, seal
from callbridge.store.scripts import Argument, Scripts

MAX_GROUP = 200
"""Calls in one script, so that it stays below five milliseconds."""


@dataclass(frozen=True, slots=True)
class _Put:
    """One call ready for the script; `place` is its index among the arrivals it came with. `patch` joins its link to the call
    that stands, if that is the same call without it.
    """

    place: int
    account: str
    meta: bytes
    envelope: bytes
    patch: tuple[Argument, ...] = ()


@dataclass(slots=True)
class _Sender:
    """One `put` under way: what it brought and who waits for the receipts."""

    receipts: list[Receipt]
    done: asyncio.Future[list[Receipt]]
    puts: list[_Put] = field(default_factory=list)
    patches: list[tuple[int, tuple[Argument, ...]]] = field(default_factory=list)
    counts: list[str] = field(default_factory=list)


class RedisInbox:
    """Stores arrivals; `stored` is told which accounts got new work, after the fact."""

    def __init__(
        self, scripts: Scripts, now: Callable[[], float], stored: Callable[[set[str]], None], *, replicas: int = 0
    ) -> None:
        """`replicas` have to confirm what was stored before a receipt is given for it."""
        self._scripts = scripts
        self._replicas = replicas
        self._now = now
        self._stored = stored
        self._waiting: list[_Sender] = []
        self._flush: asyncio.Task[None] | None = None

    async def put(self, arrivals: Sequence[Arrival]) -> Sequence[Receipt]:
        """One receipt per arrival, in order, once all of them are durable. Raises `StoreUnavailable`; then some of them may
        be stored all the same, and the sender's repetition finds them.
        """
        sender = _Sender([Receipt(ReceiptKind.COUNTED)] * len(arrivals), asyncio.get_running_loop().create_future())
        now = self._now()
        for place, arrival in enumerate(arrivals):
            _prepare(sender, place, arrival, now)
        self._waiting.append(sender)
        if self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._flush_all())
        return await sender.done

    async def _flush_all(self) -> None:
        while self._waiting:
            group = _take_group(self._waiting)
            try:
                await self._write(group)
            except Exception as error:  # noqa: BLE001 # nobody may wait for ever, whatever it was
                # Whoever came meanwhile would wait for the same silence: all of them hear it now and come again.
                group, self._waiting = [*group, *self._waiting], []
                for sender in group:
                    if not sender.done.done():
                        sender.done.set_exception(_own(error))
            else:
                for sender in group:
                    if not sender.done.done():
                        sender.done.set_result(sender.receipts)

    async def _write(self, group: list[_Sender]) -> None:
        puts = [(sender, put) for sender in group for put in sender.puts]
        fresh: set[str] = set()
        for start in range(0, len(puts), MAX_GROUP):
            chunk = puts[start : start + MAX_GROUP]
            arguments = [part for _, put in chunk for part in (put.meta, put.envelope)]
            reply = await self._scripts.run("put", *arguments, replicas=self._replicas)
            for (sender, put), kind, call in zip(chunk, reply[::2], reply[1::2], strict=True):
                receipt = Receipt(ReceiptKind(kind.decode()), CallId(call.decode()))
                sender.receipts[put.place] = receipt
                if receipt.kind is ReceiptKind.STORED:
                    fresh.add(put.account)
                if receipt.kind is ReceiptKind.DUPLICATE and put.patch:
                    await self._scripts.run("patch", *put.patch, replicas=self._replicas)
        for sender in group:
            for place, patch in sender.patches:
                kind, call = await self._scripts.run("patch", *patch, replicas=self._replicas)
                sender.receipts[place] = Receipt(ReceiptKind(kind.decode()), CallId(call.decode()) if call else None)
        counts = [source for sender in group for source in sender.counts]
        if counts:
            await self._scripts.run("count", *counts)
        if fresh:
            self._stored(fresh)


def _own(error: Exception) -> StoreUnavailable:
    """One for each sender: an exception that several tasks raise gathers all their traces."""
    own = StoreUnavailable(str(error))
    own.__cause__ = error.__cause__ or error
    return own


def _take_group(waiting: list[_Sender]) -> list[_Sender]:
    """The senders of the next write, oldest first: as many as fill one script, and at least one."""
    calls, size = 0, 0
    for sender in waiting:
        calls += len(sender.puts)
        if size and calls > MAX_GROUP:
            break
        size += 1
    group = waiting[:size]
    del waiting[:size]
    return group


def _prepare(sender: _Sender, place: int, arrival: Arrival, now: float) -> None:
    match arrival:
        case FinishedCall(account, call, webhook, hold):
            envelope = Envelope(call.source, call.provider, webhook, call)
            content, early = content_digest(call), key_digest(call_key(call.source, call.ref, None))
            key, link = key_digest(call.key), link_digest(call.link) if call.link else ""
            meta = [
                key, call_id(call.key, now), account, call.source, State.WAITING, "", int(hold * 1000),
                content, early, call.rank, link,
            ]  # fmt: skip
            patch = (call.source, early, call.link, link, 0, 0, key) if call.link else ()
            sender.puts.append(_Put(place, account, orjson.dumps(meta), seal(envelope), patch))
        case UndecodableWebhook(account, source, provider, webhook, problem):
            envelope = Envelope(source, provider, webhook, None, problem)
            key = raw_key(source, webhook.body)
            meta = [
                key_digest(key),
                call_id(key, now),
                account,
                source,
                State.DEAD,
                Reason.UNDECODABLE,
                0,
                "",
                "",
                0,
                "",
            ]
            sender.puts.append(_Put(place, account, orjson.dumps(meta), seal(envelope)))
        case RecordingReady(_, source, ref, link, at, _, note_late):
            early = key_digest(call_key(source, ref, None))
            digests = (key_digest(key) for key in recording_keys(source, ref, at))
            sender.patches.append((place, (source, early, link, link_digest(link), int(note_late), 1, *digests)))
        case IgnoredEvent(source, _):
            sender.counts.append(source)
        case _:
            assert_never(arrival)
