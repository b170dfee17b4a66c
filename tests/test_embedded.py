"""The Redis of `up`: its own, kept over a kill, and used by one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from callbridge.embedded import embedded_redis, socket_of
from callbridge.errors import Misconfigured
from callbridge.settings import Durability
from callbridge.store.connect import connected, ping
from callbridge.store.durability import stands


async def test_it_keeps_what_it_was_told_and_as_safely_as_promised(tmp_path: Path) -> None:
    async with embedded_redis(tmp_path) as url, connected(url) as redis:
        standing = await stands(redis, Durability.ALWAYS)
        assert (standing.level, standing.problems) == (Durability.ALWAYS, ())
        await redis.set("kept", "yes")
    assert not await ping(url)
    async with embedded_redis(tmp_path) as url, connected(url) as redis:
        assert await redis.get("kept") == b"yes"


async def test_a_second_user_of_the_directory_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    async with embedded_redis(tmp_path) as url:
        with pytest.raises(Misconfigured, match="another callbridge runs"):
            async with embedded_redis(tmp_path):
                raise AssertionError("two on one directory")
        assert await ping(url)


def test_a_directory_too_deep_for_a_socket_has_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    assert len(str(socket_of(deep))) <= 100
    assert socket_of(deep) == socket_of(deep)
    assert socket_of(deep) != socket_of(deep / "y")
