"""A scripted amoCRM: a real HTTP server that answers each request with the next step of its script.

It works on the bare connection, because half of what is tested is what no HTTP library would send.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "fixtures" / "amocrm"
BAN_PAGE = b"<html><head><title>403 Forbidden</title></head><body><center><h1>403 Forbidden</h1></center></body></html>"

Step = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class ScriptedCrm:
    steps: Iterator[Step]
    url: str = ""
    requests: list[Seen] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                self.requests.append(await _request(reader))
                self.arrived.set()
                await next(self.steps)(writer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def scripted(*steps: Step, tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedCrm]:
    crm = ScriptedCrm(iter(steps))
    server = await asyncio.start_server(crm.serve, "127.0.0.1", 0, ssl=tls)
    crm.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield crm
    finally:
        server.close()
        for task in crm.tasks:
            task.cancel()
        await asyncio.gather(*crm.tasks)


async def _request(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Seen(method, target, headers, await reader.readexactly(int(headers.get("content-length", 0))))


def recorded(name: str) -> bytes:
    return (FIXTURES / f"{name}.json").read_bytes()


def head(status: int, *, length: int, kind: str = "application/hal+json", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Text", f"Content-Type: {kind}", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answers(status: int, body: object = b"", *, kind: str = "application/hal+json", **headers: str) -> Step:
    """A whole answer; the connection stays open."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, length=len(content), kind=kind, **headers) + content)

    return step


def sends_and_closes(content: bytes = b"") -> Step:
    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        writer.close()

    return step


def resets(content: bytes = b"") -> Step:
    """Sends `content`, then RST instead of FIN."""

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return step


def drips(every: float = 0.02) -> Step:
    """Headers at once, then a byte now and then, for ever."""

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, length=1_000_000))
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(every)

    return step


def stays_silent() -> Step:
    async def step(_writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    return step


def floods(megabytes: int, *, status: int = 200, begin: bytes = b"") -> Step:
    """`begin`, then spaces: to a JSON parser the whole of it is as good as `begin`."""

    async def step(writer: asyncio.StreamWriter) -> None:
        writer.write(head(status, length=len(begin) + megabytes * 1_000_000) + begin)
        for _ in range(megabytes):
            writer.write(b" " * 1_000_000)
            await writer.drain()

    return step


def bombs(megabytes: int, *, begin: bytes = b"") -> Step:
    """A small gzip that unpacks to `begin` and `megabytes` of spaces."""
    return answers(200, gzip.compress(begin + b" " * megabytes * 1_000_000), Content_Encoding="gzip")


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that is taken, so nobody else gets it, and on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
