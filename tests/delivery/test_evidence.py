"""Every request leaves a record: who was in it, why just they, and what went over the wire."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from callbridge.sim.config import SimConfig
from callbridge.sim.crm import CrmSim
from callbridge.store.mending import RedisMending
from support.office import TOKEN, Office, open_office
from support.redis_server import RedisServer


async def records(office: Office) -> list[dict[str, Any]]:
    """Those in the stream that are about requests, each id once, in order; the last word counts."""
    rows = await office.store.scripts.redis.xrange(f"{office.store.scripts.root}ledger")
    told = [json.loads(fields[b"batch"]) for _, fields in rows if b"batch" in fields]
    return list({record["id"]: record for record in told}.values())


def body(text: str | None) -> Any:
    return json.loads(zlib.decompress(base64.b64decode(text or ""), -15))


async def test_a_batch_is_recorded_as_it_went_and_its_calls_name_it(office: Office) -> None:
    ids = await office.known_calls(3)
    await office.work.drain()
    [record] = await records(office)
    assert (record["account"], record["kind"], record["size"], record["why"], record["parent"]) == (
        "main", "calls", 3, "due", None,
    )  # fmt: skip
    assert (record["answer"], record["status"], sorted(record["calls"])) == ("PerCall", 200, sorted(ids))
    assert record["request_id"]
    uniqs = {(await office.get(call_id)).call.uniq for call_id in ids}  # type: ignore[union-attr] # stored a moment ago
    assert {item["uniq"] for item in body(record["request"])} == uniqs
    assert len(body(record["response"])["_embedded"]["calls"]) == 3
    [seconds, _] = await office.store.scripts.redis.time()
    assert abs(record["at"] / 1000 - seconds) < 30
    for call_id in ids:
        [entry] = await office.store.records.story(call_id)
        assert (entry["batch"], entry["status"]) == (record["id"], 200)
    assert TOKEN not in json.dumps(record) + str(body(record["response"]))


async def test_how_a_poisoned_batch_was_halved_can_be_followed(office: Office) -> None:
    await office.known_calls(8)
    call = (await office.get(office.ids[5])).call
    assert call
    office.crm.arm(f"validation-unnamed={call.uniq}")
    await office.work.drain()
    told = await records(office)
    first, *halves = told
    assert (first["why"], first["answer"], sorted(first["calls"])) == ("due", "WholeRefused", sorted(office.ids))
    assert {half["why"] for half in halves} == {"half"}
    refused = [record for record in told if record["answer"] == "WholeRefused"]
    assert [record["size"] for record in refused] == [8, 4, 2, 1]
    assert refused[-1]["calls"] == [office.ids[5]]
    for parent in refused[:-1]:
        children = [half["calls"] for half in halves if half["parent"] == parent["id"]]
        assert len(children) == 2
        assert sorted(children[0] + children[1]) == sorted(parent["calls"])


async def test_a_full_batch_says_so_and_the_rest_was_all_that_was_due(redis_server: RedisServer, crm: CrmSim) -> None:
    async with open_office(redis_server, crm, account={"max_batch": 4, "max_in_flight": 1}) as office:
        await office.known_calls(5)
        await office.work.drain()
        assert [(record["size"], record["why"]) for record in await records(office)] == [(4, "full"), (1, "due")]


@pytest.mark.parametrize(
    ("fault", "answer", "status"),
    [("429=1", "SlowDown", 429), ("402=1", "AccountStopped", 402), ("502-after=1", "NoAnswer", 502)],
)
async def test_what_was_turned_away_or_lost_is_recorded_too(
    office: Office, fault: str, answer: str, status: int
) -> None:
    ids = await office.known_calls(2)
    office.crm.arm(fault)
    await office.work.drain()
    first = (await records(office))[0]
    assert (first["answer"], first["status"], sorted(first["calls"])) == (answer, status, sorted(ids))


async def test_the_probe_of_a_paused_account_is_known_as_one(office: Office) -> None:
    await office.known_calls(2)
    office.crm.arm("402=1")
    await office.work.drain()
    redis, root = office.store.scripts.redis, office.store.scripts.root
    await redis.hset(f"{root}pause:main", "probe_at", 1)  # type: ignore[misc] # typed for both worlds
    await office.work.drain()
    assert [(record["why"], record["size"]) for record in await records(office)][1] == ("probe", 1)


UNSORTED = {"no_match": {"policy": "unsorted"}}


async def test_strangers_as_leads_name_the_batch_that_did_not_know_them(redis_server: RedisServer, crm: CrmSim) -> None:
    async with open_office(redis_server, crm, account=UNSORTED) as office:
        known = await office.known_calls(1)
        strange = await office.take_calls("+79810000001", "+79810000002")
        await office.work.drain()
        first, leads = await records(office)
        assert (first["kind"], sorted(first["calls"])) == ("calls", sorted(known + strange))
        assert (leads["kind"], leads["why"], leads["parent"], sorted(leads["calls"])) == (
            "leads", "strangers", first["id"], sorted(strange),
        )  # fmt: skip
        assert {item["source_uid"] for item in body(leads["request"])}


# --- what an operator asks of a parked call --------------------------------------------------------------------------


@pytest.fixture
async def strange(redis_server: RedisServer) -> AsyncIterator[Office]:
    """An account whose policy is to wait, with two parked calls of strangers."""
    sim = CrmSim(SimConfig(contacts=0, rate=0))
    await sim.start()
    async with open_office(redis_server, sim) as office:
        await office.take_calls("+79810000001", "+79810000002")
        await office.work.drain()
        assert await office.states() == ["parked"] * 2
        yield office
    await sim.stop()


async def test_a_lead_that_was_asked_for_is_made_of_that_call_only(strange: Office) -> None:
    mending = RedisMending(strange.store.scripts)
    assert await mending.unpark(strange.ids[:1], "lead", "olga", "a customer") == {strange.ids[0]}
    assert await mending.unpark(strange.ids[1:], "retry", "olga", "") == {strange.ids[1]}
    await strange.work.drain()
    assert await strange.states() == ["delivered", "parked"]
    record = await strange.get(strange.ids[0])
    assert (record.reason, record.entity_type) == ("incoming_lead", "lead")
    assert len(strange.crm.desk.account.world) == 1
    story = await strange.store.records.story(strange.ids[0])
    assert [entry["what"] for entry in story] == ["parked", "lead_asked", "delivered"]


async def test_a_lead_that_was_asked_for_is_not_made_where_the_contact_is_there_by_now(strange: Office) -> None:
    strange.crm.add_contact("+79810000001")
    await RedisMending(strange.store.scripts).unpark(strange.ids[:1], "lead", "olga", "")
    await strange.work.drain()
    assert (await strange.get(strange.ids[0])).entity_type == "contact"


async def test_the_wish_for_a_lead_outlives_an_answer_that_was_lost(strange: Office) -> None:
    await RedisMending(strange.store.scripts).unpark(strange.ids[:1], "lead", "olga", "")
    strange.crm.arm("502-before@leads=1")
    await strange.work.drain()
    assert (await strange.get(strange.ids[0])).state == "uncertain"
    await strange.settle_uncertain()
    redis, root = strange.store.scripts.redis, strange.store.scripts.root
    await redis.zadd(f"{root}bulk:main", {strange.ids[0]: 1})
    await redis.delete(f"{root}pace:main")
    await strange.work.drain()
    assert (await strange.get(strange.ids[0])).reason == "incoming_lead"
    assert len(strange.crm.desk.account.world) == 1


async def test_a_call_that_is_tried_again_plainly_loses_the_wish(strange: Office) -> None:
    mending = RedisMending(strange.store.scripts)
    strange.crm.arm("403@leads")
    await mending.unpark(strange.ids[:1], "lead", "olga", "")
    await strange.work.drain()
    assert (await strange.get(strange.ids[0])).reason == "lead_refused"
    await mending.unpark(strange.ids[:1], "retry", "olga", "")
    await strange.work.drain()
    assert (await strange.get(strange.ids[0])).reason == "no_matching_entity"
