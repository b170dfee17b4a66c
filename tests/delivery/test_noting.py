"""Late recordings reach the cards of their calls, once, over HTTP to the simulated CRM."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from callbridge.call import CallId, CallStatus
from callbridge.errors import AccountSlowed
from callbridge.outcome import PauseReason
from callbridge.sim.crm import CrmSim
from support.builders import a_finished_call, a_recording
from support.office import Office, open_office
from support.redis_server import RedisServer

LINK = "https://rec.example.org/a.mp3"


@pytest.fixture
async def office(redis_server: RedisServer, crm: CrmSim) -> AsyncIterator[Office]:
    async with open_office(redis_server, crm, delivery={"settle_delay": 0.05}) as office:
        yield office


async def record(office: Office, *refs: str, link: str = LINK) -> None:
    await office.inbox.put([a_recording(ref=ref, link=link, note_late=True) for ref in refs])


async def a_delivered_call(office: Office, **card: Any) -> CallId:
    office.crm.add_contact("+79165550101", **card)
    [call_id] = await office.take_calls("+79165550101", duration=73)
    await office.work.drain()
    assert await office.states() == ["delivered"]
    return call_id


async def story(office: Office, call_id: CallId) -> list[dict[str, Any]]:
    return await office.store.records.story(call_id)


async def waiting(office: Office) -> int:
    return int(await office.store.scripts.redis.zcard(f"{office.store.scripts.root}late:main"))


async def note_all(office: Office) -> None:
    """Until no note waits any more, as the sweep would."""
    for _ in range(3_000):  # a note that failed waits by chance, up to some seconds
        if not await waiting(office):
            return
        await office.work.note()
        await asyncio.sleep(0.01)
    raise AssertionError("notes stay")


def posts(office: Office) -> int:
    return sum(seen.method == "POST" and seen.path.endswith("/notes") for seen in office.crm.requests)


@pytest.mark.parametrize(
    "card", [{}, {"kind": "company"}, {"leads": 1}, {"customers": 1}], ids=["contact", "company", "lead", "customer"]
)
async def test_a_late_recording_is_added_to_the_card_that_took_the_call(office: Office, card: dict[str, Any]) -> None:
    call_id = await a_delivered_call(office, **card)
    before = await office.get(call_id)
    await record(office, "call-0")
    assert await office.work.note() == 1
    [note] = office.crm.texts
    assert (note.target.entity_type, note.target.entity_id) == (before.entity_type, before.entity_id)
    assert note.text.splitlines() == ["Call recording: +79165550101, 1:13", LINK]
    told = (await story(office, call_id))[-1]
    assert (told["what"], told["note_id"], told["entity_id"]) == ("noted", note.id, before.entity_id)
    after = await office.get(call_id)
    assert (after.state, after.note_id, after.attempts, after.link) == ("delivered", before.note_id, 1, LINK)
    assert len(office.crm.notes) == 1
    assert await office.work.note() == 0


async def test_a_recording_that_came_while_the_call_was_being_sent_is_added_after_all(office: Office) -> None:
    office.crm.add_contact("+79165550101")
    [call_id] = await office.take_calls("+79165550101")
    office.crm.arm("slow=300ms*1")
    draining = asyncio.create_task(office.work.drain())
    while not office.crm.requests:  # noqa: ASYNC110 - the simulator has no event for it
        await asyncio.sleep(0.01)
    await record(office, "call-0")
    await draining
    assert "link" not in office.crm.notes[0].params
    await note_all(office)
    assert [note.text.splitlines()[-1] for note in office.crm.texts] == [LINK]
    assert [entry["what"] for entry in await story(office, call_id)] == ["recording", "delivered", "noted"]


async def test_a_call_found_by_a_look_gets_the_recording_that_came_meanwhile(office: Office) -> None:
    office.crm.add_contact("+79165550101")
    await office.take_calls("+79165550101")
    office.crm.arm("502-after", times=1)
    await office.work.drain()
    assert await office.states() == ["uncertain"]
    await record(office, "call-0")
    await office.settle_uncertain()
    await note_all(office)
    assert len(office.crm.texts) == len(office.crm.notes) == 1


@pytest.mark.parametrize("fault", ["502-after", "500-after", "504-after", "reset-after", "truncate", "html-200", "204"])
async def test_a_note_that_the_crm_wrote_without_saying_so_is_found_not_written_again(
    office: Office, fault: str
) -> None:
    call_id = await a_delivered_call(office)
    await record(office, "call-0")
    office.crm.arm(f"{fault}@writes", times=1)
    await note_all(office)
    assert len(office.crm.texts) == posts(office) == 1
    assert (await story(office, call_id))[-1]["note_id"] == office.crm.texts[0].id


@pytest.mark.parametrize("fault", ["502-before", "reset-before", "html-200-before"])
async def test_a_note_that_the_crm_lost_is_written_again_after_two_looks(office: Office, fault: str) -> None:
    await a_delivered_call(office)
    await record(office, "call-0")
    office.crm.arm(f"{fault}@writes", times=1)
    await note_all(office)
    assert (len(office.crm.texts), posts(office)) == (1, 2)
    looks = [seen for seen in office.crm.requests if seen.method == "GET" and seen.path.endswith("/notes")]
    assert len(looks) == 2


async def test_a_note_whose_worker_was_killed_after_the_crm_wrote_it_is_not_written_again(office: Office) -> None:
    call_id = await a_delivered_call(office)
    await record(office, "call-0")

    class Killed(BaseException):
        pass

    async def kill(*_: object, **__: object) -> None:
        raise Killed

    queue, root = office.work._noting.queue, office.store.scripts.root
    alive = queue.end
    queue.end = kill  # type: ignore[method-assign] # the process ends here
    with pytest.raises(Killed):
        await office.work.note()
    queue.end = alive  # type: ignore[method-assign] # another process
    assert len(office.crm.texts) == 1
    [(name, _)] = await office.store.scripts.redis.zrange(f"{root}late:main", 0, -1, withscores=True)
    await office.store.scripts.redis.zadd(f"{root}late:main", {name: 1})  # the lease has ended
    await note_all(office)
    assert len(office.crm.texts) == posts(office) == 1
    assert (await story(office, call_id))[-1]["what"] == "noted"


@pytest.mark.parametrize("gone", ["before it is written", "before it is looked for"])
async def test_where_the_card_is_gone_the_note_ends_with_that(office: Office, gone: str) -> None:
    call_id = await a_delivered_call(office)
    await record(office, "call-0")
    if gone == "before it is looked for":
        office.crm.arm("502-before@writes", times=1)
        await office.work.note()
    world = office.crm.desk.account.world
    world.remove(next(iter(world)))
    if gone == "before it is looked for":
        office.crm.arm("404@reads=1")
    await note_all(office)
    told = (await story(office, call_id))[-1]
    assert (told["what"], told["reason"]) == ("note_failed", "card_gone")
    assert office.crm.texts == []


async def test_a_404_of_the_whole_account_ends_no_note(office: Office) -> None:
    await a_delivered_call(office)
    await record(office, "call-0")
    office.crm.arm("404")
    await office.work.note()
    assert await waiting(office) == 1
    office.crm.disarm("404")
    root = office.store.scripts.root
    [name] = await office.store.scripts.redis.zrange(f"{root}late:main", 0, -1)
    await office.store.scripts.redis.zadd(f"{root}late:main", {name: 1})
    await note_all(office)
    assert len(office.crm.texts) == 1


async def test_an_account_that_stands_still_ends_no_note(office: Office) -> None:
    call_id = await a_delivered_call(office)
    await record(office, "call-0")
    office.crm.arm("402@writes=1")
    await office.work.note()
    assert await waiting(office) == 1
    assert (await story(office, call_id))[-1]["what"] == "recording"


async def test_a_429_slows_the_account_and_the_note_follows(office: Office) -> None:
    await a_delivered_call(office)
    await record(office, "call-0")
    office.crm.arm("429-retry-after", 1, times=1)
    assert await office.work.note() == 1
    assert await office.work.note() == 0, "a slowed account is left alone"
    slowed = await office.store.tally.slowed_of("main")
    assert slowed is not None
    await note_all(office)
    assert (len(office.crm.texts), posts(office)) == (1, 2)


async def test_a_note_whose_slot_was_taken_away_by_a_slow_down_goes_back_unposted(office: Office) -> None:
    await a_delivered_call(office)
    await record(office, "call-0")

    class Slowed:
        async def take(self, *, trial: bool = False) -> float:
            raise AccountSlowed(900)

        async def leave(self) -> None: ...

    noting = replace(office.work._noting, pace=Slowed())  # type: ignore[arg-type] # it never gets further
    with pytest.raises(AccountSlowed):
        await noting.run()
    root, redis = office.store.scripts.root, office.store.scripts.redis
    [(name, due)] = await redis.zrange(f"{root}late:main", 0, -1, withscores=True)
    assert due / 1000 - (await redis.time())[0] > 800
    assert not await redis.hexists(f"{root}note:{name.decode()}", "ps")


async def test_a_paused_account_gets_no_note_until_it_goes_on(office: Office) -> None:
    await a_delivered_call(office)
    await record(office, "call-0")
    await office.store.queue.pause("main", PauseReason.BANNED, "", first=60, at_most=60)
    assert await office.work.note() == 0
    await office.store.queue.resume("main")
    await note_all(office)
    assert len(office.crm.texts) == 1


async def test_many_recordings_of_many_calls_are_noted_once_each_by_two_workers(office: Office) -> None:
    await office.known_calls(30)
    await office.work.drain()
    refs = [f"call-{n}" for n in range(30)]
    for link in (LINK, "https://rec.example.org/b.mp3", LINK):
        await record(office, *refs, link=link)

    async def work() -> None:
        while await office.work.note():
            pass

    await asyncio.gather(work(), work())
    assert len(office.crm.texts) == 60
    assert len({(note.target, note.text) for note in office.crm.texts}) == 60


async def test_a_source_that_keeps_late_recordings_gets_no_note(office: Office) -> None:
    call_id = await a_delivered_call(office)
    await office.inbox.put([a_recording(ref="call-0")])
    assert await office.work.note() == 0
    assert (await office.get(call_id)).link == LINK


async def test_a_folded_call_reaches_the_crm_as_its_best_leg_with_the_joined_recording(office: Office) -> None:
    office.crm.add_contact("+79165550101")
    leg: dict[str, Any] = {"ref": "t", "phone": "+79165550101", "hold": 300}
    [missed] = await office.inbox.put(
        [a_finished_call(duration=0, status=CallStatus.NO_ANSWER, extension="101", **leg)]
    )
    await office.inbox.put([a_recording(ref="t")])
    await office.inbox.put([a_finished_call(duration=50, extension="102", **leg)])
    await office.store.scripts.redis.zadd(f"{office.store.scripts.root}due:main", {missed.id: 1})
    await office.work.drain()
    [note] = office.crm.notes
    assert missed.id
    record = await office.get(missed.id)
    assert record.call and note.uniq == record.call.uniq
    assert (note.params["duration"], note.params["call_status"], note.params["link"]) == (50, 4, LINK)
