"""The script that Asterisk runs, as Asterisk runs it: a process of /bin/sh in front of a receiver that may be away."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from callbridge.call import FinishedCall
from callbridge.intake.accept import Acceptor
from callbridge.intake.http import Running, build_app, serve
from conftest import READY
from support.redis_server import free_port
from support.webhooks import NOW, MemoryInbox, a_source

FOLDER = Path(__file__).parents[2] / "deploy" / "asterisk"
SCRIPT = FOLDER / "callbridge-cdr"
SECRET = 'a "secret" with \\ $HOME and `spaces`'
HOSTILE = '"Bobby\'; DROP" $(touch hacked) `touch hacked` ${IFS} ; touch hacked & src=1\n| ¡ñ % \\'
RECORD = {
    "uniqueid": "1790000700.8", "linkedid": "1790000700.7", "src": "79165550191", "dst": "105",
    "dcontext": "from-trunk", "channel": "PJSIP/gate-00000008", "dstchannel": "PJSIP/105-00000009", "lastapp": "Dial",
    "start": "1790000700.120000", "answer": "1790000705.000000", "end": "1790000725.500000", "duration": "25",
    "billsec": "20", "disposition": "ANSWERED",
}  # fmt: skip
AGI_GREETING = b"agi_request: callbridge-cdr\nagi_channel: PJSIP/gate-00000008\nagi_extension: h\n\n"


@dataclass
class Pbx:
    """A machine with the script on it, and a receiver somewhere that can be switched off and on."""

    directory: Path
    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    port: int = field(default_factory=free_port)
    running: Running | None = None
    secret: str = SECRET
    tries: int = 1
    more: dict[str, str] = field(default_factory=dict)

    @property
    def spool(self) -> Path:
        return self.directory / "spool"

    @property
    def waiting(self) -> list[Path]:
        return sorted(self.spool.glob("*.cdr"))

    @property
    def calls(self) -> list[FinishedCall]:
        return [arrival for arrival in self.inbox.arrivals if isinstance(arrival, FinishedCall)]

    @property
    def environment(self) -> dict[str, str]:
        conf = self.directory / "callbridge-cdr.conf"
        quoted = self.secret.replace("'", "'\\''")
        conf.write_text(f"CDR_POST_URL='http://127.0.0.1:{self.port}/hooks/pbx'\nCDR_POST_SECRET='{quoted}'\n")
        names = {
            "CDR_POST_CONF": conf,
            "CDR_POST_SPOOL": self.spool,
            "CDR_POST_PAUSE": 0,
            "CDR_POST_TRIES": self.tries,
        }
        return (
            {"PATH": os.environ["PATH"], "HOME": str(self.directory)}
            | {k: str(v) for k, v in names.items()}
            | self.more
        )

    async def receive(self) -> None:
        source = a_source(name="pbx", provider="asterisk", secrets=(SECRET,))
        app = build_app(Acceptor({"pbx": source}, self.inbox, lambda: NOW), ready=lambda: READY)
        self.running = await serve(app, "127.0.0.1", self.port, farewell=0.0)

    async def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Until the script has returned and closed its pipes, which is what Asterisk waits for."""
        return await asyncio.to_thread(
            subprocess.run, ["/bin/sh", SCRIPT, *arguments], env=self.environment, cwd=self.directory, input=stdin,
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip

    async def started(self, *arguments: str) -> subprocess.Popen[bytes]:
        """In a process group of its own, which what it leaves in the background stays in."""
        quiet = subprocess.DEVNULL
        return await asyncio.to_thread(
            subprocess.Popen, ["/bin/sh", SCRIPT, *arguments], env=self.environment,
            stdin=quiet, stdout=quiet, stderr=quiet, process_group=0,
        )  # fmt: skip

    async def until(self, reached) -> None:
        async with asyncio.timeout(20):
            while not reached():  # noqa: ASYNC110 - other processes do it; there is nothing to wait on
                await asyncio.sleep(0.02)


@pytest.fixture
async def pbx(tmp_path: Path) -> AsyncIterator[Pbx]:
    made = Pbx(tmp_path)
    yield made
    try:
        # A sender in the background lets go of the spool's lock when it is done.
        await made.until(lambda: not (made.spool / ".lock").exists())
    finally:
        if made.running:
            await made.running.stop()


def form(record: dict[str, str]) -> str:
    """As URIENCODE writes it."""
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in record.items())


