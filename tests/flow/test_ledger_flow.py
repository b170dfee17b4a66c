"""Calls through real processes, and a ledger whose writer is stopped and killed meanwhile: it has each of them, once."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from callbridge.ledger import keeping
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.writer import Writer
from callbridge.sim.crm import CrmSim
from callbridge.store import keys
from callbridge.store.changes import RedisChanges
from callbridge.store.connect import connected
from callbridge.store.forgetting import RedisForgetting
from callbridge.store.records import RedisRecords
from callbridge.store.scripts import Scripts
from flow.conftest import Bridge
from flow.test_flow import a_webhook, all_settled, listed, send, until
from support.redis_server import free_port

KILLS = 10


def console_of(bridge: Bridge) -> None:
    bridge.env["CALLBRIDGE_CONSOLE__PORT"] = str(free_port())
    bridge.env["CALLBRIDGE_CONSOLE__PASSWORD"] = "the ferry leaves at half past"


def ledger_file(bridge: Bridge) -> Path:
    return bridge.directory / "var" / "ledger.db"


def rows(bridge: Bridge, question: str) -> list[tuple[Any, ...]]:
    """What SQL says, past the program; nothing before there is a ledger."""
    try:
        with closing(sqlite3.connect(f"file:{ledger_file(bridge)}?mode=ro", uri=True, timeout=10)) as database:
            return database.execute(question).fetchall()
    except sqlite3.OperationalError:
        return []


def number(bridge: Bridge, question: str) -> int:
    found = rows(bridge, question)
    return int(found[0][0] or 0) if found else 0


async def told(bridge: Bridge, *command: str) -> Any:
    return json.loads(await asyncio.to_thread(bridge.cli, *command, "--json"))


async def caught_up(bridge: Bridge, calls: int) -> dict[str, Any]:
    for _ in range(100):
        found: dict[str, Any] = await told(bridge, "ledger", "status")
        if found["behind"] == 0 and found["written_at"]:
            assert found["calls"] == calls
            return found
        await asyncio.sleep(0.3)
    raise AssertionError(found)


async def in_redis(bridge: Bridge) -> dict[str, int]:
    return {state: count for state, count in (await told(bridge, "status"))["states"].items() if count}


def is_counted_once(bridge: Bridge, count: int) -> None:
    """Every figure is what counting the rows gives."""
    assert number(bridge, "SELECT count(*) FROM calls") == count
    by_state = rows(bridge, "SELECT state, count(*) FROM calls GROUP BY state")
    tallied = rows(bridge, "SELECT state, sum(calls) FROM tallies GROUP BY state HAVING sum(calls) <> 0")
    assert sorted(tallied) == sorted(by_state)
    minutes = dict(rows(bridge, "SELECT what, sum(calls) FROM minutes GROUP BY what HAVING sum(calls) <> 0"))
    assert minutes["received"] == count
    assert minutes["delivered"] == dict(by_state)["delivered"]
    assert number(bridge, "SELECT sum(calls) FROM latencies") <= minutes["delivered"]
    assert rows(bridge, "SELECT call_id FROM attempts GROUP BY call_id, batch_id HAVING count(*) > 1") == []
    assert number(bridge, "SELECT count(DISTINCT call_id) FROM bodies") == count


async def test_a_ledger_whose_writer_was_away_catches_up_and_counts_as_redis_does(bridge: Bridge) -> None:
    console_of(bridge)
    bridge.receiver()
    bridge.start("worker")
    first = bridge.start("console")
    await send(bridge, "office", [a_webhook(n) for n in range(500)])
    await all_settled(bridge, 500, {"delivered"})
    await caught_up(bridge, 500)
    first.terminate()
    assert await asyncio.to_thread(first.wait, 20) == 0
    await send(bridge, "office", [a_webhook(n) for n in range(500, 1000)])
    await all_settled(bridge, 1000, {"delivered"})
    assert (await told(bridge, "ledger", "status"))["behind"] > 0
    bridge.start("console")
    found = await caught_up(bridge, 1000)
    assert found["states"] == await in_redis(bridge) == {"delivered": 1000}
    is_counted_once(bridge, 1000)


async def test_a_writer_that_is_killed_again_and_again_counts_nothing_twice(bridge: Bridge, crm: CrmSim) -> None:
    console_of(bridge)
    bridge.receiver()
    bridge.start("worker")
    chance = random.Random(11)
    for kill in range(KILLS):
        console = bridge.start("console")
        before = number(bridge, "SELECT max(changed_at) FROM marks")
        await send(bridge, "office", [a_webhook(n) for n in range(kill * 40, kill * 40 + 40)])
        await until(lambda before=before: number(bridge, "SELECT max(changed_at) FROM marks") > before)  # type: ignore[misc] # mypy and lambda defaults
        await asyncio.sleep(chance.uniform(0, 0.1))
        console.kill()
        console.wait()
    count = KILLS * 40
    await all_settled(bridge, count, {"delivered"})
    async with a_writer(bridge) as (_, writer, _, _):
        while await writer.step():
            pass
    assert (await told(bridge, "ledger", "status"))["states"] == await in_redis(bridge) == {"delivered": count}
    is_counted_once(bridge, count)
    assert Counter(Counter(note.uniq for note in crm.notes).values()) == {1: count}


@asynccontextmanager
async def a_writer(bridge: Bridge) -> AsyncIterator[tuple[Ledger, Writer, RedisForgetting, RedisRecords]]:
    """One in this process, which takes over at once what those before it left."""
    async with connected(bridge.redis.url) as redis, open_ledger(f"sqlite:///{ledger_file(bridge)}") as ledger:
        scripts = Scripts(redis, keys.root("callbridge"))
        records = RedisRecords(scripts)
        changes = RedisChanges(scripts, "test", abandoned_after=0)
        yield ledger, Writer(ledger, changes, records, time.time), RedisForgetting(scripts), records


async def test_a_call_that_redis_forgot_is_found_counted_and_not_posted_again(bridge: Bridge, crm: CrmSim) -> None:
    bridge.receiver()
    bridge.start("worker")
    webhooks = [a_webhook(n) for n in range(30)]
    await send(bridge, "office", webhooks)
    before = await all_settled(bridge, 30, {"delivered"})
    states = await in_redis(bridge)
    async with a_writer(bridge) as (ledger, writer, forgetting, records):
        while await writer.step():
            pass
        later = time.time() + 5 * 86_400
        gone = 0
        while went := await keeping.forget(ledger, forgetting, records, before=later, now=later):
            gone += went
        while await writer.step():
            pass
        assert gone == 30
        assert await records.snapshots([str(row["id"]) for row in before]) == []
    assert await in_redis(bridge) == states
    after = await asyncio.to_thread(listed, bridge)
    assert sorted(after, key=str) == sorted(before, key=str)
    name = str(before[0]["id"])
    story = await told(bridge, "calls", "show", name)
    assert (story["id"], story["state"], story["phone"]) == (name, "delivered", before[0]["phone"])
    assert [entry["what"] for entry in story["story"]][:1] == ["received"]
    assert "delivered" in {entry["what"] for entry in story["story"]}

    assert set(await send(bridge, "office", webhooks)) == {200}
    more = await send(bridge, "office", [a_webhook(999)])
    assert set(more) == {200}
    await all_settled(bridge, 31, {"delivered"})
    assert len(crm.notes) == 31
    assert await in_redis(bridge) == {"delivered": 31}
    with_duplicates = await told(bridge, "calls", "show", name)
    assert with_duplicates["state"] == "delivered"
