"""`callbridge up`, `receiver`, `worker`, `console`: the roles as processes.

A role prints where it can be reached, logs to stderr, and ends orderly: it stops listening, finishes what it has read,
settles what is in flight, and closes Redis last.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import typer

from callbridge import observe
from callbridge.commands import output
from callbridge.commands.frame import run, settings_of
from callbridge.commands.sampling import tested
from callbridge.commands.senders import receiver_url
from callbridge.commands.stopping import stop_signals
from callbridge.console import console as consoles
from callbridge.desk import Hooks, hooks_at
from callbridge.embedded import embedded_redis
from callbridge.errors import Misconfigured
from callbridge.guide import secret_values
from callbridge.intake.http import Running
from callbridge.ops.access.listening import Listening
from callbridge.ops.actions import SourceTest
from callbridge.receiver import receiver as receiving
from callbridge.settings import Settings
from callbridge.store.connect import shut_down
from callbridge.wiring import redis_url
from callbridge.worker import worker as working


@dataclass(frozen=True, slots=True)
class Product:
    """Receiver, worker and console, running in this process; `url` is the receiver's, `console` the console's."""

    url: str
    console: str
    worker: asyncio.Task[None]

    async def until(self, stopping: asyncio.Event) -> None:
        """Until `stopping` is set. A worker that ended by itself did so with an error, which is raised here."""
        waiting = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({waiting, self.worker}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if not stopping.is_set():
            await self.worker


@asynccontextmanager
async def product(
    settings: Settings, url: str, *, tell_link: Callable[[str], None] | None = None
) -> AsyncIterator[Product]:
    """The whole product over the Redis at `url`. It ends in the order in which nothing is lost: first no more webhooks come
    in, then what is in flight is settled.
    """
    stopping = asyncio.Event()
    async with working(settings, url, stopping) as role:
        task = asyncio.create_task(role.run(stopping))
        try:
            async with (
                _listening(settings, url) as running,
                consoling(
                    settings, url, hooks=lambda: hooks_at(settings, running.url), tell_link=tell_link
                ) as listening,
            ):
                yield Product(running.url, listening.url, task)
        finally:
            stopping.set()
            await asyncio.gather(task, return_exceptions=True)


def up(context: typer.Context) -> None:
    """Run receiver, worker and console in one process.

    Where no Redis is configured it runs one of its own, whose data is in the data directory.
    """
    settings = settings_of(context)
    _needs(settings, sources=True)
    _begin(settings, "up")
    run(_up(settings))


async def _up(settings: Settings) -> None:
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        if settings.redis.url is not None:
            url = redis_url(settings)
            stack.enter_context(stop_signals(stopping))
        else:
            url = await stack.enter_async_context(embedded_redis(settings.data_dir))
            stack.enter_context(stop_signals(stopping, put_away=lambda: shut_down(url)))
            _say(f"Redis      embedded, its data is in {settings.data_dir}")
        running = await stack.enter_async_context(product(settings, url, tell_link=tell_link))
        tell_hooks(settings, running.url)
        tell_console(settings, running.console)
        await running.until(stopping)
        _say("Stopping: finishing what has been begun. A second Ctrl-C does not wait.")
    observe.event("process.stopped")


def receiver(context: typer.Context) -> None:
    """Run the receiver: webhooks in. Needs a Redis that the workers share."""
    settings = settings_of(context)
    redis_url(settings)
    _needs(settings, sources=True)
    _begin(settings, "receiver")
    run(_receiver(settings))


async def _receiver(settings: Settings) -> None:
    stopping = asyncio.Event()
    with stop_signals(stopping):
        async with _listening(settings, redis_url(settings)) as running:
            tell_hooks(settings, running.url)
            await stopping.wait()
    observe.event("process.stopped")


def worker(context: typer.Context) -> None:
    """Run a worker: calls out to the CRM. As many as you like may run against one Redis."""
    settings = settings_of(context)
    redis_url(settings)
    _needs(settings, sources=False)
    _begin(settings, "worker")
    run(_worker(settings))


async def _worker(settings: Settings) -> None:
    stopping = asyncio.Event()
    with stop_signals(stopping):
        async with working(settings, redis_url(settings), stopping) as role:
            observe.event("process.ready", worker=role.name, accounts=len(settings.accounts))
            await role.run(stopping)
    observe.event("process.stopped")


def console(context: typer.Context) -> None:
    """Run the console: pages, REST and metrics for operators, and the ledger's writer."""
    settings = settings_of(context)
    redis_url(settings)
    _begin(settings, "console")
    run(_console(settings))


async def _console(settings: Settings) -> None:
    stopping = asyncio.Event()
    hooks = hooks_at(settings, receiver_url(settings))
    with stop_signals(stopping):
        async with consoling(settings, redis_url(settings), hooks=lambda: hooks, tell_link=tell_link) as listening:
            tell_console(settings, listening.url)
            observe.event("process.ready", url=listening.url, accounts=len(settings.accounts))
            await stopping.wait()
    observe.event("process.stopped")


@asynccontextmanager
async def consoling(
    settings: Settings, url: str, *, hooks: Hooks, tell_link: Callable[[str], None] | None
) -> AsyncIterator[Listening]:
    """The console; an address on which it cannot listen is the operator's to change."""

    async def tester(source: str) -> SourceTest:
        return await asyncio.to_thread(tested, settings, source)

    async with AsyncExitStack() as stack:
        try:
            listening = await stack.enter_async_context(
                consoles(settings, url, tester=tester, hooks=hooks, tell_link=tell_link)
            )
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise Misconfigured(
                f"cannot listen on {settings.console.host}:{settings.console.port} (console.host, console.port): {why}"
            ) from error
        yield listening


def tell_console(settings: Settings, url: str) -> None:
    """Where operators look. Without a password a link was shown, which opens it."""
    if settings.console.password is not None:
        _say(f"Console    {settings.console.public_url or url}   log in as admin")


def tell_link(address: str) -> None:
    _say(f"Console    {address}   opens once, within 15 minutes")


def tell_hooks(settings: Settings, base: str) -> None:
    """Where each PBX has to post. A path token is a secret, so its place is shown, not itself."""
    for name, source in settings.sources.items():
        secret = "/PATH_TOKEN" if source.path_token else ""
        _say(f"Webhooks   {base}/hooks/{name}{secret}   {source.provider}, account {settings.account_of(name)}")
    observe.event("process.ready", url=base, sources=len(settings.sources))


@asynccontextmanager
async def _listening(settings: Settings, url: str) -> AsyncIterator[Running]:
    """The receiver; an address on which it cannot listen is the operator's to change."""
    async with AsyncExitStack() as stack:
        try:
            running = await stack.enter_async_context(receiving(settings, url))
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise Misconfigured(
                f"cannot listen on {settings.receiver.host}:{settings.receiver.port} (receiver.host, receiver.port): {why}"
            ) from error
        yield running


def _needs(settings: Settings, *, sources: bool) -> None:
    if not settings.accounts:
        raise Misconfigured("no account is configured: set CALLBRIDGE_ACCOUNTS__MAIN__URL and __TOKEN")
    if sources and not settings.sources:
        raise Misconfigured("no source is configured: set CALLBRIDGE_SOURCES__OFFICE__PROVIDER and its secret")


def _begin(settings: Settings, role: str) -> None:
    observe.configure(settings.log, role=role, secrets=secret_values(settings))
    observe.event("process.started", accounts=len(settings.accounts), sources=len(settings.sources))


def _say(line: str) -> None:
    output.console().print(output.plain(line))
