"""What a fault does to an answer on its way out: resets, cuts, encodings, delays."""

from __future__ import annotations

import asyncio
import gzip

import aiohttp
import orjson
import pytest

from callbridge.sim.crm import CrmSim, SimConfig


@pytest.mark.parametrize("name", ["reset-before", "reset-after", "garbage"])
async def test_a_broken_connection_gives_no_answer(bridge, make_call, name):
    bridge.sim.arm(name)
    with pytest.raises(aiohttp.ClientError):
        await bridge.post(make_call())
    assert bridge.sim.requests[-1].status is None


async def test_a_reset_is_a_reset_on_the_wire(bridge, make_call):
    bridge.sim.arm("reset-after")
    body = orjson.dumps([make_call()])
    reader, writer = await asyncio.open_connection("127.0.0.1", int(bridge.sim.url.rsplit(":", 1)[1]))
    writer.write(
        b"POST /api/v4/calls HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    writer.write(body)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()


async def test_truncated_bodies(bridge, make_call):
    bridge.sim.arm("truncate")
    with pytest.raises(aiohttp.ClientPayloadError):
        await bridge.post(make_call())
    bridge.sim.disarm()
    bridge.sim.arm("truncate-json")
    status, headers, body = await bridge.post(make_call())
    assert (status, headers["Content-Type"]) == (200, "application/hal+json")
    assert body.startswith(b'{"_total_items"')
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body)


@pytest.mark.parametrize(
    ("name", "status", "kind"), [("html-200", 200, "text/html"), ("html-200-before", 200, "text/html")]
)
async def test_a_maintenance_page_is_200(bridge, make_call, name, status, kind):
    bridge.sim.arm(name)
    answered, headers, body = await bridge.post(make_call())
    assert (answered, headers["Content-Type"], body[:9]) == (status, kind, b"<!doctype")


async def test_empty_answers(bridge, make_call):
    bridge.sim.arm("empty-200")
    assert [(await bridge.post(make_call()))[n] for n in (0, 2)] == [200, b""]
    bridge.sim.disarm()
    bridge.sim.arm("204")
    assert [(await bridge.post(make_call()))[n] for n in (0, 2)] == [204, b""]


async def test_encodings_carry_the_whole_answer(bridge, make_call):
    for name in ("gzip", "chunked", "drip=100ms"):
        bridge.sim.arm(f"{name}*1")
        status, headers, body = await bridge.post(make_call("u-1"))
        assert (status, body["_embedded"]["calls"][0]["request_id"]) == (200, "u-1")
        assert (headers.get("Content-Encoding") == "gzip") is (name == "gzip")
        assert (headers.get("Transfer-Encoding") == "chunked") is (name == "chunked")


async def test_gzip_is_gzip(bridge, make_call):
    bridge.sim.arm("gzip")
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        headers = {"Authorization": "Bearer t"}
        body = orjson.dumps([make_call()])
        async with session.post(bridge.sim.url + "/api/v4/calls", data=body, headers=headers) as response:
            assert orjson.loads(gzip.decompress(await response.read()))["_total_items"] == 1


async def test_a_slow_answer_comes_after_the_calls_are_stored(bridge, make_call):
    bridge.sim.arm("slow", "30s")
    with pytest.raises(TimeoutError):
        await bridge.post(make_call(), timeout=aiohttp.ClientTimeout(total=1))
    assert len(bridge.sim.notes) == 1


async def test_a_late_commit_happens_though_the_client_has_left(bridge, make_call):
    bridge.sim.arm("late-commit", "2s")
    with pytest.raises(TimeoutError):
        await bridge.post(make_call(), timeout=aiohttp.ClientTimeout(total=0.5))
    assert not bridge.sim.notes
    await _until(lambda: bridge.sim.notes)


async def test_latency_holds_every_answer_back_once_the_calls_are_stored(start, make_call):
    bridge = await start(latency=30)
    with pytest.raises(TimeoutError):
        await bridge.post(make_call(), timeout=aiohttp.ClientTimeout(total=1))
    assert len(bridge.sim.notes) == 1


async def test_stopping_does_not_wait_for_a_silenced_client(make_call):
    sim = CrmSim(SimConfig(contacts=1, rate=0, faults=("late-commit=1h",)))
    url = await sim.start()
    async with aiohttp.ClientSession() as session:
        posting = asyncio.create_task(session.post(f"{url}/api/v4/calls", json=[make_call()], headers=_TOKEN))
        await _until(lambda: sim.requests)
        async with asyncio.timeout(10):
            await sim.stop()
        with pytest.raises(aiohttp.ClientError):
            await posting


_TOKEN = {"Authorization": "Bearer t"}


async def _until(holds):
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in the simulator, which has no event for it
            await asyncio.sleep(0.01)
