"""Each fault of the catalogue: how it is written, and what it does to a request and to what is stored."""

from __future__ import annotations

import asyncio
import gzip
import re
from email.utils import parsedate_to_datetime

import aiohttp
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.sim.crm import CrmSim, SimConfig
from callbridge.sim.faults import FAULTS, Scope, Stage, parse_fault

KNOWN, STRANGER = "+79005550101", "+79005550199"

WRITTEN = {
    "429-json-after": "429-json-after=7",
    "redirect": "redirect=https://elsewhere.example.com/x",
    "504-over": "504-over=1",
    "504-over-after": "504-over-after=1",
    "validation": "validation=office-1",
    "validation-unnamed": "validation-unnamed=office-1",
    "slow": "slow=10ms",
    "late-commit": "late-commit=50ms",
    "drip": "drip=100ms",
}
"""Values for the faults that need one, or that would take long."""

BREAKS = {"reset-before", "reset-after", "truncate", "garbage", "late-commit"}


def test_every_fault_has_a_description_and_an_example_that_parses():
    for name, fault in FAULTS.items():
        assert fault.name == name
        assert len(fault.description) > 5
        assert parse_fault(WRITTEN.get(name, name)).name == name


@pytest.mark.parametrize(
    ("written", "scope", "number", "text", "times", "share"),
    [
        ("502-after", Scope.CALLS, 0, "", None, None),
        ("502-after=3", Scope.CALLS, 0, "", 3, None),
        ("502-after*3", Scope.CALLS, 0, "", 3, None),
        ("429=10%", Scope.ALL, 0, "", None, 0.1),
        ("429*0.25", Scope.ALL, 0, "", None, 0.25),
        ("503-before@reads=2", Scope.READS, 0, "", 2, None),
        ("slow=2s", Scope.CALLS, 2, "", None, None),
        ("slow@all=500ms*3", Scope.ALL, 0.5, "", 3, None),
        ("omit", Scope.CALLS, 1, "", None, None),
        ("omit=4*1", Scope.CALLS, 4, "", 1, None),
        ("validation=0101*1", Scope.CALLS, 0, "0101", 1, None),
        ("redirect=https://x.example.com/a*b", Scope.ALL, 0, "https://x.example.com/a*b", None, None),
        ("ban=30s", Scope.ALL, 30, "", None, None),
    ],
)
def test_a_fault_is_read_as_documented(written, scope, number, text, times, share):
    armed = parse_fault(written)
    assert (armed.scope, armed.number, armed.text, armed.times, armed.share) == (scope, number, text, times, share)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("502-aftre", "did you mean 502-after"),
        ("502", "502-before"),
        ("quite else", "the names are"),
        ("", "the names are"),
        ("slow", "slow=SECONDS"),
        ("slow=soon", "is not a time"),
        ("omit=1.5", "is not a whole number"),
        ("429=0", "at least 1"),
        ("429=200%", "between 0 and 1"),
        ("429=often", "neither a number of times"),
        ("429=3*3", "given twice"),
        ("429@mars", "choose from calls"),
        ("validation", "needs a value"),
    ],
)
def test_a_wrong_fault_is_explained(written, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_fault(written)


@given(
    st.one_of(st.text(max_size=30), st.from_regex(r"[0-9a-z-]{1,12}(@[a-z]{1,6})?(=[0-9a-z.%*]{0,6})?", fullmatch=True))
)
@settings(max_examples=200, deadline=None)
def test_whatever_is_written_is_a_fault_or_a_value_error(written):
    try:
        armed = parse_fault(written)
    except ValueError:
        return
    assert armed.name in FAULTS


def test_a_wrong_fault_in_the_configuration_is_refused_at_once():
    with pytest.raises(ValueError, match="did you mean"):
        SimConfig(faults=("slwo=1s",))


@pytest.mark.parametrize("name", sorted(FAULTS))
async def test_every_fault_strikes_a_batch_once_and_then_lets_go(bridge, make_call, name):
    """Nothing in the catalogue is a dead letter: it is recorded with the request, and a count of one ends it."""
    written = WRITTEN.get(name, name)
    bridge.sim.arm(f"{written}*1")
    await _attempt(bridge, make_call("office-1"), make_call("office-2", STRANGER))
    seen = bridge.sim.requests[-1]
    assert seen.faults == [name]
    status, _, body = await bridge.post(make_call("office-3"), make_call("office-4", STRANGER))
    assert (status, len(body["_embedded"]["calls"]), len(body["errors"])) == (200, 1, 1)
    assert bridge.sim.requests[-1].faults == []


@pytest.mark.parametrize("name", sorted(name for name, fault in FAULTS.items() if fault.stage is Stage.DOOR))
async def test_a_fault_at_the_door_stores_nothing(bridge, make_call, name):
    bridge.sim.arm(WRITTEN.get(name, name))
    await _attempt(bridge, make_call("office-1"), make_call("office-2"))
    assert not bridge.sim.notes


@pytest.mark.parametrize("name", sorted(name for name, fault in FAULTS.items() if fault.stage is Stage.ENDING))
async def test_a_fault_at_the_end_comes_after_the_calls_are_stored(bridge, make_call, name):
    bridge.sim.arm(WRITTEN.get(name, name))
    await _attempt(bridge, *[make_call(f"office-{n}") for n in range(4)])
    if name == "late-commit":
        await _until(lambda: bridge.sim.notes)
    assert len(bridge.sim.notes) == (2 if name.endswith("-half") else 4)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("variant", ["before", "after", "half"])
async def test_a_server_error_is_json_for_500_and_the_proxys_page_else(bridge, make_call, status, variant):
    bridge.sim.arm(f"{status}-{variant}")
    answered, headers, body = await bridge.post(make_call("u-1"), make_call("u-2"))
    assert answered == status
    if status == 500:
        assert body["trace_id"]
    else:
        assert headers["Content-Type"] == "text/html"
        assert str(status).encode() in body


async def test_the_shapes_of_429(bridge, make_call):
    async def with_fault(written):
        bridge.sim.arm(f"{written}*1")
        status, headers, body = await bridge.post(make_call())
        assert status == 429
        return headers, body

    headers, body = await with_fault("429")
    assert (headers["Content-Type"], "Retry-After" in headers) == ("text/html", False)
    assert b"<html>" in body
    headers, body = await with_fault("429-json")
    assert (headers["Content-Type"], body["retry_after"]) == ("application/problem+json", 300)
    _, body = await with_fault("429-json-after=7")
    assert body["retry_after"] == 7
    headers, _ = await with_fault("429-retry-after=3")
    assert headers["Retry-After"] == "3"
    headers, _ = await with_fault("429-http-date=60")
    assert parsedate_to_datetime(headers["Retry-After"]).timestamp() == bridge.clock.now + 60
    headers, _ = await with_fault("429-malformed")
    with pytest.raises(ValueError):
        float(headers["Retry-After"])
    with pytest.raises(ValueError):
        parsedate_to_datetime(headers["Retry-After"])


async def test_account_states_at_the_door(bridge, make_call):
    for name, kind in (("401", "json"), ("402", "json"), ("403", "json"), ("404", "json"), ("ban", "html")):
        bridge.sim.arm(name)
        status, headers, _ = await bridge.post(make_call())
        assert (status, kind in headers["Content-Type"]) == (403 if name == "ban" else int(name), True)
        read, _, _ = await bridge.get("/api/v4/account")
        assert read == (200 if name == "402" else status), "402 stops writes only"
        bridge.sim.disarm(name)


async def test_a_ban_with_a_time_ends_by_itself(bridge, make_call):
    bridge.sim.arm("ban", "30s")
    assert (await bridge.post(make_call()))[0] == 403
    bridge.clock.now += 29
    assert (await bridge.get("/api/v4/account"))[0] == 403
    bridge.clock.now += 2
    assert (await bridge.post(make_call()))[0] == 200


async def test_504_over_asks_for_smaller_batches(bridge, make_call):
    bridge.sim.arm("504-over", 2)
    assert (await bridge.post(*[make_call(f"u-{n}") for n in range(3)]))[0] == 504
    assert not bridge.sim.notes
    assert (await bridge.post(*[make_call(f"u-{n}") for n in range(2)]))[0] == 200


async def test_a_redirect_carries_its_place(bridge, make_call):
    bridge.sim.arm("redirect", "https://elsewhere.example.com/x")
    status, headers, _ = await bridge.post(make_call())
    assert (status, headers["Location"]) == (302, "https://elsewhere.example.com/x")


async def test_poison_is_named_by_number_or_uniq_and_stores_nothing(bridge, make_call):
    fine, by_number, by_uniq = make_call("a"), make_call("b", "8 900 555-01-77"), make_call("has-poison-in-it")
    bridge.sim.arm("validation", "0177")
    status, _, body = await bridge.post(fine, by_number, by_uniq)
    assert (status, [each["request_id"] for each in body["validation-errors"]]) == (400, ["b"])
    bridge.sim.arm("validation", "poison")
    _, _, body = await bridge.post(fine, by_number, by_uniq)
    assert [each["request_id"] for each in body["validation-errors"]] == ["has-poison-in-it"]
    assert not bridge.sim.notes
    assert (await bridge.post(fine))[0] == 200, "without the poison the rest passes"


async def test_unnamed_poison_fails_only_the_batches_that_hold_it(bridge, make_call):
    bridge.sim.arm("validation-unnamed", "bad")
    status, _, body = await bridge.post(make_call("good"), make_call("bad"))
    assert status == 400
    assert body["validation-errors"]
    assert all("request_id" not in each for each in body["validation-errors"])
    assert (await bridge.post(make_call("good")))[0] == 200


async def test_an_empty_list_of_culprits(bridge, make_call):
    bridge.sim.arm("validation-empty", "bad")
    status, _, body = await bridge.post(make_call("good"), make_call("bad"))
    assert (status, body["validation-errors"]) == (400, [])
    assert (await bridge.post(make_call("good")))[0] == 200
    bridge.sim.arm("validation-empty")
    assert (await bridge.post(make_call("good")))[0] == 400


async def test_omitted_calls_are_stored_but_in_neither_list(bridge, make_call):
    bridge.sim.arm("omit", 2)
    status, _, body = await bridge.post(*[make_call(f"u-{n}") for n in range(3)])
    assert status == 200
    assert [each["request_id"] for each in body["_embedded"]["calls"]] == ["u-2"]
    assert body["errors"] == []
    assert len(bridge.sim.notes) == 3


async def test_shuffled_calls_are_the_same_calls_in_another_order(bridge, make_call):
    bridge.sim.arm("shuffle")
    sent = [f"u-{n}" for n in range(50)]
    _, _, body = await bridge.post(*map(make_call, sent))
    told = [each["request_id"] for each in body["_embedded"]["calls"]]
    assert told != sent
    assert sorted(told) == sorted(sent)
    by_id = {note.id: note.uniq for note in bridge.sim.notes}
    assert all(by_id[each["id"]] == each["request_id"] for each in body["_embedded"]["calls"])


async def test_both_lists_holds_a_stored_call_twice(bridge, make_call):
    bridge.sim.arm("both-lists")
    _, _, body = await bridge.post(make_call("u-1"), make_call("u-2"))
    assert [each["request_id"] for each in body["_embedded"]["calls"]] == ["u-1", "u-2"]
    assert [each["request_id"] for each in body["errors"]] == ["u-1"]


async def test_request_ids_of_digits_become_numbers(bridge, make_call):
    bridge.sim.arm("int-request-ids")
    _, _, body = await bridge.post(
        make_call(request_id="17"), make_call(request_id="x"), make_call(request_id="ABSENT")
    )
    assert [each["request_id"] for each in body["_embedded"]["calls"]] == [17, "x", 2]


async def test_an_unknown_error_code_refuses_the_first_call(bridge, make_call):
    bridge.sim.arm("unknown-error", 777)
    status, _, body = await bridge.post(make_call("u-1"), make_call("u-2"))
    assert status == 200
    assert [(each["request_id"], each["status"]) for each in body["errors"]] == [("u-1", 777)]
    assert [note.uniq for note in bridge.sim.notes] == ["u-2"]


async def test_errors_can_be_null_or_missing(bridge, make_call):
    bridge.sim.arm("errors-null")
    assert (await bridge.post(make_call()))[2]["errors"] is None
    bridge.sim.disarm()
    bridge.sim.arm("errors-missing")
    assert "errors" not in (await bridge.post(make_call()))[2]


async def test_nothing_matched_can_be_200(bridge, make_call):
    bridge.sim.arm("all-unmatched-200")
    status, _, body = await bridge.post(make_call(phone=STRANGER))
    assert (status, body["_embedded"]["calls"], len(body["errors"])) == (200, [], 1)


async def test_dedup_gives_the_old_note(bridge, make_call):
    bridge.sim.arm("dedup")
    ids = {(await bridge.post(make_call("u-1")))[2]["_embedded"]["calls"][0]["id"] for _ in range(2)}
    assert len(ids) == len(bridge.sim.notes) == 1


async def test_localised_changes_texts_and_nothing_else(bridge, make_call):
    async def answers():
        return [await bridge.post(make_call(phone=STRANGER)), await bridge.post(make_call(), token="")]

    plain = await answers()
    bridge.sim.arm("localised")
    localised = await answers()
    assert [each[0] for each in plain] == [each[0] for each in localised]
    assert plain[0][2]["errors"][0]["status"] == localised[0][2]["errors"][0]["status"]
    assert plain[0][2]["errors"][0]["detail"] != localised[0][2]["errors"][0]["detail"]
    assert plain[1][2]["detail"] != localised[1][2]["detail"]


async def test_extra_fields_stand_beside_the_known_ones(bridge, make_call):
    _, _, plain = await bridge.post(make_call())
    bridge.sim.arm("extra-fields")
    _, _, extended = await bridge.post(make_call())
    assert extended.keys() > plain.keys()
    assert extended["_embedded"]["calls"][0].keys() > plain["_embedded"]["calls"][0].keys()


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


async def test_faults_of_several_stages_strike_together(bridge, make_call):
    for written in ("shuffle", "omit=1", "localised", "gzip"):
        bridge.sim.arm(written)
    _, headers, body = await bridge.post(*[make_call(f"u-{n}") for n in range(5)])
    assert headers["Content-Encoding"] == "gzip"
    assert len(body["_embedded"]["calls"]) == 4
    assert set(bridge.sim.requests[-1].faults) == {"shuffle", "omit", "localised", "gzip"}


async def test_of_two_faults_at_the_door_the_second_waits_for_its_turn(bridge, make_call):
    bridge.sim.arm("503-before", 1)
    bridge.sim.arm("429", 1)
    assert [(await bridge.post(make_call()))[0] for _ in range(3)] == [503, 429, 200]


async def test_a_fault_strikes_only_what_it_is_meant_for(bridge, make_call):
    bridge.sim.arm("503-before", 1)
    assert (await bridge.get("/api/v4/account"))[0] == 200
    assert (await bridge.post(make_call()))[0] == 503
    bridge.sim.arm("503-before@reads=1")
    assert (await bridge.post(make_call()))[0] == 200
    assert (await bridge.get("/api/v4/account"))[0] == 503


async def test_a_share_strikes_about_that_many(bridge, make_call):
    bridge.sim.arm("503-before=25%")
    statuses = [(await bridge.post(make_call()))[0] for _ in range(200)]
    assert 20 < statuses.count(503) < 80


async def test_faults_of_the_configuration_are_armed_from_the_start_and_after_a_reset(start, make_call):
    bridge = await start(faults=("429=1",))
    for _ in range(2):
        assert (await bridge.post(make_call()))[0] == 429
        assert (await bridge.post(make_call()))[0] != 429
        bridge.sim.reset()


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


async def _attempt(bridge, *calls):
    silent = any(fault["name"] == "late-commit" for fault in bridge.sim.desk.arsenal.listing(bridge.clock()))
    try:
        await bridge.post(*calls, timeout=aiohttp.ClientTimeout(total=1 if silent else 30))
    except (aiohttp.ClientError, TimeoutError):
        assert any(name in BREAKS for name in bridge.sim.requests[-1].faults)


async def _until(holds):
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in the simulator, which has no event for it
            await asyncio.sleep(0.01)
