"""A real browser on a rehearsed bad day.

Everything runs in one event loop: the product, its simulated PBXs and CRMs, and what drives the browser. One day is shared
by the tests that only look (`day`); those that put something right get one of their own (`own_day`).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from browser.stage import PASSWORD, Stage, bad_day
from browser.window import Window, chromium, log_in, window
from callbridge.inspecting import ledger_url
from callbridge.ledger.access import AccessBook, AuditBook
from callbridge.ledger.database import open_ledger
from callbridge.ledger.queries import Queries
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.operators import Operators
from callbridge.ops.who import Role, Who
from support.redis_server import RedisServer

PEOPLE: Final = {Role.VIEWER: "vera", Role.OPERATOR: "oleg", Role.ADMIN: "admin"}
PASSWORDS: Final = {
    role: PASSWORD if role is Role.ADMIN else f"{name} counts forty lanterns" for role, name in PEOPLE.items()
}

Open = Callable[..., Awaitable[Window]]

IN_ONE_LOOP: Final = [
    pytest.mark.asyncio(loop_scope="package"),
    # arq ends its worker by a name that redis-py has given up; raised as an error, it would leave connections open.
    pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning"),
]
"""The `pytestmark` of every module here."""


@dataclass(slots=True)
class Day:
    """A stage with a browser before it. `calls` asks its ledger."""

    stage: Stage
    redis: RedisServer
    browser: Browser
    calls: Queries
    audit: Audit
    _states: dict[Role, Any] = field(default_factory=dict)

    async def open(self, role: Role | None = Role.ADMIN, **wishes: Any) -> Window:
        """A window in which somebody of the role is logged in, or nobody."""
        state = await self.cookies(role) if role else None
        return await window(self.browser, self.stage.url, state=state, **wishes)

    async def cookies(self, role: Role) -> Any:
        if role not in self._states:
            self._states[role] = await log_in(self.browser, self.stage.url, PEOPLE[role], PASSWORDS[role])
        return self._states[role]


@asynccontextmanager
async def a_day(folder: Path, browser: Browser) -> AsyncIterator[Day]:
    (folder / "redis").mkdir()
    redis = RedisServer(folder / "redis")
    try:
        async with (
            bad_day(folder / "data", redis.url) as stage,
            open_ledger(ledger_url(stage.settings), migrate=False) as ledger,
        ):
            audit = Audit(AuditBook(ledger), time.time)
            operators = Operators(AccessBook(ledger), audit, time.time)
            for role in (Role.VIEWER, Role.OPERATOR):
                await operators.add(Who("shell", Role.ADMIN, "shell"), PEOPLE[role], role, PASSWORDS[role])
            yield Day(stage, redis, browser, Queries(ledger), audit)
    finally:
        redis.stop()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as found:
        yield found


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def day(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Day]:
    async with a_day(tmp_path_factory.mktemp("day"), browser) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="package")
async def own_day(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Day]:
    async with a_day(tmp_path_factory.mktemp("own_day"), browser) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="package")
async def open_window() -> AsyncIterator[Open]:
    """`await open_window(day, role, ...)`: a window that is closed, and asked for its complaints, after the test."""
    windows: list[Window] = []

    async def opened(day: Day, role: Role | None = Role.ADMIN, **wishes: Any) -> Window:
        windows.append(await day.open(role, **wishes))
        return windows[-1]

    yield opened
    for each in windows:
        await each.page.context.close()
    assert [each.complaints for each in windows if each.complaints] == []
