"""Operators and tokens made on the command line open a console that runs already, and open nothing once they are ended."""

from __future__ import annotations

import contextlib
import io
import json
import sqlite3
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from cli.conftest import Office
from support.redis_server import free_port

PASSWORD, OTHER = "seven swans upon the river", "a kettle sings in the kitchen"
ENOUGH = 30.0


class Stays(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object, **_more: object) -> None:
        return None


def asked(
    url: str, headers: dict[str, str] | None = None, form: dict[str, str] | None = None
) -> tuple[int, dict[str, str], str]:
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode() if form else None, headers or {})
    try:
        with urllib.request.build_opener(Stays).open(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()
    except OSError:
        return 0, {}, ""


@pytest.fixture
def base(office: Office) -> Iterator[str]:
    """A running console."""
    office.env["CALLBRIDGE_CONSOLE__PORT"] = str(free_port())
    office.env["CALLBRIDGE_CONSOLE__PASSWORD"] = PASSWORD
    url = f"http://127.0.0.1:{office.env['CALLBRIDGE_CONSOLE__PORT']}"
    process = office.start("console")
    try:
        deadline = time.monotonic() + ENOUGH
        while asked(f"{url}/readyz")[0] != 200:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=ENOUGH)
        process.kill()
        process.communicate()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_token_opens_a_running_console_until_it_is_revoked(office: Office, base: str) -> None:
    made = office.run("tokens", "create", "wall", "--json").json
    status, _, page = asked(f"{base}/api/v1/status", bearer(made["token"]))
    assert status == 200
    assert json.loads(page)
    assert asked(f"{base}/api/v1/status")[0] == 401
    assert asked(f"{base}/api/v1/status", bearer(made["token"][:-1]))[0] == 401
    assert asked(f"{base}/api/v1/audit", bearer(made["token"]))[0] == 403
    admin = office.run("tokens", "create", "boss", "--role", "admin", "--json").json
    assert asked(f"{base}/api/v1/audit", bearer(admin["token"]))[0] == 200
    assert office.run("tokens", "revoke", made["id"]).code == 0
    until_shut(f"{base}/api/v1/status", bearer(made["token"]), 401)


def until_shut(url: str, headers: dict[str, str], status: int) -> None:
    """What a console was told by SQL counts for some seconds."""
    deadline = time.monotonic() + ENOUGH
    while asked(url, headers)[0] != status:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def entered(base: str, name: str, password: str) -> str | None:
    """The cookie of a session, if there is one."""
    status, headers, _ = asked(f"{base}/login", {"Sec-Fetch-Site": "same-origin"}, {"name": name, "password": password})
    return headers["Set-Cookie"].partition(";")[0] if status == 303 else None


def test_an_operator_logs_in_with_what_was_typed_until_he_is_kept_out(
    office: Office, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, f"{OTHER}\n")
    ended = office.run("operators", "add", "olga", "--role", "operator")
    assert (ended.code, ended.out) == (0, "")  # a password that somebody typed is not shown
    assert OTHER not in ended.err
    cookie = entered(base, "olga", OTHER)
    assert cookie
    assert asked(f"{base}/calls", {"Cookie": cookie})[0] == 200
    assert entered(base, "olga", PASSWORD) is None

    typed(monkeypatch, "")
    made = office.run("operators", "password", "olga").out.strip()
    until_shut(f"{base}/calls", {"Cookie": cookie}, 303)  # his sessions ended
    cookie = entered(base, "olga", made)
    assert cookie
    assert office.run("operators", "disable", "olga").code == 0
    until_shut(f"{base}/calls", {"Cookie": cookie}, 303)
    assert entered(base, "olga", made) is None
    assert office.run("operators", "enable", "olga").code == 0
    assert entered(base, "olga", made)


def test_what_cannot_be_is_one_line(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, f"{OTHER}\n")
    assert office.run("operators", "add", "olga").code == 0
    for command in (
        ["operators", "add", "olga"],
        ["operators", "add", "no name"],
        ["operators", "password", "nobody"],
        ["operators", "role", "nobody", "admin"],
        ["operators", "disable", "nobody"],
        ["operators", "enable", "nobody"],
        ["tokens", "revoke", "nothing"],
    ):
        typed(monkeypatch, f"{OTHER}\n")
        ended = office.run(*command)
        assert (ended.code, len(ended.err.splitlines())) == (1, 1), (command, ended.err)
    for command in (["tokens", "create", ""], ["operators", "role", "olga", "king"], ["audit", "list", "--limit", "0"]):
        assert office.run(*command).code == 2, command


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET reason = 'another' WHERE seq = 2",
        "UPDATE audit SET at = at + 1 WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 2",
    ],
)
def test_whatever_was_changed_in_the_audit_is_found(office: Office, change: str) -> None:
    for name in ("one", "two", "three"):
        office.run("tokens", "create", name)
    assert office.run("audit", "verify").code == 0
    file = f"{office.env['CALLBRIDGE_DATA_DIR']}/ledger.db"
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.execute(change)
    ended = office.run("audit", "verify")
    assert (ended.code, len(ended.out.splitlines())) == (1, 1)
