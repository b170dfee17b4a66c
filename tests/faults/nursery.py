"""Starts roles of the bridge fast: everything is imported once, each role is a fork. Speaks JSON lines on its own pipes.

    -> {"command": ["worker"], "env": {...}, "cwd": "...", "log": "...", "output": "..."}     <- {"pid": 123}

A fork runs the command line's own `main`, with the environment it was given, and ends like the real process.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final


class Nursery:
    """The one that this process has: begun when it is first needed, ended with the process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def fork(self, order: Mapping[str, Any]) -> int:
        """Blocks for the milliseconds that a fork takes, the first time for an import."""
        with self._lock:
            process = self._begun()
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            return int(json.loads(process.stdout.readline())["pid"])

    def _begun(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "faults.nursery"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
            )  # fmt: skip
            atexit.register(self._end)
        return self._process

    def _end(self) -> None:
        if self._process:
            self._process.communicate(timeout=10)


NURSERY: Final = Nursery()


PR_SET_PDEATHSIG: Final = 1
"""prctl(2): the signal that a process gets when its parent ends."""


def main() -> None:
    import callbridge.cli  # noqa: PLC0415 - only the nursery itself pays for it
    import callbridge.commands.roles  # noqa: PLC0415 - only the nursery itself pays for it
    import callbridge.embedded  # noqa: PLC0415 - only the nursery itself pays for it
    import callbridge.receiver  # noqa: PLC0415 - only the nursery itself pays for it
    import callbridge.worker  # noqa: PLC0415 - only the nursery itself pays for it
    from faults import inject  # noqa: PLC0415 - only the nursery itself pays for it

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: they are killed for a living
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(order, lambda: inject.apply(os.environ), callbridge.cli.main)
        sys.stdout.write(json.dumps({"pid": pid}) + "\n")
        sys.stdout.flush()


def _live(order: dict[str, Any], prepare: Callable[[], None], run: Callable[[], None]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # no test that was killed leaves anything behind
    os.setsid()
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 1)
    os.dup2(log, 2)
    code = 1
    try:
        prepare()
        sys.argv = ["callbridge", *order["command"]]
        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
