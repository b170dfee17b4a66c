"""An erased number stays away: from every file, and whatever comes afterwards, a backup of either side among it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from callbridge.console_settings import LedgerSettings
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ledger.queries import Queries
from callbridge.ledger.writer import Writer
from callbridge.ops.housekeeping import Housekeeping
from callbridge.outcome import Settlement, State
from callbridge.store.changes import RedisChanges
from callbridge.store.forgetting import RedisForgetting
from cli.conftest import Office
from support.builders import a_finished_call, a_recording
from support.redis_server import RedisServer
from support.store import A_NOTE, Bench

PHONE, OTHER = "+74955550199", "+74955550123"
REFS = ("delivered", "dead", "parked", "waiting")
TRACES = ("4955550199", "9910555594")
"""Its digits, and as an index that looks from the end might have them."""


@pytest.fixture
def redis_of_its_own(tmp_path: Path) -> Iterator[RedisServer]:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    yield server
    server.stop()


@pytest.fixture
def office(redis_of_its_own: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Office:
    return Office(redis_of_its_own, tmp_path, capsys)


def ledger_of(office: Office) -> Path:
    return Path(office.env["CALLBRIDGE_DATA_DIR"], "ledger.db")


@asynccontextmanager
async def opened(office: Office, bench: Bench) -> AsyncIterator[tuple[Ledger, Writer, Housekeeping]]:
    """The ledger as a console has it."""
    forgetting = RedisForgetting(bench.scripts)

    async def bury(ids: Any) -> None:
        await forgetting.erase(ids)

    async with open_ledger(f"sqlite:///{ledger_of(office)}") as ledger:
        changes = RedisChanges(bench.scripts, "test", abandoned_after=0)
        writer = Writer(ledger, changes, bench.records, time.time, bury)
        yield ledger, writer, Housekeeping(ledger, forgetting, bench.records, LedgerSettings(), time.time)


def written(office: Office, *, tidy: bool = False) -> None:
    async def write(bench: Bench) -> None:
        async with opened(office, bench) as (_, writer, housekeeping):
            while await writer.step():
                pass
            if tidy:
                await housekeeping.round()
                while await writer.step():
                    pass

    office.seed(write)


def filled(office: Office) -> list[str]:
    """Calls with the number in every state that it can be found in; one of somebody else. Their ids."""

    async def fill(bench: Bench) -> list[str]:
        body = json.dumps({"id": "x", "phone": PHONE}).encode()
        await bench.bring_to(State.DEAD, ref="other", reason="refused_by_crm", phone=OTHER)
        ids = [
            *await bench.bring_to(State.DELIVERED, ref="delivered", phone=PHONE, body=body),
            *await bench.bring_to(State.DEAD, ref="dead", reason="refused_by_crm", phone=PHONE, body=body),
            *await bench.bring_to(State.PARKED, ref="parked", reason="no_matching_entity", phone=PHONE, body=body),
            *await bench.store(ref="waiting", phone="8 (495) 555-01-99", body=body),
        ]
        return list(map(str, ids))

    ids = office.seed(fill)
    written(office)
    return ids


def traces_in_redis(bench: Bench) -> Awaitable[list[str]]:
    async def look() -> list[str]:
        kept = repr(await bench.everything())
        found = [trace for trace in TRACES if trace in kept]
        listed = [record async for record in bench.records.newest()]
        return found + [record.id for record in listed if record.call and record.call.phone != OTHER]

    return look()


def traces_in_sql(office: Office) -> list[str]:
    """In what SQL tells, and in the raw files beside it."""
    with sqlite3.connect(ledger_of(office)) as database:
        told = "\n".join(database.iterdump())
    database.close()
    found = [trace for trace in TRACES if trace in told]
    for file in ledger_of(office).parent.glob("ledger.db*"):
        found += [f"{trace} in {file.name}" for trace in TRACES if trace.encode() in file.read_bytes()]
    return found


def is_gone(office: Office, ids: list[str]) -> None:
    assert office.seed(traces_in_redis) == []
    assert traces_in_sql(office) == []

    async def states(bench: Bench) -> dict[str, str]:
        async with opened(office, bench) as (ledger, _, _):
            rows = await Queries(ledger).rows(ids)
            told = {call_id: row.state for call_id, row in rows.items()}
            assert all(row.phone is None and row.uniq is None for row in rows.values())
            for call_id in ids:
                shown = await Queries(ledger).call(call_id)
                assert shown
                assert shown.envelope is None
        return told

    assert office.seed(states) == dict.fromkeys(ids, "erased")


def erased(office: Office) -> list[str]:
    ids = filled(office)
    assert office.run("erase", PHONE, "--yes", "--json").json == {"erased": len(ids)}
    is_gone(office, ids)
    return ids


def test_redis_writes_its_log_without_the_number(office: Office) -> None:
    ids = filled(office)

    def log() -> bytes:
        return b"".join(file.read_bytes() for file in office.server.directory.rglob("appendonly*") if file.is_file())

    async def packed(bench: Bench) -> list[bytes]:
        redis: Any = bench.scripts.redis
        return list(await redis.hmget(f"{bench.scripts.root}bodies", ids))

    bodies = office.seed(packed)
    assert all(body in log() for body in bodies)
    assert office.run("erase", PHONE, "--yes").code == 0
    deadline = time.monotonic() + 20
    while any(body in log() for body in bodies):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_comes_afterwards_does_not_bring_it_back(office: Office) -> None:
    ids = erased(office)
    for command in (["dead", "replay", *ids, "--yes"], ["dead", "discard", *ids, "--yes", "--reason", "x"]):
        office.run(*command)

    async def again(bench: Bench) -> list[str]:
        receipts = await bench.inbox.put(
            [a_finished_call(ref=f"{ref}0", phone=PHONE, body=PHONE.encode()) for ref in REFS]
        )
        link = f"https://rec.example.org/{PHONE}.mp3"
        for ref in REFS:
            await bench.inbox.put([a_recording(f"{ref}0", link=link, note_late=late) for late in (True, False)])
        return [receipt.kind.value for receipt in receipts]

    assert office.seed(again) == ["duplicate"] * 4
    written(office, tidy=True)
    is_gone(office, ids)


def test_an_older_ledger_does_not_bring_it_back(office: Office, tmp_path: Path) -> None:
    filled(office)
    shutil.copy(ledger_of(office), tmp_path / "before.db")
    assert office.run("erase", PHONE, "--yes", "--json").json == {"erased": 4}
    ids = [row["id"] for row in office.run("calls", "list", "--json").lines if row["state"] == "erased"]
    for file in ledger_of(office).parent.glob("ledger.db*"):
        file.unlink()
    shutil.copy(tmp_path / "before.db", ledger_of(office))
    assert traces_in_sql(office) != []
    written(office, tidy=True)
    is_gone(office, ids)


def restored(dump: dict[bytes, bytes]) -> Callable[[Bench], Awaitable[None]]:
    async def restore(bench: Bench) -> None:
        redis: Any = bench.scripts.redis
        for key in await redis.keys(f"{bench.scripts.root}*"):
            await redis.delete(key)
        for key, value in dump.items():
            await redis.restore(key, 0, value)

    return restore


async def dumped(bench: Bench) -> dict[bytes, bytes]:
    redis: Any = bench.scripts.redis
    return {key: await redis.dump(key) for key in await redis.keys(f"{bench.scripts.root}*")}


@pytest.mark.parametrize("moves", [False, True], ids=["as it was", "and calls go on"])
def test_an_older_redis_does_not_bring_it_back(office: Office, moves: bool) -> None:
    ids = filled(office)
    before = office.seed(dumped)
    assert office.run("erase", PHONE, "--yes", "--json").json == {"erased": len(ids)}
    office.seed(restored(before))
    assert office.seed(traces_in_redis) != []
    if moves:
        assert office.run("dead", "replay", "--all", "--yes").code == 0
    written(office, tidy=True)
    is_gone(office, ids)


def test_a_call_on_its_way_is_emptied_when_it_is_back(office: Office) -> None:
    async def sent(bench: Bench) -> tuple[list[str], Any]:
        ids = await bench.store(ref="sent", phone=PHONE)
        return list(map(str, ids)), await bench.sending()

    ids, claim = office.seed(sent)
    assert office.run("erase", PHONE, "--yes", "--json").json == {"erased": 1}

    async def settled(bench: Bench) -> None:
        await bench.queue.settle(claim.fence, [Settlement(claim.calls[0].id, State.DELIVERED, delivered=A_NOTE)], {})

    office.seed(settled)
    written(office, tidy=True)
    is_gone(office, ids)


def test_it_ends_while_calls_keep_coming(office: Office) -> None:
    """The ledger is never level with a PBX that calls all day."""
    ids = filled(office)

    async def erase_meanwhile(bench: Bench) -> Any:
        over = asyncio.Event()

        async def call() -> None:
            number = 0
            while not over.is_set():
                await bench.store(5, ref=f"more-{number}-", phone=OTHER)
                number += 1
                await asyncio.sleep(0.002)

        calling = asyncio.create_task(call())
        process = await asyncio.to_thread(office.start, "erase", PHONE, "--yes", "--json")
        out, err = await asyncio.to_thread(process.communicate)
        over.set()
        await calling
        assert process.returncode == 0, err
        return json.loads(out)

    assert office.seed(erase_meanwhile) == {"erased": len(ids)}
    written(office, tidy=True)
    is_gone(office, ids)
