"""A real redis-server for tests: own directory, own socket, AOF with fsync always, and it can be killed."""

from __future__ import annotations

import functools
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from callbridge.embedded import find_server


class RedisServer:
    """Starts at once; raises when it cannot: a test without its server is a failure."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.options = options
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        command = [
            str(find_server()), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory),
            "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction",
            *self.options,
        ]  # fmt: skip
        with (self.directory / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
        deadline = time.monotonic() + 20
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server did not start: {(self.directory / 'redis.log').read_text()[-2000:]}")
            time.sleep(0.01)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@functools.cache
def version() -> tuple[int, int]:
    """Of the redis-server that the tests use: where none is on PATH, the bundled 6.2."""
    told = subprocess.run([str(find_server()), "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = re.findall(r"v=(\d+)\.(\d+)", told)[0]
    return int(major), int(minor)


def accepting() -> dict[str, str]:
    """Settings with which the server of the tests is accepted, whichever it is."""
    return {"CALLBRIDGE_REDIS__ACCEPT_OLD": "true"} if version() < (7, 0) else {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
