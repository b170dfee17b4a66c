"""Fixtures of more than one folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real redis-server for all tests that only need one; each takes a key prefix of its own or flushes it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()
