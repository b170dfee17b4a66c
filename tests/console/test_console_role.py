"""The console as a process: it starts whatever is away, says so, goes on by itself, and ends when it is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from callbridge.ledger.queries import Queries
from console.conftest import PASSWORD, Desk, logged_in
from support.redis_server import RedisServer, free_port

ENOUGH = 30.0


def env_of(folder: Path, redis: str, **more: str) -> dict[str, str]:
    return {
        "CALLBRIDGE_DATA_DIR": str(folder),
        "CALLBRIDGE_REDIS__URL": redis,
        "CALLBRIDGE_REDIS__TIMEOUT": "1s",
        "CALLBRIDGE_CONSOLE__PORT": str(free_port()),
        "CALLBRIDGE_ACCOUNTS__MAIN__URL": "http://127.0.0.1:9",
        "CALLBRIDGE_ACCOUNTS__MAIN__TOKEN": "token-of-the-test",
        **more,
    }


@contextlib.contextmanager
def running(env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "callbridge", "console"],
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def asked(url: str, cookie: str = "") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Cookie": cookie}), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ENOUGH
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_it_serves_pages_without_redis_and_without_sql_and_ends_when_told(tmp_path: Path) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    env = env_of(
        tmp_path,
        nowhere,
        CALLBRIDGE_CONSOLE__PASSWORD=PASSWORD,
        CALLBRIDGE_LEDGER__URL=f"postgresql://nobody@127.0.0.1:{free_port()}/none",
    )
    base = f"http://127.0.0.1:{env['CALLBRIDGE_CONSOLE__PORT']}"
    with running(env) as process:
        until(lambda: asked(f"{base}/livez")[0] == 200)
        assert asked(f"{base}/readyz")[0] == 503
        cookie = asyncio.run(logged_in(base, "", PASSWORD))
        for path in (
            "/",
            "/calls",
            "/dead",
            "/jobs",
            "/parked",
            "/uncertain",
            "/accounts",
            "/sources",
            "/batches",
            "/audit",
        ):
            status, page = asked(f"{base}{path}", cookie)
            assert status in {200, 503}, path
            assert "</html>" in page, path
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENOUGH) == 0


def test_it_goes_on_by_itself_once_redis_is_there(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis")
    server.stop()
    env = env_of(tmp_path / "var", server.url, CALLBRIDGE_CONSOLE__PASSWORD=PASSWORD)
    base = f"http://127.0.0.1:{env['CALLBRIDGE_CONSOLE__PORT']}"
    with running(env):
        until(lambda: asked(f"{base}/livez")[0] == 200)
        assert asked(f"{base}/readyz")[0] == 503
        server.start()
        try:
            until(lambda: asked(f"{base}/readyz")[0] == 200)
        finally:
            server.stop()


def test_without_a_password_a_link_opens_it_once(redis_server: RedisServer, tmp_path: Path) -> None:
    env = env_of(tmp_path, redis_server.url, CALLBRIDGE_REDIS__PREFIX="console-link")
    with running(env) as process:
        assert process.stdout
        line = process.stdout.readline()
        address = next(word for word in line.split() if word.startswith("http"))
        base, _, token = address.partition("/login?link=")

        def redeem() -> int:
            request = urllib.request.Request(
                f"{base}/login", f"link={token}".encode(), {"Sec-Fetch-Site": "same-origin"}
            )
            try:
                with urllib.request.build_opener().open(request, timeout=10) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        assert asked(address)[0] == 200
        assert asked(address)[0] == 200  # looking uses nothing up
        redeem()
        assert redeem() == 403


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"CALLBRIDGE_CONSOLE__HOST": "0.0.0.0"}, "console.password"),  # noqa: S104 - that it is refused is what is tested
        ({"CALLBRIDGE_CONSOLE__PASSWORD": "password1234567"}, "console.password"),
        ({"CALLBRIDGE_LEDGER__URL": "mysql://host/none"}, "ledger.url"),
    ],
)
def test_what_an_operator_has_to_change_is_one_line(tmp_path: Path, changes: dict[str, str], says: str) -> None:
    env = env_of(tmp_path, "redis://127.0.0.1:9/0", **changes)
    with running(env) as process:
        assert process.wait(ENOUGH) == 1
        assert process.stderr
        lines = [line for line in process.stderr.read().splitlines() if line.startswith("callbridge: ")]
        assert len(lines) == 1
        assert says in lines[0]


async def test_what_redis_tells_is_in_the_ledger_by_itself(desk: Desk) -> None:
    await desk.bench.store(7)
    deadline = time.monotonic() + ENOUGH
    while (await Queries(desk.ledger).standing()).calls < 7:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
