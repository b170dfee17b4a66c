"""A Redis that was emptied under a running bridge: nothing goes out, and nothing comes in, until a person says so."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request

import pytest

from callbridge.sim.crm import CrmSim
from callbridge.store import keys
from callbridge.store.connect import connected
from callbridge.store.inbox import RedisInbox
from callbridge.store.scripts import Scripts
from flow.conftest import Bridge
from support.builders import a_finished_call


def ready(bridge: Bridge) -> bool:
    try:
        with urllib.request.urlopen(f"{bridge.url}/readyz", timeout=2):
            return True
    except urllib.error.HTTPError as refused:
        with refused:
            return False


async def until(condition: object, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not await asyncio.to_thread(condition):  # type: ignore[arg-type] # a plain function
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


async def store(bridge: Bridge, ref: str) -> None:
    """Past the receiver, as if it had not noticed yet."""
    async with connected(bridge.redis.url) as redis:
        inbox = RedisInbox(Scripts(redis, keys.root("callbridge")), time.time, lambda _: None)
        await inbox.put([a_finished_call(ref=ref, started_at=int(time.time()) - 60)])


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_emptied_redis_is_sent_from_only_after_it_was_accepted(
    bridge: Bridge, crm: CrmSim, restarted: bool
) -> None:
    await asyncio.to_thread(bridge.receiver)
    worker = bridge.start("worker")
    await store(bridge, "known")
    await until(lambda: len(crm.notes) == 1)
    async with connected(bridge.redis.url) as redis:
        if restarted:
            worker.terminate()
            await asyncio.to_thread(worker.wait, 15)
        await redis.flushall()
        await until(lambda: not ready(bridge))
        await asyncio.sleep(1.5)  # by now a running worker has looked too
    await store(bridge, "known")
    if restarted:
        bridge.start("worker")
    await asyncio.sleep(3)
    assert len(crm.notes) == 1, "the same call was sent a second time"
    assert '"store.epoch"' in bridge.log.read_text()
    await asyncio.to_thread(bridge.cli, "epoch", "accept", "--yes")
    await until(lambda: ready(bridge))
    await store(bridge, "later")
    await until(lambda: len(crm.notes) == 3)
