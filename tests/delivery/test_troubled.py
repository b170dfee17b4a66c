"""An account in trouble, over HTTP: outages, slow-downs for others' load, accidents, and what its neighbours notice of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from callbridge.amocrm.exchange import build_session
from callbridge.breaker import FAILURES_IN_A_ROW, RAMP_BACKLOG, TRIAL_CALLS, Phase
from callbridge.delivery.batching import CAREFUL, CAREFUL_FOR
from callbridge.delivery.drains import Drains
from callbridge.delivery.ports import Permit
from callbridge.errors import AccountSlowed
from callbridge.outcome import Settlement, State
from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from callbridge.store.pace import RedisPace
from callbridge.wiring import AccountWork
from support.builders import a_finished_call
from support.office import Office, office_settings, open_office
from support.redis_server import RedisServer


async def change(office: Office, **fields: Any) -> None:
    await office.store.scripts.redis.hset(f"{office.store.scripts.root}pace:main", mapping=fields)  # type: ignore[misc] # both worlds


async def open_breaker(office: Office) -> None:
    """Opened by failures, its wait over."""
    pace = RedisPace(office.store.scripts, "main", 500)
    for _ in range(FAILURES_IN_A_ROW):
        await pace.failed(0.0, "no route")
    await change(office, blocked_until=1)


async def breaker(office: Office) -> Phase:
    return (await office.store.tally.account("main")).breaker.state


def posts(office: Office) -> list[int]:
    """The sizes of the requests with calls."""
    return [len(seen.uniqs) for seen in office.crm.requests if seen.method == "POST"]


async def drain_all(office: Office) -> None:
    """Until everything is delivered, as the sweep would."""
    for _ in range(60):
        await office.work.drain()
        if set(await office.states()) == {"delivered"}:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(Counter(await office.states()))


async def test_an_outage_opens_the_breaker_and_a_small_trial_closes_it(office: Office) -> None:
    await office.known_calls(RAMP_BACKLOG + 40)
    port = int(office.crm.url.rsplit(":", 1)[1])
    await office.crm.stop()
    office.work._drain._jitter = lambda: 0.0
    with capture_logs() as down:
        await office.work.drain()
    assert await breaker(office) is Phase.OPEN
    names = [log["event"] for log in down]
    assert names.count("account.opened") == 1
    tried = [log["calls"] for log in down if log["event"] == "batch.posted"]
    assert tried[-1] <= TRIAL_CALLS < tried[0]
    assert {(await office.get(call_id)).attempts for call_id in office.ids} == {0}

    await office.crm.start(port=port)
    await change(office, blocked_until=1, opened=1_000)
    with capture_logs() as up:
        draining = asyncio.create_task(office.work.drain())
        while not any(log["event"] == "account.closed" for log in up):  # noqa: ASYNC110 - the log has no event for it
            await asyncio.sleep(0.01)
        await change(office, ramp_until=1, next=1)  # nobody waits half a minute here
        await draining
    [closed] = [log for log in up if log["event"] == "account.closed"]
    assert closed["ramp"] is True
    assert posts(office)[0] == TRIAL_CALLS
    assert await office.states() == ["delivered"] * len(office.ids)
    assert {(await office.get(call_id)).attempts for call_id in office.ids} == {1}


async def test_a_trial_that_fails_is_the_only_request_of_its_turn(office: Office) -> None:
    await office.known_calls(60)
    await open_breaker(office)
    office.crm.arm("429-retry-after", 900)
    await office.work.drain()
    assert posts(office) == [TRIAL_CALLS]
    tally = await office.store.tally.account("main")
    assert (tally.breaker.state, tally.waiting, tally.pace) == (Phase.OPEN, 60, 0.5)


async def test_a_trial_while_others_would_like_to_send_is_alone(office: Office) -> None:
    await office.known_calls(60)
    await open_breaker(office)
    office.crm.arm("slow=300ms*1")
    await office.work.drain()
    assert posts(office)[0] == TRIAL_CALLS
    first, second = [seen for seen in office.crm.requests if seen.method == "POST"][:2]
    assert second.at - first.at >= 0.3
    assert await office.states() == ["delivered"] * 60


async def test_a_trial_that_was_not_sent_is_free_for_the_next(office: Office) -> None:
    await office.known_calls(1)
    await open_breaker(office)

    async def authorise(permit: Permit) -> None:
        await permit()
        office.stopping.set()
        raise AccountSlowed(900)

    office.work._drain._crm.authorise = authorise  # type: ignore[method-assign] # slowed after the token was renewed
    await office.work.drain()
    assert (posts(office), await office.states()) == ([], ["queued"])
    assert await breaker(office) is Phase.OPEN, "no trial is under way"


async def test_an_answer_that_is_no_failure_closes_it(office: Office) -> None:
    await office.known_calls(1)
    await open_breaker(office)
    office.crm.arm("402")
    await office.work.drain()
    tally = await office.store.tally.account("main")
    assert tally.breaker.state is Phase.CLOSED
    assert tally.pause is not None


@pytest.mark.parametrize("fault", ["401", "402", "403", "ban", "404", "validation-unnamed"])
async def test_refusals_open_nothing(office: Office, fault: str) -> None:
    await office.known_calls(12)
    office.crm.arm(fault, *(["office-"] if fault == "validation-unnamed" else []))
    await office.work.drain()
    assert await breaker(office) is Phase.CLOSED


async def test_where_calls_are_only_uncertain_a_look_is_the_trial(office: Office) -> None:
    await office.known_calls(1)
    office.crm.arm("500-after", times=1)
    await office.work.drain()
    await open_breaker(office)
    office.crm.arm("ban")
    while not await office.work.look():  # noqa: ASYNC110 - as soon as it is due
        await asyncio.sleep(0.05)
    tally = await office.store.tally.account("main")
    assert (tally.breaker.state, tally.uncertain) == (Phase.OPEN, 1)
    assert tally.breaker.next_try_in is not None and tally.breaker.next_try_in > 1
    office.crm.disarm("ban")
    await change(office, blocked_until=1)
    while not await office.work.look():  # noqa: ASYNC110 - it is looked for ever more rarely
        await asyncio.sleep(0.05)
    assert await breaker(office) is Phase.CLOSED


async def test_that_the_crm_cannot_be_read_opens_nothing(office: Office) -> None:
    await office.known_calls(1)
    office.crm.arm("500-after", times=1)
    await office.work.drain()
    office.crm.arm("ban@reads")
    for _ in range(8):
        await asyncio.sleep(0.03)
        await office.work.look()
    assert await breaker(office) is Phase.CLOSED


async def test_others_load_lowers_the_pace_and_costs_no_attempt(redis_server: RedisServer) -> None:
    sim = CrmSim(SimConfig(contacts=0, rate=0, account_rate=20, foreign_load=14, limit_answer="429-retry-after=1"))
    await sim.start()
    account = {"requests_per_second": 20, "max_batch": 4}
    async with open_office(redis_server, sim, account=account) as office:
        await office.known_calls(100)
        lowest = 1.0
        for _ in range(100):
            await office.work.drain()
            tally = await office.store.tally.account("main")
            lowest = min(lowest, tally.pace)
            if set(await office.states()) == {"delivered"}:
                break
            if tally.slowed:
                assert "other integrations" in tally.slowed.why
            await asyncio.sleep(0.05)
        assert set(await office.states()) == {"delivered"}
        assert lowest <= 0.5
        assert {(await office.get(call_id)).attempts for call_id in office.ids} == {1}
        refused = sum(seen.status == 429 for seen in office.crm.requests)
        assert 1 <= refused <= len(office.crm.requests) / 3
    await sim.stop()


@pytest.mark.parametrize("fault", ["429", "429-json-after=1", "429-http-date=1", "429-malformed"])
async def test_every_shape_of_slow_down_lowers_the_pace(office: Office, fault: str) -> None:
    await office.known_calls(3)
    office.crm.arm(f"{fault}*1")
    office.work._drain._jitter = lambda: 0.0
    await drain_all(office)
    assert 0.5 <= (await office.store.tally.account("main")).pace < 1


async def test_after_an_unread_answer_batches_are_small_for_a_while(office: Office) -> None:
    await office.known_calls(50)
    office.crm.arm("502-before", times=1)
    await office.work.drain()
    assert posts(office) == [50]
    await office.known_calls(CAREFUL * CAREFUL_FOR + 200)
    await change(office, blocked_until=1)
    await office.work.drain()
    sizes = posts(office)[1:]
    assert sizes[:CAREFUL_FOR] == [CAREFUL] * CAREFUL_FOR
    assert max(sizes) > CAREFUL


async def test_what_was_really_sent_keeps_its_attempts_when_halving_is_broken_off(office: Office) -> None:
    await office.known_calls(200)
    office.crm.arm("validation-unnamed", "office-")
    await office.work.drain()
    sent = Counter(uniq for seen in office.crm.requests for uniq in seen.uniqs)
    records = [await office.get(call_id) for call_id in office.ids]
    assert {record.state for record in records} >= {"dead", "retrying"}
    assert {record.id: record.attempts for record in records} == {
        record.id: sent[record.call.uniq] for record in records if record.call
    }


async def test_live_calls_do_not_wait_for_thousands_that_are_replayed(office: Office) -> None:
    ids = await office.known_calls(240)
    claim = await office.store.queue.claim("main", 250)
    await office.store.queue.settle(claim.fence, dead(ids), {})  # type: ignore[union-attr] # calls wait
    await office.store.scripts.run("replay", "", "", *ids[:200])
    await office.store.scripts.run("replay", "", "", *ids[200:])
    live = await office.known_calls(5)
    office.work._drain._terms = replace(office.work._drain._terms, max_in_flight=1)  # so that they arrive in order
    await office.work.drain()
    uniqs = {(await office.get(call_id)).call.uniq for call_id in live}  # type: ignore[union-attr] # stored
    first = next(seen for seen in office.crm.requests if seen.method == "POST")
    assert uniqs <= set(first.uniqs)
    assert set(await office.states()) == {"delivered"}


def dead(ids: list[Any]) -> list[Any]:
    return [Settlement(call_id, State.DEAD, "expired") for call_id in ids]


@pytest.fixture
async def crm() -> AsyncIterator[CrmSim]:
    sim = CrmSim(SimConfig(contacts=0, rate=0))
    await sim.start()
    yield sim
    await sim.stop()


async def test_a_huge_or_a_dead_account_delays_nobody_else(redis_server: RedisServer, crm: CrmSim) -> None:
    """Three accounts over one worker that has room for one: the huge one yields after its share, the dead one at once."""
    accounts = {
        name: {"url": crm.url, "token": f"t-{name}", "requests_per_second": 40, "max_batch": 10, "max_in_flight": 1}
        for name in ("huge", "dead", "small")
    }
    async with open_office(redis_server, crm) as office, build_session() as session:
        settings = office_settings(crm.url, accounts=accounts, sources={})
        work = {name: AccountWork(name, settings, office.store, session, office.stopping) for name in accounts}
        crm.add_contact("+79165550101")
        for name, count in (("huge", 600), ("dead", 40), ("small", 1)):
            calls = [a_finished_call(account=name, ref=f"{name}-{n}", phone="+79165550101") for n in range(count)]
            for start in range(0, count, 200):
                await office.inbox.put(calls[start : start + 200])
        for _ in range(FAILURES_IN_A_ROW):
            await RedisPace(office.store.scripts, "dead", 7).failed(60, "no route")
        drains = Drains(
            "w1",
            drain=lambda name, crowded: work[name].drain(crowded),
            look=lambda name: work[name].look(),
            note=lambda name: work[name].note(),
            presence=office.store.presence,
            at_most=1,
        )
        await drains.wake("huge")
        while not crm.requests:  # noqa: ASYNC110 - the simulator has no event for it
            await asyncio.sleep(0.005)
        before = len(crm.requests)
        for name in ("dead", "small"):
            await drains.wake(name)
        while not any(len(seen.uniqs) == 1 for seen in crm.requests):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
        between = len(crm.requests) - before
        office.stopping.set()
        await drains.stop()
        assert between <= 0.5 * 40 + 5, "its share of requests, and those on the way"
        assert (await office.store.tally.account("huge")).waiting > 0, "it was far from done"
