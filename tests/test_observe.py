"""The log: registered names, one line of JSON for whatever is said, and a writer that cannot hold anybody up."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from callbridge import observe
from callbridge.settings import LogSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    yield
    observe.shutdown()


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    observe.shutdown()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def configured(level: Any = "info", **more: Any) -> io.StringIO:
    stream = io.StringIO()
    observe.configure(LogSettings(level=level), role="worker", stream=stream, **more)
    return stream


def test_an_event_is_one_line_with_time_level_name_role_and_all_its_facts() -> None:
    stream = configured()
    observe.event("call.settled", id="1p6kg70abcdefghj", state="delivered", attempts=1, started_at=1_790_000_000)
    (line,) = lines_of(stream)
    assert line.pop("at").endswith("Z")
    assert line.pop("pid") == os.getpid()
    assert line == {
        "level": "info",
        "event": "call.settled",
        "role": "worker",
        "id": "1p6kg70abcdefghj",
        "state": "delivered",
        "attempts": 1,
        "started_at": 1_790_000_000,
    }


def test_an_unregistered_name_is_a_mistake_in_the_program() -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="not registered"):
            observe.event("call.setled")
        configured()


def test_before_it_is_configured_the_log_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    observe.event("process.started")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("configure", [True, False])
def test_a_test_can_listen_in(configure: bool) -> None:
    stream = configured() if configure else io.StringIO()
    with capture_logs() as heard:
        observe.event("account.paused", level="warning", account="main", reason="unauthorised")
    assert heard[0]["event"] == "account.paused"
    assert heard[0]["account"] == "main"
    assert lines_of(stream) == []
    structlog.reset_defaults()


def test_what_is_below_the_level_is_not_logged() -> None:
    stream = configured("warning")
    observe.event("webhook.accepted")
    observe.event("webhook.refused", level="warning")
    assert [line["event"] for line in lines_of(stream)] == ["webhook.refused"]


def test_the_lines_own_facts_cannot_be_overwritten() -> None:
    stream = configured()
    observe.event("webhook.accepted", at="never", name="x")
    (line,) = lines_of(stream)
    assert line["at"] != "never"
    assert (line["at_"], line["name"]) == ("never", "x")


def test_secrets_and_numbers_do_not_reach_the_log() -> None:
    stream = configured()
    observe.event(
        "webhook.refused",
        path="/hooks/office/canary",
        headers={"Authorization": "Bearer canary", "Host": "example.com"},
        query=[("token", "x"), "token=canary"],
        phone="+7 916 555-01-17",
        note="call from 8 (916) 555 01 17",
    )
    observe.shutdown()
    assert "canary" not in stream.getvalue()
    assert "555" not in stream.getvalue()
    assert "0117" in stream.getvalue()


def test_an_error_is_told_without_the_secrets_that_are_in_force() -> None:
    stream = configured(secrets=["odd salt of the pbx", "x"])
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("mac of odd salt of the pbx failed")
    observe.event("worker.failed", level="error", error=caught.value)
    (line,) = lines_of(stream)
    assert line["error"]["type"] == "RuntimeError"
    assert line["error"]["message"] == "mac of *** failed"
    assert line["error"]["trace"][-1].startswith("tests/test_observe.py:")


def test_libraries_are_heard_from_warning_up_and_through_the_same_redaction() -> None:
    stream = configured(secrets=["odd salt of the pbx"])
    logging.getLogger("arq.worker").info("0.1s -> drain(main)")
    logging.getLogger("aiohttp.server").warning("bad token=%s of %s", "canary", "+79165550117")
    logging.getLogger("asyncio").error("odd salt of the pbx", exc_info=ValueError("Bearer canary"))
    misfit = logging.LogRecord("redis", logging.ERROR, __file__, 1, "%d tries", ("many",), None)
    observe._Library().emit(misfit)
    lines = lines_of(stream)
    assert [line["event"] for line in lines] == ["log.library"] * 3
    assert [line["logger"] for line in lines] == ["aiohttp.server", "asyncio", "redis"]
    assert lines[0]["message"] == "bad token=*** of ***0117"
    assert (lines[1]["level"], lines[1]["message"]) == ("error", "***")
    assert lines[1]["error"]["message"] == "Bearer ***"
    assert lines[2]["message"] == "(unreadable) %d tries"


def test_debug_does_not_open_the_door_to_the_chatter_of_libraries() -> None:
    stream = configured("debug")
    logging.getLogger("asyncio").info("Using selector")
    observe.event("drain.started", level="debug")
    assert [line["event"] for line in lines_of(stream)] == ["drain.started"]


def test_a_second_configuration_takes_the_place_of_the_first() -> None:
    first, second = configured(), configured()
    observe.event("process.started")
    logging.getLogger("redis").error("down")
    assert len(lines_of(second)) == 2
    assert first.getvalue() == ""
    assert not any(isinstance(handler, observe._Library) for handler in logging.getLogger().handlers)


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_auto_is_for_people_on_a_terminal_and_for_machines_elsewhere(stream: io.StringIO) -> None:
    observe.configure(LogSettings(), role="receiver", stream=stream)
    observe.event("process.ready", port=8080)
    observe.shutdown()
    assert stream.getvalue().startswith("{") is not stream.isatty()
    assert "process.ready" in stream.getvalue()
    assert "8080" in stream.getvalue()


def test_on_a_terminal_an_error_is_one_readable_line() -> None:
    stream = io.StringIO()
    observe.configure(LogSettings(format="console"), role="worker", stream=stream)
    with pytest.raises(RuntimeError) as caught:
        raise RuntimeError("bad\nluck")
    observe.event("worker.failed", level="error", error=caught.value)
    observe.shutdown()
    (line,) = stream.getvalue().splitlines()
    assert "RuntimeError: bad\\\\u000aluck (at tests/test_observe.py:" in line


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text("abcdefghij_", min_size=1, max_size=8),
        st.recursive(
            st.text()
            | st.integers()
            | st.floats()
            | st.binary()
            | st.none()
            | st.sampled_from([object(), ValueError("\r\n")]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        ),
        max_size=5,
    ),
    st.text(),
)
def test_whatever_is_said_is_one_line_of_valid_json(fields: dict[str, Any], message: str) -> None:
    stream = configured()
    observe.event("webhook.refused", **fields)
    logging.getLogger("aiohttp").warning("%s", message)
    observe.shutdown()
    lines = stream.getvalue().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["webhook.refused", "log.library"]


def test_a_reader_that_stopped_costs_lines_that_are_counted_and_holds_nobody_up() -> None:
    readable, writable = os.pipe()
    said = observe.MAX_WAITING + 3_000
    with os.fdopen(readable, "rb") as pipe, ThreadPoolExecutor(1) as reader:
        with os.fdopen(writable, "w") as stream:
            observe.configure(LogSettings(), role="worker", stream=stream)
            for number in range(said):
                observe.event("webhook.accepted", index=number, filler="x" * 200)
            read = reader.submit(lambda: [json.loads(line) for line in pipe])
            observe.shutdown()
        seen = read.result()
    kept = [line["index"] for line in seen if line["event"] == "webhook.accepted"]
    dropped = sum(line["count"] for line in seen if line["event"] == "log.dropped")
    assert kept == list(range(len(kept)))
    assert dropped > 0
    assert len(kept) + dropped == said


def test_a_pipe_that_nobody_reads_any_more_is_no_trouble() -> None:
    readable, writable = os.pipe()
    os.close(readable)
    with os.fdopen(writable, "w") as stream:
        observe.configure(LogSettings(), role="worker", stream=stream)
        observe.event("process.started")
        observe.event("process.ready")
        observe.shutdown()


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False)


def test_the_last_lines_are_written_when_the_process_ends() -> None:
    done = run("""
        from callbridge import observe
        from callbridge.settings import LogSettings
        observe.configure(LogSettings(), role="worker")
        for _ in range(3000):
            observe.event("webhook.accepted")
        observe.event("process.stopped")
        raise SystemExit(3)
    """)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 3001
    assert json.loads(done.stderr.splitlines()[-1])["event"] == "process.stopped"
    assert done.stdout == ""


def test_a_process_ends_in_order_though_nobody_reads_its_log() -> None:
    readable, writable = os.pipe()
    program = """
        from callbridge import observe
        from callbridge.settings import LogSettings
        observe.configure(LogSettings(), role="worker")
        for _ in range(2000):
            observe.event("webhook.accepted", filler="x" * 200)
        raise SystemExit(3)
    """
    try:
        with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=writable) as process:
            assert process.wait(30) == 3
    finally:
        os.close(readable)
        os.close(writable)
