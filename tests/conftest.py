"""Fixtures of more than one folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest

from support.redis_server import RedisServer

hypothesis.settings.register_profile("ci", derandomize=True)  # the same commit gets the same verdict
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One real redis-server for all tests that only need one; each takes a key prefix of its own or flushes it."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()
