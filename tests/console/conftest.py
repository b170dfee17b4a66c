"""The whole console over a real Redis and a ledger in SQLite, without anybody to send calls to."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from callbridge.console import console
from callbridge.inspecting import ledger_url
from callbridge.ledger.access import AccessBook, AuditBook
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.operators import Operators
from callbridge.ops.access.tokens import Tokens
from callbridge.ops.actions import SourceTest
from callbridge.ops.who import Role, Who
from callbridge.settings import Settings
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from support.redis_server import RedisServer
from support.store import Bench

ROOT = Who("root", Role.ADMIN, "shell")
PASSWORD = "the lamp stands on the sill"


@dataclass
class Desk:
    url: str
    settings: Settings
    ledger: Ledger
    bench: Bench
    tokens: dict[Role, str]
    cookies: dict[Role, str]


def settings_of(folder: Path, redis: str, **changes: object) -> Settings:
    return Settings.model_validate(
        {
            "data_dir": folder,
            "log": {"level": "error"},
            "redis": {"url": redis, "prefix": secrets.token_hex(8)},
            "console": {"port": 0, "password": PASSWORD},
            "accounts": {"main": {"url": "http://127.0.0.1:9", "token": "token-of-the-test"}},
            "sources": {"office": {"provider": "generic", "secret": "whsec_dGhlIGNvbnNvbGUncyBvd24gdGVzdCBzZWNyZXQ="}},
        }
        | changes
    )


async def tester(_source: str) -> SourceTest:
    return SourceTest(ok=True, steps=(("read", "a call"),), problem=None)


async def logged_in(url: str, name: str, password: str) -> str:
    """The cookie of a new session."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{url}/login",
            data={"name": name, "password": password},
            headers={"Sec-Fetch-Site": "same-origin"},
            allow_redirects=False,
        ) as answer,
    ):
        assert answer.status == 303
        return answer.headers["Set-Cookie"].split(";", 1)[0]


@pytest.fixture
async def desk(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Desk]:
    settings = settings_of(tmp_path, redis_server.url)
    async with (
        open_ledger(ledger_url(settings)) as ledger,
        console(settings, redis_server.url, tester=tester, hooks=dict) as listening,
        connected(redis_server.url) as redis,
    ):
        book, audit = AccessBook(ledger), Audit(AuditBook(ledger), lambda: 1_790_000_000.0)
        desk_of, tokens = Operators(book, audit, lambda: 1_790_000_000.0), Tokens(book, audit, lambda: 1_790_000_000.0)
        issued, cookies = {}, {}
        for role in Role:
            issued[role] = (await tokens.issue(ROOT, f"a {role} program", role)).secret
            await desk_of.add(ROOT, f"a-{role}", role, PASSWORD)
            cookies[role] = await logged_in(listening.url, f"a-{role}", PASSWORD)
        bench = Bench(Scripts(redis, keys.root(settings.redis.prefix)))
        yield Desk(listening.url, settings, ledger, bench, issued, cookies)
