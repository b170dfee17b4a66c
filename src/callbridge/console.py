"""The console role: pages, REST and metrics for people, and what goes on behind them.

    the ledger's writer   Redis's changes into SQL
    the jobs' runner      replays and other bulk actions, in slices
    housekeeping          Redis forgets what the ledger has, the ledger what is too old
    the watch             alerts

It starts whatever is away: without Redis or SQL it serves pages that say so, and goes on by itself once they are back. What
calls go through does not wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import aiohttp
from aiohttp import web

from callbridge import observe
from callbridge.amocrm.exchange import build_session
from callbridge.console_settings import AlertSettings
from callbridge.desk import Hooks, Tester, desk
from callbridge.errors import LedgerUnavailable
from callbridge.inspecting import ledger_url
from callbridge.ledger.alerting import LedgerAlerts
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.writer import Writer
from callbridge.ops import metrics
from callbridge.ops.access import pages as doors
from callbridge.ops.access.enforce import guard
from callbridge.ops.access.listening import Listening, listen
from callbridge.ops.access.origins import Place, is_loopback
from callbridge.ops.alerting import Trouble
from callbridge.ops.api.routes import ROUTES as API
from callbridge.ops.dashboard.pages import ROUTES as PAGES
from callbridge.ops.dashboard.pages import setup_pages
from callbridge.ops.housekeeping import Housekeeping
from callbridge.ops.overview import Overview
from callbridge.ops.telling import Channel, Mail, Telegram, Webhook
from callbridge.ops.watch import Look, Watch
from callbridge.ops.web import CONSOLE, Console, Route
from callbridge.settings import Settings
from callbridge.store.changes import RedisChanges
from callbridge.store.forgetting import RedisForgetting
from callbridge.wiring import Store, open_store

ROUTES: Final[tuple[Route, ...]] = (*PAGES, *doors.ROUTES, *API, *metrics.ROUTES)
"""Everything that the console answers, with the role that each needs."""

MIGRATE_AGAIN: Final = 5.0
STOP_WITHIN: Final = 10.0
"""Seconds in which what goes on behind the pages comes to an end by itself."""


@asynccontextmanager
async def console(
    settings: Settings,
    url: str,
    *,
    tester: Tester,
    hooks: Hooks,
    tell_link: Callable[[str], None] | None = None,
) -> AsyncIterator[Listening]:
    """A listening console. `tester` tries a source, `hooks` tells where each PBX posts, `tell_link` shows the address of a
    one-time link, at the start and whenever one is asked for, where no password is set. Raises `Misconfigured`.
    """
    name = f"console-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(settings, url))
        ledger = await stack.enter_async_context(open_ledger(ledger_url(settings), migrate=False))
        session = await stack.enter_async_context(build_session())
        known_as = [settings.console.public_url or ""]

        def told(token: str) -> None:
            if tell_link is not None:
                tell_link(f"{known_as[0]}/login?link={token}")

        parts = desk(settings, store, ledger, session, name=name, tester=tester, hooks=hooks, tell_link=told)
        stack.push_async_callback(parts.overviews.close)
        listening = await listen(build_app(parts), settings.console.host, settings.console.port)
        stack.push_async_callback(_end, stopping, _begun(stopping, parts, store, ledger, session, listening.url, name))
        stack.push_async_callback(listening.stop)
        known_as[0] = known_as[0] or listening.url
        parts.gate.renew_link()
        yield listening


def build_app(parts: Console) -> web.Application:
    """The whole console as a web application."""
    app = web.Application(client_max_size=256 * 1024)
    app[CONSOLE] = parts
    held = parts.settings.console
    guard(app, ROUTES, place=Place(held.host, held.public_url, loopback_only=is_loopback(held.host)))
    setup_pages(app)
    return app


def _begun(
    stopping: asyncio.Event,
    parts: Console,
    store: Store,
    ledger: Ledger,
    session: aiohttp.ClientSession,
    url: str,
    name: str,
) -> list[asyncio.Task[None]]:
    """What goes on behind the pages, once the ledger is there."""
    forgetting = RedisForgetting(store.scripts)

    async def bury(ids: Any) -> None:
        await forgetting.erase(ids)

    writer = Writer(ledger, RedisChanges(store.scripts, name), store.records, time.time, bury)
    housekeeping = Housekeeping(ledger, forgetting, store.records, parts.settings.ledger, time.time)
    watch = _watch(parts, ledger, session, url, name)
    ready = asyncio.Event()

    async def when_ready(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
        waiting = [asyncio.create_task(event.wait()) for event in (ready, stopping)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        if not stopping.is_set():
            await work(stopping)

    works = {"writer": writer.run, "jobs": parts.jobs.run, "housekeeping": housekeeping.run}
    tasks = {
        "migrate": _migrate(ledger, ready, stopping),
        "watch": watch.run(stopping),
        **{what: when_ready(work) for what, work in works.items()},
    }
    return [asyncio.create_task(_told(what, work), name=what) for what, work in tasks.items()]


async def _told(what: str, work: Coroutine[Any, Any, None]) -> None:
    """A bug in one of them must not end the others, nor go unheard."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - the border of a background task: somebody has to say what ended it
        observe.event("console.failed", level="critical", route=what, error=error)


async def _migrate(ledger: Ledger, ready: asyncio.Event, stopping: asyncio.Event) -> None:
    """Until it worked: a database may come later than we do."""
    while not stopping.is_set():
        try:
            await ledger.migrate()
        except LedgerUnavailable as error:
            observe.event("ledger.unavailable", level="warning", stage="migrate", error=error)
        else:
            ready.set()
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), MIGRATE_AGAIN)


async def _end(stopping: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    stopping.set()
    _, late = await asyncio.wait(tasks, timeout=STOP_WITHIN)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)


# --- alerts ----------------------------------------------------------------------------------------------------------


def _watch(parts: Console, ledger: Ledger, session: aiohttp.ClientSession, url: str, name: str) -> Watch:
    settings = parts.settings.alerts
    public = parts.settings.console.public_url or url

    async def ping() -> str | None:
        try:
            async with session.get(
                settings.heartbeat_url or "", allow_redirects=False, timeout=aiohttp.ClientTimeout(total=10)
            ) as response:
                return None if response.status < 400 else f"HTTP {response.status}"
        except (aiohttp.ClientError, OSError) as error:
            return type(error).__name__

    async def look() -> Look:
        return looked(await parts.overviews.latest())

    return Watch(
        look=look,
        channels=channels(settings, session),
        memory=LedgerAlerts(ledger),
        now=time.time,
        after=settings.after,
        runner=name,
        console=lambda: public,
        ping=ping if settings.heartbeat_url else None,
    )


def looked(overview: Overview) -> Look:
    """The overview's problems as alerts see them."""
    troubles = {each.cause: Trouble(each.cause, each.detail, each.link) for each in overview.problems}
    return Look(troubles, alive=overview.verdict in {"ok", "warning"})


def channels(settings: AlertSettings, session: aiohttp.ClientSession) -> list[Channel]:
    found: list[Channel] = []
    if settings.webhook_url:
        secret = settings.webhook_secret
        found.append(Webhook(session, settings.webhook_url, secret.get_secret_value() if secret else None))
    if settings.telegram_token and settings.telegram_chat:
        found.append(Telegram(session, settings.telegram_token.get_secret_value(), settings.telegram_chat))
    if settings.smtp_url and settings.mail_from:
        found.append(Mail(settings.smtp_url.get_secret_value(), settings.mail_from, settings.mail_to))
    return found
