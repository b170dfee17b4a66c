"""`up`, `receiver`, `worker`, `sim crm` as processes: where they say they are, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from callbridge.embedded import url_of
from callbridge.store.connect import connected
from cli.conftest import Office
from support.redis_server import free_port


class Process:
    """A command that runs; its first lines are read until one matches."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @property
    def out(self) -> IO[str]:
        assert self.process.stdout
        return self.process.stdout

    def find(self, pattern: str) -> str:
        for line in self.out:
            if match := re.search(pattern, line):
                return match[1]
        raise AssertionError(f"it ended without {pattern}: {self.end()}")

    def end(self, *signals: signal.Signals) -> tuple[int, str]:
        """Exit code, and what was written to stderr."""
        for number in signals:
            self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=30)
        assert "Traceback" not in errors
        return self.process.returncode, errors


Start = Callable[..., Process]


@pytest.fixture
def start(office: Office) -> Iterator[Start]:
    running: list[Process] = []

    def start(*arguments: str) -> Process:
        running.append(Process(office.start(*arguments)))
        return running[-1]

    yield start
    for process in running:
        if process.process.poll() is None:
            process.process.kill()
            process.process.communicate()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def counts(office: Office) -> dict[str, int]:
    states: dict[str, int] = office.run("status", "--json").json["states"]
    return {state: count for state, count in states.items() if count}


def test_up_needs_nothing_but_settings_and_keeps_its_calls(office: Office, start: Start) -> None:
    office.without("REDIS__URL")
    office.env["CALLBRIDGE_RECEIVER__PORT"] = "0"
    crm = start("sim", "crm", "--port", "0", "--match-all")
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__URL"] = crm.find(r"CRM +(\S+)")

    up = start("up")
    hook = up.find(r"Webhooks +(\S+/hooks/office) ")
    assert office.run("send", "generic", "--url", hook, "--count", "5").code == 0
    wait_for(lambda: counts(office) == {"delivered": 5})
    code, log = up.end(signal.SIGTERM)
    assert code == 0
    assert [json.loads(line)["event"] for line in log.splitlines()][-1] == "process.stopped"
    assert office.run("status").code == 1, "its Redis ended with it"

    again = start("up")
    again.find(r"Webhooks +(\S+)")
    assert counts(office) == {"delivered": 5}
    assert again.end(signal.SIGINT)[0] == 0
    assert crm.end(signal.SIGINT)[0] == 0


def test_receiver_and_worker_share_a_redis_and_end_orderly(office: Office, start: Start) -> None:
    office.env["CALLBRIDGE_RECEIVER__PORT"] = "0"
    crm = start("sim", "crm", "--port", "0", "--match-all")
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__URL"] = crm.find(r"CRM +(\S+)")
    receiver, worker = start("receiver"), start("worker")
    hook = receiver.find(r"Webhooks +(\S+/hooks/city) ")
    assert office.run("send", "mango", "--url", hook, "--count", "4").code == 0
    wait_for(lambda: counts(office) == {"delivered": 4})
    assert receiver.end(signal.SIGTERM)[0] == 0
    assert worker.end(signal.SIGTERM)[0] == 0
    assert office.run("status", "--json").json["workers"] == []


def test_a_stop_waits_for_the_answer_of_the_crm(office: Office, start: Start) -> None:
    office.env["CALLBRIDGE_RECEIVER__PORT"] = "0"
    crm = start("sim", "crm", "--port", "0", "--match-all", "--fault", "slow=2s")
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__URL"] = crm.find(r"CRM +(\S+)")
    up = start("up")
    hook = up.find(r"Webhooks +(\S+/hooks/office) ")
    assert office.run("send", "generic", "--url", hook).code == 0
    wait_for(lambda: _is_sending(office))
    assert up.end(signal.SIGTERM)[0] == 0
    assert counts(office) == {"delivered": 1}


