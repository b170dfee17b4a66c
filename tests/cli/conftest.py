"""The command line as a person uses it: in this process where it only reads, as a process of its own where it runs."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from callbridge import configuration
from callbridge.cli import main
from callbridge.receiver import receiver
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from support.redis_server import RedisServer, accepting
from support.store import Bench

T = TypeVar("T")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Office:
    """A configured callbridge: settings in the environment, a real Redis with keys of its own, a directory of its own."""

    def __init__(self, server: RedisServer, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.directory = directory
        self.capsys = capsys
        self.prefix = secrets.token_hex(8)
        self.env = {
            **accepting(),
            "CALLBRIDGE_DATA_DIR": str(directory / "var"),
            "CALLBRIDGE_REDIS__URL": server.url,
            "CALLBRIDGE_REDIS__PREFIX": self.prefix,
            "CALLBRIDGE_ACCOUNTS__MAIN__URL": "http://127.0.0.1:9",
            "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN": "token-of-the-test",
            "CALLBRIDGE_SOURCES__OFFICE__PROVIDER": "generic",
            "CALLBRIDGE_SOURCES__OFFICE__SECRET": "whsec_Y29tbWFuZC1saW5lLXRlc3Qtc2VjcmV0",
            "CALLBRIDGE_SOURCES__CITY__PROVIDER": "mango",
            "CALLBRIDGE_SOURCES__CITY__KEY": "city-key-of-the-test",
            "CALLBRIDGE_SOURCES__CITY__SECRET": "city-salt-of-the-test",
        }

    def run(self, *arguments: str) -> Ended:
        """One command in this process."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.env.items():
                patch.setenv(name, value)
            patch.chdir(self.directory)
            self.capsys.readouterr()
            code = main(arguments)
            captured = self.capsys.readouterr()
        assert "Traceback" not in captured.err
        return Ended(code, captured.out, captured.err)

    def seed(self, work: Callable[[Bench], Awaitable[T]]) -> T:
        async def seeded() -> T:
            async with connected(self.server.url) as redis:
                return await work(Bench(Scripts(redis, keys.root(self.prefix))))

        return asyncio.run(seeded())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """One command as a process of its own, for those that run until they are told to end."""
        return subprocess.Popen(
            [sys.executable, "-m", "callbridge", *arguments],
            env=os.environ | self.env,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def without(self, *names: str) -> None:
        for name in [name for name in self.env if any(part in name for part in names)]:
            del self.env[name]


@pytest.fixture
def office(
    redis_server: RedisServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Office:
    for name in [name for name in os.environ if name.upper().startswith("CALLBRIDGE_")]:
        monkeypatch.delenv(name)
    return Office(redis_server, tmp_path, capsys)


class Receiving:
    """A receiver with the office's settings, as they are when it is first asked for."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.stack = AsyncExitStack()
        self.url = ""

    async def listening(self) -> str:
        if not self.url:
            self.office.env["CALLBRIDGE_RECEIVER__PORT"] = "0"
            settings = configuration.load(self.office.env, self.office.directory)
            running = await self.stack.enter_async_context(receiver(settings, self.office.server.url))
            self.url = running.url
        return self.url

    async def send(self, *arguments: str, url: str = "") -> Ended:
        heard = await self.listening()
        return await asyncio.to_thread(self.office.run, "send", *arguments, "--url", url or heard)

    async def stored(self) -> list[dict[str, Any]]:
        return (await asyncio.to_thread(self.office.run, "calls", "list", "--json")).lines


@pytest.fixture
async def receiving(office: Office) -> AsyncIterator[Receiving]:
    receiving = Receiving(office)
    async with receiving.stack:
        yield receiving