def fields(record: dict[str, str]) -> Iterator[str]:
    return (f"{name}={value}" for name, value in record.items())


async def test_a_record_from_the_dialplan_arrives_as_a_call(pbx: Pbx) -> None:
    await pbx.receive()
    done = await pbx.run("agi", form(RECORD), stdin=AGI_GREETING)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    await pbx.until(lambda: pbx.calls and not pbx.waiting)
    (arrival,) = pbx.calls
    call = arrival.call
    assert (call.ref, call.direction, call.phone, call.extension) == ("1790000700.7", "inbound", "79165550191", "105")
    assert (call.duration, call.started_at, call.status) == (20, 1_790_000_700, "answered")


@pytest.mark.parametrize("mode", ["send", "agi"])
async def test_whatever_a_caller_calls_himself_arrives_and_does_nothing_on_the_way(pbx: Pbx, mode: str) -> None:
    await pbx.receive()
    record = RECORD | {"clid": HOSTILE, "dcontext": "$(touch hacked)", "userfield": "-K/etc/passwd @/etc/passwd"}
    arguments = fields(record) if mode == "send" else [form(record)]
    assert (await pbx.run(mode, *arguments, stdin=AGI_GREETING)).returncode == 0
    await pbx.until(lambda: pbx.calls)
    (arrival,) = pbx.calls
    told = dict(part.split("=", 1) for part in arrival.webhook.body.decode().strip().split("&"))
    assert unquote(told["clid"]) == HOSTILE
    assert (arrival.call.phone, arrival.call.direction) == ("79165550191", "inbound")
    assert not list(pbx.directory.rglob("hacked"))


async def test_a_call_is_not_lost_while_the_receiver_is_away(pbx: Pbx) -> None:
    pbx.tries = 0  # nothing in the background, so that what is sent when is certain
    for number in range(3):
        done = await pbx.run("send", *fields(RECORD | {"linkedid": f"1790000700.{number}"}))
        assert done.returncode == 0
    assert (await pbx.run("flush")).returncode == 1
    assert len(pbx.waiting) == 3
    await pbx.receive()
    assert (await pbx.run("flush")).returncode == 0
    assert pbx.waiting == []
    assert sorted(arrival.call.ref for arrival in pbx.calls) == [f"1790000700.{number}" for number in range(3)]


async def test_the_next_call_takes_along_what_was_left_behind(pbx: Pbx) -> None:
    pbx.tries = 0
    await pbx.run("send", *fields(RECORD | {"linkedid": "1790000700.1"}))
    await pbx.receive()
    pbx.tries = 1
    await pbx.run("send", *fields(RECORD | {"linkedid": "1790000700.2"}))
    await pbx.until(lambda: len(pbx.calls) == 2)
    assert {arrival.call.ref for arrival in pbx.calls} == {"1790000700.1", "1790000700.2"}


async def test_a_wrong_secret_keeps_the_records_until_it_is_put_right(pbx: Pbx) -> None:
    await pbx.receive()
    pbx.secret, pbx.tries = "another spear", 0
    await pbx.run("send", *fields(RECORD))
    done = await pbx.run("flush")
    assert done.returncode == 1
    assert b"HTTP 401" in done.stderr
    assert len(pbx.waiting) == 1
    assert pbx.calls == []
    assert b"spear" not in done.stderr
    pbx.secret = SECRET
    assert (await pbx.run("flush")).returncode == 0
    assert (len(pbx.calls), pbx.waiting) == (1, [])


async def test_what_the_cdr_engine_writes_is_taken_from_its_file_and_legs_become_one_call(pbx: Pbx) -> None:
    await pbx.receive()
    log = pbx.directory / "callbridge.cdr"
    legs = [RECORD | {"uniqueid": f"1790000700.{n}", "billsec": str(n), "clid": HOSTILE} for n in range(7, 20)]
    others = [RECORD | {"linkedid": f"1790000800.{n}"} for n in range(60)]
    log.write_text("".join(f"{form(record)}\n" for record in [*legs, *others]))
    assert (await pbx.run("take", str(log))).returncode == 0
    assert not log.exists()
    assert pbx.waiting == []
    assert len(pbx.calls) == 61
    (folded,) = [arrival.call for arrival in pbx.calls if arrival.call.ref == "1790000700.7"]
    assert folded.duration == 19
    log.write_text(f"{form(RECORD)}\n")
    assert (await pbx.run("take", str(log))).returncode == 0
    assert len(pbx.calls) == 62


