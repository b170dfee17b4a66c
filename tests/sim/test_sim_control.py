"""The simulator's own endpoints, and the bounds of what it remembers."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from callbridge.sim.crm import CrmSim, SimConfig, run
from callbridge.sim.faults import FAULTS
from callbridge.sim.journal import fingerprint

KNOWN, STRANGER = "+79005550101", "+79005550199"


async def control(bridge, method, path, body=None):
    status, headers, answer = await bridge.request(method, f"/_sim{path}", body, token="")
    assert headers["Content-Type"] == "application/json"
    return status, answer


async def test_the_help_page_lists_every_fault_and_endpoint(bridge):
    bridge.sim.arm("429", 5)
    status, page = await control(bridge, "GET", "")
    assert (status, page["faults"].keys(), page["url"]) == (200, FAULTS.keys(), bridge.sim.url)
    assert [(each["name"], each["times_left"]) for each in page["armed"]] == [("429", 5)]
    for listed in page["endpoints"]:
        method, path = listed.split("?")[0].split(" ")
        answered, _ = await control(bridge, method, path.removeprefix("/_sim"), {} if method == "POST" else None)
        assert answered != 404


async def test_faults_are_armed_listed_and_cleared_while_it_runs(bridge, make_call):
    assert (await control(bridge, "POST", "/faults", {"name": "503-before", "value": 2}))[0] == 200
    await control(bridge, "POST", "/faults", {"name": "slow", "value": "1ms", "times": 3})
    assert (await bridge.post(make_call()))[0] == 503
    _, listed = await control(bridge, "GET", "/faults")
    told = [(each["name"], each["value"], each["times_left"], each["struck"]) for each in listed["armed"]]
    assert told == [("503-before", None, 1, 1), ("slow", 0.001, 2, 1)]
    assert (await control(bridge, "DELETE", "/faults/503-before"))[1] == {"cleared": True}
    assert (await control(bridge, "DELETE", "/faults/503-before"))[1] == {"cleared": False}
    assert (await bridge.post(make_call()))[0] == 200
    await control(bridge, "DELETE", "/faults")
    assert (await control(bridge, "GET", "/faults"))[1] == {"armed": []}


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        ("/faults", {"name": "502-aftre"}, "did you mean 502-after"),
        ("/faults", {}, "a fault is"),
        ("/faults", {"name": "slow", "value": [1]}, "a fault is"),
        ("/faults", {"name": "429", "times": "many"}, "times is"),
        ("/faults", b"{", "not JSON"),
        ("/faults", b"[]", "not an object"),
        ("/contacts", {}, "phone is text"),
        ("/contacts", {"phone": KNOWN, "kind": "robot"}, "contact or company"),
        ("/contacts", {"phone": KNOWN, "leads": -1}, "from 0 to 100"),
    ],
)
async def test_a_wrong_control_request_is_explained(bridge, path, body, told):
    status, answer = await control(bridge, "POST", path, body)
    assert status == 400
    assert told in answer["error"]


@pytest.mark.parametrize("query", ["limit=x", "since=nan", "after=inf"])
async def test_a_wrong_number_in_a_query_is_explained(bridge, query):
    status, answer = await control(bridge, "GET", f"/requests?{query}")
    assert (status, "is a number" in answer["error"]) == (400, True)


async def test_an_unknown_control_endpoint_lists_the_known_ones(bridge):
    for method, path in (("GET", "/nothing"), ("DELETE", "/notes"), ("GET", "/notes/1")):
        status, answer = await control(bridge, method, path)
        assert (status, "GET /_sim/notes?after=&uniq=&limit=" in answer["endpoints"]) == (404, True)


async def test_requests_are_told_with_time_answer_and_calls(bridge, make_call):
    await bridge.post(make_call("u-1"), make_call("u-2", STRANGER), token="secret-token")
    bridge.clock.now += 5
    bridge.sim.arm("502-after", 1)
    await bridge.post(make_call("u-3"), token="secret-token")
    await bridge.get("/api/v4/contacts?query=x", token="")
    _, told = await control(bridge, "GET", "/requests")
    assert (told["total"], told["dropped"]) == (3, 0)
    first, second, third = told["requests"]
    assert (first["number"], first["status"], first["items"], first["uniqs"]) == (1, 200, 2, ["u-1", "u-2"])
    assert (second["status"], second["faults"], second["at"] - first["at"]) == (502, ["502-after"], 5.0)
    assert (third["method"], third["path"], third["query"]) == ("GET", "/api/v4/contacts", "query=x")
    assert first["token"] == fingerprint("secret-token") != third["token"]
    assert first["monotonic"] <= second["monotonic"]
    assert "secret-token" not in str(told)
    later = (await control(bridge, "GET", f"/requests?since={bridge.clock.now - 1}"))[1]["requests"]
    assert [each["number"] for each in later] == [2, 3]
    paged = (await control(bridge, "GET", "/requests?after=1&limit=1"))[1]["requests"]
    assert [each["number"] for each in paged] == [2]


async def test_notes_are_told_with_the_request_that_made_them(bridge, make_call):
    await bridge.post(make_call("u-1"))
    await bridge.post(make_call("u-2", duration=9))
    _, told = await control(bridge, "GET", "/notes")
    first, second = told["notes"]
    assert (first["uniq"], first["phone"], first["request"], first["entity_type"]) == ("u-1", KNOWN, 1, "contact")
    assert (second["request"], second["params"]["duration"], second["at"]) == (2, 9, bridge.clock.now)
    assert (await control(bridge, "GET", "/notes?uniq=u-2"))[1]["notes"] == [second]
    assert (await control(bridge, "GET", f"/notes?after={first['id']}"))[1]["notes"] == [second]


async def test_the_summary_counts_what_matters(start, make_call):
    bridge = await start(rate=5)
    for uniq in ("u-1", "u-1", "u-1", "u-2"):
        await bridge.post(make_call(uniq))
    bridge.clock.now += 0.5
    await bridge.get("/api/v4/account", token="other")
    await bridge.post(make_call(phone=STRANGER))
    await bridge.post(make_call())
    bridge.sim.arm("reset-before")
    bridge.clock.now += 5
    with pytest.raises(aiohttp.ClientError):
        await bridge.post(make_call())
    _, told = await control(bridge, "GET", "/summary")
    assert told["requests"] == 8
    assert told["by_status"] == {"200": 5, "400": 1, "429": 1, "broken": 1}
    assert (told["notes"], told["too_many"], told["contacts"]) == (4, 1, 1)
    assert (told["surplus_notes"], told["repeated_uniqs"]) == (2, {"u-1": 3})
    assert told["max_requests_in_a_second"] == 7
    assert told["max_requests_in_a_second_by_token"] == {fingerprint("a-token"): 6, fingerprint("other"): 1}


async def test_a_contact_is_added_while_it_runs(bridge, make_call):
    _, told = await control(bridge, "POST", "/contacts", {"phone": STRANGER, "name": "New", "leads": 1})
    _, _, body = await bridge.post(make_call(phone=STRANGER))
    assert told["takes_calls"] == {
        "entity_type": "lead",
        "entity_id": body["_embedded"]["calls"][0]["entity_id"],
    }


async def test_a_reset_brings_back_the_start(start, make_call):
    bridge = await start(contacts=3)
    await bridge.post(make_call())
    bridge.sim.arm("429")
    assert (await control(bridge, "POST", "/reset"))[1] == {"reset": True}
    _, told = await control(bridge, "GET", "/summary")
    assert (told["requests"], told["notes"], told["contacts"]) == (0, 0, 3)
    assert (await bridge.post(make_call()))[0] == 400, "the added contact is gone, and so is the fault"


async def test_the_log_of_requests_is_bounded(start, make_call):
    bridge = await start(max_requests=3)
    for n in range(5):
        await bridge.post(make_call(f"u-{n}"))
    _, told = await control(bridge, "GET", "/requests")
    assert (told["total"], told["dropped"]) == (5, 2)
    assert [each["uniqs"] for each in told["requests"]] == [["u-2"], ["u-3"], ["u-4"]]
    assert (await control(bridge, "GET", "/summary"))[1]["by_status"] == {"200": 5}


async def test_the_notes_are_bounded(start, make_call):
    bridge = await start(max_notes=10)
    await bridge.post(*[make_call(f"u-{n}") for n in range(25)])
    _, told = await control(bridge, "GET", "/summary")
    assert len(bridge.sim.notes) == 10
    assert (told["notes"], told["notes_dropped"]) == (25, 15)
    assert bridge.sim.notes[0].uniq == "u-15"


async def test_run_serves_until_it_is_cancelled():
    running: asyncio.Future[CrmSim] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(run(SimConfig(), "127.0.0.1", 0, ready=running.set_result))
    sim = await running
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{sim.url}/_sim") as response:
            assert response.status == 200
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{sim.url}/_sim")
