"""How faults are written, armed and used up, and that each of the catalogue acts at its stage."""

from __future__ import annotations

import asyncio
import re

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.sim.crm import SimConfig
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
    "moved": "moved=elsewhere.example.com",
    "revoked": "revoked@calls",
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
