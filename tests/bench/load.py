"""A load generator that costs little: finished requests, raw sockets, one request at a time on each connection.

Bounded in count; every answer's status is kept, so that a fast refusal cannot pass for a fast accept.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

SECRET = "whsec_" + base64.b64encode(b"a secret of the benchmark, 32 B.").decode()
BODY_SIZE = 600


@dataclass
class Result:
    seconds: float
    waits: list[float] = field(repr=False)
    statuses: Counter[int]

    @property
    def rate(self) -> float:
        return len(self.waits) / self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        return 1000 * sorted(self.waits)[min(len(self.waits) - 1, int(share * len(self.waits)))]

    @property
    def median(self) -> float:
        return 1000 * statistics.median(self.waits)


def signed_requests(
    count: int, *, path: str = "/hooks/office", start: int = 0, phone: str = "+7916{:07d}"
) -> Iterator[bytes]:
    """Signed canonical webhooks of 600 bytes, each about another call."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    now = int(time.time())
    for number in range(start, start + count):
        call = {
            "event": "call.finished",
            "id": f"bench-{now}.{number}",
            "direction": "inbound",
            "phone": phone.format(number % 10_000_000),
            "duration": 73,
            "started_at": now - 73,
            "status": 4,
            "link": f"https://rec.example.org/2026/11/{hashlib.sha256(str(number).encode()).hexdigest()}.mp3",
            "extension": "101",
            "result": "",
        }
        call["result"] = "x" * (BODY_SIZE - len(json.dumps(call)))
        body = json.dumps(call).encode()
        message = f"msg_{number}.{now}.".encode() + body
        signature = base64.b64encode(hmac.new(key, message, hashlib.sha256).digest()).decode()
        yield (
            f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"webhook-id: msg_{number}\r\nwebhook-timestamp: {now}\r\nwebhook-signature: v1,{signature}\r\n\r\n"
        ).encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = self._load.take()
        if request is None:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined] # a stream transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if len(body) < length:
            return
        self._buffer = b""
        self._load.answered(int(head[9:12]), time.perf_counter() - self._sent_at)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost()


class _Load:
    def __init__(self, requests: Sequence[bytes], connections: int) -> None:
        self._requests = iter(requests)
        self._open = connections
        self.done = asyncio.Event()
        self.waits: list[float] = []
        self.statuses: Counter[int] = Counter()

    def take(self) -> bytes | None:
        return next(self._requests, None)

    def answered(self, status: int, wait: float) -> None:
        self.waits.append(wait)
        self.statuses[status] += 1

    def lost(self) -> None:
        self._open -= 1
        if not self._open:
            self.done.set()


async def flood(port: int, requests: Sequence[bytes], connections: int = 64) -> Result:
    """As fast as `connections` senders go, each waiting for its answer."""
    load = _Load(requests, connections)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    await asyncio.gather(
        *(loop.create_connection(lambda: _Connection(load), "127.0.0.1", port) for _ in range(connections))
    )
    await asyncio.wait_for(load.done.wait(), 120)
    return Result(time.perf_counter() - began, load.waits, load.statuses)


async def paced(port: int, requests: Sequence[bytes], per_second: float, connections: int = 16) -> Result:
    """At a fixed rate, whether or not the last one was answered."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(connections)]
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for stream in streams:
        free.put_nowait(stream)
    waits: list[float] = []
    statuses: Counter[int] = Counter()
    began = time.perf_counter()

    async def one(number: int, request: bytes) -> None:
        due = began + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        due = max(due, time.perf_counter() - 0.001)
        reader, writer = await free.get()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        await reader.readexactly(length)
        waits.append(time.perf_counter() - due)
        statuses[int(head[9:12])] += 1
        free.put_nowait((reader, writer))

    await asyncio.gather(*(one(number, request) for number, request in enumerate(requests)))
    for _, writer in streams:
        writer.close()
    return Result(time.perf_counter() - began, waits, statuses)
