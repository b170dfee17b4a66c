"""Two Redis servers, one the other's replica, and a Sentinel that makes the replica the primary when that is gone.

Everybody reaches a server through a line of ours, so that its replica can be cut off while its clients are not: that is how
acknowledged calls are lost in a failover.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from callbridge.embedded import find_server
from callbridge.store.connect import connected
from faults.proxy import Proxy
from support.redis_server import RedisServer, free_port

SERVICE = "calls"
DOWN_AFTER = 3_000
"""Milliseconds of silence after which the Sentinel gives a primary up; less, and a busy machine fails over by itself."""


class Line(Proxy):
    """Hears which connections are a replica's; `severed` swallows what the primary has for those."""

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.severed = False

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, client: asyncio.StreamWriter, *, asks: bool
    ) -> None:
        while chunk := await source.read(65_536):
            if asks and b"PSYNC" in chunk:
                client.replica = True  # type: ignore[attr-defined] # a mark of ours
            if self.severed and getattr(client, "replica", False):
                continue
            sink.write(chunk)
            await sink.drain()


class Node:
    def __init__(self, directory: Path, *options: str) -> None:
        directory.mkdir(parents=True)
        self.server = RedisServer(directory, "--repl-diskless-sync-delay", "0", *options)
        self.line = Line(self.server.port)

    async def start(self) -> None:
        """Announces itself where its line listens."""
        await self.line.start()
        async with connected(self.server.url) as redis:
            await redis.config_set("replica-announce-ip", "127.0.0.1")
            await redis.config_set("replica-announce-port", self.line.port)

    async def role(self) -> str:
        async with connected(self.server.url) as redis:
            return str((await redis.info("replication"))["role"])

    async def replicas(self) -> int:
        async with connected(self.server.url) as redis:
            info = await redis.info("replication")
            online = [info[f"slave{n}"]["state"] == "online" for n in range(int(info.get("connected_slaves", 0)))]
            return sum(online) if info["role"] == "master" else 0

    def freeze(self) -> None:
        self.server.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.server.process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        self.thaw()
        await self.line.stop()
        await asyncio.to_thread(self.server.stop)


class Pair:
    """`primary` and `replica` as they are now."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.primary, self.replica = Node(directory / "one", *options), Node(directory / "two", *options)
        self.sentinel_port = free_port()
        self.sentinel: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Of two Sentinels, one of which is not there."""
        return f"127.0.0.1:{free_port()},127.0.0.1:{self.sentinel_port}/{SERVICE}/0"

    async def start(self, *lines: str) -> None:
        for node in (self.primary, self.replica):
            await node.start()
        async with connected(self.replica.server.url) as redis:
            await redis.replicaof("127.0.0.1", self.primary.line.port)
        await self.until_replicated()
        conf = self.directory / "sentinel.conf"
        conf.write_text(
            "\n".join(
                [
                    f"port {self.sentinel_port}",
                    "bind 127.0.0.1",
                    f"dir {self.directory}",
                    f"sentinel monitor {SERVICE} 127.0.0.1 {self.primary.line.port} 1",
                    f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}",
                    f"sentinel failover-timeout {SERVICE} 2000",
                    *lines,
                    "",
                ]
            )
        )
        with (self.directory / "sentinel.log").open("ab") as log:
            self.sentinel = subprocess.Popen(  # noqa: ASYNC220 - it is started in a moment
                [str(find_server()), str(conf), "--sentinel"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        await self._until(self._sentinel_knows_both, "the Sentinel to know both")

    async def until_replicated(self) -> None:
        async def replicated() -> bool:
            return await self.primary.replicas() == 1

        await self._until(replicated, "the replica to be connected")

    async def fail_over(self) -> None:
        """The primary falls silent, the other takes its place."""
        self.primary.freeze()

        async def promoted() -> bool:
            return await self.replica.role() == "master"

        await self._until(promoted, "the replica to be promoted")
        self.primary, self.replica = self.replica, self.primary

    async def mend(self, *, quickly: bool) -> None:
        """The old primary comes back, and learns that it is a replica now: from the Sentinel, which takes ten seconds for it,
        or `quickly` from us.
        """
        self.replica.line.severed = False
        self.replica.thaw()
        if quickly:
            async with connected(self.replica.server.url) as redis:
                await redis.replicaof("127.0.0.1", self.primary.line.port)
        await self.until_replicated()

    async def stop(self) -> None:
        if self.sentinel:
            self.sentinel.terminate()
            self.sentinel.wait()
        for node in (self.primary, self.replica):
            await node.stop()

    async def _sentinel_knows_both(self) -> bool:
        redis = Redis(port=self.sentinel_port)
        try:
            return len(await redis.execute_command("SENTINEL", "REPLICAS", SERVICE)) == 1
        finally:
            await redis.aclose()

    async def _until(self, condition: object, what: str) -> None:
        deadline = time.monotonic() + 100
        while True:
            try:
                if await condition():  # type: ignore[operator] # a coroutine function
                    return
            except (RedisError, OSError):
                pass
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"waited in vain for {what}: {(self.directory / 'sentinel.log').read_text()[-2000:]}"
                )
            await asyncio.sleep(0.05)


@asynccontextmanager
async def pair(directory: Path, *options: str, sentinel: tuple[str, ...] = ()) -> AsyncIterator[Pair]:
    made = Pair(directory, *options)
    try:
        await made.start(*sentinel)
        yield made
    finally:
        await made.stop()
