"""What a source does not want never leaves for the CRM, and says why."""

from __future__ import annotations

from typing import Any

import pytest

from callbridge.call import CallStatus, Direction
from callbridge.sim.crm import CrmSim
from support.builders import a_finished_call
from support.office import open_office
from support.redis_server import RedisServer

STRICT = {"min_duration": "10s", "post_missed": False, "ignore_numbers": "+7 916 555-01-02, 8800*"}


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"duration": 9}, "too_short"),
        ({"duration": 0, "status": CallStatus.NO_ANSWER}, "missed_call"),
        ({"phone": "tel:8-916-555-01-02;ext=7"}, "ignored_number"),
        ({"phone": "sip:88005553535@10.0.0.1"}, "ignored_number"),
        ({"direction": Direction.INTERNAL}, "internal_call"),
        ({"phone": "+79165550103", "duration": 10}, None),
        ({"phone": "+79165550103", "duration": 4, "status": CallStatus.VOICEMAIL}, None),
        ({"source": "was-here-before", "duration": 1}, None),
    ],
)
async def test_a_call_that_its_source_does_not_want_is_ignored_with_the_reason(
    redis_server: RedisServer, crm: CrmSim, call: dict[str, Any], reason: str | None
) -> None:
    async with open_office(redis_server, crm, source=STRICT) as office:
        phone = call.pop("phone", "+79165550103")
        crm.add_contact(phone)
        [call_id] = await office.take_calls(phone, **call)
        await office.work.drain()
        record = await office.get(call_id)
        assert (record.state, record.reason) == (("ignored", reason) if reason else ("delivered", None))
        assert len(crm.requests) == (0 if reason else 1)


async def test_a_missed_leg_whose_call_was_answered_is_no_missed_call(redis_server: RedisServer, crm: CrmSim) -> None:
    async with open_office(redis_server, crm, source=STRICT) as office:
        crm.add_contact("+79165550103")
        [call_id] = await office.take_calls("+79165550103", duration=0, status=CallStatus.NO_ANSWER, hold=300)
        await office.inbox.put([a_finished_call(ref="call-0", phone="+79165550103", duration=60)])
        await office.store.scripts.redis.zadd(f"{office.store.scripts.root}due:main", {call_id: 1})
        await office.work.drain()
        assert await office.states() == ["delivered"]


@pytest.mark.parametrize(("phone", "reason"), [("102", "short_number"), ("102034", None)])
async def test_a_wanted_internal_call_goes_out_as_the_callers(
    redis_server: RedisServer, crm: CrmSim, phone: str, reason: str | None
) -> None:
    async with open_office(redis_server, crm, source={"post_internal": True, "extensions": {"101": 7}}) as office:
        crm.add_contact(phone)
        [call_id] = await office.take_calls(phone, direction=Direction.INTERNAL, extension="101")
        await office.work.drain()
        assert (await office.get(call_id)).reason == reason
        assert [(note.note_type, note.call["created_by"]) for note in crm.notes] == (
            [] if reason else [("call_out", 7)]
        )
