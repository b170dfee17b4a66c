"""`sim pbx`: the PBXs of every configured source at once, against a real receiver."""

from __future__ import annotations

import asyncio
import re
from collections import Counter

import pytest

from callbridge.presets.load import PREFIX, shipped
from callbridge.sim.speakers import SPEAKERS
from cli.conftest import Ended, Office, Receiving
from support.redis_server import free_port
from support.speaking import secret_of, settings_for

EVERY_PROVIDER = [*SPEAKERS, *(f"{PREFIX}{name}" for name in shipped())]
QUICK = ("--rate", "0", "--json")


@pytest.fixture
def everybody(office: Office) -> Office:
    """A source of each provider."""
    office.without("SOURCES")
    for provider in EVERY_PROVIDER:
        source = f"{provider.removeprefix(PREFIX)}-pbx".upper()
        for name, value in settings_for(provider).items():
            office.env[f"CALLBRIDGE_SOURCES__{source}__{name.upper()}"] = value
    return office


def private_keys() -> list[str]:
    return ["--secret", f"telnyx-pbx={secret_of('telnyx')}"] if "telnyx" in SPEAKERS else []


async def played(receiving: Receiving, *arguments: str) -> Ended:
    url = await receiving.listening()
    return await asyncio.to_thread(receiving.office.run, "sim", "pbx", "--url", url, *arguments)


async def test_every_provider_plays_as_many_calls_as_are_stored(everybody: Office, receiving: Receiving) -> None:
    calls = 4 * len(EVERY_PROVIDER) + 1
    ended = await played(
        receiving, "--calls", str(calls), *QUICK, *private_keys(), "--duplicates", "0.3", "--skew", "60"
    )
    assert ended.code == 0
    told = ended.json
    assert told["ok"]
    assert told["calls"] == calls
    assert sum(told["answers"].values()) == told["webhooks"] > calls
    assert {source["provider"] for source in told["sources"]} == set(EVERY_PROVIDER)
    stored = Counter(call["source"] for call in await receiving.stored())
    assert stored == {source["source"]: source["calls"] for source in told["sources"]}


async def test_only_what_was_asked_for_is_played(receiving: Receiving) -> None:
    ended = await played(receiving, "--calls", "5", "--provider", "mango", *QUICK)
    assert [(source["source"], source["calls"]) for source in ended.json["sources"]] == [("city", 5)]
    assert {call["source"] for call in await receiving.stored()} == {"city"}


async def test_the_same_seed_plays_the_same_calls(receiving: Receiving) -> None:
    for options in (("--source", "office"), ()):
        await played(receiving, "--calls", "6", "--seed", "11", *QUICK, *options)
    refs = [call["ref"] for call in await receiving.stored() if call["source"] == "office"]
    assert len(refs) == len(set(refs)) == 6


async def test_a_refusal_is_a_problem_and_is_counted_for_its_source(receiving: Receiving) -> None:
    url = await receiving.listening()
    receiving.office.env["CALLBRIDGE_SOURCES__CITY__SECRET"] = "another-salt"
    ended = await asyncio.to_thread(receiving.office.run, "sim", "pbx", "--url", url, "--calls", "6", "--rate", "0")
    assert ended.code == 1
    assert re.search(r"^city +mango +3 .* 401: ", ended.out, re.MULTILINE)
    assert re.search(r"^office +generic +3 .* 200: \d+ *$", ended.out, re.MULTILINE)
    assert "--seed" in ended.out


def test_a_source_of_which_only_the_public_key_is_known_is_left_out(office: Office) -> None:
    office.without("SOURCES")
    for name, value in settings_for("telnyx").items():
        office.env[f"CALLBRIDGE_SOURCES__TEL__{name.upper()}"] = value
    ended = office.run("sim", "pbx", "--url", "http://127.0.0.1:9")
    assert ended.code == 2
    assert "--secret tel=KEY" in ended.err


def test_nobody_there_is_a_problem_in_one_line(office: Office) -> None:
    office.env["CALLBRIDGE_RECEIVER__PORT"] = str(free_port())
    ended = office.run("sim", "pbx", "--calls", "4", "--provider", "mango")
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert "no answer from" in ended.err


def test_a_source_that_cannot_be_signed_for_says_why(office: Office) -> None:
    office.env["CALLBRIDGE_SOURCES__CITY__KEY"] = ""
    ended = office.run("sim", "pbx", "--url", "http://127.0.0.1:9")
    assert ended.code == 2
    assert "source city: mango needs" in ended.err
