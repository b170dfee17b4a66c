"""One process of the bridge, as the town holds it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import dataclass


@dataclass
class Role:
    """One process of the bridge; its successors have its name and settings. Held by a handle, not by its number: a number
    may be somebody else's by the time it is killed.
    """

    name: str
    kind: str
    env: dict[str, str]
    pid: int = 0
    handle: int = -1

    def begun(self, pid: int) -> None:
        self.forget()
        self.pid = pid
        with contextlib.suppress(ProcessLookupError):  # it may be over already
            self.handle = os.pidfd_open(pid)

    @property
    def alive(self) -> bool:
        if self.handle < 0:
            return False
        poll = select.poll()
        poll.register(self.handle, select.POLLIN)
        return not poll.poll(0)

    def signal(self, what: signal.Signals) -> None:
        if self.handle >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.handle, what)

    def forget(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
        self.handle = -1
