"""The roles as processes of their own, the way an operator runs them, so that they can be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from support.office import SECRET, TOKEN
from support.redis_server import RedisServer, accepting, free_port


class Bridge:
    """Redis, and as many receivers and workers as a test starts; all of them end with it."""

    def __init__(self, directory: Path, crm_url: str) -> None:
        self.directory = directory
        self.redis = RedisServer(directory)
        self.port = free_port()
        self.processes: list[subprocess.Popen[bytes]] = []
        self.log = directory / "log.jsonl"
        self.env = {
            **accepting(),
            "CALLBRIDGE_REDIS__URL": self.redis.url,
            "CALLBRIDGE_RECEIVER__PORT": str(self.port),
            "CALLBRIDGE_LOG__LEVEL": "debug",
            "CALLBRIDGE_LOG__FORMAT": "json",
            "CALLBRIDGE_ACCOUNTS__MAIN__URL": crm_url,
            "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN": TOKEN,
            "CALLBRIDGE_ACCOUNTS__MAIN__REQUESTS_PER_SECOND": "50",
            "CALLBRIDGE_DELIVERY__LEASE": "1s",
            "CALLBRIDGE_DELIVERY__REQUEST_TIMEOUT": "1s",
            "CALLBRIDGE_DELIVERY__SETTLE_DELAY": "500ms",
            "CALLBRIDGE_SOURCES__OFFICE__PROVIDER": "generic",
            "CALLBRIDGE_SOURCES__OFFICE__SECRET": SECRET,
            "CALLBRIDGE_SOURCES__CITY__PROVIDER": "mango",
            "CALLBRIDGE_SOURCES__CITY__KEY": "city-key-of-the-test",
            "CALLBRIDGE_SOURCES__CITY__SECRET": "city-salt-of-the-test",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, role: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log, (self.directory / "output.txt").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "callbridge", role],
                env=os.environ | self.env, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=output, stderr=log,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def receiver(self) -> subprocess.Popen[bytes]:
        process = self.start("receiver")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/readyz", timeout=1):
                    return process
            except OSError:
                if process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError(f"the receiver is not ready: {self.log.read_text()[-3000:]}")

    def cli(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "callbridge", *arguments]
        done = subprocess.run(
            command, env=os.environ | self.env, cwd=self.directory, capture_output=True, check=True, timeout=60
        )
        return done.stdout.decode()

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.redis.stop()


@pytest.fixture
async def crm() -> AsyncIterator[CrmSim]:
    sim = CrmSim(SimConfig(contacts=0, rate=0, match_all=True))
    await sim.start()
    yield sim
    await sim.stop()


@pytest.fixture
def bridge(tmp_path: Path, crm: CrmSim) -> Iterator[Bridge]:
    bridge = Bridge(tmp_path, crm.url)
    yield bridge
    bridge.close()
