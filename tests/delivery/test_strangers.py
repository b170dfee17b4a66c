"""Strangers become incoming leads: each call once, whatever the CRM answers, and an account that takes none still works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from callbridge.call import Call, CallId, Direction
from callbridge.claim import Claimed
from callbridge.delivery.ports import Permit
from callbridge.delivery.strangers import Strangers
from callbridge.outcome import Answer, Ready, Settlement, State
from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from support.builders import a_call
from support.office import Office, open_office
from support.redis_server import RedisServer

LEADS = "/api/v4/leads/unsorted/sip"
UNSORTED = {"no_match": {"policy": "unsorted"}}


@pytest.fixture
async def office(redis_server: RedisServer, crm: CrmSim) -> AsyncIterator[Office]:
    async with open_office(redis_server, crm, account=UNSORTED) as office:
        yield office


def strangers(count: int) -> list[str]:
    return [f"+7981{number:07d}" for number in range(count)]


def posts(office: Office) -> int:
    return sum(seen.path == LEADS and seen.method == "POST" for seen in office.crm.requests)


def cards(office: Office) -> int:
    return len(office.crm.desk.account.world)


async def hurry(office: Office) -> None:
    """What is scheduled is due now: retries, calls put back, parked calls."""
    redis, root = office.store.scripts.redis, office.store.scripts.root
    for name in ("due", "bulk"):
        for call_id in await redis.zrange(f"{root}{name}:main", 0, -1):
            await redis.zadd(f"{root}{name}:main", {call_id: 1})
    for call_id in await redis.zrange(f"{root}parked:main", 0, -1):
        await redis.zadd(f"{root}parked:main", {call_id: 1})
    await office.store.queue.revive("main")


async def test_a_stranger_becomes_a_lead_with_a_contact_and_the_calls_note(office: Office) -> None:
    [call_id] = await office.take_calls("+7 981 000-00-01", link="https://rec.example.org/5.mp3")
    await office.work.drain()
    record = await office.get(call_id)
    assert (record.state, record.reason, record.entity_type, record.note_id) == (
        "delivered", "incoming_lead", "lead", None,
    )  # fmt: skip
    [note] = office.crm.notes
    assert record.call
    assert (note.uniq, note.target) == (record.call.uniq, ("lead", record.entity_id))
    [card] = office.crm.desk.account.world
    assert card.phones == ("+79810000001",)
    assert record.detail and str(card.id) in record.detail
    story = await office.store.records.story(call_id)
    assert [(entry["what"], entry.get("as")) for entry in story] == [("delivered", "lead")]


async def test_known_callers_beside_them_are_delivered_and_calls_that_went_out_wait(office: Office) -> None:
    await office.known_calls(3)
    await office.take_calls("+79810000002")
    [out] = await office.take_calls("+79810000003", direction=Direction.OUTBOUND)
    await office.work.drain()
    assert await office.states() == ["delivered"] * 4 + ["parked"]
    assert (await office.get(out)).reason == "no_matching_entity"
    assert cards(office) == 4
    assert set(office.notes_by_uniq().values()) == {1}


class Words:
    """A CRM that is only asked for its words."""

    def as_lead(self, call: Call) -> Ready:
        return Ready(call.uniq, b"{}")

    async def post_leads(self, items: Mapping[CallId, Ready], permit: Permit) -> Answer:
        raise NotImplementedError


async def test_many_strangers_go_in_requests_of_fifty(office: Office) -> None:
    strangers = Strangers("main", queue=office.store.queue, crm=Words())
    calls = [Claimed(CallId(f"{n}"), a_call(phone=f"+7981{n:07d}"), 1, 0, 0.0, None) for n in range(120)]
    rounds, waits = strangers.meet([*calls, calls[0]])
    assert [len(each.calls) for each in rounds] == [50, 50, 20]
    assert all(call.id in each.ready for each in rounds for call in each.calls)
    assert [settled.id for settled in waits] == [calls[0].id]
    assert strangers.meet(calls[:2]) == (
        [],
        tuple(Settlement(c.id, State.WAITING, "no_matching_entity", 2.0) for c in calls[:2]),
    )
    strangers.part(rounds[:1])
    [again], _ = strangers.meet(calls[49:51])
    assert again.calls == calls[49:50]


async def test_a_batch_of_strangers_only_is_delivered(office: Office) -> None:
    await office.take_calls(*strangers(70))
    await office.work.drain()
    assert await office.states() == ["delivered"] * 70
    assert cards(office) == 70


async def test_one_stranger_who_called_three_times_is_one_lead_that_has_all_calls(office: Office) -> None:
    await office.take_calls("+79810000004", "8 981 000-00-04", "+79810000004")
    await office.work.drain()
    assert sorted(await office.states()) == ["delivered", "retrying", "retrying"]
    await hurry(office)
    await office.work.drain()
    assert await office.states() == ["delivered"] * 3
    assert (cards(office), posts(office)) == (1, 1)
    assert len({note.target for note in office.crm.notes}) == 1
    assert set(office.notes_by_uniq().values()) == {1}


@pytest.mark.parametrize(
    "fault",
    ["502-after", "500-after", "504-after", "reset-after", "truncate", "truncate-json", "html-200", "empty-200"],
)
async def test_a_lead_that_was_made_without_a_readable_answer_is_found_and_not_made_again(
    office: Office, fault: str
) -> None:
    await office.take_calls(*strangers(3))
    office.crm.arm(f"{fault}@leads=1")
    await office.work.drain()
    assert await office.states() == ["uncertain"] * 3
    await office.settle_uncertain()
    assert await office.states() == ["delivered"] * 3
    assert (cards(office), posts(office)) == (3, 1)
    assert set(office.notes_by_uniq().values()) == {1}
    notes = {note.uniq: note for note in office.crm.notes}
    for call_id in office.ids:
        record = await office.get(call_id)
        assert record.call
        assert (record.note_id, record.entity_type) == (notes[record.call.uniq].id, "lead")


@pytest.mark.parametrize("fault", ["502-before", "reset-before", "502-half", "html-200-before"])
async def test_a_lead_that_was_not_made_is_made_once_it_was_looked_for(office: Office, fault: str) -> None:
    await office.take_calls(*strangers(4))
    office.crm.arm(f"{fault}@leads=1")
    await office.work.drain()
    assert await office.states() == ["uncertain"] * 4
    await office.settle_uncertain()
    await hurry(office)
    await office.store.queue.resume("main")
    await _unslowed(office)
    await office.work.drain()
    assert await office.states() == ["delivered"] * 4
    assert cards(office) == 4
    assert set(office.notes_by_uniq().values()) == {1}


async def _unslowed(office: Office) -> None:
    await office.store.scripts.redis.delete(f"{office.store.scripts.root}pace:main")


async def test_a_lead_whose_note_lost_its_uniq_is_a_persons_to_judge(office: Office) -> None:
    await office.take_calls("+79810000005", duration=61)
    office.crm.arm("drop-uniq@leads")
    office.crm.arm("502-after@leads=1")
    await office.work.drain()
    await office.settle_uncertain()
    record = await office.get(office.ids[0])
    assert (record.state, record.reason) == ("dead", "unknown_outcome")
    assert record.detail and "probably delivered" in record.detail
    assert (cards(office), posts(office)) == (1, 1)


async def test_a_lead_whose_note_somebody_deleted_takes_the_call_and_is_not_made_again(office: Office) -> None:
    """`/calls` is asked before each lead, so the contact that the lost answer was about is found by its number."""
    await office.take_calls("+79810000009")
    office.crm.arm("502-after@leads=1")
    await office.work.drain()
    office.crm.desk.account.book._notes.clear()
    await office.settle_uncertain()
    await hurry(office)
    await _unslowed(office)
    await office.work.drain()
    assert await office.states() == ["delivered"]
    assert (cards(office), posts(office), len(office.crm.notes)) == (1, 1, 1)


async def test_an_answer_without_the_item_is_looked_for(office: Office) -> None:
    await office.take_calls(*strangers(2))
    office.crm.arm("omit@leads=1")
    await office.work.drain()
    assert sorted(await office.states()) == ["delivered", "uncertain"]
    await office.settle_uncertain()
    assert await office.states() == ["delivered"] * 2
    assert cards(office) == 2


async def closed_why(office: Office) -> str | None:
    return (await office.store.tally.account("main")).leads_closed


@pytest.mark.parametrize("fault", ["", "403@leads", "404@leads"])
async def test_an_account_that_takes_no_leads_makes_strangers_wait_and_goes_on(
    redis_server: RedisServer, fault: str
) -> None:
    sim = CrmSim(SimConfig(contacts=0, rate=0, unsorted_on=bool(fault), faults=(fault,) if fault else ()))
    await sim.start()
    try:
        async with open_office(redis_server, sim, account=UNSORTED) as office:
            await office.take_calls(*strangers(5))
            await office.work.drain()
            await office.take_calls("+79830000000")
            await office.known_calls(2)
            await office.work.drain()
            assert await office.states() == ["parked"] * 6 + ["delivered"] * 2
            assert {(await office.get(call_id)).reason for call_id in office.ids[:6]} == {"lead_refused"}
            assert posts(office) == 1
            assert await office.store.tally.pause_of("main") is None
            why = await closed_why(office)
            assert why and ("switched off" in why if not fault else "HTTP 40" in why)
            assert (await office.get(office.ids[5])).detail == why
    finally:
        await sim.stop()


async def test_leads_that_are_taken_again_end_the_warning(office: Office) -> None:
    await office.store.queue.leads_closed("main", "switched off")
    await office.take_calls("+79810000006")
    await office.work.drain()
    assert await office.states() == ["delivered"]
    assert await closed_why(office) is None
    office.crm.arm("403@leads=1")
    await office.take_calls("+79810000007")
    await office.work.drain()
    assert "HTTP 403" in str(await closed_why(office))
    office.work._drain._strangers._door._until = 0.0
    await hurry(office)
    await office.work.drain()
    assert await office.states() == ["delivered"] * 2
    assert await closed_why(office) is None


@pytest.mark.parametrize("count", [1, 20])
async def test_a_pipeline_that_does_not_exist_costs_few_requests_and_no_call(
    redis_server: RedisServer, count: int
) -> None:
    sim = CrmSim(SimConfig(contacts=0, rate=0, pipelines=(5,)))
    await sim.start()
    account: dict[str, Any] = {"no_match": {"policy": "unsorted", "pipeline_id": 9}}
    try:
        async with open_office(redis_server, sim, account=account) as office:
            await office.take_calls(*strangers(count))
            await office.work.drain()
            assert await office.states() == ["parked"] * count
            record = await office.get(office.ids[0])
            assert record.reason == "lead_refused" and record.detail and "pipeline_id" in record.detail
            assert (posts(office), cards(office)) == (1, 0)
    finally:
        await sim.stop()


async def test_a_tariff_that_ends_between_the_two_requests_pauses_the_account_and_loses_nobody(office: Office) -> None:
    await office.take_calls(*strangers(2))
    office.crm.arm("402@leads=1")
    await office.work.drain()
    assert set(await office.states()) <= {"queued", "retrying"}
    assert await office.store.queue.resume("main") is not None
    await hurry(office)
    await office.work.drain()
    assert await office.states() == ["delivered"] * 2
    assert cards(office) == 2


async def test_a_late_recording_goes_to_the_lead(redis_server: RedisServer, crm: CrmSim) -> None:
    async with open_office(redis_server, crm, account=UNSORTED, source={"late_recording": "note"}) as office:
        [call_id] = await office.take_calls("+79810000008")
        await office.work.drain()
        record = await office.get(call_id)
        root = office.store.scripts.root
        await office.store.scripts.redis.hset(  # type: ignore[misc] # typed for both worlds
            f"{root}note:{call_id}.d",
            mapping={"id": call_id, "ln": "https://rec.example.org/l.mp3", "cr": 1_790_000_000_000},
        )
        await office.store.scripts.redis.zadd(f"{root}late:main", {f"{call_id}.d": 1})
        await office.work.note()
        [text] = crm.texts
        assert text.target == ("lead", record.entity_id)


async def test_no_lead_is_made_where_the_policy_is_to_wait(redis_server: RedisServer, crm: CrmSim) -> None:
    async with open_office(redis_server, crm) as office:
        await office.take_calls(*strangers(2))
        await office.work.drain()
        assert await office.states() == ["parked"] * 2
        assert posts(office) == 0
