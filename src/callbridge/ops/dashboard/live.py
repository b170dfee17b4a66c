"""Figures that go on by themselves: one stream of server-sent events for each open page that is looked at.

A part of a page is rendered once for all viewers with the same language and zone, and sent only when it changed. A stream
ends with its session, with the process, and where one session opens too many.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from aiohttp import hdrs, web

from callbridge.errors import StoreUnavailable
from callbridge.ops.dashboard.board import Setting, board_of
from callbridge.ops.dashboard.render import LATEST, rendered, view_context
from callbridge.ops.dashboard.viewing import View, view_of
from callbridge.ops.overview import Overview
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role

STREAMS_EACH: Final = 12
"""Open streams of one session."""

PERIOD: Final = 2.0
"""Seconds between two looks of a stream: a person sees no difference, twenty dashboards do."""

REFUSED_EVERY: Final = 5.0

SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "nav": ("marks",),
    "overview": (
        "marks",
        "banner",
        "figures",
        "speed",
        "chart",
        "groups",
        "accounts",
        "sources",
        "workers",
        "standing",
    ),
    "tv": ("tv",),
}
"""What a page shows that is live, by the name it asks for; each a template of `live/`."""

_AGES: Final = re.compile(r"(<time [^>]*data-ago>)[^<]*")


@dataclass(slots=True)
class Live:
    """What the streams of this process share."""

    parts: dict[tuple[str, str, str], str] = field(default_factory=dict)
    parts_of: Overview | None = None
    refused: Mapping[str, int] = field(default_factory=dict)
    refused_at: float = 0.0
    open: Counter[str] = field(default_factory=Counter)
    ending: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def counted(self, who: str) -> Iterator[None]:
        if self.open[who] >= STREAMS_EACH:
            raise web.HTTPTooManyRequests(text="too many open pages of one session\n")
        self.open[who] += 1
        try:
            yield
        finally:
            self.open[who] -= 1
            if not self.open[who]:
                del self.open[who]


LIVE: Final = web.AppKey("live", Live)


def setup_live(app: web.Application) -> None:
    app[LIVE] = Live()

    async def end(app: web.Application) -> None:
        app[LIVE].ending.set()

    app.on_shutdown.append(end)


async def show_live(request: web.Request) -> web.StreamResponse:
    show = request.query.get("show", "nav")
    if show not in SECTIONS:
        raise web.HTTPNotFound(text="no such stream\n")
    who, live = request[WHO], request.app[LIVE]
    with live.counted(who.session or who.name):
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",  # nginx would hold events back until its buffer is full
            }
        )
        await response.prepare(request)
        with suppress(ConnectionError):  # whoever looked has gone
            await _tell(request, response, SECTIONS[show])
    return response


async def _tell(request: web.Request, response: web.StreamResponse, names: Sequence[str]) -> None:
    """What changed, each time it is looked at; else a sign that the stream lives."""
    sent: dict[str, str] = {}
    number, view = 0, view_of(request)
    async for overview in _ticks(request):
        fresh = {name: part(request.app, name, overview, view) for name in names}
        ageless = {name: _AGES.sub(r"\1", html) for name, html in fresh.items()}
        changed = [fresh[name] for name in names if ageless[name] != sent.get(name)]
        sent = ageless
        number += bool(changed)
        await response.write(_event("overview" if changed else "still", number, "".join(changed)))
    if not request.app[LIVE].ending.is_set():
        await response.write(_event("end", number + 1, ""))


async def refused(app: web.Application) -> Mapping[str, int]:
    """How many webhooks of each source were turned away, a few seconds old at most; the last that is known without Redis."""
    live, now = app[LIVE], time.monotonic()
    if not live.refused_at or now - live.refused_at > REFUSED_EVERY:
        live.refused_at = now
        try:
            read = await app[CONSOLE].refusals.read()
        except StoreUnavailable:
            return live.refused
        live.refused = {source: sum(each.counts.values()) for source, each in read.items()}
    return live.refused


async def _ticks(request: web.Request) -> AsyncIterator[Overview]:
    """The overview each `PERIOD`, until the session or the process ends."""
    console, live, who = request.app[CONSOLE], request.app[LIVE], request[WHO]
    while not live.ending.is_set() and await console.gate.still(who):
        overview = await console.overviews.latest()
        request.app[LATEST].overview = overview
        await refused(request.app)
        yield overview
        try:
            await asyncio.wait_for(live.ending.wait(), PERIOD)
        except TimeoutError:
            continue


def part(app: web.Application, name: str, overview: Overview, view: View) -> str:
    """One live part as it looks now: rendered once for an overview, a language and a zone."""
    live = app[LIVE]
    if live.parts_of is not overview:
        live.parts_of, live.parts = overview, {}
    key = (name, view.language, view.zone.key)
    if key not in live.parts:
        board = board_of(overview, Setting.of(app[CONSOLE]), live.refused, view.words)
        live.parts[key] = rendered(app, f"live/{name}.html", **view_context(view, overview.at), o=overview, b=board)
    return live.parts[key]


def _event(name: str, number: int, data: str) -> bytes:
    lines = "".join(f"data: {line}\n" for line in data.splitlines()) or "data:\n"
    return f"id: {number}\nevent: {name}\n{lines}\n".encode()


ROUTES: Final = (Route("GET", "/live", show_live, Role.VIEWER, "plain"),)
