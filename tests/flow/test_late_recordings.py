"""Recordings that come after their calls, through real processes that are killed meanwhile."""

from __future__ import annotations

import asyncio
import collections

import orjson

from callbridge.sim.crm import CrmSim
from callbridge.store.connect import connected
from flow.conftest import Bridge
from flow.test_flow import a_webhook, all_settled, send, signed, until

COUNT = 12


def a_recording(number: int) -> bytes:
    link = f"https://rec.example.org/{number}.mp3"
    return orjson.dumps({"event": "call.recording", "id": f"flow-{number}", "link": link})


async def test_workers_killed_while_they_note_late_recordings_lose_and_double_none(bridge: Bridge, crm: CrmSim) -> None:
    bridge.env["CALLBRIDGE_SOURCES__OFFICE__LATE_RECORDING"] = "note"
    bridge.receiver()
    worker = bridge.start("worker")
    await send(bridge, "office", [a_webhook(number) for number in range(COUNT)])
    await all_settled(bridge, COUNT, {"delivered"})
    crm.arm("slow@writes", "150ms")  # written at once, answered later: a kill falls in between
    recordings = [signed(a_recording(number), f"rec_{number}") for number in range(COUNT)]
    assert set(await send(bridge, "office", [*recordings, *recordings])) == {200}
    for kills in range(1, 4):
        await until(lambda kills=kills: len(crm.texts) >= kills)  # type: ignore[misc] # mypy and lambda defaults
        worker.kill()
        worker.wait()
        worker = bridge.start("worker")
    crm.disarm("slow")
    async with connected(bridge.redis.url) as redis:
        for _ in range(400):
            if not await redis.exists("{callbridge}:late:main"):
                break
            await asyncio.sleep(0.1)
        stories = [await redis.lrange(key, 0, -1) for key in await redis.keys("{callbridge}:story:*")]
    ends = [orjson.loads(row)["what"] for story in stories for row in story]
    assert collections.Counter(ends) == {"delivered": COUNT, "recording": COUNT, "noted": COUNT}
    links = collections.Counter(note.text.splitlines()[-1] for note in crm.texts)
    assert links == {f"https://rec.example.org/{number}.mp3": 1 for number in range(COUNT)}
    assert len(crm.notes) == COUNT
