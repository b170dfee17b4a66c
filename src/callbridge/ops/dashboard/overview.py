"""The first page: are calls being lost or late right now, and what to do; then the figures, each leading to its list.

The same for a screen on the wall, which is read from three metres away.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from callbridge.ops.dashboard.board import Setting, board_of
from callbridge.ops.dashboard.live import refused
from callbridge.ops.dashboard.render import LATEST, render
from callbridge.ops.dashboard.viewing import words
from callbridge.ops.web import CONSOLE, Route
from callbridge.ops.who import Role


async def show_overview(request: web.Request) -> web.StreamResponse:
    return await _shown(request, "overview.html")


async def show_wall(request: web.Request) -> web.StreamResponse:
    return await _shown(request, "tv.html")


async def _shown(request: web.Request, template: str) -> web.StreamResponse:
    """What is not known is said on the page: it is shown with Redis or the ledger away, too."""
    console = request.app[CONSOLE]
    overview = await console.overviews.latest()
    request.app[LATEST].overview = overview
    board = board_of(overview, Setting.of(console), await refused(request.app), words(request))
    return render(request, template, o=overview, b=board)


ROUTES: Final = (
    Route("GET", "/", show_overview, Role.VIEWER),
    Route("GET", "/tv", show_wall, Role.VIEWER),
)
