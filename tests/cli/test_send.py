"""`send`: sample webhooks that a real receiver accepts."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from callbridge.presets.load import PREFIX, shipped
from callbridge.sim.speakers import SIGN_WITH_A_PRIVATE_KEY, SPEAKERS, speaker_named
from cli.conftest import Ended, Office, Receiving
from support.redis_server import free_port
from support.speaking import secret_of, settings_for, wrong_secret_for


@pytest.mark.parametrize(("provider", "source"), [("generic", "office"), ("mango", "city")])
async def test_as_many_calls_arrive_as_were_sent(receiving: Receiving, provider: str, source: str) -> None:
    ended = await receiving.send(provider, "--count", "12")
    assert ended.code == 0
    assert f"source {source} " in ended.out
    calls = await receiving.stored()
    assert Counter((call["source"], call["provider"], call["state"]) for call in calls) == {
        (source, provider, "queued"): 12
    }


EVERY_PROVIDER = [*SPEAKERS, *(f"{PREFIX}{name}" for name in shipped())]


def configured(office: Office, provider: str, **more: str) -> None:
    """The source `pbx`, and no other."""
    office.without("SOURCES")
    for name, value in (settings_for(provider) | more).items():
        office.env[f"CALLBRIDGE_SOURCES__PBX__{name.upper()}"] = value


async def sent_as(receiving: Receiving, provider: str, secret: str, *arguments: str) -> Ended:
    """With the secret on the command line, and the rest as the source is configured."""
    key, zone = settings_for(provider).get("key", ""), settings_for(provider)["timezone"]
    held = ("--secret", secret, *(("--key", key) if key else ()), "--timezone", zone)
    return await receiving.send(provider, "--source", "pbx", *held, *arguments)


@pytest.mark.parametrize("provider", SPEAKERS)
async def test_every_provider_can_be_sent_for(receiving: Receiving, provider: str) -> None:
    configured(receiving.office, provider)
    ended = await sent_as(receiving, provider, secret_of(provider), "--count", "3")
    assert (ended.code, ended.err) == (0, "")
    assert {(call["source"], call["provider"]) for call in await receiving.stored()} == {("pbx", provider)}
    assert len(await receiving.stored()) == 3


@pytest.mark.parametrize("provider", [name for name in EVERY_PROVIDER if name not in SIGN_WITH_A_PRIVATE_KEY])
async def test_every_provider_is_sent_for_by_the_settings_of_its_source(receiving: Receiving, provider: str) -> None:
    configured(receiving.office, provider, path_token="a-secret-segment")
    assert (await receiving.send(provider)).code == 0
    assert len(await receiving.stored()) == 1


@pytest.mark.parametrize("provider", SPEAKERS)
async def test_a_wrong_secret_is_a_problem_for_every_provider(receiving: Receiving, provider: str) -> None:
    configured(receiving.office, provider)
    ended = await sent_as(receiving, provider, wrong_secret_for(provider))
    assert ended.code == 1
    assert "401: " in ended.out
    assert await receiving.stored() == []


@pytest.mark.parametrize("provider", ["twilio", "preset:plivo"])
async def test_a_pbx_that_signs_its_address_signs_the_public_one(receiving: Receiving, provider: str) -> None:
    configured(receiving.office, provider, path_token="a-secret-segment")
    receiving.office.env["CALLBRIDGE_RECEIVER__PUBLIC_URL"] = "https://hooks.example.com"
    assert (await receiving.send(provider)).code == 0
    del receiving.office.env["CALLBRIDGE_RECEIVER__PUBLIC_URL"]
    assert (await receiving.send(provider)).code == 1


async def test_a_users_own_preset_can_be_sent_for(receiving: Receiving) -> None:
    own = files("callbridge.presets").joinpath("data", "ringostat.toml").read_bytes()
    file = receiving.office.directory / "ours.toml"
    file.write_bytes(own)
    configured(receiving.office, str(file))
    assert (await receiving.send("ours.toml", "--count", "2")).code == 0
    assert [call["provider"] for call in await receiving.stored()] == [str(file)] * 2


async def test_a_file_can_hold_another_event(receiving: Receiving, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    file.write_text(
        '{"entry_id": "e-1", "call_id": "c-1", "timestamp": 1790000000, "seq": 1, "call_state": "Appeared"}'
    )
    assert (await receiving.send("mango", "--file", str(file))).code == 0
    assert [call["state"] for call in await receiving.stored()] == ["dead"], "a summary it is not"
    assert (await receiving.send("mango", "--file", str(file), "--event", "/events/recording")).code == 0
    assert len(await receiving.stored()) == 1, "told of no call"


def test_what_can_be_sent_is_listed_where_it_was_misspelt(office: Office) -> None:
    unknown = office.run("send", "avaya", "--url", "http://127.0.0.1:9").err
    assert all(name in unknown for name in SPEAKERS)
    assert "did you mean preset:ringostat?" in office.run("send", "ringostat", "--url", "http://127.0.0.1:9").err
    assert "plivo" in office.run("send", "preset:nobody", "--url", "http://127.0.0.1:9").err
    event = office.run("send", "mango", "--url", "http://127.0.0.1:9", "--event", "nothing").err
    assert all(name in event for name in speaker_named("mango").events)


def test_a_public_key_is_not_taken_for_a_private_one(office: Office) -> None:
    configured(office, "telnyx")
    ended = office.run("send", "telnyx", "--url", "http://127.0.0.1:9")
    assert ended.code == 2
    assert "--secret" in ended.err


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


PIGEON = """
name = "pigeon"
title = "Pigeon PBX"
auth.any_of = [{{kind = "path_token"}}]
select.by = "what"
select.finished = ["done"]
[map]
ref = "call"
direction = {{value = "way", table = {{inbound = "inbound", outbound = "outbound"}}}}
phone = "who"
started_at = {{value = "at", format = "DD/MM/YYYY hh:mm:ss"}}
{samples}
"""
TELLS = '''
[[samples]]
event = "done"
body = """{{"what": "{what}", "call": "{{id}}", "way": "{{direction}}", "who": "{{phone}}", "at": "{{{at}}}"}}"""
'''


def a_pigeon(office: Office, name: str, samples: str) -> str:
    file = office.directory / f"{name}.toml"
    file.write_text(PIGEON.format(samples=samples))
    office.without("SOURCES")
    given = {"PROVIDER": str(file), "ACCOUNT": "main", "PATH_TOKEN": "a-secret-segment", "TIMEZONE": "Asia/Almaty"}
    office.env |= {f"CALLBRIDGE_SOURCES__PBX__{setting}": value for setting, value in given.items()}
    return str(file)


async def test_samples_with_a_time_of_their_own_form_are_sent(receiving: Receiving) -> None:
    file = a_pigeon(receiving.office, "fine", TELLS.format(what="done", at="started:DD/MM/YYYY hh:mm:ss"))
    ended = await receiving.send(file, "--count", "3")
    assert (ended.code, ended.err) == (0, "")
    assert {call["state"] for call in await receiving.stored()} == {"queued"}


@pytest.mark.parametrize(
    ("name", "samples", "told"),
    [
        ("other-form", TELLS.format(what="done", at="started_text"), "sample done: started_at (at)"),
        ("no-such-event", TELLS.format(what="gone", at="started:DD/MM/YYYY hh:mm:ss"), "comes out as ignored"),
        ("half-json", TELLS.format(what='done" ', at="started_text"), "is not JSON"),
        ("silent", "", "has no [[samples]]"),
    ],
)
async def test_samples_that_the_preset_itself_cannot_read_are_not_sent(
    receiving: Receiving, name: str, samples: str, told: str
) -> None:
    ended = await receiving.send(a_pigeon(receiving.office, name, samples))
    assert ended.code == 2
    assert told in ended.err
    assert await receiving.stored() == []
