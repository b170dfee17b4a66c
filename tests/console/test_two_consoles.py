"""Two consoles over one PostgreSQL and one Redis: both tell the same, and what is to be done is done once."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from callbridge.console import console
from callbridge.ledger.access import AccessBook, AuditBook
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.queries import Queries
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.tokens import Tokens
from callbridge.ops.who import Role
from callbridge.outcome import State
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from console.conftest import PASSWORD, ROOT, logged_in, settings_of
from console.conftest import tester as tried
from support.postgres_server import PostgresServer
from support.redis_server import RedisServer
from support.store import Bench

ENOUGH = 40.0
COUNT = 250


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="pg") as directory:  # where the user postgres may look
        Path(directory).chmod(0o755)
        server = PostgresServer(Path(directory))
        yield server
        server.stop()


@dataclass
class Pair:
    urls: list[str]
    ledger: Ledger
    bench: Bench
    token: str
    told: list[dict[str, Any]] = field(default_factory=list)

    async def asked(self, which: int, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request("GET" if body is None else "POST", f"{self.urls[which]}/api/v1{path}", json=body) as answer,
        ):
            assert answer.status < 300, await answer.text()
            return await answer.json()


async def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + ENOUGH
    while True:
        found = holds()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


@pytest.fixture
async def pair(redis_server: RedisServer, postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Pair]:
    told: list[dict[str, Any]] = []

    async def hear(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.Response()

    hearing = web.Application()
    hearing.router.add_post("/alerts", hear)
    async with AsyncExitStack() as stack:
        runner = web.AppRunner(hearing)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        settings = settings_of(
            tmp_path,
            redis_server.url,
            ledger={"url": postgres.url},
            alerts={"webhook_url": f"http://{host}:{port}/alerts", "after": 0},
        )
        # At once, on an empty database: both bring the schema about.
        starting = [console(settings, redis_server.url, tester=tried, hooks=dict) for _ in range(2)]
        listening = [await stack.enter_async_context(each) for each in starting]
        ledger = await stack.enter_async_context(open_ledger(postgres.url))
        redis = await stack.enter_async_context(connected(redis_server.url))
        audit = Audit(AuditBook(ledger), time.time)
        token = await Tokens(AccessBook(ledger), audit, time.time).issue(ROOT, "a program", Role.ADMIN)
        bench = Bench(Scripts(redis, keys.root(settings.redis.prefix)))
        yield Pair([each.url for each in listening], ledger, bench, token.secret, told)


async def test_both_tell_the_same_and_what_is_to_be_done_is_done_once(pair: Pair) -> None:
    bench = pair.bench
    dead = await bench.bring_to(State.DEAD, COUNT, ref="dead", reason="refused_by_crm")
    await bench.bring_to(State.DELIVERED, 20, ref="delivered")

    async def written() -> bool:
        return (await Queries(pair.ledger).standing()).by_state == {"dead": COUNT, "delivered": 20}

    await until(written)
    lists = [await pair.asked(which, "/calls?limit=200") for which in (0, 1)]
    assert lists[0] == lists[1]
    groups = [await pair.asked(which, "/dead") for which in (0, 1)]
    assert groups[0] == groups[1]
    cookies = [await logged_in(url, "", PASSWORD) for url in pair.urls]
    for url in pair.urls:  # a session is good at either
        for cookie in cookies:
            async with aiohttp.ClientSession(headers={"Cookie": cookie}) as session, session.get(f"{url}/dead") as page:
                assert page.status == 200
                assert str(COUNT) in await page.text()

    await until(lambda: any(each["data"]["cause"].startswith("dead") for each in pair.told))
    body = {"id": "job-of-both", "action": "replay", "filter": {"state": ["dead"]}, "reason": "the CRM is itself again"}
    await asyncio.gather(*(pair.asked(which, "/replay-jobs", body | {"confirmed": COUNT}) for which in (0, 1)))

    async def done() -> bool:
        return bool((await pair.asked(1, "/replay-jobs/job-of-both"))["state"] == "done")

    await until(done)
    jobs = [await pair.asked(which, "/replay-jobs/job-of-both") for which in (0, 1)]
    assert jobs[0] == jobs[1]
    assert (jobs[0]["total"], jobs[0]["moved"]) == (COUNT, COUNT)
    stories = [await bench.records.story(call_id) for call_id in dead]
    assert {Counter(entry["what"] for entry in story)["replayed"] for story in stories} == {1}
    audit = await pair.asked(0, "/audit")
    assert len([entry for entry in audit["items"] if entry["action"].startswith("job")]) == 1, audit
    assert await Audit(AuditBook(pair.ledger), time.time).verify() is None
    await asyncio.sleep(11)  # two rounds of either's watch
    told = Counter((each["data"]["cause"], each["type"]) for each in pair.told)
    assert set(told.values()) == {1}, told
