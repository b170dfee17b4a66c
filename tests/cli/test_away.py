"""`status`, `check` and `epoch` where Redis is away, full, hidden, or not the one that was known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from callbridge.store.connect import connected
from callbridge.store.spool import SPOOL_FILE, SpoolFile
from callbridge.store.spooling import pack
from cli.conftest import Office
from support.builders import a_finished_call
from support.redis_server import RedisServer, free_port


@pytest.fixture
def own(office: Office, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the office's own, that may be spoiled."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    office.env["CALLBRIDGE_REDIS__URL"] = server.url
    yield server
    server.stop()


def do(server: RedisServer, *command: str | int) -> None:
    async def done() -> None:
        async with connected(server.url) as redis:
            await redis.execute_command(*command)

    asyncio.run(done())


def spooled(office: Office, count: int, age: float = 5.0) -> None:
    file = SpoolFile(office.directory / "var" / SPOOL_FILE, 1_000_000)
    file.append([pack(a_finished_call(ref=f"pbx-{n}")) for n in range(count)], time.time() - age)
    file.close()


def test_status_without_redis_says_so_and_what_this_host_keeps(office: Office) -> None:
    office.env["CALLBRIDGE_REDIS__URL"] = f"redis://127.0.0.1:{free_port()}/0"
    spooled(office, 3)
    ended = office.run("status")
    assert ended.code == 1
    assert "Redis cannot be reached; 3 acknowledged webhooks wait in the spool of this host" in ended.out
    told = office.run("status", "--json")
    assert (told.code, told.json["ok"], told.json["trouble"], told.json["states"]) == (1, False, "unreachable", None)
    assert [spool["waiting"] for spool in told.json["spools"]] == [3]


def test_status_tells_what_waits_in_a_spool_while_redis_is_there(office: Office) -> None:
    spooled(office, 2)
    told = office.run("status", "--json").json
    assert told["ok"], "it is about to be handed over"
    assert any("2 acknowledged webhooks wait" in line for line in told["warnings"])
    spooled(office, 1, age=3_600)
    assert office.run("status").code == 1


def test_check_tells_what_waits_in_a_spool(office: Office) -> None:
    spooled(office, 2)
    found = [check for check in office.run("check", "--json").json["checks"] if check["name"] == "spool"]
    assert [check["level"] for check in found] == ["warning"]


def test_the_active_level_is_named_with_all_that_belongs_to_it(office: Office, own: RedisServer) -> None:
    do(own, "CONFIG", "SET", "maxmemory", 500_000_000)
    told = office.run("status", "--json").json
    assert (told["durability"], told["redis"]["durability"], told["redis"]["replicas"]) == ("always", "always", 0)
    assert 0 < told["redis"]["memory"] < 0.1
    assert "Durability: always, " in office.run("status").out


def test_a_full_memory_is_a_problem_and_new_calls_are_worth_the_spool(office: Office, own: RedisServer) -> None:
    do(own, "CONFIG", "SET", "maxmemory", 1_000)
    told = office.run("status", "--json")
    assert told.code == 1
    assert told.json["durability"] == "spool"
    office.env["CALLBRIDGE_RECEIVER__SPOOL_SIZE"] = "0"
    assert office.run("status", "--json").json["durability"] == "always"


def test_rights_that_nobody_needs_are_warned_of(office: Office, own: RedisServer) -> None:
    do(own, "CONFIG", "SET", "maxmemory", 2_000_000)
    warned = [
        check["detail"]
        for check in office.run("check", "--json").json["checks"]
        if (check["name"], check["level"]) == ("redis", "warning")
    ]
    assert any("times what is used now" in detail for detail in warned)
    do(
        own,
        "ACL",
        "SETUSER",
        "bridge",
        "on",
        "nopass",
        "~*",
        "&*",
        "+@all",
        "-flushall",
        "-config",
        "-keys",
        "-acl",
    )
    office.env["CALLBRIDGE_REDIS__URL"] = own.url.replace("redis://", "redis://bridge:x@")
    poor = [check["detail"] for check in office.run("check", "--json").json["checks"]]
    assert not any("fewer rights" in detail for detail in poor)


def test_an_emptied_redis_is_a_problem_until_a_person_accepts_it(office: Office, own: RedisServer) -> None:
    assert office.run("epoch", "show").code == 0
    assert office.run("epoch", "accept", "--yes").code == 1, "there is nothing to accept"
    known = office.directory / "var" / f"epoch-{office.prefix}"
    known.parent.mkdir(exist_ok=True)
    known.write_text("0123456789abcdef\n")
    for command in ("status", "check", "epoch show"):
        ended = office.run(*command.split())
        assert ended.code == 1, command
        assert "emptied" in ended.out, command
    assert known.read_text() == "0123456789abcdef\n", "looking changes nothing"
    assert office.run("epoch", "accept", "--yes").code == 0
    assert office.run("epoch", "show").code == 0
    assert office.run("status").code == 0
    assert known.read_text() != "0123456789abcdef\n"


def test_an_epoch_is_not_accepted_without_a_yes(office: Office, own: RedisServer) -> None:
    known = office.directory / "var" / f"epoch-{office.prefix}"
    known.parent.mkdir(exist_ok=True)
    known.write_text("0123456789abcdef\n")
    assert office.run("epoch", "accept").code == 2
    assert office.run("epoch", "show").code == 1
