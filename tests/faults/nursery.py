"""Starts roles of the bridge fast: everything is imported once, each role is a fork. Speaks JSON lines on its own pipes.

    -> {"command": ["worker"], "env": {...}, "cwd": "...", "log": "...", "output": "..."}     <- {"pid": 123}

A fork runs the command line's own `main`, with the environment it was given, and ends like the real process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import callbridge.cli
import callbridge.commands.roles
import callbridge.embedded
import callbridge.receiver
import callbridge.worker
from faults import inject


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them: they are killed for a living
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _live(order)
        sys.stdout.write(json.dumps({"pid": pid}) + "\n")
        sys.stdout.flush()


def _live(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
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
        inject.apply(os.environ)
        sys.argv = ["callbridge", *order["command"]]
        callbridge.cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
