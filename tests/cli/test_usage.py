"""How commands end: 0 done, 1 a problem, 2 wrong usage; errors are words on stderr, stdout stays parseable."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from typer.main import get_command

import callbridge
from callbridge.cli import app
from callbridge.embedded import embedded_redis
from callbridge.outcome import State
from cli.conftest import Office
from support.redis_server import free_port


def commands(command: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = getattr(command, "commands", {})
    return [path] + [found for name, inner in below.items() for found in commands(inner, (*path, name))]


EVERY_COMMAND = commands(get_command(app))


def test_the_commands_of_the_contract_exist() -> None:
    expected = {
        "accounts", "up", "demo", "receiver", "worker", "check", "status", "send", "calls", "dead", "uncertain",
        "sim", "config", "providers", "users", "epoch", "console", "ledger", "operators", "tokens", "audit", "erase",
    }  # fmt: skip
    assert {path[0] for path in EVERY_COMMAND if path} == expected
    for group, inner in {
        "calls": {"list", "show"},
        "dead": {"list", "show", "replay", "discard"},
        "uncertain": {"list", "resolve"},
        "sim": {"crm", "pbx"},
        "providers": {"list", "show", "try"},
        "users": {"suggest", "unmapped"},
        "epoch": {"show", "accept"},
        "accounts": {"list", "pause", "resume", "authorise"},
        "config": {"example", "key", "schema"},
        "ledger": {"status", "migrate", "prune", "export"},
        "operators": {"list", "add", "password", "role", "disable", "enable"},
        "tokens": {"list", "create", "revoke"},
        "audit": {"list", "verify"},
    }.items():
        assert {path[1] for path in EVERY_COMMAND if path[:1] == (group,) and len(path) == 2} == inner


@pytest.mark.parametrize("path", EVERY_COMMAND, ids=" ".join)
def test_every_command_explains_itself(office: Office, path: tuple[str, ...]) -> None:
    ended = office.run(*path, "--help")
    assert ended.code == 0
    assert ended.out.startswith("Usage: callbridge")


@pytest.mark.parametrize(
    "arguments",
    [
        "bogus",
        "calls bogus",
        "calls list --bogus",
        "calls list --since yesterdayish",
        "calls list --until 12",
        "calls list --state lost",
        "calls list --limit 0",
        "calls list --phone anonymous",
        "calls show",
        "dead list --since soon",
        "dead replay",
        "dead discard",
        "dead replay --all 1ngc9ejwfeqs9y9m --yes",
        "dead replay --all --reason expired --yes",
        "dead replay --all",
        "dead discard --reason expired",
        "demo --calls 0",
        "send",
        "send avaya --url http://127.0.0.1:9",
        "send generic",
        "send generic --url nonsense",
        "send generic --url http://127.0.0.1:9 --source nobody",
        "send generic --url http://127.0.0.1:9 --source city",
        "send generic --url http://127.0.0.1:9 --secret s3cret",
        "send mango --url http://127.0.0.1:9 --source city --secret salt-without-a-key",
        "send generic --url http://127.0.0.1:9 --count 0",
        "send generic --url http://127.0.0.1:9 --file no-such-file.json",
        "send generic --url http://127.0.0.1:9 --event no.such.event",
        "send mango --url http://127.0.0.1:9 --timezone Mars/Base",
        "send preset:no-such-preset --url http://127.0.0.1:9",
        "sim pbx --provider avaya",
        "sim pbx --provider zadarma",
        "sim pbx --source nobody",
        "sim pbx --source office --provider mango",
        "sim pbx --url nonsense",
        "sim pbx --url http://127.0.0.1:9/hooks/other",
        "sim pbx --late 1.5",
        "sim pbx --calls 0",
        "sim pbx --secret telnyx",
        "sim crm --fault nope",
        "sim crm --fault slow=soon",
        "sim crm --latency soon",
        "sim crm --port 70000",
        "config bogus",
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(office: Office, arguments: str) -> None:
    ended = office.run(*arguments.split())
    assert ended.code == 2
    assert ended.err.strip()
    assert ended.out == ""


def test_the_version_is_told(office: Office) -> None:
    assert office.run("--version").out == f"callbridge {callbridge.__version__}\n"


@pytest.mark.parametrize("command", ["status --json", "calls list --json", "up", "worker"])
def test_every_mistake_in_the_settings_is_a_line(office: Office, command: str) -> None:
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__TOKN"] = "x"
    office.env["CALLBRIDGE_RECEIVER__PORT"] = "many"
    ended = office.run(*command.split())
    assert ended.code == 1
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 2
    assert all(line.startswith("callbridge: CALLBRIDGE_") for line in ended.err.splitlines())


def test_a_settings_file_can_be_named(office: Office) -> None:
    (office.directory / "other.toml").write_text("[receiver]\nprot = 1\n")
    ended = office.run("--config", "other.toml", "status")
    assert ended.code == 1
    assert "prot" in ended.err
    assert office.run("--config", "no-such.toml", "status").code == 1


@pytest.mark.parametrize(
    "command",
    ["status", "calls list", "calls list --json", "calls show x", "dead list", "dead replay --all --yes", "check"],
)
def test_a_redis_that_does_not_answer_is_a_problem_in_words(office: Office, command: str) -> None:
    office.env["CALLBRIDGE_REDIS__URL"] = f"redis://127.0.0.1:{free_port()}/0"
    ended = office.run(*command.split())
    assert ended.code == 1
    assert "onnect" in ended.err + ended.out


@pytest.mark.parametrize("command", ["status", "calls list", "dead list"])
def test_without_redis_and_without_up_both_are_named(office: Office, command: str) -> None:
    office.without("REDIS__URL")
    ended = office.run(*command.split())
    assert ended.code == 1
    assert "`callbridge up` is not running here" in ended.err
    assert "no Redis is configured" in ended.err


def test_the_embedded_redis_of_a_running_up_is_found(office: Office) -> None:
    office.without("REDIS__URL")
    with asyncio.Runner() as runner:
        embedded = embedded_redis(office.directory / "var")
        runner.run(embedded.__aenter__())
        try:
            assert office.run("status", "--json").json["total"] == 0
        finally:
            runner.run(embedded.__aexit__(None, None, None))


@pytest.mark.parametrize("role", ["receiver", "worker"])
def test_a_role_on_its_own_needs_a_shared_redis(office: Office, role: str) -> None:
    office.without("REDIS__URL")
    ended = office.run(role)
    assert ended.code == 1
    assert "CALLBRIDGE_REDIS__URL" in ended.err


@pytest.mark.parametrize(("role", "gone"), [("up", "SOURCES"), ("receiver", "SOURCES"), ("worker", "ACCOUNTS")])
def test_a_role_without_anything_to_do_says_what_to_set(office: Office, role: str, gone: str) -> None:
    office.without("SOURCES", gone)
    ended = office.run(role)
    assert ended.code == 1
    assert f"CALLBRIDGE_{gone}__" in ended.err


def test_a_reader_that_has_enough_is_no_problem(office: Office) -> None:
    office.seed(lambda bench: bench.store(400))
    process = office.start("calls", "list", "--json")
    assert process.stdout
    assert process.stderr
    assert process.stdout.readline().startswith("{")
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) in {0, 1}
    assert errors == ""


def test_the_module_runs_like_the_program(office: Office) -> None:
    command = [sys.executable, "-m", "callbridge", "calls", "list", "--state", "lost"]
    ended = subprocess.run(
        command, env=os.environ | office.env, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 2
    assert ended.stderr == (
        "callbridge: --state 'lost': is one of queued, retrying, sending, uncertain, parked, delivered, unmatched, dead,"
        " ignored, erased\n"
    )


def test_reading_commands_log_nothing(office: Office) -> None:
    office.seed(lambda bench: bench.bring_to(State.DEAD, 3, reason="expired"))
    for command in ("status --json", "calls list --json", "dead replay --all --yes --json"):
        assert office.run(*command.split()).err == ""
