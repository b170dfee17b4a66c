"""Refused webhooks as people see them: counted by source and code, the last twenty of each source as samples."""

from __future__ import annotations

from typing import Any

import pytest

from callbridge.errors import StoreUnavailable
from callbridge.store.connect import connected
from callbridge.store.refusals import RedisRefusals, SourceRefusals
from callbridge.store.scripts import Scripts
from support.store import Bench


def a_sample(at: float, code: str = "bad_signature") -> dict[str, Any]:
    return {"at": at, "code": code, "method": "POST", "bytes": 10, "ip": "192.0.2.0/24", "agent": "PBX"}


async def test_counts_add_up_and_the_last_samples_stay(bench: Bench) -> None:
    refusals = RedisRefusals(bench.scripts)
    assert await refusals.read() == {}
    await refusals.add({("office", "bad_signature"): 3}, [("office", a_sample(1.5)), ("office", a_sample(2.5))])
    await refusals.add(
        {("office", "bad_signature"): 1, ("office", "body_too_large"): 2, ("unknown", "unknown_source"): 7},
        [("office", a_sample(3.5)), ("unknown", a_sample(2.0, "unknown_source"))],
    )
    told = await refusals.read()
    assert told["office"] == SourceRefusals(
        {"bad_signature": 4, "body_too_large": 2}, (a_sample(3.5), a_sample(2.5), a_sample(1.5)), 3.5
    )
    assert told["unknown"].counts == {"unknown_source": 7}
    assert set(told) == {"office", "unknown"}


async def test_a_flood_leaves_twenty_samples(bench: Bench) -> None:
    refusals = RedisRefusals(bench.scripts)
    for start in (0, 15, 30):
        samples = [("office", a_sample(float(start + n))) for n in range(15)]
        await refusals.add({("office", "bad_signature"): 15}, samples)
    told = (await refusals.read())["office"]
    assert [sample["at"] for sample in told.samples] == [float(n) for n in range(44, 24, -1)]
    assert told.counts == {"bad_signature": 45}


async def test_where_nothing_was_refused_nothing_is_written(bench: Bench) -> None:
    await RedisRefusals(bench.scripts).add({}, [])
    assert await bench.everything() == {}


async def test_a_redis_that_is_away_is_told_in_our_words() -> None:
    async with connected("redis://127.0.0.1:1/0", patience=0.5) as redis:
        refusals = RedisRefusals(Scripts(redis, "{x}:"))
        with pytest.raises(StoreUnavailable):
            await refusals.read()
        with pytest.raises(StoreUnavailable):
            await refusals.add({("office", "x"): 1}, [])
