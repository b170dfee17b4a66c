"""The rate in any sliding second and the ban: as arithmetic, and over HTTP with a clock that is moved by hand."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.sim.config import SimConfig
from callbridge.sim.limits import Gate, Passage, Peak, SlidingWindow


@given(st.lists(st.floats(0, 5), max_size=80), st.integers(1, 8))
@settings(max_examples=200, deadline=None)
def test_no_sliding_second_ever_admits_more_than_the_limit(times, limit):
    window, peak, admitted = SlidingWindow(limit), Peak(), []
    for now in sorted(times):
        if window.has_room(now):
            window.admit(now)
            peak.arrive(now)
            admitted.append(now)
        else:
            assert sum(now - 1 < earlier <= now for earlier in admitted) == limit, "refused without need"
    assert peak.highest <= limit


@given(st.lists(st.floats(0, 5), min_size=1, max_size=80))
@settings(max_examples=200, deadline=None)
def test_the_peak_is_the_fullest_sliding_second(times):
    peak, times = Peak(), sorted(times)
    for now in times:
        peak.arrive(now)
    assert peak.highest == max(
        sum(now - 1 < earlier <= now for earlier in times[: n + 1]) for n, now in enumerate(times)
    )


def test_tokens_have_windows_of_their_own_within_that_of_the_account():
    gate = Gate(rate=2, account_rate=3, ban_after=0, ban_for=0)
    passages = [gate.enter(token, 100.0) for token in ("a", "a", "a", "b", "b")]
    free, much = Passage.FREE, Passage.TOO_MANY
    assert passages == [free, free, much, free, much]


def test_violations_within_a_minute_bring_the_ban_and_time_lifts_it():
    gate = Gate(rate=1, account_rate=0, ban_after=3, ban_for=30)

    def violate(now):
        return [gate.enter("a", now) for _ in range(2)][-1]

    assert violate(0.0) is Passage.TOO_MANY
    assert violate(10.0) is Passage.TOO_MANY
    assert violate(65.0) is Passage.TOO_MANY, "the first violation is older than a minute"
    assert violate(66.5) is Passage.TOO_MANY
    assert gate.enter("b", 67.0) is Passage.BANNED, "the whole account is banned"
    assert gate.enter("a", 96.4) is Passage.BANNED
    assert gate.enter("a", 96.5) is Passage.FREE


def test_foreign_load_leaves_the_rest_of_the_accounts_rate():
    assert SimConfig(foreign_load=45).account_limit() == 5
    assert SimConfig(account_rate=20, foreign_load=30).account_limit() == 1
    assert SimConfig(rate=0).account_limit() == 0
    assert SimConfig(rate=0, account_rate=20).account_limit() == 20


async def test_the_eighth_request_in_a_second_is_429(start, make_call):
    bridge = await start(rate=7)
    statuses = [(await bridge.get("/api/v4/account"))[0] for _ in range(7)]
    status, headers, _ = await bridge.post(make_call())
    assert statuses == [200] * 7
    assert (status, headers["Content-Type"]) == (429, "text/html")
    assert "Retry-After" not in headers
    assert not bridge.sim.notes
    bridge.clock.now += 1.0
    assert (await bridge.post(make_call()))[0] == 200


async def test_every_kind_of_request_counts_but_not_the_control_endpoints(start):
    bridge = await start(rate=3)
    for _ in range(10):
        assert (await bridge.get("/_sim/summary", token=""))[0] == 200
    paths = ["/api/v4/nothing", "/api/v4/contacts/notes", "/api/v4/calls", "/api/v4/account"]
    assert [(await bridge.get(path))[0] for path in paths] == [404, 204, 405, 429]


async def test_another_token_is_not_affected_until_the_account_is_full(start):
    bridge = await start(rate=2, account_rate=3)
    statuses = [(await bridge.get("/api/v4/account", token=token))[0] for token in ("a", "a", "a", "b", "b")]
    assert statuses == [200, 200, 429, 200, 429]


async def test_foreign_load_makes_429_though_the_own_rate_is_low(start):
    bridge = await start(rate=7, account_rate=50, foreign_load=49)
    assert [(await bridge.get("/api/v4/account"))[0] for _ in range(2)] == [200, 429]


async def test_an_exceeded_rate_is_answered_as_configured(start):
    bridge = await start(rate=1, limit_answer="429-retry-after=4")
    await bridge.get("/api/v4/account")
    status, headers, _ = await bridge.get("/api/v4/account")
    assert (status, headers["Retry-After"]) == (429, "4")


async def test_the_ban_answers_everything_with_the_gateways_403(start, make_call):
    bridge = await start(rate=1, ban_after=2, ban_for=30.0)
    statuses = [(await bridge.get("/api/v4/account"))[0] for _ in range(3)]
    assert statuses == [200, 429, 429]
    bridge.clock.now += 5
    status, headers, body = await bridge.post(make_call(), token="other")
    assert (status, headers["Content-Type"]) == (403, "text/html")
    assert b"403 Forbidden" in body
    bridge.clock.now += 26
    assert (await bridge.post(make_call()))[0] == 200


async def test_rate_0_lets_everything_through(start):
    bridge = await start(rate=0)
    assert {(await bridge.get("/api/v4/account"))[0] for _ in range(80)} == {200}
