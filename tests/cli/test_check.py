"""`check`: each thing that has to be right is looked at, and each that is wrong is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callbridge.sim.crm import CrmSim, SimConfig
from cli.conftest import Office
from support.redis_server import RedisServer, free_port

TOKEN = "token-of-the-test"


@pytest.fixture
async def crm(office: Office) -> AsyncIterator[CrmSim]:
    sim = CrmSim(SimConfig(tokens=(TOKEN,)))
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__URL"] = await sim.start()
    yield sim
    await sim.stop()


async def levels(office: Office, *arguments: str) -> tuple[int, dict[str, set[str]]]:
    """The exit code, and the names of all checks by level."""
    ended = await asyncio.to_thread(office.run, "check", "--json", *arguments)
    assert ended.err == ""
    found: dict[str, set[str]] = {"ok": set(), "warning": set(), "problem": set()}
    for check in ended.json["checks"]:
        assert check["detail"]
        found[check["level"]].add(check["name"])
    assert ended.json["ok"] == (not found["problem"]) == (ended.code == 0)
    return ended.code, found


async def test_everything_right_is_told_one_by_one(office: Office, crm: CrmSim) -> None:
    code, found = await levels(office)
    assert code == 0
    assert found["problem"] == set()
    assert found["ok"] >= {
        "configuration", "source office", "source city", "redis", "clock of redis", "account main", "clock of account main",
    }  # fmt: skip


async def test_before_the_first_start_the_embedded_redis_is_no_problem(office: Office, crm: CrmSim) -> None:
    del office.env["CALLBRIDGE_REDIS__URL"]
    office.env["CALLBRIDGE_DATA_DIR"] = str(office.directory / "never-started")
    code, found = await levels(office)
    assert code == 0
    assert "redis" in found["ok"]


async def test_a_secret_that_can_be_guessed_is_warned_of(office: Office) -> None:
    office.env["CALLBRIDGE_SOURCES__OFFICE__PATH_TOKEN"] = "short"
    code, found = await levels(office, "--offline")
    assert (code, found["warning"]) == (0, {"secrets of office"})


async def test_a_token_that_does_not_open_the_account_is_a_problem(office: Office, crm: CrmSim) -> None:
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__TOKEN"] = "an-old-token"
    code, found = await levels(office)
    assert (code, found["problem"]) == (1, {"account main"})


async def test_a_crm_that_does_not_answer_is_a_problem(office: Office) -> None:
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__URL"] = f"http://127.0.0.1:{free_port()}"
    code, found = await levels(office)
    assert (code, found["problem"]) == (1, {"account main"})


async def test_a_redis_that_does_not_answer_leaves_the_other_checks_standing(office: Office, crm: CrmSim) -> None:
    office.env["CALLBRIDGE_REDIS__URL"] = f"redis://127.0.0.1:{free_port()}/0"
    code, found = await levels(office)
    assert (code, found["problem"]) == (1, {"redis"})
    assert "account main" in found["ok"]


async def test_a_redis_that_does_not_keep_the_promise_is_a_problem(office: Office, crm: CrmSim, tmp_path: Path) -> None:
    directory = tmp_path / "lazy"
    directory.mkdir()
    server = RedisServer(directory, "--appendfsync", "everysec")
    try:
        office.env["CALLBRIDGE_REDIS__URL"] = server.url
        code, found = await levels(office)
        assert (code, found["problem"]) == (1, {"durability"})
        office.env["CALLBRIDGE_REDIS__DURABILITY"] = "everysec"
        assert (await levels(office))[0] == 0
    finally:
        server.stop()


async def test_offline_asks_nobody(office: Office, crm: CrmSim) -> None:
    office.env["CALLBRIDGE_REDIS__URL"] = f"redis://127.0.0.1:{free_port()}/0"
    code, found = await levels(office, "--offline")
    assert (code, found["ok"]) == (0, {"configuration", "console", "source office", "source city"})
    assert crm.requests == []


async def test_a_secret_that_could_never_verify_is_a_problem(office: Office) -> None:
    office.env["CALLBRIDGE_SOURCES__OFFICE__SECRET"] = "whsec_not*base64"
    code, found = await levels(office, "--offline")
    assert (code, found["problem"]) == (1, {"source office"})


async def test_every_mistake_in_the_settings_is_a_check(office: Office) -> None:
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__TOKN"] = "x"
    office.env["CALLBRIDGE_RECEIVER__PORT"] = "many"
    ended = await asyncio.to_thread(office.run, "check", "--offline", "--json")
    assert ended.code == 1
    assert [check["name"] for check in ended.json["checks"]] == ["configuration"] * 2
    shown = await asyncio.to_thread(office.run, "check", "--offline")
    assert "CALLBRIDGE_ACCOUNTS__MAIN__TOKN" in shown.out
    assert shown.code == 1


async def test_nothing_configured_is_a_warning(office: Office) -> None:
    office.without("ACCOUNTS", "SOURCES")
    code, found = await levels(office, "--offline")
    assert (code, found["warning"]) == (0, {"accounts", "sources"})


async def test_no_secret_is_shown(office: Office, crm: CrmSim) -> None:
    shown = (await asyncio.to_thread(office.run, "check")).out
    assert [
        value for name, value in office.env.items() if name.endswith(("TOKEN", "SECRET", "KEY")) and value in shown
    ] == []


async def details(office: Office) -> dict[str, list[str]]:
    """What the warnings say, by name."""
    ended = await asyncio.to_thread(office.run, "check", "--json", "--offline")
    found: dict[str, list[str]] = {}
    for check in ended.json["checks"]:
        if check["level"] == "warning":
            found.setdefault(check["name"], []).append(check["detail"])
    return found


@pytest.mark.parametrize(
    ("provider", "lacks", "mended"),
    [
        ("twilio", "public_url", {"RECEIVER__PUBLIC_URL": "https://hooks.example.com", "SOURCES__OFFICE__HOLD": "10s"}),
        ("asterisk", "hold", {"SOURCES__OFFICE__HOLD": "10s", "SOURCES__OFFICE__TIMEZONE": "Europe/Moscow"}),
        ("asterisk", "timezone", {"SOURCES__OFFICE__HOLD": "10s", "SOURCES__OFFICE__TIMEZONE": "UTC"}),
        ("zadarma", "timezone", {"SOURCES__OFFICE__TIMEZONE": "UTC"}),
        ("preset:plivo", "public_url", {"RECEIVER__PUBLIC_URL": "https://hooks.example.com"}),
        *(
            (f"preset:{name}", "hold", {"SOURCES__OFFICE__HOLD": "10s"})
            for name in ("telphin", "dialpad", "wildix", "zoom")
        ),
    ],
)
async def test_what_a_pbx_needs_to_be_told_right_is_a_warning_until_it_is_set(
    office: Office, provider: str, lacks: str, mended: dict[str, str]
) -> None:
    office.env["CALLBRIDGE_SOURCES__OFFICE__PROVIDER"] = provider
    found = await details(office)
    assert set(found) == {"settings of office"}
    assert any(lacks in line for line in found["settings of office"])
    office.env |= {f"CALLBRIDGE_{name}": value for name, value in mended.items()}
    assert await details(office) == {}


@pytest.mark.parametrize("provider", ["avaya", "preset:avaya", "no-such-file.toml"])
async def test_a_provider_that_there_is_not_is_a_problem_that_names_it(office: Office, provider: str) -> None:
    office.env["CALLBRIDGE_SOURCES__OFFICE__PROVIDER"] = provider
    ended = await asyncio.to_thread(office.run, "check", "--json", "--offline")
    (problem,) = [check for check in ended.json["checks"] if check["level"] == "problem"]
    assert problem["name"] == "source office"
    assert provider.removeprefix("preset:") in problem["detail"]
    assert provider.endswith(".toml") or ("mango" if provider == "avaya" else "ringostat") in problem["detail"]
