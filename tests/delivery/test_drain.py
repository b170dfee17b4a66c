"""Whatever the CRM answers, each call ends where it belongs, once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callbridge.call import CallId, Direction
from callbridge.delivery.settle import STOP_LOSS
from callbridge.errors import AccountSlowed
from callbridge.outcome import PauseReason
from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from support.office import Office, open_office
from support.redis_server import RedisServer


async def test_known_callers_are_delivered_with_their_notes(office: Office) -> None:
    ids = await office.known_calls(7)
    await office.work.drain()
    assert await office.states() == ["delivered"] * 7
    notes = {note.uniq: note for note in office.crm.notes}
    for call_id in ids:
        record = await office.get(call_id)
        assert record.call
        note = notes[record.call.uniq]
        assert (record.note_id, record.entity_id, record.attempts) == (note.id, note.target.entity_id, 1)


async def test_an_unknown_caller_is_parked_beside_delivered_neighbours(office: Office) -> None:
    await office.known_calls(3)
    [unknown] = await office.take_calls("+79990000000")
    office.crm.arm("shuffle")
    await office.work.drain()
    assert await office.states() == ["delivered"] * 3 + ["parked"]
    assert (await office.get(unknown)).reason == "no_matching_entity"


async def test_a_batch_of_unknown_callers_only_is_no_failure(office: Office) -> None:
    await office.take_calls("+79990000001", "+79990000002")
    await office.work.drain()
    assert await office.states() == ["parked", "parked"]
    assert [seen.status for seen in office.crm.requests] == [400]


async def test_a_contact_that_appears_in_time_gets_its_parked_call(office: Office) -> None:
    [call_id] = await office.take_calls("+79990000003")
    await office.work.drain()
    office.crm.add_contact("+79990000003")
    root = office.store.scripts.root
    await office.store.scripts.redis.zadd(f"{root}parked:main", {call_id: 1})
    assert await office.store.queue.revive("main") == 1
    await office.work.drain()
    assert await office.states() == ["delivered"]


@pytest.mark.parametrize(
    ("phone", "direction", "reason"),
    [
        ("", "inbound", "hidden_number"),
        ("anonymous", "inbound", "hidden_number"),
        ("101", "outbound", "short_number"),
        ("102", "internal", "internal_call"),
    ],
)
async def test_a_call_that_the_crm_could_never_match_is_ignored_without_a_request(
    office: Office, phone: str, direction: str, reason: str
) -> None:
    [call_id] = await office.take_calls(phone, direction=Direction(direction))
    await office.work.drain()
    record = await office.get(call_id)
    assert (record.state, record.reason) == ("ignored", reason)
    assert office.crm.requests == []


async def test_a_named_poison_call_is_buried_and_its_neighbours_are_sent_again(office: Office) -> None:
    await office.known_calls(9)
    poison = (await office.get(office.ids[4])).call
    assert poison
    office.crm.arm("validation", poison.uniq)
    await office.work.drain()
    states = await office.states()
    assert states[4] == "dead"
    assert states[:4] + states[5:] == ["delivered"] * 8
    assert (await office.get(office.ids[4])).reason == "refused_by_crm"
    assert set(office.notes_by_uniq().values()) == {1}


@pytest.mark.parametrize("count", [1, 2, 9, 40])
async def test_an_unnamed_poison_call_is_found_by_halving(office: Office, count: int) -> None:
    await office.known_calls(count)
    poison = (await office.get(office.ids[count // 2])).call
    assert poison
    office.crm.arm("validation-unnamed", poison.uniq)
    await office.work.drain()
    states = await office.states()
    assert states.pop(count // 2) == "dead"
    assert states == ["delivered"] * (count - 1)
    assert len(office.crm.requests) <= 2 * count.bit_length() + 1


async def test_a_crm_that_refuses_everything_unnamed_pauses_before_a_days_calls_are_buried(office: Office) -> None:
    await office.known_calls(200)
    office.crm.arm("validation-unnamed", "office-")
    await office.work.drain()
    states = await office.states()
    dead = states.count("dead")
    assert STOP_LOSS <= dead < STOP_LOSS + office.settings.accounts["main"].max_in_flight
    assert states.count("queued") + states.count("retrying") == 200 - dead
    pause = await office.store.tally.pause_of("main")
    assert pause and pause.reason is PauseReason.REFUSES_ALL


async def test_refusals_that_end_let_the_good_calls_behind_them_through(office: Office) -> None:
    await office.take_calls(*[f"+7955{number:07d}" for number in range(STOP_LOSS + 20)])
    office.crm.arm("validation-unnamed", "office-")
    await office.work.drain()
    pause = await office.store.tally.pause_of("main")
    assert pause and pause.reason is PauseReason.REFUSES_ALL
    root = office.store.scripts.root
    buried = (await office.states()).count("dead")
    await office.store.scripts.redis.hset(f"{root}pause:main", "probe_at", 1)  # type: ignore[misc] # both worlds
    await office.work.drain()
    assert (await office.states()).count("dead") == buried + 1, "a refused probe makes room for the next"
    assert await office.store.tally.pause_of("main")
    office.crm.disarm("validation-unnamed")
    good = await office.known_calls(5)
    await office.store.scripts.redis.hset(f"{root}pause:main", "probe_at", 1)  # type: ignore[misc] # both worlds
    await office.work.drain()
    assert await office.store.tally.pause_of("main") is None
    assert {(await office.get(call_id)).state for call_id in good} == {"delivered"}


@pytest.mark.parametrize("answer", ["validation-unnamed", "validation"])
async def test_a_probe_that_is_refused_as_invalid_proves_that_the_account_works(office: Office, answer: str) -> None:
    await office.known_calls(4)
    poison = (await office.get(office.ids[0])).call
    assert poison
    await office.store.queue.pause("main", PauseReason.UNAUTHORISED, "401", first=60, at_most=900)
    root = office.store.scripts.root
    await office.store.scripts.redis.hset(f"{root}pause:main", "probe_at", 1)  # type: ignore[misc] # both worlds
    await office.store.scripts.redis.zadd(f"{root}due:main", {office.ids[0]: 1})
    office.crm.arm(answer, poison.uniq)
    await office.work.drain()
    assert await office.states() == ["dead"] + ["delivered"] * 3
    assert await office.store.tally.pause_of("main") is None


async def test_a_probe_is_not_spent_on_calls_that_are_not_for_the_crm(office: Office) -> None:
    await office.take_calls(*["anonymous"] * 8)
    await office.known_calls(1)
    await office.store.queue.pause("main", PauseReason.PAYMENT_REQUIRED, "402", first=60, at_most=900)
    root = office.store.scripts.root
    await office.store.scripts.redis.hset(f"{root}pause:main", "probe_at", 1)  # type: ignore[misc] # both worlds
    await office.work.drain()
    assert await office.states() == ["ignored"] * 8 + ["delivered"]


async def test_a_call_does_not_wait_for_somebody_elses_slow_request(office: Office) -> None:
    await office.known_calls(1)
    office.crm.arm("slow=800ms*1")
    draining = asyncio.create_task(office.work.drain())
    while not office.crm.requests:  # noqa: ASYNC110 - the simulator has no event for it
        await asyncio.sleep(0.01)
    [second] = await office.known_calls(1)
    while (await office.get(second)).state != "delivered":
        await asyncio.sleep(0.01)
        assert not draining.done()
    assert (await office.get(office.ids[0])).state == "sending"
    await draining


async def test_a_slot_that_marking_took_too_long_for_is_given_up(office: Office) -> None:
    await office.known_calls(1)
    taken: list[float] = []

    class Late:
        free_in = 0.0

        async def take(self, *, trial: bool = False) -> float:
            taken.append(0.0)
            return 0.0

        def holds(self, _slot: float) -> bool:
            return len(taken) > 2

        async def answered(self, *, trial: bool = False) -> None: ...

    office.work._drain._pace = Late()
    await office.work.drain()
    assert len(taken) == 3
    assert await office.states() == ["delivered"]
    assert (await office.get(office.ids[0])).attempts == 1


async def test_calls_that_were_taken_over_while_we_were_stopped_are_not_sent(office: Office) -> None:
    [call_id] = await office.known_calls(1)

    class Stopped:
        free_in = 0.0

        async def take(self, *, trial: bool = False) -> float:
            return 0.0

        def holds(self, _slot: float) -> bool:
            return False

        async def answered(self, *, trial: bool = False) -> None: ...

    class Queue:
        """The store as it is, but our lease ends just after the first mark."""

        def __getattr__(self, name: str) -> object:
            return getattr(office.store.queue, name)

        async def mark_sending(self, fence: int, ids: list[CallId], **more: Any) -> set[CallId]:
            marked = await office.store.queue.mark_sending(fence, ids, **more)
            await office.store.scripts.redis.zadd(f"{office.store.scripts.root}leases", {call_id: 1})
            await office.store.queue.reclaim()
            return marked

    office.work._drain._pace = Stopped()
    office.work._drain._books._queue = Queue()
    await office.work.drain()
    assert office.crm.requests == []
    assert await office.states() == ["uncertain"]


async def test_a_request_that_was_turned_away_for_speed_costs_no_attempt(office: Office) -> None:
    [call_id] = await office.known_calls(1)
    office.crm.arm("429-retry-after", 1, times=1)
    await office.work.drain()
    assert await office.states() == ["delivered"]
    assert (await office.get(call_id)).attempts == 1
    assert [seen.status for seen in office.crm.requests] == [429, 200]


async def test_a_long_slow_down_holds_no_call_in_a_workers_hands(office: Office) -> None:
    await office.known_calls(120)
    office.crm.arm("429-retry-after", 900)
    await asyncio.wait_for(office.work.drain(), 10)
    assert set(await office.states()) == {"queued"}
    assert {(await office.get(call_id)).attempts for call_id in office.ids} == {0}
    asked = len(office.crm.requests)
    await office.work.drain()
    assert len(office.crm.requests) == asked


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("401", PauseReason.UNAUTHORISED),
        ("402", PauseReason.PAYMENT_REQUIRED),
        ("403", PauseReason.FORBIDDEN),
        ("ban", PauseReason.BANNED),
        ("404", PauseReason.WRONG_HOST),
    ],
)
async def test_a_stopped_account_pauses_and_goes_on_after_a_probe(
    office: Office, fault: str, reason: PauseReason
) -> None:
    await office.known_calls(60)
    office.crm.arm(fault)
    await office.work.drain()
    paused_after = len(office.crm.requests)
    assert paused_after <= office.settings.accounts["main"].max_in_flight
    pause = await office.store.tally.pause_of("main")
    assert pause and pause.reason is reason
    await office.work.drain()
    assert len(office.crm.requests) == paused_after, "a paused account is left alone"
    assert {(await office.get(call_id)).attempts for call_id in office.ids} == {0}

    office.crm.disarm(fault)
    await office.store.scripts.redis.hset(f"{office.store.scripts.root}pause:main", "probe_at", 1)  # type: ignore[misc] # both worlds
    await office.work.drain()
    assert await office.store.tally.pause_of("main") is None
    assert await office.states() == ["delivered"] * 60
    assert len(office.crm.requests[paused_after].uniqs) == 1, "the probe is one call"


AMBIGUOUS_STORED = [
    "500-after",
    "502-after",
    "503-after",
    "504-after",
    "reset-after",
    "truncate",
    "html-200",
    "garbage",
]
AMBIGUOUS_LOST = ["500-before", "502-before", "504-before", "reset-before", "html-200-before", "empty-200"]


@pytest.mark.parametrize("fault", AMBIGUOUS_STORED)
async def test_what_the_crm_stored_without_saying_so_is_found_not_sent_again(office: Office, fault: str) -> None:
    await office.known_calls(3)
    office.crm.arm(fault, times=1)
    await office.work.drain()
    assert await office.states() == ["uncertain"] * 3
    posts = sum(seen.method == "POST" for seen in office.crm.requests)
    await office.settle_uncertain()
    await office.work.drain()
    stored = office.notes_by_uniq()
    assert await office.states() == ["delivered"] * 3
    assert set(stored.values()) == {1}
    assert len(stored) == 3
    if fault != "garbage":
        assert sum(seen.method == "POST" for seen in office.crm.requests) == posts


@pytest.mark.parametrize("fault", AMBIGUOUS_LOST)
async def test_what_the_crm_lost_is_sent_again_after_it_was_looked_for(office: Office, fault: str) -> None:
    await office.known_calls(3)
    office.crm.arm(fault, times=1)
    await office.work.drain()
    assert await office.states() == ["uncertain"] * 3
    await office.settle_uncertain()
    for _ in range(300):
        await office.work.drain()
        if await office.states() == ["delivered"] * 3:
            break
        await asyncio.sleep(0.02)
    assert await office.states() == ["delivered"] * 3
    assert office.notes_by_uniq() and set(office.notes_by_uniq().values()) == {1}


async def test_what_the_crm_stores_only_after_the_first_look_is_not_sent_again(redis_server: RedisServer) -> None:
    sim = CrmSim(SimConfig(contacts=0, rate=0, match_all=True))
    await sim.start()
    quick = {"request_timeout": 0.3, "connect_timeout": 0.3, "settle_delay": 0.5}
    async with open_office(redis_server, sim, delivery=quick) as office:
        await office.take_calls("+79160000001")
        sim.arm("late-commit=1.0*1")  # after the time-out and the first look, before the second
        await office.work.drain()
        assert await office.states() == ["uncertain"]
        await office.settle_uncertain()
        assert await office.states() == ["delivered"]
        assert list(office.notes_by_uniq().values()) == [1]
    await sim.stop()


async def test_a_half_stored_batch_ends_whole_and_single(office: Office) -> None:
    await office.known_calls(6)
    office.crm.arm("502-half", times=1)
    await office.work.drain()
    await office.settle_uncertain()
    for _ in range(300):
        await office.work.drain()
        if await office.states() == ["delivered"] * 6:
            break
        await asyncio.sleep(0.02)
    assert sorted(office.notes_by_uniq().values()) == [1] * 6


async def test_a_call_left_out_of_both_lists_is_looked_for(office: Office) -> None:
    await office.known_calls(4)
    office.crm.arm("omit", 1, times=1)
    await office.work.drain()
    assert sorted(await office.states()) == ["delivered"] * 3 + ["uncertain"]
    await office.settle_uncertain()
    assert await office.states() == ["delivered"] * 4
    assert sorted(office.notes_by_uniq().values()) == [1] * 4


async def test_while_the_crm_cannot_be_read_an_uncertain_call_stays_uncertain(office: Office) -> None:
    await office.known_calls(1)
    office.crm.arm("500-after", times=1)
    await office.work.drain()
    office.crm.arm("ban")
    for _ in range(5):
        await asyncio.sleep(0.03)
        await office.work.look()
    assert await office.states() == ["uncertain"]
    assert len(office.notes_by_uniq()) == 1


async def test_a_dead_crm_is_not_hammered_and_costs_no_attempt(office: Office) -> None:
    [call_id] = await office.known_calls(1)
    port = int(office.crm.url.rsplit(":", 1)[1])
    await office.crm.stop()
    draining = asyncio.create_task(office.work.drain())
    await asyncio.sleep(0.3)
    record = await office.get(call_id)
    assert (record.state in {"queued", "sending"}, record.attempts in {0, 1}) == (True, True)
    await office.crm.start(port=port)
    await draining
    record = await office.get(call_id)
    assert (record.state, record.attempts) == ("delivered", 1)


async def test_a_full_queue_is_delivered_in_growing_batches(office: Office) -> None:
    await office.known_calls(1200)
    await office.work.drain()
    sizes = [len(seen.uniqs) for seen in office.crm.requests]
    assert sum(sizes) == 1200
    assert sizes[0] == 50
    assert max(sizes) == 250


async def test_a_stop_finishes_what_is_in_flight_and_takes_nothing_new(office: Office) -> None:
    await office.known_calls(300)
    office.crm.arm("slow", "300ms")
    draining = asyncio.create_task(office.work.drain())
    while not office.crm.requests:  # noqa: ASYNC110 - the simulator has no event for it
        await asyncio.sleep(0.01)
    office.stopping.set()
    await draining
    states = await office.states()
    assert set(states) == {"delivered", "queued"}
    assert states.count("delivered") == len(office.crm.notes)
    assert (await office.store.tally.read()).sending == 0


async def test_calls_whose_slot_was_taken_away_by_a_slow_down_go_back_untouched(office: Office) -> None:
    await office.known_calls(3)

    class Slowed:
        free_in = 0.0

        async def take(self, *, trial: bool = False) -> float:
            office.stopping.set()
            raise AccountSlowed(900)

    office.work._drain._pace = Slowed()
    await office.work.drain()
    assert await office.states() == ["queued"] * 3
    assert office.crm.requests == []
