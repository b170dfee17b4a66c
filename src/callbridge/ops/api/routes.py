"""The table as routes of the web server, and the page that explores them."""

from __future__ import annotations

from typing import Final

from callbridge.ops.api.endpoint import PREFIX
from callbridge.ops.api.explorer import show_explorer
from callbridge.ops.api.serving import handler_of
from callbridge.ops.api.table import ENDPOINTS
from callbridge.ops.web import Route
from callbridge.ops.who import Role

_JOB: Final = "/replay-jobs/{id}"


def _served(path: str) -> str:
    """As the server knows it: `preview` names no job, so that what may be done there is told rightly (`Allow`)."""
    return PREFIX + (path.replace("{id}", "{id:(?!preview$)[^/]+}") if path == _JOB else path)


ROUTES: Final[tuple[Route, ...]] = (
    *(Route(each.method, _served(each.path), handler_of(each), each.role, kind="api") for each in ENDPOINTS),
    Route("GET", "/api/", show_explorer, Role.VIEWER),
    Route("GET", "/api/docs", show_explorer, Role.VIEWER),
)
