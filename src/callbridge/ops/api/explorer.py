"""The page that lists the endpoints, tells what each takes, and tries them on the session of whoever looks.

A frame only: its script reads the OpenAPI document, as any other client does. It stands alone, without the dashboard's own
frame, so that it is the same for whoever writes programs in whatever language the pages are.
"""

from __future__ import annotations

from typing import Final

import jinja2
from aiohttp import hdrs, web

from callbridge.ops.api.endpoint import PREFIX
from callbridge.ops.api.problems import CODES
from callbridge.ops.dashboard.assets import asset
from callbridge.ops.web import WHO

DOCUMENT: Final = f"{PREFIX}/openapi.json"

_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("callbridge.ops.api"), autoescape=True, undefined=jinja2.StrictUndefined
)


async def show_explorer(request: web.Request) -> web.StreamResponse:
    who = request[WHO]
    page = _TEMPLATES.get_template("explorer.html").render(
        asset=asset, document=DOCUMENT, role=who.role.value, name=who.name, codes=CODES
    )
    return web.Response(text=page, headers={hdrs.CONTENT_TYPE: "text/html; charset=utf-8"})
