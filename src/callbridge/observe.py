"""The log: registered event names, one wide JSON line for each, written without ever holding up the event loop.

`event` is the only way into the log for our own code; what libraries say through `logging` comes the same way as
`log.library`, warnings and errors only. Every line passes `redaction`. Lines are put into a bounded queue and written by a
thread: a reader that stopped (a full pipe, a hung terminal) costs lines, which are counted and reported as `log.dropped`,
never an answer to a PBX.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, MutableMapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import orjson
import structlog

from callbridge.events import EVENTS
from callbridge.redaction import clean, exception, without
from callbridge.settings import LogSettings

Level = Literal["debug", "info", "warning", "error", "critical"]

MAX_WAITING: Final = 10_000
"""Lines that wait to be written; a busy second of a worker is a few hundred."""

_GATHER: Final = 0.01
"""Seconds in which the writer lets lines gather: it wakes a hundred times a second at most, however busy the process."""

_AT_ONCE: Final = 1_000
"""Lines in one write, so that a reader that stopped holds few lines that are no longer counted as waiting."""

_SHORTEST_SECRET: Final = 4
"""A shorter one would blot out half of every message."""

_Fields = MutableMapping[str, Any]


class _Writer:
    """A queue and the thread that empties it into `stream`. Stands in as structlog's logger: a line is its message."""

    def __init__(self, stream: TextIO, line_for: structlog.typing.Processor) -> None:
        self._stream = stream
        self._line_for = line_for
        self._waiting: deque[str] = deque()
        self._something = threading.Event()
        self._closing = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._dropped += 1
            return
        self._waiting.append(line)
        if not self._something.is_set():
            self._something.set()

    debug = info = warning = error = critical = put

    def close(self, patience: float = 2.0) -> None:
        """Writes what waits, unless that takes longer than `patience` seconds."""
        self._closing = True
        self._something.set()
        self._thread.join(patience)

    def _run(self) -> None:
        while not (self._closing and not self._waiting):
            self._something.wait()
            if not self._closing:
                time.sleep(_GATHER)
            self._something.clear()  # before the lines are taken: whoever adds one after this sets it again
            lines = [self._waiting.popleft() for _ in range(min(len(self._waiting), _AT_ONCE))]
            if self._waiting or self._closing:
                self._something.set()
            if self._dropped:
                lost, self._dropped = self._dropped, 0
                lines.append(_stand_alone("log.dropped", self._line_for, count=lost))
            with suppress(OSError, ValueError):  # a closed pipe or stream: there is nobody left to tell
                self._write("".join(f"{line}\n" for line in lines))

    def _write(self, lines: str) -> None:
        try:
            descriptor = self._stream.fileno()
        except OSError:  # no file behind it
            self._stream.write(lines)
            self._stream.flush()
            return
        rest = lines.encode("utf-8", "backslashreplace")
        while (
            rest
        ):  # straight to the file: whoever else uses the stream must not wait for a lock that a hanging write holds
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                time.sleep(_GATHER)


class _Library(logging.Handler):
    """What libraries log, through the same processors. Their text is theirs, so known secrets are removed by value too."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a format string that does not fit its arguments
            message = f"(unreadable) {record.msg}"
        fields: dict[str, Any] = {"logger": record.name, "message": without(_State.secrets, message)}
        if record.exc_info and record.exc_info[1]:
            fields["error"] = record.exc_info[1]
        event("log.library", level=_level_of(record.levelno), **fields)


class _State:
    """What `configure` set up in this process; the log is one of the few things that a process has one of."""

    writer: _Writer | None = None
    library: _Library | None = None
    log: Any = None
    secrets: tuple[str, ...] = ()


def configure(log: LogSettings, *, role: str, stream: TextIO | None = None, secrets: Iterable[str] = ()) -> None:
    """Sets up the log of this process, on stderr unless told otherwise; a second call replaces the first. `secrets` are
    removed by value wherever libraries and exceptions quote them.
    """
    shutdown()
    stream = stream or sys.stderr
    as_json = log.format == "json" or (log.format == "auto" and not stream.isatty())
    line: structlog.typing.Processor = _json_line if as_json else _console_line(colors=stream.isatty())
    _State.secrets = tuple(sorted((s for s in secrets if len(s) >= _SHORTEST_SECRET), key=len, reverse=True))
    _State.writer = _Writer(stream, line)
    structlog.configure(
        processors=[_facts, line],
        wrapper_class=structlog.make_filtering_bound_logger(log.level),
        logger_factory=lambda *_: _State.writer,
        cache_logger_on_first_use=False,
    )
    _State.log = structlog.get_logger().bind(role=role, pid=os.getpid())
    _State.library = _Library()
    root = logging.getLogger()
    root.addHandler(_State.library)
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[log.level.upper()]))
    logging.captureWarnings(capture=True)
    atexit.register(shutdown)


def shutdown() -> None:
    """Writes what waits and gives `logging` back. Called at exit by itself."""
    if _State.library:
        logging.getLogger().removeHandler(_State.library)
        logging.getLogger().setLevel(logging.WARNING)
        logging.captureWarnings(capture=False)
    if _State.writer:
        _State.writer.close()
        structlog.reset_defaults()
        atexit.unregister(shutdown)
    _State.writer = _State.library = _State.log = None
    _State.secrets = ()


def event(name: str, /, *, level: Level = "info", **fields: Any) -> None:
    """Logs one thing that happened. `name` is one of `EVENTS`; anything else is a mistake in the program.

    Before `configure` nothing is written, so that a command's output stays its own; only a test's capture hears it.
    """
    if name not in EVENTS:
        raise ValueError(f"{name!r} is not registered in events.EVENTS")
    log = _State.log
    if log is None:
        if not structlog.is_configured():
            return
        log = structlog.get_logger()
    getattr(log, level)(name, **fields)


# --- from fields to a line -------------------------------------------------------------------------------------------


def _facts(_logger: Any, level: str, fields: _Fields) -> _Fields:
    """Time, level and name first; then every other field, cleaned."""
    line: _Fields = {"at": _now(), "level": level, "event": fields.pop("event")}
    for key, value in fields.items():
        if key in line:
            key = f"{key}_"  # noqa: PLW2901 - the line's own facts come first
        line[key] = exception(value, _State.secrets) if isinstance(value, BaseException) else clean(value, key)
    return line


def _json_line(_logger: Any, _level: str, fields: _Fields) -> str:
    try:
        return orjson.dumps(fields).decode()
    except TypeError:  # what `clean` should never let through; a line that says so beats none
        return orjson.dumps({key: str(fields.get(key)) for key in ("at", "level", "event")}).decode()


def _console_line(*, colors: bool) -> structlog.typing.Processor:
    renderer = structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False, pad_event_to=20, timestamp_key="at")

    def line(logger: Any, level: str, fields: _Fields) -> str:
        error = fields.get("error")
        if isinstance(error, dict) and "trace" in error:
            where = error["trace"][-1] if error["trace"] else "nowhere"
            fields["error"] = f"{error['type']}: {error['message']} (at {where})"
        fields["at"] = f"{fields['at'][11:23]}"
        return str(renderer(logger, level, fields))

    return line


def _stand_alone(name: str, line_for: structlog.typing.Processor, **fields: Any) -> str:
    return str(line_for(None, "warning", _facts(None, "warning", {"event": name, **fields})))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level_of(number: int) -> Level:
    if number >= logging.CRITICAL:
        return "critical"
    return "error" if number >= logging.ERROR else "warning" if number >= logging.WARNING else "info"
