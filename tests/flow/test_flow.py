"""From a PBX's webhook to a note in the CRM, through real processes; and what is left when they are killed."""

from __future__ import annotations

import asyncio
import collections
import json
import random
import re
import time
from collections.abc import Callable, Iterable

import aiohttp
import orjson
import pytest

from callbridge.sim.crm import CrmSim
from callbridge.sim.speakers.base import Credentials, SignedWebhook, Told
from callbridge.sim.speakers.generic import FINISHED, GENERIC
from callbridge.sim.speakers.mango import MANGO
from callbridge.sim.traffic import Mix, traffic
from flow.conftest import Bridge
from support.office import SECRET, TOKEN

CITY = Credentials(key="city-key-of-the-test", secret="city-salt-of-the-test")
OFFICE = Credentials(secret=SECRET)


def signed(body: bytes, message_id: str, credentials: Credentials = OFFICE) -> SignedWebhook:
    return GENERIC.sign(Told(FINISHED, body), credentials, now=time.time(), message_id=message_id)


def a_webhook(number: int, **fields: object) -> SignedWebhook:
    body = {
        "id": f"flow-{number}",
        "direction": "inbound",
        "phone": f"+7916{number:07d}",
        "duration": 5,
        "started_at": int(time.time()) - 60,
    }
    return signed(orjson.dumps(body | fields), f"msg_{number}")


async def send(
    bridge: Bridge, source: str, webhooks: Iterable[SignedWebhook], parallel: int = 20
) -> collections.Counter[int]:
    statuses: collections.Counter[int] = collections.Counter()
    gate = asyncio.Semaphore(parallel)

    async with aiohttp.ClientSession() as session:

        async def one(webhook: SignedWebhook) -> None:
            async with (
                gate,
                session.request(
                    webhook.method,
                    f"{bridge.url}/hooks/{source}{webhook.path_suffix}",
                    headers=webhook.headers,
                    data=webhook.body,
                ) as answer,
            ):
                await answer.read()
                statuses[answer.status] += 1

        await asyncio.gather(*(one(webhook) for webhook in webhooks))
    return statuses


def listed(bridge: Bridge) -> list[dict[str, object]]:
    return [json.loads(line) for line in bridge.cli("calls", "list", "--json").splitlines()]


async def until(what: Callable[[], bool], within: float = 40) -> None:
    deadline = time.monotonic() + within
    while not what():
        assert time.monotonic() < deadline, "it does not come to an end"
        await asyncio.sleep(0.1)


async def all_settled(bridge: Bridge, count: int, states: set[str]) -> list[dict[str, object]]:
    for _ in range(120):
        rows = await asyncio.to_thread(listed, bridge)
        if len(rows) == count and {row["state"] for row in rows} <= states:
            return rows
        await asyncio.sleep(0.25)
    raise AssertionError(collections.Counter(row["state"] for row in rows))


async def test_webhooks_of_both_providers_end_in_the_crm_and_nothing_private_in_the_log(
    bridge: Bridge, crm: CrmSim
) -> None:
    bridge.receiver()
    bridge.start("worker")
    numbers = [f"+7495{number:07d}" for number in range(7_000_000, 7_000_040)]
    mix = Mix(duplicates=0.3)
    for source, speaker, credentials in [("office", GENERIC, OFFICE), ("city", MANGO, CITY)]:
        webhooks = list(traffic(speaker, credentials, 40, now=time.time, seed=5, numbers=numbers, mix=mix))
        assert set(await send(bridge, source, webhooks)) == {200}
    refused = signed(b"{}", "m", Credentials(secret="whsec_d3Jvbmctc2VjcmV0LW9mLXRoZS10ZXN0LXdyb25n"))
    assert set(await send(bridge, "office", [refused])) == {401}
    assert set(await send(bridge, "nobody", [a_webhook(1)])) == {401}
    broken = signed(b'{"phone": "+74957000001", ', "broken")
    assert set(await send(bridge, "office", [broken])) == {200}
    rows = await all_settled(bridge, 81, {"delivered", "dead"})
    assert collections.Counter(row["state"] for row in rows) == {"delivered": 80, "dead": 1}
    notes = collections.Counter(note.uniq for note in crm.notes)
    assert set(notes) == {row["uniq"] for row in rows if row["state"] == "delivered"}
    assert set(notes.values()) == {1}

    log = bridge.log.read_text()
    assert all(json.loads(line) for line in log.splitlines())
    for canary in [SECRET, SECRET.removeprefix("whsec_"), TOKEN, CITY.key, CITY.secret, "495700"]:
        assert canary and canary not in log
    assert not re.search(r"\+?7[ (]*495[ )]*70", log)
    for event in ("webhook.accepted", "webhook.refused", "batch.posted", "call.settled"):
        assert event in log


async def test_a_worker_killed_in_the_middle_of_a_batch_loses_and_doubles_nothing(bridge: Bridge, crm: CrmSim) -> None:
    bridge.receiver()
    crm.arm("slow", "200ms")
    worker = bridge.start("worker")
    sending = asyncio.create_task(send(bridge, "office", [a_webhook(number) for number in range(400)], parallel=4))
    for kill in range(4):
        await until(lambda: len(crm.requests) > kill)  # noqa: B023 # awaited before the next turn
        await asyncio.sleep(random.Random(kill).uniform(0, 0.25))
        worker.kill()
        worker.wait()
        worker = bridge.start("worker")
        await asyncio.sleep(1.0)
    assert set(await sending) == {200}
    rows = await all_settled(bridge, 400, {"delivered"})
    notes = collections.Counter(note.uniq for note in crm.notes)
    assert len(rows) == 400
    assert set(notes) == {row["uniq"] for row in rows}
    assert set(notes.values()) == {1}


