"""Which calls a filter means, and how people write a moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallId
from callbridge.ops.filters import STATES, Filter, last_digits, moment, state_named
from callbridge.outcome import FINAL
from callbridge.store.envelope import Envelope
from callbridge.store.records import Record
from support.builders import a_call, a_finished_call

NOW = 1_790_000_000.0
CALL = a_call(phone="+7 (916) 555-01-17")
RECORD = Record(
    id=CallId("1ngc9ejwfeqs9y9m"),
    state="dead",
    account="main",
    source="office",
    attempts=2,
    received_at=NOW,
    updated_at=NOW + 5,
    reason="expired",
    detail=None,
    note_id=None,
    entity_type=None,
    entity_id=None,
    link=None,
    duplicates=0,
    variants=0,
    envelope=Envelope("office", "generic", a_finished_call().webhook, CALL),
)


def test_an_empty_filter_admits_everything() -> None:
    assert Filter().admits(RECORD)


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(state="dead"),
        Filter(account="main"),
        Filter(source="office"),
        Filter(reason="expired"),
        Filter(phone="0117"),
        Filter(phone="79165550117"),
        Filter(since=NOW),
        Filter(until=NOW + 0.001),
        Filter(state="dead", account="main", source="office", reason="expired", phone="17", since=NOW, until=NOW + 1),
    ],
)
def test_what_fits_every_part_is_admitted(wanted: Filter) -> None:
    assert wanted.admits(RECORD)


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(state="parked"),
        Filter(account="other"),
        Filter(source="shop"),
        Filter(reason="undecodable"),
        Filter(phone="0118"),
        Filter(phone="179165550117"),
        Filter(since=NOW + 0.001),
        Filter(until=NOW),
        Filter(state="dead", account="main", source="office", reason="refused_by_crm"),
    ],
)
def test_one_part_that_does_not_fit_is_enough_to_refuse(wanted: Filter) -> None:
    assert not wanted.admits(RECORD)


def test_a_call_that_nobody_could_read_has_no_phone_to_match() -> None:
    unread = replace(RECORD, envelope=Envelope("office", "generic", a_finished_call().webhook, None, "is not JSON"))
    assert not Filter(phone="17").admits(unread)
    assert Filter(state="dead").admits(unread)


@pytest.mark.parametrize("state", STATES)
def test_final_states_are_walked_in_their_own_sets_and_no_others(state: str) -> None:
    final = Filter(state=state_named(state)).final_state
    assert (final is not None) == (state in {one.value for one in FINAL})
    assert final is None or final.value == state


@pytest.mark.parametrize("written", ["", "claimed", "waiting", "Dead"])
def test_a_state_that_people_do_not_know_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        state_named(written)


@pytest.mark.parametrize("written", ["+7 (916) 555-01-17", "916 555 01 17", "01-17", "0117"])
def test_a_phone_is_meant_by_its_last_digits_however_it_is_written(written: str) -> None:
    assert Filter(phone=last_digits(written)).admits(RECORD)


@pytest.mark.parametrize("written", ["", "anonymous", "+", "٠١٧"])
def test_a_phone_without_digits_is_refused(written: str) -> None:
    with pytest.raises(ValueError):
        last_digits(written)


@pytest.mark.parametrize(
    ("written", "seconds_ago"), [("2h", 7200.0), ("30s", 30.0), ("500ms", 0.5), ("3d", 259_200.0), (" 1.5h ", 5400.0)]
)
def test_a_duration_means_that_long_ago(written: str, seconds_ago: float) -> None:
    assert moment(written, now=NOW) == NOW - seconds_ago


@pytest.mark.parametrize("written", ["1790000000", "1790000000.25", "946684800"])
def test_unix_seconds_mean_themselves(written: str) -> None:
    assert moment(written, now=NOW) == float(written)


def test_a_date_without_a_zone_is_in_the_readers_zone() -> None:
    moscow = timezone(timedelta(hours=3))
    expected = datetime(2026, 3, 1, 0, 0, tzinfo=moscow).timestamp()
    assert moment("2026-03-01", now=NOW, zone=moscow) == expected
    assert moment("2026-03-01T00:00", now=NOW, zone=moscow) == expected
    assert moment("2026-03-01T00:00+03:00", now=NOW, zone=UTC) == expected
    assert moment("2026-02-28T21:00:00Z", now=NOW, zone=moscow) == expected


@pytest.mark.parametrize(
    "written",
    [
        "",
        "yesterday",
        "2",
        "12",
        "99",
        "1790000000000",
        "2026-13-01",
        "1999-12-31",
        "h",
        "-2h",
        "1e9",
        "0001-01-01",
        "١h",
    ],
)
def test_anything_else_is_refused_with_what_may_be_written(written: str) -> None:
    with pytest.raises(ValueError, match="Unix seconds"):
        moment(written, now=NOW, zone=UTC)


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_text_makes_it_fail_otherwise(written: str) -> None:
    try:
        at = moment(written, now=NOW, zone=UTC)
    except ValueError:
        return
    assert isinstance(at, float)


@given(st.floats(946_684_800, 4_102_444_799))
@settings(max_examples=100, deadline=None)
def test_a_moment_written_as_iso_is_read_back(at: float) -> None:
    written = datetime.fromtimestamp(at, UTC)
    assert moment(written.isoformat(), now=NOW) == pytest.approx(at, abs=1e-5)
