"""`send`: sample webhooks that a real receiver accepts."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from callbridge import configuration
from callbridge.receiver import receiver
from cli.conftest import Ended, Office
from support.redis_server import free_port


class Receiving:
    """A receiver with the office's settings, as they are when it is first asked for."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.stack = AsyncExitStack()
        self.url = ""

    async def send(self, *arguments: str, url: str = "") -> Ended:
        if not self.url:
            self.office.env["CALLBRIDGE_RECEIVER__PORT"] = "0"
            settings = configuration.load(self.office.env, self.office.directory)
            running = await self.stack.enter_async_context(receiver(settings, self.office.server.url))
            self.url = running.url
        return await asyncio.to_thread(self.office.run, "send", *arguments, "--url", url or self.url)

    async def stored(self) -> list[dict[str, Any]]:
        return (await asyncio.to_thread(self.office.run, "calls", "list", "--json")).lines


@pytest.fixture
async def receiving(office: Office) -> AsyncIterator[Receiving]:
    receiving = Receiving(office)
    async with receiving.stack:
        yield receiving


@pytest.mark.parametrize(("provider", "source"), [("generic", "office"), ("mango", "city")])
async def test_as_many_calls_arrive_as_were_sent(receiving: Receiving, provider: str, source: str) -> None:
    ended = await receiving.send(provider, "--count", "12")
    assert ended.code == 0
    assert f"source {source} " in ended.out
    calls = await receiving.stored()
    assert Counter((call["source"], call["provider"], call["state"]) for call in calls) == {
        (source, provider, "queued"): 12
    }


async def test_two_runs_send_different_calls(receiving: Receiving) -> None:
    for _ in range(2):
        await receiving.send("generic", "--count", "3")
    assert len(await receiving.stored()) == 6


async def test_a_full_address_names_the_source(receiving: Receiving) -> None:
    await receiving.send("generic")
    assert (await receiving.send("generic", url=f"{receiving.url}/hooks/office")).code == 0
    assert len(await receiving.stored()) == 2


async def test_a_source_can_be_named_with_credentials_of_its_own(receiving: Receiving) -> None:
    secret = receiving.office.env["CALLBRIDGE_SOURCES__OFFICE__SECRET"]
    ended = await receiving.send("generic", "--source", "office", "--secret", secret)
    assert ended.code == 0
    key, salt = (receiving.office.env[f"CALLBRIDGE_SOURCES__CITY__{name}"] for name in ("KEY", "SECRET"))
    assert (await receiving.send("mango", "--source", "city", "--key", key, "--secret", salt)).code == 0
    assert len(await receiving.stored()) == 2


async def test_a_refusal_is_a_problem(receiving: Receiving) -> None:
    ended = await receiving.send("generic", "--source", "office", "--secret", "whsec_d3Jvbmcgc2VjcmV0IG9mIGEgdGVzdA==")
    assert ended.code == 1
    assert "401" in ended.out
    assert await receiving.stored() == []


@pytest.mark.parametrize(
    "settings",
    [
        {"SECRET": "a secret that is no base64 at all"},
        {"SECRET": "token-for-bearer", "AUTH": "bearer"},
        {"SECRET": "", "PATH_TOKEN": "long-secret-path"},
        {"PATH_TOKEN": "long-secret-path"},
    ],
    ids=" ".join,
)
async def test_every_way_to_prove_oneself_is_taken_from_the_settings(
    receiving: Receiving, settings: dict[str, str]
) -> None:
    receiving.office.env |= {f"CALLBRIDGE_SOURCES__OFFICE__{name}": value for name, value in settings.items()}
    assert (await receiving.send("generic")).code == 0
    if token := settings.get("PATH_TOKEN"):
        assert (await receiving.send("generic", url=f"{receiving.url}/hooks/office/{token}")).code == 0
    assert await receiving.stored()


async def test_a_file_is_sent_as_it_is(receiving: Receiving, tmp_path: Path) -> None:
    file = tmp_path / "call.json"
    file.write_text('{"id": "from-a-file", "direction": "outbound", "phone": "+7 916 555-01-17", "duration": 5}')
    assert (await receiving.send("generic", "--file", str(file))).code == 0
    assert [call["ref"] for call in await receiving.stored()] == ["from-a-file"]


async def test_numbers_can_be_chosen(receiving: Receiving) -> None:
    await receiving.send("mango", "--phone", "+79165550142")
    (call,) = await receiving.stored()
    assert re.sub(r"\D", "", call["phone"]).endswith("9165550142")


def test_nobody_there_is_a_problem_in_one_line(office: Office) -> None:
    ended = office.run("send", "generic", "--url", f"http://127.0.0.1:{free_port()}", "--count", "5")
    assert (ended.code, ended.out) == (1, "")
    assert len(ended.err.splitlines()) == 1
    assert "no answer from" in ended.err
