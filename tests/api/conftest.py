"""Fixtures of the API's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp.test_utils import TestClient, TestServer

from callbridge.ops.api.routes import ROUTES
from callbridge.ops.metrics import ROUTES as OF_METRICS
from support.apidesk import Desk, make_app, make_desk
from support.rehearsal import Rehearsal, rehearsed


@pytest.fixture
def desk() -> Desk:
    return make_desk()


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(make_app(desk, (*ROUTES, *OF_METRICS)))) as opened:
        yield opened


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    """The real console of a bad day, one for each module."""
    with rehearsed(tmp_path_factory.mktemp("day")) as found:
        yield found
