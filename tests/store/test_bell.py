"""Rings are few, none is forgotten, and nobody's ring waits for another's."""

from __future__ import annotations

import asyncio
from typing import Any

from callbridge.store.bell import RING_EVERY, Bell


class Arq:
    def __init__(self) -> None:
        self.rung: list[str] = []

    async def enqueue_job(self, _function: str, account: str, *, _job_id: str) -> Any:
        assert _job_id == f"{{x}}:drain:{account}"
        self.rung.append(account)

    async def aclose(self, *, close_connection_pool: bool) -> None: ...


async def test_a_burst_rings_at_once_and_once_more_at_its_end() -> None:
    arq = Arq()
    bell = Bell(arq, "{x}:")  # type: ignore[arg-type] # a stand-in
    for _ in range(50):
        bell.ring({"main"})
        await asyncio.sleep(0)
    assert arq.rung == ["main"]
    await asyncio.sleep(RING_EVERY * 1.5)
    assert arq.rung == ["main", "main"]
    await bell.close()


async def test_an_account_that_was_not_rung_lately_does_not_wait_for_one_that_was() -> None:
    arq = Arq()
    bell = Bell(arq, "{x}:")  # type: ignore[arg-type] # a stand-in
    for _ in range(3):
        bell.ring({"busy"})
        await asyncio.sleep(0)
    bell.ring({"calm"})
    for _ in range(20):
        await asyncio.sleep(0)
    assert arq.rung == ["busy", "calm"]
    await bell.close()