async def test_a_receiver_killed_under_its_senders_keeps_what_it_acknowledged(bridge: Bridge, crm: CrmSim) -> None:
    receiver = bridge.receiver()
    acknowledged: set[str] = set()

    async def sender(lane: int) -> None:
        async with aiohttp.ClientSession() as session:
            for step in range(40):
                number = lane * 1000 + step
                webhook = a_webhook(number)
                while True:
                    try:
                        url = f"{bridge.url}/hooks/office"
                        async with session.post(url, data=webhook.body, headers=webhook.headers) as answer:
                            if answer.status == 200:
                                acknowledged.add(f"flow-{number}")
                                break
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.02)

    senders = asyncio.gather(*(sender(lane) for lane in range(10)))
    for _ in range(3):
        await asyncio.sleep(0.3)
        receiver.kill()
        receiver.wait()
        receiver = await asyncio.to_thread(bridge.receiver)
    await asyncio.wait_for(senders, 60)
    rows = await asyncio.to_thread(listed, bridge)
    assert len(acknowledged) == 400
    assert sorted(str(row["ref"]) for row in rows) == sorted(acknowledged)


async def test_every_role_survives_redis_going_away_and_the_spool_keeps_what_comes_meanwhile(
    bridge: Bridge, crm: CrmSim
) -> None:
    receiver, worker = bridge.receiver(), bridge.start("worker")
    assert set(await send(bridge, "office", [a_webhook(1)])) == {200}
    await until(lambda: len(crm.notes) == 1)
    bridge.redis.kill()
    assert set(await send(bridge, "office", [a_webhook(number) for number in range(2, 12)])) == {200}
    receiver.kill()
    receiver.wait()
    receiver = await asyncio.to_thread(bridge.receiver)
    assert set(await send(bridge, "office", [a_webhook(number) for number in (2, 12)])) == {200}
    bridge.redis.start()
    await until(lambda: len(crm.notes) == 12)
    assert (receiver.poll(), worker.poll()) == (None, None)
    rows = await asyncio.to_thread(listed, bridge)
    assert sorted(str(row["ref"]) for row in rows) == sorted(f"flow-{number}" for number in range(1, 13))


async def test_without_a_spool_senders_hear_503_while_redis_is_away(bridge: Bridge) -> None:
    bridge.env["CALLBRIDGE_RECEIVER__SPOOL_SIZE"] = "0"
    bridge.receiver()
    bridge.redis.kill()
    async with aiohttp.ClientSession() as session:
        webhook = a_webhook(2)
        async with session.post(f"{bridge.url}/hooks/office", data=webhook.body, headers=webhook.headers) as answer:
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) >= 1


async def test_a_terminated_worker_finishes_what_it_sent(bridge: Bridge, crm: CrmSim) -> None:
    bridge.receiver()
    crm.arm("slow", "500ms")
    worker = bridge.start("worker")
    await send(bridge, "office", [a_webhook(number) for number in range(30)])
    await until(lambda: bool(crm.requests))
    worker.terminate()
    assert await asyncio.to_thread(worker.wait, 15) == 0
    rows = await asyncio.to_thread(listed, bridge)
    states = collections.Counter(str(row["state"]) for row in rows)
    assert set(states) <= {"delivered", "queued"}
    assert states["delivered"] == len(crm.notes) > 0


async def test_the_rate_is_shared_by_all_workers(bridge: Bridge, crm: CrmSim) -> None:
    bridge.env["CALLBRIDGE_ACCOUNTS__MAIN__REQUESTS_PER_SECOND"] = "7"
    bridge.env["CALLBRIDGE_ACCOUNTS__MAIN__MAX_BATCH"] = "5"
    bridge.receiver()
    for _ in range(3):
        bridge.start("worker")
    await send(bridge, "office", [a_webhook(number) for number in range(120)])
    await until(lambda: len(crm.notes) == 120)
    times = sorted(seen.monotonic for seen in crm.requests)
    assert len(times) >= 24
    # Eight slots span more than a second; a tenth of it is left to the noise of a busy machine on the way to the CRM.
    assert min(later - earlier for earlier, later in zip(times, times[7:], strict=False)) > 0.9


@pytest.mark.parametrize("durability", ["always", "everysec"])
async def test_a_receiver_is_not_ready_while_redis_keeps_less_than_promised(bridge: Bridge, durability: str) -> None:
    bridge.redis.stop()
    bridge.redis.options = ("--appendfsync", "no")
    bridge.redis.start()
    bridge.env["CALLBRIDGE_REDIS__DURABILITY"] = durability
    process = bridge.start("receiver")
    async with aiohttp.ClientSession() as session:
        for _ in range(100):
            try:
                async with session.get(f"{bridge.url}/readyz") as answer:
                    assert answer.status == 503
                    break
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)
        webhook = a_webhook(1)
        async with session.post(f"{bridge.url}/hooks/office", data=webhook.body, headers=webhook.headers) as answer:
            assert answer.status == 503
    assert process.poll() is None
