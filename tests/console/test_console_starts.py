"""How the console comes up where something is in its way: a port that is taken, a ledger that cannot be made yet."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from pathlib import Path

from console.conftest import PASSWORD, logged_in
from console.test_console_role import ENOUGH, asked, env_of, running, until
from support.redis_server import RedisServer


def test_a_port_that_is_taken_is_one_line(redis_server: RedisServer, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = env_of(tmp_path, redis_server.url) | {"CALLBRIDGE_CONSOLE__PORT": str(taken.getsockname()[1])}
        with running(env) as process:
            assert process.wait(ENOUGH) == 1
            assert process.stderr
            said = process.stderr.read()
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("callbridge: ")]
    assert "console.port" in line


def test_a_ledger_that_cannot_be_made_is_told_and_made_later(redis_server: RedisServer, tmp_path: Path) -> None:
    way = tmp_path / "var"
    way.write_text("a file where the directory should be")
    env = env_of(way / "data", redis_server.url, CALLBRIDGE_CONSOLE__PASSWORD=PASSWORD)
    env["CALLBRIDGE_REDIS__PREFIX"] = f"console-{time.monotonic_ns()}"
    base = f"http://127.0.0.1:{env['CALLBRIDGE_CONSOLE__PORT']}"
    with running(env) as process:
        until(lambda: asked(f"{base}/livez")[0] == 200)
        assert asked(f"{base}/readyz")[0] == 503
        cookie = asyncio.run(logged_in(base, "", PASSWORD))
        for path in ("/", "/calls", "/calls/1nb2ez4pkbv9vg6p", "/dead", "/jobs", "/parked", "/uncertain", "/accounts",
                     "/sources", "/batches", "/audit", "/access", "/erase", "/wall"):  # fmt: skip
            status, page = asked(f"{base}{path}", cookie)
            assert status in {200, 303, 403, 404, 503}, path
            assert "</html>" in page, path
        way.unlink()
        until(lambda: asked(f"{base}/readyz")[0] == 200)
        until(lambda: asked(f"{base}/calls", cookie)[0] in {200, 303})
        cookie = asyncio.run(logged_in(base, "", PASSWORD))
        for path in ("/", "/calls", "/dead", "/audit"):
            assert asked(f"{base}{path}", cookie)[0] == 200, path
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENOUGH) == 0
        assert process.stderr
        assert "Traceback" not in process.stderr.read()