async def test_lines_that_were_taken_before_a_crash_are_sent_after_it(pbx: Pbx) -> None:
    await pbx.receive()
    pbx.spool.mkdir()
    (pbx.directory / "callbridge.cdr.taken").write_text(f"{form(RECORD)}\n")
    (pbx.spool / ".part.zzzzz").write_text("half of a li")
    assert (await pbx.run("take", str(pbx.directory / "callbridge.cdr"))).returncode == 0
    assert [arrival.call.ref for arrival in pbx.calls] == ["1790000700.7"]
    assert len(pbx.inbox.arrivals) == 1


async def test_long_lines_stay_below_what_the_receiver_takes(pbx: Pbx) -> None:
    await pbx.receive()
    long = [RECORD | {"linkedid": f"1790000800.{n}", "clid": "Ж" * 80, "lastdata": "Щ" * 150} for n in range(60)]
    assert len(form(long[0])) > 1_500
    log = pbx.directory / "callbridge.cdr"
    log.write_text("".join(f"{form(record)}\n" for record in long))
    assert (await pbx.run("take", str(log))).returncode == 0
    assert (len(pbx.calls), pbx.waiting, (pbx.spool / "refused").exists()) == (60, [], False)


async def test_the_file_is_renamed_where_it_is(pbx: Pbx) -> None:
    """What is moved into another file system is copied, and a record that is written meanwhile would be lost."""
    pbx.tries = 0
    log = pbx.directory / "callbridge.cdr"
    log.write_text(f"{form(RECORD)}\n")
    tools = pbx.directory / "bin"
    tools.mkdir()
    (tools / "mv").write_text('#!/bin/sh\necho "$@" >>"$MOVES"\nexec /bin/mv "$@"\n')
    (tools / "mv").chmod(0o755)
    pbx.more = {"PATH": f"{tools}:{os.environ['PATH']}", "MOVES": str(pbx.directory / "moves")}
    await pbx.run("take", str(log))
    moves = [line.split() for line in (pbx.directory / "moves").read_text().splitlines()]
    assert moves
    assert all(Path(one).parent == Path(other).parent for one, other in moves)


@pytest.mark.parametrize("mode", ["send", "agi"])
async def test_a_record_that_cannot_be_kept_is_not_reported_as_sent(pbx: Pbx, mode: str) -> None:
    tools = pbx.directory / "bin"
    tools.mkdir()
    (tools / "mktemp").write_text("#!/bin/sh\nexit 1\n")
    (tools / "mktemp").chmod(0o755)
    pbx.more = {"PATH": f"{tools}:{os.environ['PATH']}"}
    arguments = fields(RECORD) if mode == "send" else [form(RECORD)]
    done = await pbx.run(mode, *arguments, stdin=AGI_GREETING)
    assert done.returncode == 2
    assert b"cannot write" in done.stderr


async def test_the_service_follows_the_file_for_as_long_as_it_runs(pbx: Pbx) -> None:
    log = pbx.directory / "callbridge.cdr"
    service = await pbx.started("follow", str(log))
    try:
        log.write_text(f"{form(RECORD)}\n")
        await pbx.until(lambda: pbx.waiting)
        await pbx.receive()
        await pbx.until(lambda: len(pbx.calls) == 1 and not pbx.waiting)
        log.write_text(f"{form(RECORD | {'linkedid': '1790000900.1'})}\n")
        await pbx.until(lambda: len(pbx.calls) == 2)
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        await asyncio.to_thread(service.wait)


