"""Pauses by hand beside the pauses that the CRM causes: who ends which, and what is given out meanwhile."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis

from callbridge.claim import Claim, Paused
from callbridge.outcome import PauseReason
from support.store import Bench


async def test_a_held_account_gives_out_nothing_and_tries_nothing_until_it_is_resumed(bench: Bench) -> None:
    await bench.store(2)
    assert await bench.queue.hold("main", "the CRM is being moved", "anna", None)
    assert isinstance(await bench.queue.claim("main", 10), Paused)
    agenda = await bench.queue.agenda()
    assert (agenda.due, agenda.looks, agenda.notes) == (frozenset(), frozenset(), frozenset())
    pause = await bench.tally.pause_of("main")
    assert pause
    assert (pause.reason, pause.detail, pause.owner) == (PauseReason.MANUAL, "the CRM is being moved", "anna")
    assert (pause.probe_in, pause.until) == (None, None)
    assert abs(pause.since - time.time()) < 60
    assert await bench.queue.resume("main") is not None
    assert len((await bench.claim()).calls) == 2


async def test_a_hold_with_a_time_ends_by_itself(bench: Bench) -> None:
    await bench.store(2)
    await bench.queue.hold("main", "lunch", "anna", 0.05)
    assert isinstance(await bench.queue.claim("main", 10), Paused)
    await asyncio.sleep(0.1)
    assert await bench.tally.pause_of("main") is None
    assert (await bench.queue.agenda()).due == {"main"}
    claim = await bench.queue.claim("main", 10)
    assert isinstance(claim, Claim)
    assert (len(claim.calls), claim.probe) == (2, None)


async def test_asking_again_in_comes_when_the_hold_ends(bench: Bench) -> None:
    await bench.queue.hold("main", "lunch", "anna", 30)
    answer = await bench.queue.claim("main", 10)
    assert isinstance(answer, Paused)
    assert 25 < answer.ask_in <= 30


@pytest.mark.parametrize("first", [True, False])
async def test_what_the_crm_says_does_not_take_a_hold_away(bench: Bench, first: bool) -> None:
    if first:
        await bench.queue.pause("main", PauseReason.UNAUTHORISED, "401", 60, 900)
    await bench.queue.hold("main", "by hand", "anna", None)
    assert not await bench.queue.pause("main", PauseReason.BANNED, "403", 60, 900)
    assert await bench.queue.resume("main", PauseReason.UNAUTHORISED) is None  # a probe that was under way
    await bench.queue.reprobe("main")
    pause = await bench.tally.pause_of("main")
    assert pause
    assert pause.owner == "anna"
    assert isinstance(await bench.queue.claim("main", 1), Paused)


async def test_after_a_hold_has_ended_the_crm_can_pause_again(bench: Bench) -> None:
    await bench.queue.hold("main", "lunch", "anna", 0.02)
    await asyncio.sleep(0.05)
    assert await bench.queue.pause("main", PauseReason.BANNED, "403", 60, 900)
    pause = await bench.tally.pause_of("main")
    assert pause
    assert (pause.reason, pause.owner, pause.until) == (PauseReason.BANNED, None, None)


async def test_holding_again_keeps_the_beginning_and_takes_the_new_reason(bench: Bench) -> None:
    assert await bench.queue.hold("main", "one", "anna", 60)
    first = await bench.tally.pause_of("main")
    assert not await bench.queue.hold("main", "two", "boris", None)
    second = await bench.tally.pause_of("main")
    assert first
    assert second
    assert (second.since, second.detail, second.owner, second.until) == (first.since, "two", "boris", None)


async def test_only_the_meant_pause_is_ended(bench: Bench) -> None:
    await bench.queue.pause("main", PauseReason.BANNED, "403", 60, 900)
    assert await bench.queue.resume("main", PauseReason.UNAUTHORISED) is None
    assert await bench.queue.resume("main", PauseReason.BANNED) is not None


async def test_a_paused_account_is_listed_though_it_never_had_a_call(bench: Bench, redis: Redis) -> None:
    await bench.queue.hold("main", "not yet", "anna", None)
    await bench.queue.pause("branch", PauseReason.REAUTHORISE, "never authorised", 60, 900)
    assert {row.account for row in (await bench.tally.read()).accounts} == {"main", "branch"}
