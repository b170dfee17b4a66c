"""`users suggest`, `users unmapped`: from what was seen on calls to a line that can be pasted."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from callbridge.sim.crm import CrmSim, SimConfig
from cli.conftest import Ended, Office
from support.store import Bench

TOKEN = "token-of-the-test"
EXTENSIONS = "CALLBRIDGE_SOURCES__OFFICE__EXTENSIONS"


@asynccontextmanager
async def a_crm(office: Office, **options: object) -> AsyncIterator[CrmSim]:
    sim = CrmSim(SimConfig(tokens=(TOKEN,), **options))  # type: ignore[arg-type] # options of the simulator
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__URL"] = await sim.start()
    yield sim
    await sim.stop()


@pytest.fixture
async def crm(office: Office) -> AsyncIterator[CrmSim]:
    async with a_crm(office) as sim:
        yield sim


async def a_week(bench: Bench) -> None:
    for ref, extension, count in (
        ("a", "101", 3),
        ("b", "104", 1),
        ("c", "110", 2),
        ("d", "Elena.Morozova@pbx.example", 1),
    ):
        await bench.store(count, ref=ref, extension=extension)
    await bench.store(2, ref="e", source="city", provider="mango", extension="102")
    await bench.store(1, ref="f", extension=None)


async def run(office: Office, *arguments: str) -> Ended:
    return await asyncio.to_thread(office.run, *arguments)


def pasted(out: str) -> dict[str, dict[str, int]]:
    """The lines to paste, read as a shell would."""
    lines = [line for line in out.splitlines() if line.startswith("CALLBRIDGE_")]
    (words,) = [shlex.split("\n".join(lines))]
    return {name: json.loads(value) for name, _, value in (word.partition("=") for word in words)}


async def test_a_map_is_proposed_that_a_shell_and_the_settings_can_read(office: Office, crm: CrmSim) -> None:
    await asyncio.to_thread(office.seed, a_week)
    ended = await run(office, "users", "suggest", "main")
    assert ended.code == 0
    lines = pasted(ended.out)
    assert lines == {
        EXTENSIONS: {"101": 700_101, "104": 700_104, "Elena.Morozova@pbx.example": 700_110},
        "CALLBRIDGE_SOURCES__CITY__EXTENSIONS": {"102": 700_102},
    }
    office.env |= {name: json.dumps(value) for name, value in lines.items()}
    assert (await run(office, "check", "--offline")).code == 0
    left = await run(office, "users", "unmapped", "--json")
    assert [(seen["source"], seen["extension"], seen["calls"]) for seen in left.lines] == [("office", "110", 2)]


async def test_the_proposal_in_json_tells_matches_doubts_and_the_users(office: Office, crm: CrmSim) -> None:
    await asyncio.to_thread(office.seed, a_week)
    office.env[EXTENSIONS] = '{"7": 999}'
    told = (await run(office, "users", "suggest", "main", "--source", "office", "--json")).json
    (source,) = told["sources"]
    assert source["source"] == "office"
    assert [(m["seen"]["extension"], m["user"]["id"], m["by"]) for m in source["matches"]] == [
        ("101", 700_101, "e-mail before the @"),
        ("104", 700_104, "number"),
        ("Elena.Morozova@pbx.example", 700_110, "e-mail before the @"),
    ]
    assert [doubt["seen"]["extension"] for doubt in source["doubts"]] == ["110"]
    assert source["stale"] == {"7": 999}
    assert pasted(source["setting"])[EXTENSIONS] == source["extensions"]
    assert source["extensions"]["7"] == 999
    assert {user["id"] for user in told["users"]} >= {700_001, 700_109}


async def test_people_see_who_is_left_without_an_extension(office: Office, crm: CrmSim) -> None:
    out = (await run(office, "users", "suggest", "main")).out
    assert "Nothing new was seen on its calls." in out
    assert "elena.morozova@rehearsal.example" in out
    assert "not active" in out


async def test_without_an_administrators_token_it_is_said_so(office: Office) -> None:
    async with a_crm(office, plain_tokens=(TOKEN,)):
        ended = await run(office, "users", "suggest", "main", "--json")
    assert (ended.code, ended.out) == (1, "")
    assert "administrator" in ended.err


async def test_names_from_outside_cannot_draw_on_the_terminal_or_break_the_line(office: Office, crm: CrmSim) -> None:
    office.env[EXTENSIONS] = json.dumps({"o'brien $(id) [red]": 5})
    ended = await run(office, "users", "suggest", "main", "--source", "office")
    assert pasted(ended.out) == {EXTENSIONS: {"o'brien $(id) [red]": 5}}


def test_unmapped_come_most_frequent_first_and_narrow_down(office: Office) -> None:
    office.seed(a_week)
    office.env[EXTENSIONS] = '{" ELENA.morozova@PBX.example": 1}'
    found = office.run("users", "unmapped", "--json").lines
    assert [(seen["source"], seen["extension"], seen["calls"]) for seen in found] == [
        ("office", "101", 3),
        ("city", "102", 2),
        ("office", "110", 2),
        ("office", "104", 1),
    ]
    assert all(seen["last_seen"] > 1_700_000_000 for seen in found)
    assert [seen["extension"] for seen in office.run("users", "unmapped", "--source", "city", "--json").lines] == [
        "102"
    ]
    assert office.run("users", "unmapped", "--since", "2099-01-01", "--json").out == ""
    assert office.run("users", "unmapped", "--account", "other", "--json").out == ""
    assert "110" in office.run("users", "unmapped").out


def test_nothing_unmapped_is_no_problem(office: Office) -> None:
    ended = office.run("users", "unmapped")
    assert (ended.code, ended.out) == (0, "Every extension that was seen has its user.\n")


@pytest.mark.parametrize(
    "arguments", ["suggest", "suggest nobody", "suggest main --source nobody", "unmapped --since soon"]
)
def test_what_cannot_be_meant_is_wrong_usage(office: Office, arguments: str) -> None:
    ended = office.run("users", *arguments.split())
    assert (ended.code, ended.out) == (2, "")
    assert ended.err
