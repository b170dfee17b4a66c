"""Templates to pages: escaped by default, strict about names, with what every page needs beside its own data.

Every template finds: `t` (texts, `t("key", name=value)`), `view` (language, zone, theme), `who` (None on open pages), `path`,
`query`, `now`, `here(**changes)` (this URL with parts of its query changed), `moment_of(ts)`, `may(role)`, `nav`, `flash`,
`last` (the last known overview, perhaps None), and the globals and filters below. Macros for pages are in `parts.html`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import aiohttp_jinja2
import jinja2
from aiohttp import hdrs, web
from multidict import MultiDict

from callbridge.ops.dashboard.assets import asset
from callbridge.ops.dashboard.board import group_link
from callbridge.ops.dashboard.times import Moment, moment
from callbridge.ops.dashboard.viewing import View, view_of
from callbridge.ops.dashboard.words import LANGUAGES, Words
from callbridge.ops.masking import masked, without_phones
from callbridge.ops.overview import Overview, Sentence, Trouble
from callbridge.ops.web import WHO
from callbridge.ops.who import Role

_CODE: Final = re.compile(r"[a-z][a-z_]{0,40}")


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the navigation. `count` names the figure shown beside it."""

    code: str
    path: str
    icon: str
    role: Role = Role.VIEWER
    count: str | None = None


NAV: Final[tuple[tuple[str, tuple[Place, ...]], ...]] = (
    (
        "now",
        (Place("overview", "/", "overview"), Place("calls", "/calls", "calls"), Place("batches", "/batches", "batch")),
    ),
    (
        "mend",
        (
            Place("dead", "/dead", "dead", count="dead"),
            Place("parked", "/parked", "parked", count="parked"),
            Place("uncertain", "/uncertain", "uncertain", count="uncertain"),
            Place("jobs", "/jobs", "jobs"),
        ),
    ),
    (
        "set_up",
        (
            Place("accounts", "/accounts", "accounts"),
            Place("sources", "/sources", "sources"),
            Place("audit", "/audit", "audit"),
            Place("access", "/access", "access", role=Role.ADMIN),
            Place("api", "/api/", "api"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Flash:
    """What has just been done: a code of ours from the URL, never a text from it."""

    key: str
    count: int


class Latest:
    """The overview that was last computed in this process: what the navigation's figures come from."""

    def __init__(self) -> None:
        self.overview: Overview | None = None


LATEST: Final = web.AppKey("latest", Latest)


def setup_templates(app: web.Application) -> None:
    aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("callbridge.ops.dashboard"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        default_helpers=False,
    )
    env = aiohttp_jinja2.get_env(app)
    del env.globals["app"]  # templates get values, not the application
    env.filters |= {"masked": masked, "without_phones": without_phones, "segment": segment}
    env.globals |= {"asset": asset, "languages": LANGUAGES, "Role": Role, "group_link": group_link}
    app[LATEST] = Latest()


def render(request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
    """A page. What it is given wins over what every page gets."""
    text = rendered(request.app, template, **page_context(request), **context)
    return web.Response(text=text, status=status, headers={hdrs.CONTENT_TYPE: "text/html; charset=utf-8"})


def rendered(app: web.Application, template: str, **context: Any) -> str:
    return aiohttp_jinja2.get_env(app).get_template(template).render(context)


def page_context(request: web.Request) -> dict[str, Any]:
    view, now, who = view_of(request), time.time(), request.get(WHO)
    return {
        **view_context(view, now),
        "who": who,
        "may": lambda role: who is not None and who.role.covers(Role(role)),
        "path": request.path,
        "query": request.query,
        "here": _here(request),
        "nav": NAV,
        "flash": _flash(request, view),
        "last": request.app[LATEST].overview,
    }


def view_context(view: View, now: float) -> dict[str, Any]:
    """What a fragment gets that many viewers share: nothing of a request, nothing of a person."""

    def moment_of(at: float | datetime) -> Moment:
        seconds = at.timestamp() if isinstance(at, datetime) else at
        return moment(seconds, now=now, zone=view.zone, words=view.words)

    return {
        "t": view.words,
        "view": view,
        "now": now,
        "moment_of": moment_of,
        "told": lambda said: told(said, view.words),
    }


def told(said: Sentence | Trouble, words: Words) -> str:
    """A sentence or trouble in the viewer's language; values of others masked."""
    values = {name: without_phones(value) if isinstance(value, str) else value for name, value in said.params.items()}
    if f"verdict.{said.code}" not in words:
        return said.detail if isinstance(said, Trouble) else said.text
    text = words(f"verdict.{said.code}", **values).replace("..", ".")
    return f"{text[:1].upper()}{text[1:]}"


def segment(value: str) -> str:
    """Text of others as one part of a path."""
    return quote(value, safe="")


def _here(request: web.Request) -> Callable[..., str]:
    def here(path: str | None = None, **changes: str | float | Iterable[str] | None) -> str:
        """This page's URL with parts of its query changed; None takes one out. A new filter begins at the first page."""
        query = MultiDict((name, value) for name, value in request.query.items() if name not in {"done", "n", "after"})
        for name, value in changes.items():
            query.popall(name, None)
            if value is None or value == "":
                continue
            for each in [value] if isinstance(value, str | int | float) else value:
                query.add(name, str(each))
        base = path or request.rel_url.raw_path
        asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
        return f"{base}?{asked}" if asked else base

    return here


def _flash(request: web.Request, view: View) -> Flash | None:
    code, count = request.query.get("done", ""), request.query.get("n", "")
    if not _CODE.fullmatch(code) or f"done.{code}" not in view.words:
        return None
    return Flash(f"done.{code}", int(count) if count.isascii() and count.isdigit() and len(count) < 10 else 0)


def done(path: str, code: str, count: int | None = None) -> web.HTTPSeeOther:
    """Back to a page after an action; it says `done.<code>` there. To be raised."""
    mark = f"done={code}" + (f"&n={count}" if count is not None else "")
    return web.HTTPSeeOther(f"{path}{'&' if '?' in path else '?'}{mark}")


def kept(query: Mapping[str, str], *names: str) -> list[tuple[str, str]]:
    """The parts of a query that a form carries on as hidden fields."""
    return [(name, value) for name, value in query.items() if name in names]
