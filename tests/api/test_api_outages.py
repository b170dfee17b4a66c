"""The real console while SQL or Redis is away: a problem that says which, for programs that were known before, too."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from callbridge.console import console
from callbridge.inspecting import ledger_url
from callbridge.ledger.database import open_ledger
from callbridge.ops.api.openapi import codes_of
from callbridge.ops.api.table import ENDPOINTS
from callbridge.ops.who import Role
from console import conftest as role
from support.postgres_server import PostgresServer
from support.redis_server import RedisServer
from support.rehearsal import tokens_of

ENOUGH = 30.0

BODIES: dict[str, Any] = {
    "preview_job": {"action": "replay", "filter": {}},
    "start_job": {"action": "replay", "filter": {}, "id": "job-00000001", "reason": "to see"},
    "pause_account": {"reason": "to see"},
    "mark_group": {"status": "fixed"},
}
PARTS = {"{id}": "nothing-1", "{name}": "main", "{account}": "main", "{reason}": "expired", "{cause}": "ab12"}

WITHOUT_SQL = {"show_status": 200, "show_call": 503, "list_accounts": 200, "list_sources": 200, "show_openapi": 200}
"""All else answers 503: nothing is changed that cannot be written down."""

WITHOUT_REDIS = {"reveal_call", "pause_account", "resume_account", "list_accounts", "list_sources"}
"""These answer 503: the call that is to be revealed is none of which the history knows. All else is told by the history."""


@pytest.fixture
def sql() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="pg") as directory:
        Path(directory).chmod(0o755)
        server = PostgresServer(Path(directory))
        yield server
        server.stop()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    yield server
    server.stop()


class Asking:
    """Every endpoint there is, with the token of an admin."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def all(self) -> dict[str, tuple[int, str]]:
        """Status and code of each operation."""
        found = {}
        for endpoint in ENDPOINTS:
            path = endpoint.path
            for part, value in PARTS.items():
                path = path.replace(part, value)
            body = {"json": BODIES[endpoint.operation]} if endpoint.has_body else {}
            async with self.session.request(endpoint.method, f"{self.url}/api/v1{path}", **body) as answer:
                told, code = await answer.json(content_type=None), ""
                if answer.status >= 400:
                    assert answer.content_type == "application/problem+json"
                    code = told["code"]
                    assert code in codes_of(endpoint), (endpoint.operation, code)
                    assert (answer.status == 503) == ("Retry-After" in answer.headers)
                found[endpoint.operation] = (answer.status, code)
        return found

    async def plain(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"{self.url}{path}") as answer:
            return answer.status, await answer.text()

    async def until(self, path: str, status: int) -> None:
        """What the overview tells is up to a second old."""
        deadline = time.monotonic() + ENOUGH
        while (await self.plain(path))[0] != status:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)


async def test_each_endpoint_says_which_part_is_away(tmp_path: Path, sql: PostgresServer, redis: RedisServer) -> None:
    settings = role.settings_of(tmp_path / "data", redis.url, ledger={"url": sql.url})
    async with (
        open_ledger(ledger_url(settings)) as ledger,
        console(settings, redis.url, tester=role.tester, hooks=dict) as listening,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {(await tokens_of(ledger))[Role.ADMIN]}"}) as session,
    ):
        asking = Asking(listening.url, session)
        before = await asking.all()
        assert {status for status, _ in before.values()} == {200, 404, 409}
        await asking.until("/readyz", 200)

        sql.stop()
        found = await asking.all()
        away = {name: answer for name, answer in found.items() if answer[0] == 503}
        assert set(away.values()) == {(503, "ledger_unavailable")}
        assert {name: found[name][0] for name in WITHOUT_SQL} == WITHOUT_SQL
        assert set(found) - set(away) == {name for name, status in WITHOUT_SQL.items() if status == 200}
        status, text = await asking.plain("/metrics")
        assert status == 200 and 'callbridge_up{part="redis"} 1.0' in text

        sql.start()
        redis.stop()
        found = await asking.all()
        away = {name: answer for name, answer in found.items() if answer[0] == 503}
        assert set(away.values()) == {(503, "store_unavailable")}
        assert set(away) == WITHOUT_REDIS
        status, text = await asking.plain("/metrics")
        assert status == 200 and 'callbridge_up{part="redis"} 0.0' in text and "callbridge_waiting{" not in text
        await asking.until("/readyz", 503)
        assert (await asking.plain("/livez"))[0] == 200
