"""At Redis's memory limit the door says no and the drain goes on; nothing is left halfway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from callbridge.claim import Claim
from callbridge.errors import StoreUnavailable
from callbridge.outcome import PauseReason, Settlement, State
from callbridge.store.connect import connected
from callbridge.store.scripts import Scripts
from callbridge.store.trouble import Trouble, trouble_of
from support.builders import a_finished_call
from support.redis_server import RedisServer, version
from support.store import A_NOTE, Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    server = RedisServer(tmp_path)
    async with connected(server.url) as redis:
        yield Bench(Scripts(redis, "{full}:"))
    server.stop()


async def fill(bench: Bench) -> int:
    """Calls until Redis takes no more, at a limit a little above what it uses now; how many it has then."""
    redis, stored = bench.scripts.redis, 0
    used = int((await redis.info("memory"))["used_memory"])
    await redis.config_set("maxmemory", used + 1_500_000)
    refused: StoreUnavailable | None = None
    while refused is None:
        try:
            await bench.inbox.put([a_finished_call(ref=f"pbx-{stored + n}") for n in range(20)])
            stored += 20
        except StoreUnavailable as error:
            refused = error
    assert trouble_of(refused) is Trouble.OUT_OF_MEMORY
    assert stored >= 100
    return stored


async def test_a_refused_call_leaves_no_trace(bench: Bench) -> None:
    stored = await fill(bench)
    before = await bench.everything()
    for n in range(5):
        with pytest.raises(StoreUnavailable):
            await bench.inbox.put([a_finished_call(ref=f"more-{n}-{m}") for m in range(20)])
    assert await bench.everything() == before
    assert (await bench.tally.read()).total == stored


@pytest.mark.parametrize("limit", ["reached", "far below what is used"])
async def test_what_waits_is_delivered_to_the_last_call(bench: Bench, limit: str) -> None:
    stored = await fill(bench)
    if limit != "reached":
        await bench.scripts.redis.config_set("maxmemory", 1)
    if version() < (7, 0):  # it has no scripts that may: nothing is lost, and it goes on when there is room
        with pytest.raises(StoreUnavailable):
            await bench.queue.claim("main", 50)
        await bench.scripts.redis.config_set("maxmemory", 0)
    delivered = 0
    while isinstance(claim := await bench.queue.claim("main", 50), Claim):
        ids = [call.id for call in claim.calls]
        assert await bench.queue.mark_sending(claim.fence, ids, batch=f"b-{delivered}", lease=60) == set(ids)
        settled = [Settlement(call_id, State.DELIVERED, delivered=A_NOTE) for call_id in ids]
        assert await bench.queue.settle(claim.fence, settled, {"status": 200}) == set()
        delivered += len(ids)
    tally = await bench.tally.read()
    assert (delivered, tally.delivered, tally.total) == (stored, stored, stored)


async def test_everything_else_a_worker_does_goes_on_too(bench: Bench) -> None:
    await bench.bring_to(State.UNCERTAIN, ref="lost")
    await bench.bring_to(State.DEAD, ref="dead")
    await bench.store(3)
    await bench.scripts.redis.config_set("maxmemory", 1 if version() >= (7, 0) else 0)
    assert await bench.queue.pause("main", PauseReason.UNAUTHORISED, "401", 60, 900)
    assert await bench.queue.resume("main") is not None
    claim = await bench.claim()
    await bench.queue.renew(claim.fence, [call.id for call in claim.calls], 60)
    assert await bench.queue.release(claim.fence, [call.id for call in claim.calls])
    await bench.queue.reclaim()
    await bench.queue.look("main", 10, 60)
    await bench.queue.revive("main")
