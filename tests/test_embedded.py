"""The Redis of `up`: its own, kept over a kill, and used by one at a time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from callbridge.embedded import _start, embedded_redis, find_server, socket_of, url_of
from callbridge.errors import Misconfigured
from callbridge.settings import Durability
from callbridge.store.connect import connected, ping
from callbridge.store.durability import Asked, stands


async def test_it_keeps_what_it_was_told_and_as_safely_as_promised(tmp_path: Path) -> None:
    async with embedded_redis(tmp_path) as url, connected(url) as redis:
        standing = await stands(redis, Asked(accept_old=True))
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


async def test_a_server_that_is_killed_from_outside_comes_back_with_what_it_had(tmp_path: Path) -> None:
    async with embedded_redis(tmp_path) as url:
        for number in range(2):
            async with connected(url) as redis:
                await redis.set(f"kept-{number}", "yes")
                os.kill((await redis.info("server"))["process_id"], signal.SIGKILL)
            await _until(lambda: _holds(url, f"kept-{number}"))  # noqa: B023 - it is awaited within the round
    assert not await ping(url)


async def test_an_adopted_server_is_started_again_too(tmp_path: Path) -> None:
    tmp_path.joinpath("log").touch()
    left_behind = await _start(tmp_path)
    await _until(lambda: ping(url_of(tmp_path)))
    async with embedded_redis(tmp_path) as url:
        async with connected(url) as redis:
            assert (await redis.info("server"))["process_id"] == left_behind.pid
            await redis.set("kept", "yes")
        left_behind.kill()
        await left_behind.wait()
        await _until(lambda: _holds(url, "kept"))
    assert not await ping(url)


async def _holds(url: str, key: str) -> bool:
    async with connected(url) as redis:
        try:
            return bool(await redis.exists(key))
        except (RedisError, OSError):
            return False


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(0.05)


def a_server(folder: Path, version: str) -> Path:
    folder.mkdir()
    program = folder / "redis-server"
    program.write_text(f"#!/bin/sh\necho 'Redis server v={version} sha=00000000:0 malloc=libc bits=64'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("versions", "taken"), [(("6.2.14", "7.0.15"), 1), (("7.2.4", "7.0.15"), 0), (("6.2.14", "odd"), 0)]
)
def test_a_server_that_is_new_enough_goes_before_an_older_one_on_path(tmp_path, monkeypatch, versions, taken):
    programs = [a_server(tmp_path / f"bin{place}", version) for place, version in enumerate(versions)]
    monkeypatch.setenv("PATH", os.pathsep.join(str(program.parent) for program in programs))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert find_server() == programs[taken]
