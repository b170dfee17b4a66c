"""A console with a few pages of its own behind the real guard, on a real socket, over a real database."""

from __future__ import annotations

import itertools
import types
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, cast

import aiohttp
from aiohttp import web
from argon2 import PasswordHasher

from callbridge.errors import LedgerUnavailable, StoreUnavailable
from callbridge.ops.access import headers, pages
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.enforce import guard
from callbridge.ops.access.gate import Gate
from callbridge.ops.access.headers import nonce
from callbridge.ops.access.listening import Listening, listen
from callbridge.ops.access.origins import Place
from callbridge.ops.access.passwords import Hashes
from callbridge.ops.dashboard.render import setup_templates
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role, Who

PASSWORD = "lilac harbour 94 teaspoon"


OPERATORS_PASSWORD = "walnut ferry 17 umbrella"


ADMIN = Who("admin", Role.ADMIN, "session")


@dataclass
class Clock:
    at: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.at


class Outage:
    """A book that can be away; `beside` is away together with another."""

    def __init__(self, book: Any, beside: Outage | None = None) -> None:
        self.book = book
        self.beside = beside or self
        self.away = False
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.book, name)

        async def asked(*args: Any, **named: Any) -> Any:
            self.asked += 1
            if self.beside.away:
                raise LedgerUnavailable("away")
            return await method(*args, **named)

        return asked


def fast_hashes() -> Hashes:
    return Hashes(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def make_gate(book: Any, audit: Audit, clock: Clock, *, password: str | None = PASSWORD, **more: Any) -> Gate:
    more.setdefault("loopback_only", True)
    return Gate(book, audit, clock, password=password, hashes=fast_hashes(), **more)


async def greet(request: web.Request) -> web.Response:
    return web.Response(text=f"hello {request[WHO].name}")


async def scripted(request: web.Request) -> web.Response:
    return web.Response(text=nonce(request))


async def act(request: web.Request) -> web.Response:
    request.app[DONE].append(request.path)
    return web.Response(text="done")


async def fail(request: web.Request) -> web.Response:
    raise RuntimeError(f"secret {request.query_string}")


async def store_away(request: web.Request) -> web.Response:
    raise StoreUnavailable("redis://secret@host")


async def ledger_away(request: web.Request) -> web.Response:
    raise LedgerUnavailable("postgresql://secret@host")


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"data: 1\n\n")
    if "fail" in request.query:
        raise RuntimeError("late")
    return response


async def kept_file(request: web.Request) -> web.Response:
    return web.Response(text="file", headers={"Cache-Control": headers.KEEP})


async def too_many(request: web.Request) -> web.Response:
    raise web.HTTPTooManyRequests(text="too many\n")


async def alive(request: web.Request) -> web.Response:
    return web.Response(text="ok")


DONE = web.AppKey("done", list)


ROUTES: tuple[Route, ...] = (
    *pages.ROUTES,
    Route("GET", "/", greet, Role.VIEWER),
    Route("GET", "/scripted", scripted, Role.VIEWER),
    Route("GET", "/for-operators", greet, Role.OPERATOR),
    Route("GET", "/calls/{id}", greet, Role.VIEWER),
    Route("POST", "/calls/{id}/act", act, Role.OPERATOR),
    Route("PUT", "/calls/{id}", act, Role.OPERATOR),
    Route("PATCH", "/calls/{id}", act, Role.OPERATOR),
    Route("DELETE", "/calls/{id}", act, Role.OPERATOR),
    Route("POST", "/calls/{id}/grave", act, Role.ADMIN, proof=True),
    Route("GET", "/fails", fail, Role.VIEWER),
    Route("GET", "/store", store_away, Role.VIEWER),
    Route("GET", "/history", ledger_away, Role.VIEWER),
    Route("GET", "/stream", stream, Role.VIEWER, "plain"),
    Route("GET", "/many", too_many, Role.VIEWER, "plain"),
    Route("GET", "/livez", alive, None, "plain"),
    Route("GET", "/static/kept.abc.js", kept_file, None, "plain"),
    Route("GET", "/api/v1/things", greet, Role.VIEWER, "api"),
    Route("POST", "/api/v1/things", act, Role.OPERATOR, "api"),
    Route("DELETE", "/api/v1/things", act, Role.ADMIN, "api", proof=True),
    Route("GET", "/api/v1/fails", fail, Role.VIEWER, "api"),
    Route("GET", "/api/v1/store", store_away, Role.VIEWER, "api"),
    Route("GET", "/api/v1/history", ledger_away, Role.VIEWER, "api"),
)


@dataclass
class Got:
    status: int
    headers: Any
    text: str


@dataclass
class Browser:
    """Keeps cookies and says, as browsers do, that its requests come from a page of the console."""

    http: aiohttp.ClientSession
    url: str
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)

    async def get(self, path: str, **headers_: str) -> Got:
        return await self.ask("GET", path, headers_)

    async def post(self, path: str, fields: dict[str, str] | None = None, **headers_: str) -> Got:
        return await self.ask("POST", path, {"Sec-Fetch-Site": "same-origin"} | headers_, data=fields)

    async def ask(self, method: str, path: str, headers_: dict[str, str], **more: Any) -> Got:
        sent = {name.replace("_", "-"): value for name, value in headers_.items()}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        async with self.http.request(
            method, f"{self.url}{path}", headers=sent, allow_redirects=False, **more
        ) as answer:
            for line in answer.headers.getall("Set-Cookie", []):
                self.set_cookies.append(line)
                for name, morsel in SimpleCookie(line).items():
                    if morsel.value:
                        self.cookies[name] = morsel.value
                    else:
                        self.cookies.pop(name, None)
            return Got(answer.status, answer.headers, (await answer.read()).decode())

    async def login(self, name: str = "", password: str = PASSWORD, **more: str) -> Got:
        return await self.post("/login", {"name": name, "password": password, **more})


@dataclass
class Site:
    gate: Gate
    book: Outage
    audit: Audit
    clock: Clock
    http: aiohttp.ClientSession
    listening: Listening
    done: list[str]
    names: Any = field(default_factory=lambda: itertools.count(1))

    def browser(self) -> Browser:
        return Browser(self.http, self.listening.url)

    async def logged_in(self, role: Role = Role.ADMIN) -> Browser:
        browser = self.browser()
        if role is Role.ADMIN:
            await browser.login()
        else:
            name = f"{role.value}{next(self.names)}"
            await self.gate.operators.add(ADMIN, name, role, OPERATORS_PASSWORD)
            await browser.login(name, OPERATORS_PASSWORD)
        assert browser.cookies
        return browser

    async def token(self, role: Role, **more: Any) -> dict[str, str]:
        issued = await self.gate.tokens.issue(ADMIN, f"a {role.value}", role, **more)
        return {"Authorization": f"Bearer {issued.secret}"}


async def serve(gate: Gate, place: Place | None = None) -> tuple[Listening, list[str]]:
    app = web.Application()
    done: list[str] = []
    app[DONE] = done
    app[CONSOLE] = cast("Any", types.SimpleNamespace(gate=gate))
    setup_templates(app)
    guard(app, ROUTES, place=place or Place("127.0.0.1", loopback_only=True))
    return await listen(app, "127.0.0.1", 0), done
