"""The product's processes under a benchmark, each started as an operator would start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.load import SECRET
from support.redis_server import RedisServer, free_port

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Process:
    popen: subprocess.Popen[bytes]
    port: int = 0

    def cpu(self) -> float:
        """Seconds of CPU so far, user and system."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


@contextmanager
def running(*command: str, env: dict[str, str] | None = None, port: int = 0, ready: str = "") -> Iterator[Process]:
    """A process of ours; waits until `ready` answers, stops it at the end, by its pid."""
    process = subprocess.Popen(
        [sys.executable, *command], env=os.environ | (env or {}), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        if ready:
            wait_for(ready, process)
        yield Process(process, port)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the process for {url} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{url} does not answer")


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read())


@dataclass
class Rig:
    """Redis with fsync always, and the settings that all roles share."""

    redis: RedisServer
    env: dict[str, str]
    crm_port: int
    stack: ExitStack

    def receiver(self) -> Process:
        port = free_port()
        env = self.env | {"CALLBRIDGE_RECEIVER__PORT": str(port)}
        ready = f"http://127.0.0.1:{port}/readyz"
        return self.stack.enter_context(running("-m", "callbridge", "receiver", env=env, port=port, ready=ready))

    def worker(self) -> Process:
        return self.stack.enter_context(running("-m", "callbridge", "worker", env=self.env))

    def crm(self, *options: str) -> Process:
        command = ("-m", "callbridge", "sim", "crm", "--port", str(self.crm_port), *options)
        return self.stack.enter_context(running(*command, port=self.crm_port, ready=f"{self.crm_url}/_sim"))

    @property
    def crm_url(self) -> str:
        return f"http://127.0.0.1:{self.crm_port}"


@contextmanager
def rig(directory: Path, *, accounts: int = 1, requests_per_second: float = 7) -> Iterator[Rig]:
    directory.mkdir(parents=True, exist_ok=True)
    redis = RedisServer(directory)
    crm = free_port()
    env = {
        "CALLBRIDGE_REDIS__URL": redis.url,
        "CALLBRIDGE_REDIS__ACCEPT_OLD": "true",
        "CALLBRIDGE_DATA_DIR": str(directory / "var"),
        "CALLBRIDGE_LOG__LEVEL": "info",
    }
    for number in range(accounts):
        name = f"A{number}"
        env |= {
            f"CALLBRIDGE_ACCOUNTS__{name}__URL": f"http://127.0.0.1:{crm}",
            f"CALLBRIDGE_ACCOUNTS__{name}__TOKEN": f"token-{number}",
            f"CALLBRIDGE_ACCOUNTS__{name}__REQUESTS_PER_SECOND": str(requests_per_second),
        }
    env |= {
        "CALLBRIDGE_SOURCES__OFFICE__PROVIDER": "generic",
        "CALLBRIDGE_SOURCES__OFFICE__SECRET": SECRET,
        "CALLBRIDGE_SOURCES__OFFICE__ACCOUNT": "a0",
    }
    with ExitStack() as stack:
        stack.callback(redis.stop)
        yield Rig(redis, env, crm, stack)