def test_a_second_signal_does_not_wait_and_leaves_no_redis_behind(office: Office, start: Start, tmp_path: Path) -> None:
    office.without("REDIS__URL")
    office.env["CALLBRIDGE_RECEIVER__PORT"] = "0"
    crm = start("sim", "crm", "--port", "0", "--match-all", "--fault", "slow=1h")
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__URL"] = crm.find(r"CRM +(\S+)")
    office.env["CALLBRIDGE_DELIVERY__REQUEST_TIMEOUT"] = "1h"
    up = start("up")
    hook = up.find(r"Webhooks +(\S+/hooks/office) ")
    assert office.run("send", "generic", "--url", hook).code == 0
    wait_for(lambda: _is_sending(office))
    up.process.send_signal(signal.SIGTERM)
    wait_for(lambda: not _answers(f"{hook.rpartition('/hooks')[0]}/livez"))
    assert up.process.poll() is None, "it waits for the CRM"
    assert up.end(signal.SIGTERM)[0] == 1
    wait_for(lambda: office.run("status").code == 1)
    assert not (tmp_path / "var" / "redis.sock").exists()


def test_up_outlives_its_redis(office: Office, start: Start) -> None:
    office.without("REDIS__URL")
    office.env["CALLBRIDGE_RECEIVER__PORT"] = "0"
    crm = start("sim", "crm", "--port", "0", "--match-all")
    office.env["CALLBRIDGE_ACCOUNTS__MAIN__URL"] = crm.find(r"CRM +(\S+)")
    up = start("up")
    hook = up.find(r"Webhooks +(\S+/hooks/office) ")
    assert office.run("send", "generic", "--url", hook, "--count", "2").code == 0
    wait_for(lambda: counts(office) == {"delivered": 2})
    os.kill(_pid_of_redis(office), signal.SIGKILL)
    assert office.run("send", "generic", "--url", hook, "--count", "3").code == 0, "the spool takes them"
    wait_for(lambda: (office.run("status", "--json").json["states"] or {}).get("delivered") == 5)
    code, log = up.end(signal.SIGTERM)
    assert code == 0
    assert "redis.restarted" in log
    assert office.run("status").code == 1, "its Redis ended with it"


def _pid_of_redis(office: Office) -> int:
    async def asked() -> int:
        async with connected(url_of(office.directory / "var")) as redis:
            return int((await redis.info("server"))["process_id"])

    return asyncio.run(asked())


@pytest.mark.parametrize("command", ["up", "receiver"])
def test_an_address_that_is_taken_is_one_line(office: Office, start: Start, command: str) -> None:
    crm = start("sim", "crm", "--port", "0")
    office.env["CALLBRIDGE_RECEIVER__PORT"] = port = crm.find(r"CRM +http://\S+:(\d+)")
    ended = start(command)
    code, errors = ended.end()
    assert code == 1
    said = [line for line in errors.splitlines() if line.startswith("callbridge: ")]
    assert len(said) == 1
    assert f"127.0.0.1:{port}" in said[0]


def test_a_simulator_on_a_taken_port_is_one_line(start: Start) -> None:
    port = start("sim", "crm", "--port", "0").find(r"CRM +http://\S+:(\d+)")
    code, errors = start("sim", "crm", "--port", port).end()
    assert code == 1
    assert [line for line in errors.splitlines() if line.startswith("callbridge: cannot listen on")]


def test_the_simulator_misbehaves_as_it_is_told(start: Start) -> None:
    url = start("sim", "crm", "--port", str(free_port()), "--fault", "401").find(r"CRM +(\S+)")
    request = urllib.request.Request(f"{url}/api/v4/account", headers={"Authorization": "Bearer x"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=5)
    with refused.value:
        assert refused.value.code == 401


def _is_sending(office: Office) -> bool:
    """A request for the call is under way: an attempt was counted."""
    return [call["state"] for call in office.run("calls", "list", "--json").lines] == ["sending"]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except OSError:
        return False
