"""What every command stands on: the settings, the event loop, an open store, and the three ways to end.

Exit codes are a contract: 0 done, 1 a problem was found, 2 wrong usage. A command returns, raises `Found` after it has told
its problem, or lets an error of ours through; `ending` puts that into words. No traceback for what a user did.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import typer

from callbridge import configuration
from callbridge.embedded import url_of
from callbridge.errors import CallbridgeError, LedgerUnavailable, Misconfigured, StoreUnavailable
from callbridge.inspecting import has_ledger, inspector, ledger_url
from callbridge.ledger.database import WANTED_REVISION, open_ledger
from callbridge.ledger.queries import Queries
from callbridge.ops.history import History
from callbridge.ops.inspect import Inspector
from callbridge.settings import Settings
from callbridge.store.connect import ping
from callbridge.wiring import Store, open_store

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
        case LedgerUnavailable():
            return PROBLEM, f"the ledger does not answer: {error}"
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
    """The store in use and an inspector over it, and over the ledger where there is one that answers."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, await redis_in_use(settings)))
        history = None
        if has_ledger(settings):
            ledger = await stack.enter_async_context(open_ledger(ledger_url(settings), migrate=False))
            with contextlib.suppress(LedgerUnavailable):  # what is live is told all the same
                history = History(Queries(ledger)) if await ledger.revision() == WANTED_REVISION else None
        yield store, inspector(store, settings, history)
