"""What every command stands on: the settings, the event loop, an open store, and the three ways to end.

Exit codes are a contract: 0 done, 1 a problem was found, 2 wrong usage. A command returns, raises `Found` after it has told
its problem, or lets an error of ours through; `ending` puts that into words. No traceback for what a user did.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import typer

from callbridge import configuration
from callbridge.credentials import expiries
from callbridge.embedded import url_of
from callbridge.errors import CallbridgeError, Misconfigured, StoreUnavailable
from callbridge.ops.authorised import token_end
from callbridge.ops.inspect import Inspector
from callbridge.settings import Settings
from callbridge.store.connect import ping
from callbridge.store.durability import Standing, stands
from callbridge.store.spool import SPOOL_FILE
from callbridge.store.spools import SpoolReport, report_of
from callbridge.wiring import Store, asked, open_store

T = TypeVar("T")

DONE: Final = 0
PROBLEM: Final = 1
WRONG_USAGE: Final = 2


_new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
with contextlib.suppress(ImportError):  # there is no build of it for some platforms
    import uvloop

    _new_event_loop = uvloop.new_event_loop


class WrongUsage(CallbridgeError):
    """What was typed cannot be meant; the message says what to type."""


class Found(typer.Exit):
    """A problem was found, and has been told already."""

    def __init__(self) -> None:
        super().__init__(PROBLEM)


@dataclass(frozen=True, slots=True)
class Options:
    """What stands before the command's name."""

    config: Path | None


def ending(error: CallbridgeError) -> tuple[int, str]:
    """The exit code and the words for an error that a command let through."""
    match error:
        case WrongUsage():
            return WRONG_USAGE, str(error)
        case StoreUnavailable():
            return PROBLEM, f"Redis does not answer: {error}"
        case _:
            return PROBLEM, str(error)


def settings_of(context: typer.Context) -> Settings:
    """Raises `Misconfigured`."""
    options = context.ensure_object(Options)
    environ = dict(os.environ)
    if options.config is not None:
        environ[configuration.CONFIG] = str(options.config)
    return configuration.load(environ, Path.cwd())


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=_new_event_loop) as runner:
        return runner.run(work)


async def redis_in_use(settings: Settings) -> str:
    """The configured Redis, or the embedded one of a `callbridge up` that runs on this data directory."""
    if settings.redis.url is not None:
        return settings.redis.url.get_secret_value()
    url = url_of(settings.data_dir)
    if not await ping(url):
        raise Misconfigured(
            f"`callbridge up` is not running here (data directory {settings.data_dir}), and no Redis is configured"
        )
    return url


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Store, Inspector]]:
    """The store in use and an inspector over it."""
    async with open_store(settings, await redis_in_use(settings)) as store:
        yield store, inspector(store, settings)


def inspector(store: Store, settings: Settings) -> Inspector:
    return Inspector(
        store.records,
        store.tally,
        store.presence,
        lambda: standing(store, settings),
        settings.accounts,
        lambda: {name: token_end(at, time.time()) for name, at in expiries(settings).items()},
        lambda: spools(store, settings),
    )


async def standing(store: Store, settings: Settings) -> Standing:
    """What Redis keeps, and whether it is the one that this host knows. Changes nothing."""
    found = await stands(store.scripts.redis, asked(settings))
    foreign = None if found.passing else await store.epoch.differs()
    problems = (*found.problems, foreign) if foreign else found.problems
    return replace(found, problems=problems, spools=bool(settings.receiver.spool_size))


async def spools(store: Store, settings: Settings) -> Mapping[str, SpoolReport]:
    """What every host last told, and what is in the file of this one."""
    return {**await store.spools.read(), **spool_here(settings)}


def spool_here(settings: Settings) -> Mapping[str, SpoolReport]:
    file = settings.data_dir / SPOOL_FILE
    return {socket.gethostname(): report_of(file, time.time())} if file.exists() else {}
