"""A browser without a browser: a client of the real pages, already let in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from callbridge.ops.web import Console
from callbridge.ops.who import Role
from support.pages import a_person, an_app

Browse = Callable[..., Awaitable[TestClient[Any, Any]]]


@pytest.fixture
async def browse() -> AsyncIterator[Browse]:
    """A client of the pages: `await browse(console, role)`."""
    clients: list[TestClient[Any, Any]] = []

    async def start(console: Console, role: Role | None = Role.OPERATOR) -> TestClient[Any, Any]:
        client = TestClient(TestServer(an_app(console, a_person(role) if role else None)))
        await client.start_server()
        clients.append(client)
        return client

    yield start
    for client in clients:
        await client.close()
