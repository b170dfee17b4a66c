"""The breaker as all workers share it: one trial at a time, no slot for anybody else, and a pace that follows."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from structlog.testing import capture_logs

from callbridge.breaker import FAILURES_IN_A_ROW, LOWEST_SHARE, RAMP_BACKLOG, TRIAL_CALLS, Phase
from callbridge.claim import Claim, Paused
from callbridge.errors import AccountSlowed
from callbridge.outcome import PauseReason, State
from callbridge.store.pace import RedisPace
from support.store import Bench

RATE = 10_000


def a_pace(bench: Bench, rate: float = RATE, **more: Any) -> RedisPace:
    return RedisPace(bench.scripts, "main", rate, **more)


async def open_breaker(bench: Bench, why: str = "no route") -> None:
    """Opened by failures, its wait over."""
    pace = a_pace(bench)
    for _ in range(FAILURES_IN_A_ROW):
        await pace.failed(0.0, why)
    await wait_over(bench)


async def wait_over(bench: Bench) -> None:
    await change(bench, blocked_until=1)


async def change(bench: Bench, **fields: Any) -> None:
    await bench.scripts.redis.hset(f"{bench.scripts.root}pace:main", mapping=fields)  # type: ignore[misc] # both worlds


async def spacing(bench: Bench) -> float:
    """Seconds between two slots of an account configured for one request a millisecond."""
    _, _, interval = await bench.scripts.run("pace", "main", 1_000, 10_000_000, "", 60_000, RAMP_BACKLOG)
    return float(interval) / 1_000_000


async def test_an_open_breaker_gives_no_slot_until_its_wait_is_over(bench: Bench) -> None:
    pace = a_pace(bench)
    for _ in range(FAILURES_IN_A_ROW):
        await pace.failed(30.0, "no route")
    for trial in (False, True):
        with pytest.raises(AccountSlowed) as slowed:
            await pace.take(trial=trial)
        assert slowed.value.seconds > 25
    await bench.store()
    assert isinstance(await bench.queue.claim("main", 10), Paused)
    assert (await bench.queue.agenda()).due == frozenset()


async def test_only_a_trial_gets_a_slot_then_and_only_one_of_any_worker(bench: Bench) -> None:
    await open_breaker(bench)
    pace, other = a_pace(bench), a_pace(bench)
    with pytest.raises(AccountSlowed):
        await pace.take()
    await pace.take(trial=True)
    assert pace.trying
    with pytest.raises(AccountSlowed):
        await other.take(trial=True)
    assert not other.trying
    await pace.take(trial=True)  # its second page, or the same after a slot that it missed


async def test_a_trial_is_a_small_claim_and_nobody_claims_beside_it(bench: Bench) -> None:
    await bench.store(50)
    await open_breaker(bench)
    trial = await bench.claim(50)
    assert (trial.trial, len(trial.calls)) == (True, TRIAL_CALLS)
    pace = a_pace(bench)
    await pace.take(trial=True)
    assert isinstance(await bench.queue.claim("main", 50), Paused)
    assert (await bench.queue.agenda()).due == frozenset()
    await pace.answered(trial=True)
    after = await bench.claim(50)
    assert (after.trial, after.troubled, len(after.calls)) == (False, False, 45)


async def test_a_probe_of_a_paused_account_can_be_the_trial(bench: Bench) -> None:
    await bench.store(3)
    await open_breaker(bench)
    await bench.queue.pause("main", PauseReason.PAYMENT_REQUIRED, "402", first=60, at_most=900)
    await bench.scripts.redis.hset(f"{bench.scripts.root}pause:main", "probe_at", 1)  # type: ignore[misc] # both worlds
    probe = await bench.claim(50)
    assert (probe.probe, probe.trial, len(probe.calls)) == (PauseReason.PAYMENT_REQUIRED, True, 1)


async def test_a_failed_trial_waits_longer_and_an_answered_one_closes(bench: Bench) -> None:
    with capture_logs() as logs:
        await open_breaker(bench, why="connection refused")
        pace = a_pace(bench)
        await pace.take(trial=True)
        opened = (await bench.tally.account("main")).breaker
        await pace.failed(0.0, "still refused", trial=True)
        failed = (await bench.tally.account("main")).breaker
        await wait_over(bench)
        await pace.take(trial=True)
        await pace.answered(trial=True)
    assert opened.state is Phase.HALF_OPEN
    assert (failed.state, failed.reason, failed.since) == (Phase.OPEN, "still refused", opened.since)
    assert failed.next_try_in is not None and 1.5 < failed.next_try_in <= 2
    closed = await bench.tally.account("main")
    assert (closed.breaker.state, closed.breaker.reason, closed.slowed) == (Phase.CLOSED, None, None)
    told = {log["event"]: log for log in logs if log["event"] in {"account.opened", "account.closed"}}
    assert (told["account.opened"]["why"], told["account.opened"]["failures"]) == ("connection refused", 5)
    assert told["account.closed"]["why"] == "still refused"


async def test_a_trial_whose_worker_died_is_over_after_a_while(bench: Bench) -> None:
    await bench.store(10)
    await open_breaker(bench)
    await a_pace(bench, trial=0.02).take(trial=True)
    await asyncio.sleep(0.05)
    assert (await bench.claim(50)).trial
    await a_pace(bench).take(trial=True)


async def test_a_trial_that_came_to_nothing_is_given_up(bench: Bench) -> None:
    await open_breaker(bench)
    pace = a_pace(bench)
    await pace.take(trial=True)
    await pace.leave()
    await a_pace(bench).take(trial=True)
    before = await bench.everything()
    await pace.leave()
    assert await bench.everything() == before


async def test_news_of_a_request_that_was_not_the_trial_ends_no_trial(bench: Bench) -> None:
    await open_breaker(bench)
    trying, late = a_pace(bench), a_pace(bench)
    await trying.take(trial=True)
    await late.answered()
    await late.failed(0.0, "reset")
    tally = await bench.tally.account("main")
    assert tally.breaker.state is Phase.HALF_OPEN
    with pytest.raises(AccountSlowed):
        await late.take(trial=True)


async def test_news_from_many_workers_at_once_is_all_heard(bench: Bench) -> None:
    await asyncio.gather(*(a_pace(bench).failed(0.0, f"why {number}") for number in range(FAILURES_IN_A_ROW)))
    tally = await bench.tally.account("main")
    assert tally.breaker.state is Phase.OPEN


async def test_half_of_ten_requests_within_a_minute_open_it(bench: Bench) -> None:
    pace = a_pace(bench)
    for number in range(10):
        await pace.take()
        await (pace.failed(0.0, "502") if number % 2 else pace.answered())
    assert (await bench.tally.account("main")).breaker.state is Phase.OPEN


async def test_a_healthy_account_is_not_troubled_and_a_failing_one_is(bench: Bench) -> None:
    await bench.store(3)
    assert not (await bench.claim(1)).troubled
    await a_pace(bench).failed(0.0, "502")
    claim = await bench.claim(1)
    assert (claim.troubled, claim.trial, claim.failures) == (True, False, 1)
    await a_pace(bench).answered()
    assert not (await bench.claim(1)).troubled


async def test_asked_for_less_the_pace_halves_for_every_worker_and_comes_back(bench: Bench) -> None:
    assert await spacing(bench) == 0.001
    pace = a_pace(bench)
    await pace.failed(0.0, "429", asked=True)
    assert await spacing(bench) == 0.002
    assert (await bench.tally.account("main")).pace == 0.5
    await change(bench, share=LOWEST_SHARE / 4)
    assert await spacing(bench) == pytest.approx(0.016)
    await change(bench, share=0.99, share_at=1)
    await pace.answered()
    assert await spacing(bench) == 0.001
    assert not await bench.scripts.redis.hexists(f"{bench.scripts.root}pace:main", "share")  # type: ignore[misc] # both worlds


async def test_no_configuration_is_ever_exceeded(bench: Bench) -> None:
    await change(bench, share=7)
    assert await spacing(bench) == 0.001


async def test_after_an_outage_a_backlog_is_sent_one_request_a_second_and_what_is_left_is_not(bench: Bench) -> None:
    ids = await bench.store(RAMP_BACKLOG + 2)
    await open_breaker(bench)
    await change(bench, opened=1_000)
    pace = a_pace(bench)
    await pace.take(trial=True)
    await pace.answered(trial=True)
    assert await spacing(bench) == 1
    await bench.claim(1)
    assert await spacing(bench) == 1
    await bench.claim(1)
    assert await spacing(bench) == 0.001
    await bench.store(len(ids), ref="more")
    assert await spacing(bench) == 0.001, "the way back is over"


async def test_a_pause_saves_up_no_slots(bench: Bench) -> None:
    await bench.scripts.run("pace", "main", 100_000, 10_000_000, "", 60_000, RAMP_BACKLOG)
    await change(bench, next=1)
    waits = [
        (await bench.scripts.run("pace", "main", 100_000, 10_000_000, "", 60_000, RAMP_BACKLOG))[1] for _ in range(4)
    ]
    assert waits[0] == 0
    assert all(later - earlier > 30_000 for earlier, later in itertools.pairwise(waits))


async def test_a_wait_that_ends_leads_to_a_trial_for_what_is_only_uncertain_too(bench: Bench) -> None:
    await bench.bring_to(State.UNCERTAIN)
    await open_breaker(bench)
    assert (await bench.queue.agenda()).looks == {"main"}
    assert not isinstance(await bench.queue.claim("main", 10), Claim)


async def test_answers_that_asked_for_fewer_requests_are_counted_and_other_failures_are_not(bench: Bench) -> None:
    pace = a_pace(bench)
    await bench.scripts.run("pace", "main", 1_000, 10_000_000, "", 60_000, RAMP_BACKLOG)
    before = (await bench.tally.account("main")).slowed_at
    await pace.failed(0.0, "no route")
    await pace.failed(0.0, "429", asked=True)
    await pace.answered()
    await pace.failed(0.0, "429", asked=True)
    tally = await bench.tally.account("main")
    seconds, _ = await bench.scripts.redis.time()
    assert (before, tally.slowed_times) == (None, 2)
    assert tally.slowed_at is not None
    assert abs(tally.slowed_at - seconds) < 30


@pytest.mark.parametrize(
    ("ages", "used"),
    [([], 0.0), ([0], 1.0), ([0, 1, 2, 3, 4, 5], 6.0), ([6], 0.0), ([-2], 0.0)],
)
async def test_the_pace_in_use_is_that_of_the_last_minute(bench: Bench, ages: list[int], used: float) -> None:
    """Fifty to sixty requests in each ten seconds, `ages` tens of seconds ago."""
    seconds, _ = await bench.scripts.redis.time()
    bucket = seconds // 10
    await change(bench, slots=" ".join(f"{bucket - age}:60" for age in ages) or "0:0")
    tally = await bench.tally.account("main")
    assert used <= tally.used <= used * 1.2
