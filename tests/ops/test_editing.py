"""What a person typed becomes a call, or every field that does not fit is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import Call, CallStatus, Direction
from callbridge.ops.editing import EDITABLE, Edited, NotEdited, edited
from support.builders import a_call

WHOLE = {
    "direction": "outbound", "phone": "+7 916 555-01-18", "duration": "5", "started_at": "1790000000", "status": "answered",
}  # fmt: skip


def changes(before: Call | None, typed: dict[str, Any]) -> dict[str, Any]:
    found = edited(before, typed)
    assert isinstance(found, Edited), found
    return dict(found.changes)


def problems(before: Call | None, typed: dict[str, Any]) -> dict[str, str]:
    found = edited(before, typed)
    assert isinstance(found, NotEdited), found
    return {problem.field: problem.code for problem in found.problems}


def test_what_was_shown_and_left_alone_is_no_change() -> None:
    call = a_call(result="ok", link="https://rec.example.org/a.mp3", extension="101")
    typed = {name: getattr(call, name) for name in EDITABLE} | {"direction": "inbound", "status": "4", "duration": "42"}
    assert changes(call, typed) == {}


def test_each_field_is_read_as_people_write_it() -> None:
    typed = {
        "direction": "outbound", "phone": " +7 916 555-01-18 ", "duration": "7", "status": "busy", "result": "",
        "started_at": "2026-09-21T14:23:00+00:00", "extension": "102", "link": "https://rec.example.org/b.mp3",
    }  # fmt: skip
    assert changes(a_call(result="old"), typed) == {
        "direction": Direction.OUTBOUND, "phone": "+7 916 555-01-18", "duration": 7, "status": CallStatus.BUSY,
        "started_at": 1_790_000_580, "result": None, "extension": "102", "link": "https://rec.example.org/b.mp3",
    }  # fmt: skip


def test_every_field_that_does_not_fit_is_told_at_once() -> None:
    typed = {
        "direction": "sideways", "duration": "-1", "started_at": "yesterday", "status": "9", "link": "javascript:alert(1)",
        "phone": "1" * 65, "source": "other", "result": "x" * 1001,
    }  # fmt: skip
    assert problems(a_call(), typed) == {
        "direction": "not_a_choice", "duration": "not_a_number", "started_at": "not_a_time", "status": "not_a_choice",
        "link": "does_not_fit", "phone": "does_not_fit", "source": "unknown_field", "result": "does_not_fit",
    }  # fmt: skip


def test_a_time_without_a_zone_is_refused_because_nobody_knows_which() -> None:
    assert problems(a_call(), {"started_at": "2026-09-21T14:23:00"}) == {"started_at": "not_a_time"}


def test_a_call_is_not_moved_to_another_day_because_it_would_be_another_call() -> None:
    assert problems(a_call(), {"started_at": "1790090000"}) == {"started_at": "does_not_fit"}
    assert changes(a_call(dated=False), {"started_at": "1790090000"}) == {"started_at": 1_790_090_000}


def test_of_an_unreadable_webhook_all_that_is_needed_has_to_be_told() -> None:
    assert problems(None, {"phone": "+7916"}) == dict.fromkeys(
        ("direction", "duration", "started_at", "status"), "missing"
    )
    assert set(changes(None, WHOLE)) == set(WHOLE)
    assert problems(None, WHOLE | {"duration": "long"}) == {"duration": "not_a_number"}


def test_a_number_that_no_contact_can_have_is_told_before_it_is_sent() -> None:
    found = edited(a_call(), {"phone": "101"})
    assert isinstance(found, Edited) and found.ignored == "short_number"
    found = edited(a_call(), {"direction": "internal"})
    assert isinstance(found, Edited) and found.ignored == "internal_call"


values = st.one_of(st.text(max_size=70), st.integers(-(10**15), 10**15), st.none(), st.booleans(), st.floats())


@given(st.dictionaries(st.sampled_from([*EDITABLE, "ref", "dated"]), values), st.booleans())
@settings(max_examples=100)
def test_whatever_is_typed_is_a_call_or_told(typed: dict[str, Any], unreadable: bool) -> None:
    before = None if unreadable else a_call()
    found = edited(before, typed)
    if isinstance(found, NotEdited):
        assert found.problems
    else:
        assert set(found.changes) <= set(EDITABLE)


@pytest.mark.parametrize("typed", ["<script>alert(1)</script>", "x" * 5000])
def test_what_was_typed_is_not_repeated(typed: str) -> None:
    found = edited(
        a_call(), {"direction": typed, "duration": typed, "started_at": typed, "status": typed, typed: typed}
    )
    assert isinstance(found, NotEdited)
    assert all(typed not in problem.detail for problem in found.problems)
