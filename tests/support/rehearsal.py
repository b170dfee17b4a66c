"""The rehearsed bad day in a thread of its own, with a token of each role: for tests that ask its console over HTTP."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest

from browser.stage import Stage, bad_day
from callbridge.inspecting import ledger_url
from callbridge.ledger.access import AccessBook, AuditBook
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.tokens import Tokens
from callbridge.ops.who import Role, Who
from support.redis_server import RedisServer

T = TypeVar("T")

ROOT: Final = Who("root", Role.ADMIN, "shell")

LEAVES: Final = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")
"""For every module with a rehearsal: arq ends its worker by a name that redis-py has given up."""

NUMBER: Final = re.compile(r"7(?:916200|988500|812300|903400|495555)\d{4}")
"""A number of the stage, whole."""

_BEGINS_WITHIN: Final = 120.0


async def tokens_of(ledger: Ledger) -> dict[Role, str]:
    """A new token of each role."""
    tokens = Tokens(AccessBook(ledger), Audit(AuditBook(ledger), time.time), time.time)
    return {role: (await tokens.issue(ROOT, f"a {role} program", role)).secret for role in Role}


@dataclass
class Rehearsal:
    """Its loop runs in the thread: `run` takes there what needs it."""

    loop: asyncio.AbstractEventLoop
    stage: Stage
    redis: RedisServer
    tokens: dict[Role, str]

    @property
    def url(self) -> str:
        return self.stage.url

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def headers(self, role: Role | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}


@contextmanager
def rehearsed(folder: Path) -> Iterator[Rehearsal]:
    """A bad day of one's own."""
    (folder / "redis").mkdir()
    redis = RedisServer(folder / "redis")
    begun: list[Rehearsal] = []
    ready, over = threading.Event(), threading.Event()

    async def day() -> None:
        async with bad_day(folder / "data", redis.url) as stage, open_ledger(ledger_url(stage.settings)) as ledger:
            begun.append(Rehearsal(asyncio.get_running_loop(), stage, redis, await tokens_of(ledger)))
            ready.set()
            await asyncio.to_thread(over.wait)

    failed: list[BaseException] = []

    def play() -> None:
        try:
            asyncio.run(day())
        except BaseException as error:  # noqa: BLE001 - told in the test's own thread
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=play, name="rehearsal")
    thread.start()
    try:
        ready.wait(_BEGINS_WITHIN)
        if begun:
            yield begun[0]
    finally:
        over.set()
        thread.join(60)
        redis.stop()
    if failed:
        raise failed[0]
    assert begun, "the day did not begin"
