"""`accounts list`, `pause`, `resume`, `authorise`, and what `check` and `status` say about tokens."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import structlog

from callbridge.outcome import PauseReason
from callbridge.sim.crm import CrmSim, SimConfig
from cli.conftest import Ended, Office
from support.store import Bench

MAIN = "CALLBRIDGE_ACCOUNTS__MAIN__"
SECRET = "canary-client-secret-of-the-test"
REDIRECT = "https://bridge.example.com/oauth"


@contextmanager
def logged() -> Iterator[list[Any]]:
    """What is logged meanwhile; afterwards commands are silent again."""
    try:
        with structlog.testing.capture_logs() as log:
            yield log
    finally:
        structlog.reset_defaults()


def a_token(ends: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": int(ends)}).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJ4In0.{claims}.c2ln"


@pytest.fixture
async def crm(office: Office) -> AsyncIterator[CrmSim]:
    """An account that is let into by OAuth and was not yet."""
    sim = CrmSim(SimConfig(client_id="office-integration", client_secret=SECRET, redirect_uri=REDIRECT, rate=0))
    office.env[MAIN + "URL"] = await sim.start()
    del office.env[MAIN + "TOKEN"]
    office.env |= {
        MAIN + "CLIENT_ID": "office-integration",
        MAIN + "CLIENT_SECRET": SECRET,
        MAIN + "REDIRECT_URI": REDIRECT,
        "CALLBRIDGE_SEALING__KEY": office.run("config", "key").out.strip(),
    }
    yield sim
    await sim.stop()


async def run(office: Office, *arguments: str) -> Ended:
    return await asyncio.to_thread(office.run, *arguments)


async def agreed(page: str) -> str:
    """The address to which the CRM sends the browser of a person who agrees."""
    async with aiohttp.ClientSession() as browser, browser.get(page, allow_redirects=False) as answer:
        return answer.headers["Location"]


# --- list, pause, resume ----------------------------------------------------------------------------------------------


def test_an_account_is_listed_with_its_figures_and_what_opens_it(office: Office) -> None:
    office.seed(lambda bench: bench.store(3))
    (row,) = office.run("accounts", "list", "--json").lines
    assert (row["account"], row["state"], row["url"]) == ("main", "active", "http://127.0.0.1:9")
    assert (row["waiting"], row["requests_per_second"], row["authorised_by"]) == (3, 7.0, "token")
    shown = office.run("accounts", "list")
    assert shown.code == 0
    assert "main" in shown.out


def test_an_account_with_calls_and_no_settings_is_listed_too(office: Office) -> None:
    office.seed(lambda bench: bench.store(2, account="gone"))
    rows = {row["account"]: row["state"] for row in office.run("accounts", "list", "--json").lines}
    assert rows == {"gone": "unconfigured", "main": "active"}


def test_a_pause_by_hand_is_told_with_its_owner_everywhere_and_ended_by_resume(office: Office) -> None:
    office.seed(lambda bench: bench.store(2))
    with logged() as log:
        done = office.run("accounts", "pause", "main", "--reason", "the CRM is being moved", "--as", "anna", "--json")
    assert done.code == 0
    assert (done.json["state"], done.json["reason"], done.json["owner"]) == ("paused", "manual", "anna")
    assert [(e["event"], e["account"], e["owner"]) for e in log] == [("account.paused", "main", "anna")]
    status = office.run("status", "--json")
    assert "paused by anna: the CRM is being moved; 2 calls are waiting" in str(status.json["problems"])
    assert "anna" in office.run("accounts", "list").out
    assert "by anna" in office.run("status").out
    assert "paused" in office.run("calls", "show", office.run("calls", "list", "--json").lines[0]["id"]).out
    with logged() as log:
        ended = office.run("accounts", "resume", "main", "--as", "boris")
    assert ended.out.startswith("Account main goes on after")
    assert [(e["event"], e["owner"]) for e in log] == [("account.resumed", "boris")]
    assert office.run("accounts", "list", "--json").lines[0]["state"] == "active"


def test_a_pause_without_calls_is_a_warning(office: Office) -> None:
    office.run("accounts", "pause", "main", "--reason", "not yet", "--as", "anna")
    status = office.run("status", "--json")
    assert "account main is paused by anna: not yet" in status.json["warnings"]
    assert "paused by" not in str(status.json["problems"])


def test_a_pause_may_end_by_itself(office: Office) -> None:
    told = office.run("accounts", "pause", "main", "--reason", "lunch", "--for", "30m", "--json").json
    assert 1_700 < told["until"] - time.time() <= 1_800
    assert told["owner"]
    assert "is paused until 20" in office.run("accounts", "pause", "main", "--reason", "lunch", "--for", "30m").out


def test_resuming_what_is_not_paused_is_no_problem(office: Office) -> None:
    ended = office.run("accounts", "resume", "main")
    assert (ended.code, ended.out) == (0, "Account main was not paused.\n")


def test_resume_ends_what_the_crm_caused_too(office: Office) -> None:
    async def pause(bench: Bench) -> None:
        await bench.queue.pause("main", PauseReason.UNAUTHORISED, "HTTP 401", 60, 900)

    office.seed(pause)
    row = office.run("accounts", "list", "--json").lines[0]
    assert (row["state"], row["reason"], row["owner"]) == ("paused", "unauthorised", None)
    assert 0 < row["next_probe_in"] <= 60
    assert "the CRM refuses the token" in office.run("accounts", "list").out
    assert office.run("accounts", "resume", "main", "--json").json["state"] == "active"


@pytest.mark.parametrize(
    "arguments",
    [
        ["pause", "main"], ["pause", "main", "--reason", " "], ["pause", "nobody", "--reason", "x"],
        ["pause", "main", "--reason", "x", "--for", "soon"], ["pause", "main", "--reason", "x", "--for", "0s"],
        ["resume", "nobody"], ["authorise", "nobody"], ["authorise", "main"],
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_wrong_usage(office: Office, arguments: list[str]) -> None:
    ended = office.run("accounts", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err


# --- authorise --------------------------------------------------------------------------------------------------------


async def test_from_the_consent_page_to_an_account_that_goes_on(office: Office, crm: CrmSim) -> None:
    async def stopped(bench: Bench) -> None:
        await bench.queue.pause("main", PauseReason.REAUTHORISE, "never authorised", 60, 900)

    await asyncio.to_thread(office.seed, stopped)
    asked = (await run(office, "accounts", "authorise", "main", "--json")).json
    assert asked["authorised"] is False
    with logged() as log:
        done = await run(
            office,
            "accounts",
            "authorise",
            "main",
            "--code",
            await agreed(asked["consent_url"]),
            "--as",
            "anna",
            "--json",
        )
    assert (done.code, done.json["authorised"], done.json["resumed"], done.json["url"]) == (0, True, True, crm.url)
    assert {e["event"] for e in log} == {"account.authorised", "account.resumed"}
    row = (await run(office, "accounts", "list", "--json")).lines[0]
    assert (row["state"], row["authorised_by"], row["problem"]) == ("active", "oauth", None)
    assert row["renewable_until"] > row["token_expires_at"] > time.time()
    assert "the token opens it" in (await run(office, "check")).out
    assert (await run(office, "users", "suggest", "main", "--json")).code == 0


async def test_people_are_shown_the_page_and_what_to_do_next(office: Office, crm: CrmSim) -> None:
    shown = await run(office, "accounts", "authorise", "main")
    assert shown.code == 0
    page = next(line for line in shown.out.splitlines() if line.startswith(crm.url))
    assert parse_qs(urlsplit(page).query)["client_id"] == ["office-integration"]
    assert "callbridge accounts authorise main --code" in shown.out
    done = await run(office, "accounts", "authorise", "main", "--code", await agreed(page))
    assert (done.code, done.out) == (0, "Account main is authorised.\n")


async def test_authorising_again_replaces_the_pair(office: Office, crm: CrmSim) -> None:
    first = (await run(office, "accounts", "authorise", "main", "--code", crm.consent(), "--json")).json
    second = (await run(office, "accounts", "authorise", "main", "--code", crm.consent(), "--json")).json
    assert second["generation"] > first["generation"]


async def test_authorising_works_though_the_old_key_is_lost(office: Office, crm: CrmSim) -> None:
    await run(office, "accounts", "authorise", "main", "--code", crm.consent())
    office.env["CALLBRIDGE_SEALING__KEY"] = (await run(office, "config", "key")).out.strip()
    row = (await run(office, "accounts", "list", "--json")).lines[0]
    assert row["state"] == "unauthorised"
    assert "sealing.key" in row["problem"]
    await asyncio.sleep(1.1)  # the generation is the time, in seconds
    assert (await run(office, "accounts", "authorise", "main", "--code", crm.consent())).code == 0
    assert (await run(office, "accounts", "list", "--json")).lines[0]["state"] == "active"


async def test_a_pause_by_hand_outlasts_an_authorisation(office: Office, crm: CrmSim) -> None:
    await run(office, "accounts", "pause", "main", "--reason", "moving", "--as", "anna")
    done = (await run(office, "accounts", "authorise", "main", "--code", crm.consent(), "--json")).json
    assert (done["authorised"], done["resumed"]) == (True, False)
    assert (await run(office, "accounts", "list", "--json")).lines[0]["reason"] == "manual"


@pytest.mark.parametrize("fault", [None, "503-before@tokens", "502-after@tokens", "ban", "404@tokens", "revoked"])
async def test_a_code_that_is_not_taken_is_explained_and_shown_nowhere(
    office: Office, crm: CrmSim, fault: str | None
) -> None:
    code = crm.consent() if fault else "def502-canary-code"
    if fault:
        crm.arm(fault)
    ended = await run(office, "accounts", "authorise", "main", "--code", code)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("callbridge: account main is not authorised: ")
    assert code not in ended.err
    assert SECRET not in ended.err


async def test_a_strangers_redirect_is_refused_before_anybody_is_asked(office: Office, crm: CrmSim) -> None:
    page = (await run(office, "accounts", "authorise", "main", "--json")).json["consent_url"]
    address = await agreed(page)
    before = len(crm.requests)
    for wrong in (
        address.replace("127.0.0.1", "evil.example"),
        address.replace("state=1", "state=2"),
        f"{REDIRECT}?error=access_denied",
        "two words",
    ):
        ended = await run(office, "accounts", "authorise", "main", "--code", wrong)
        assert (ended.code, ended.out) == (2, "")
    assert len(crm.requests) == before


async def test_no_output_and_no_log_ever_shows_a_secret(office: Office, crm: CrmSim) -> None:
    code = crm.consent()
    with logged() as log:
        done = [
            await run(office, "accounts", "authorise", "main", "--code", code, "--json"),
            await run(office, "accounts", "authorise", "main", "--code", code),
            await run(office, "accounts", "authorise", "main"),
            await run(office, "accounts", "list", "--json"),
            await run(office, "accounts", "list"),
            await run(office, "check", "--json"),
            await run(office, "status", "--json"),
        ]
    tokens = [*crm.desk.tokens._by_access, *crm.desk.tokens._by_refresh]
    assert len(tokens) == 2
    said = str(log) + "".join(each.out + each.err for each in done)
    for secret in (SECRET, code, office.env["CALLBRIDGE_SEALING__KEY"], *tokens):
        assert secret not in said


# --- check and status -------------------------------------------------------------------------------------------------


async def test_check_names_an_account_that_was_never_authorised(office: Office, crm: CrmSim) -> None:
    ended = await run(office, "check", "--json")
    assert ended.code == 1
    found = [one["detail"] for one in ended.json["checks"] if one["name"] == "account main"]
    assert found == ["it was never authorised: `callbridge accounts authorise main`"]
    assert not crm.requests


@pytest.mark.parametrize(
    ("days", "level", "told"),
    [
        (-1, "problem", "ended on"),
        (3.5, "warning", "ends in 3 days"),
        (0.5, "warning", "ends in hours"),
        (20, None, ""),
    ],
)
def test_the_end_of_a_long_lived_token_is_told_two_weeks_ahead(
    office: Office, days: float, level: str | None, told: str
) -> None:
    office.env[MAIN + "TOKEN"] = a_token(time.time() + days * 86_400)
    checks = [one for one in office.run("check", "--offline", "--json").json["checks"] if one["name"] == "account main"]
    assert [one["level"] for one in checks] == ([level] if level else [])
    status = office.run("status", "--json").json
    lines = status["problems"] if level == "problem" else status["warnings"]
    assert ("long-lived token" in str(lines)) is bool(level)
    if level:
        assert told in checks[0]["detail"]
        assert told in str(lines)
    assert office.run("accounts", "list", "--json").lines[0]["token_expires_at"]


def test_config_key_makes_another_key_each_time(office: Office) -> None:
    one, two = office.run("config", "key").out, office.run("config", "key").out
    assert one != two
    office.env |= {"CALLBRIDGE_SEALING__KEY": one.strip(), "CALLBRIDGE_SEALING__PREVIOUS_KEY": two.strip()}
    assert office.run("check", "--offline").code == 0
