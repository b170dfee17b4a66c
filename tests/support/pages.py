"""The console's pages in the process of a test: real templates, routes and texts over parts that the test makes up."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import web

from callbridge.errors import StoreUnavailable
from callbridge.ops.dashboard.pages import ROUTES, setup_pages
from callbridge.ops.web import CONSOLE, WHO, Console
from callbridge.ops.who import Role, Who
from callbridge.store.refusals import SourceRefusals


class Gate:
    """Sessions last until `over` is set."""

    def __init__(self) -> None:
        self.over = False

    async def still(self, who: Who) -> bool:
        return not self.over


class Refusals:
    """What was turned away, by source and code; `away` while there is no Redis."""

    def __init__(self, counts: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self.counts = counts or {}
        self.away = False

    async def read(self) -> Mapping[str, SourceRefusals]:
        if self.away:
            raise StoreUnavailable("away")
        return {source: SourceRefusals(counts) for source, counts in self.counts.items()}


class Overviews:
    """Always the overview that it was given; how often it was asked."""

    def __init__(self, overview: Any) -> None:
        self.overview = overview
        self.asked = 0

    async def latest(self) -> Any:
        self.asked += 1
        return self.overview

    def outdate(self) -> None:
        """There is no newer one."""


def a_console(**parts: Any) -> Console:
    """A console of which only the named parts exist, and a gate that lets everybody stay."""
    settings = SimpleNamespace(
        accounts={"main": SimpleNamespace(requests_per_second=7.0, url="https://example.amocrm.ru")},
        sources={"office": SimpleNamespace(provider="mango", account="main")},
        console=SimpleNamespace(public_url=None),
    )
    given = {
        "settings": settings,
        "now": time.time,
        "gate": Gate(),
        "refusals": Refusals(),
        "hooks": lambda: {"office": "https://pbx.example.com/hooks/office"},
    }
    return cast("Console", SimpleNamespace(**given | parts))


def an_app(console: Console, who: Who | None) -> web.Application:
    """All pages, for one who is already let in."""

    @web.middleware
    async def let_in(request: web.Request, handler: Any) -> web.StreamResponse:
        if who is not None:
            request[WHO] = who
        return cast("web.StreamResponse", await handler(request))

    app = web.Application(middlewares=[let_in])
    app[CONSOLE] = console
    setup_pages(app)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, route.handler)
    return app


def a_person(role: Role = Role.OPERATOR) -> Who:
    return Who("anna", role, "session", session="s1", proved_at=time.time())
