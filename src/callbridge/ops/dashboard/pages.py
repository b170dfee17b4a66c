"""Every page there is, as one table: the console serves it, the access layer guards it, the tests walk it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from callbridge.ops.dashboard import (
    access_page,
    accounts_page,
    assets,
    audit_page,
    batch_page,
    calls_page,
    dead_page,
    edit_page,
    erase_page,
    jobs_page,
    live,
    overview,
    parked_page,
    sources_page,
    story_page,
    uncertain_page,
    viewing,
)
from callbridge.ops.dashboard.render import setup_templates
from callbridge.ops.web import Route

FRAME: Final = (
    Route("GET", f"{assets.ROOT}/{{name:.+}}", assets.serve_asset, None, "plain"),
    Route("POST", "/preferences", viewing.set_preferences, None),
)

ROUTES: Final[tuple[Route, ...]] = (
    *FRAME,
    *overview.ROUTES,
    *live.ROUTES,
    *calls_page.ROUTES,
    *story_page.ROUTES,
    *edit_page.ROUTES,
    *batch_page.ROUTES,
    *dead_page.ROUTES,
    *jobs_page.ROUTES,
    *parked_page.ROUTES,
    *uncertain_page.ROUTES,
    *accounts_page.ROUTES,
    *sources_page.ROUTES,
    *audit_page.ROUTES,
    *access_page.ROUTES,
    *erase_page.ROUTES,
)


def setup_pages(app: web.Application) -> None:
    """Templates and the live streams; the routes are added by whoever guards them."""
    setup_templates(app)
    live.setup_live(app)
