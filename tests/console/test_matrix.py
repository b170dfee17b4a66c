"""Who may what: every route of the console, asked by nobody and by each role. The table itself is walked, so a new route is
judged from its first day.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from callbridge.console import ROUTES, build_app
from callbridge.ops.web import Route
from callbridge.ops.who import Role
from console.conftest import Desk, settings_of

SAFE = {"GET", "HEAD"}
OWN_WAY = {"/logout", "/proof"}
"""The first ends the session that asks, the second refuses a wrong password whoever it is."""


def address(route: Route) -> str:
    """With something in place of each name in the path."""
    named = re.sub(r"\{\w+:((?:\w+\|)+\w+)\}", lambda choice: choice[1].split("|")[0], route.path)
    return re.sub(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}", "none-such", named)


async def status(session: aiohttp.ClientSession, url: str, route: Route, headers: dict[str, str]) -> int:
    body = {"json": {}} if route.kind == "api" and route.method not in SAFE else {}
    if route.kind == "page" and route.method not in SAFE:
        body = {"data": {"none": "such"}}
    async with session.request(
        route.method, f"{url}{address(route)}", headers=headers, allow_redirects=False, **body
    ) as answer:
        return answer.status


def test_no_two_routes_share_a_place() -> None:
    places = Counter((route.method, route.path) for route in ROUTES)
    assert [place for place, times in places.items() if times > 1] == []


def test_what_is_open_to_everybody_is_known_by_name() -> None:
    open_routes = {(route.method, route.path) for route in ROUTES if route.role is None}
    assert open_routes == {
        ("GET", "/static/{name:.+}"), ("POST", "/preferences"), ("GET", "/login"), ("POST", "/login"),
        ("POST", "/login/link"), ("GET", "/livez"), ("GET", "/readyz"),
    }  # fmt: skip


def test_only_get_reads() -> None:
    """What changes something is a POST, PUT, PATCH or DELETE and has a role."""
    assert {route.method for route in ROUTES} <= {"GET", "POST", "PUT", "PATCH", "DELETE"}
    changing = [route for route in ROUTES if route.method != "GET" and route.role is None]
    assert {route.path for route in changing} == {"/preferences", "/login", "/login/link"}


def test_the_console_answers_nothing_that_is_not_in_the_table(tmp_path: Path) -> None:
    """A route that went past the table would be asked by nobody here."""
    app = build_app(cast("Any", SimpleNamespace(settings=settings_of(tmp_path, "redis://127.0.0.1:9/0"))))
    served = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource}
    listed = {(route.method, web.Application().router.add_resource(route.path).canonical) for route in ROUTES}
    heads = {("HEAD", path) for method, path in listed if method == "GET"}
    assert listed <= served <= listed | heads


async def test_each_role_may_do_what_the_table_says_and_nothing_else(desk: Desk) -> None:
    wrong: list[str] = []
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        for route in (route for route in ROUTES if route.role is not None and route.path not in OWN_WAY):
            found = await status(session, desk.url, route, {"Sec-Fetch-Site": "same-origin"})
            if found not in ({401} if route.kind != "page" else {303, 401, 403}):
                wrong.append(f"nobody {route.method} {route.path}: {found}")
            for role in Role:
                by_cookie = {"Cookie": desk.cookies[role], "Sec-Fetch-Site": "same-origin"}
                by_token = {"Authorization": f"Bearer {desk.tokens[role]}"}
                for headers in (by_cookie,) if route.kind == "page" else (by_cookie, by_token):
                    found = await status(session, desk.url, route, headers)
                    may = role.covers(route.role)
                    if (found in {401, 403}) is may or found >= 500:
                        wrong.append(f"{role} {route.method} {route.path}: {found}")
    assert wrong == []


@pytest.mark.parametrize("site", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {}])
async def test_nothing_is_changed_for_another_origin(desk: Desk, site: dict[str, str]) -> None:
    headers = {"Cookie": desk.cookies[Role.ADMIN], **site}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        for route in (route for route in ROUTES if route.method not in SAFE):
            assert await status(session, desk.url, route, headers) == 403, route


async def test_a_token_opens_no_page(desk: Desk) -> None:
    headers = {"Authorization": f"Bearer {desk.tokens[Role.ADMIN]}"}
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        for route in (route for route in ROUTES if route.kind == "page" and route.method == "GET" and route.role):
            assert await status(session, desk.url, route, headers) in {303, 401, 403}, route
