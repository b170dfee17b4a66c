"""A TCP proxy between two real parties that misbehaves on command."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum


class Mode(StrEnum):
    PASS = "pass"
    REFUSE = "refuse"
    """Connections are cut at once, old ones too."""
    BLACKHOLE = "blackhole"
    """Accepts and reads, forwards nothing."""
    RESET = "reset"
    """RST in the middle: on the first bytes that come."""
    DROP_REPLIES = "drop_replies"
    """What is asked arrives, what is answered does not."""
    LATENCY = "latency"
    """Every chunk comes `amount` seconds later."""
    SLICE = "slice"
    """One byte at a time."""
    CUT = "cut"
    """Ends each connection after `amount` bytes of answer."""


class Proxy:
    """Listens on `port`, forwards to `target`. `mode` may be changed at any time and holds for open connections too."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._lines: set[asyncio.Task[None]] = set()
        self.mode = Mode.PASS
        self.amount = 0.0
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def set(self, mode: Mode, amount: float = 0.0) -> None:
        self.mode, self.amount = mode, amount
        if mode is Mode.REFUSE:
            for line in self._lines:
                line.cancel()

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        for line in self._lines:
            line.cancel()
        if self._lines:
            await asyncio.wait(self._lines, timeout=2)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._lines.add(task)
        try:
            if self.mode is Mode.REFUSE:
                return
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                ways = [
                    asyncio.create_task(self._pump(reader, ours, writer, asks=True)),
                    asyncio.create_task(self._pump(theirs, writer, writer, asks=False)),
                ]
                try:
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for way in ways:
                        way.cancel()
                    await asyncio.wait(ways)
            finally:
                ours.close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._lines.discard(task)
            writer.close()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, client: asyncio.StreamWriter, *, asks: bool
    ) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while chunk := await source.read(65_536):
                match self.mode:
                    case Mode.BLACKHOLE:
                        continue
                    case Mode.DROP_REPLIES if not asks:
                        continue
                    case Mode.RESET:
                        _reset(client)
                        return
                    case Mode.LATENCY:
                        await asyncio.sleep(self.amount)
                    case Mode.CUT if not asks:
                        chunk = chunk[: max(0, int(self.amount) - sent)]
                        if not chunk:
                            return
                pieces = [chunk[at : at + 1] for at in range(len(chunk))] if self.mode is Mode.SLICE else [chunk]
                for piece in pieces:
                    sink.write(piece)
                    await sink.drain()
                sent += len(chunk)


def _reset(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def proxied(target: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(target)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