async def test_a_service_that_is_stopped_leaves_no_lock_behind(pbx: Pbx) -> None:
    """Stopped again and again at moments of chance, while it does nothing but take the lock and fail."""
    pbx.spool.mkdir()
    (pbx.spool / "1.cdr").write_text(form(RECORD))
    pbx.tries = 1_000_000
    for wait in (0.02, 0.03, 0.05, 0.08, 0.13):
        for part in range(4):
            flushing = await pbx.started("flush")
            await asyncio.sleep(wait + part * 0.005)
            os.killpg(flushing.pid, signal.SIGTERM)
            await asyncio.to_thread(flushing.wait)
            assert not (pbx.spool / ".lock").exists()
    assert pbx.waiting


async def test_what_no_receiver_will_ever_take_does_not_hold_up_the_others(pbx: Pbx) -> None:
    await pbx.receive()
    pbx.spool.mkdir()
    (pbx.spool / "1.large.cdr").write_text("x" * 300_000)
    (pbx.spool / "2.small.cdr").write_text(form(RECORD))
    done = await pbx.run("flush")
    assert done.returncode == 0
    assert b"HTTP 413" in done.stderr
    assert len(pbx.calls) == 1
    assert [path.name for path in (pbx.spool / "refused").iterdir()] == ["1.large.cdr"]


async def test_the_lock_of_a_killed_process_is_forgotten(pbx: Pbx) -> None:
    await pbx.receive()
    lock = pbx.spool / ".lock"
    lock.mkdir(parents=True)
    (pbx.spool / "1.cdr").write_text(form(RECORD))
    await pbx.run("flush")
    assert pbx.calls == []
    os.utime(lock, (NOW - 10**9, NOW - 10**9))
    assert (await pbx.run("flush")).returncode == 0
    assert len(pbx.calls) == 1


@pytest.mark.parametrize("arguments", [["send"], ["send", "=x"], ["send", "a b=c"], ["agi"], ["dance"], []])
async def test_a_wrong_use_is_explained_and_sends_nothing(pbx: Pbx, arguments: list[str]) -> None:
    await pbx.receive()
    done = await pbx.run(*arguments, stdin=AGI_GREETING)
    assert done.returncode == 2
    assert done.stderr
    assert pbx.waiting == []


async def test_a_background_sender_tries_again_by_itself(pbx: Pbx) -> None:
    pbx.tries = 500
    await pbx.run("send", *fields(RECORD))
    assert len(pbx.waiting) == 1
    await pbx.receive()
    await pbx.until(lambda: pbx.calls and not pbx.waiting)


async def test_the_hangup_signal_that_asterisk_sends_does_not_stop_the_sender(pbx: Pbx) -> None:
    pbx.tries = 500
    agi = await pbx.started("agi", form(RECORD))
    assert await asyncio.to_thread(agi.wait) == 0
    os.killpg(agi.pid, signal.SIGHUP)
    await pbx.receive()
    await pbx.until(lambda: pbx.calls and not pbx.waiting)


async def test_records_can_be_read_by_nobody_else(pbx: Pbx) -> None:
    pbx.tries = 0
    await pbx.run("send", *fields(RECORD))
    (record,) = pbx.waiting
    assert record.stat().st_mode & 0o077 == 0
    assert pbx.spool.stat().st_mode & 0o077 == 0


def test_the_script_is_executable_and_plain_posix_shell() -> None:
    assert SCRIPT.stat().st_mode & 0o111
    assert SCRIPT.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["/bin/sh", "-n", SCRIPT], check=True)
    assert not re.search(r"\[\[|\blocal\b|function |<<<|\$'|\becho -", SCRIPT.read_text())


@pytest.mark.parametrize("file", ["cdr_custom.conf", "extensions_callbridge.conf"])
def test_every_text_in_the_shipped_configuration_is_encoded(file: str) -> None:
    (mapping,) = re.findall(r"uniqueid=.*", (FOLDER / file).read_text())
    told = dict(re.findall(r"(\w+)=(\S*?)(?=&|\)?$)", mapping))
    numbers = {"duration", "billsec"}
    assert {
        "linkedid",
        "src",
        "dst",
        "dcontext",
        "channel",
        "dstchannel",
        "lastapp",
        "start",
        "disposition",
    } <= told.keys()
    for name, value in told.items():
        column = f"{name},u" if name in {"start", "answer", "end"} else name
        assert value == f"${{URIENCODE(${{CDR({column})}})}}" or (name in numbers and value == f"${{CDR({name})}}")
