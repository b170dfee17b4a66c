"""What a source does not want is dropped for one reason, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.call import Call, CallStatus, Direction
from callbridge.delivery.selection import Rules, rules, selected, unwanted
from callbridge.outcome import NotForCrm, Reason
from support.builders import a_call


def wanting(**changes: Any) -> Rules:
    defaults: dict[str, Any] = {"min_duration": 0.0, "post_missed": True, "post_internal": False, "ignore_numbers": ()}
    return rules(**(defaults | changes))


CALLS = st.builds(
    a_call,
    direction=st.sampled_from(Direction),
    phone=st.sampled_from(["", "+7 916 555-01-17", "8 (800) 555-35-35", "101", "anonymous"]),
    duration=st.integers(0, 100),
    status=st.sampled_from(CallStatus),
)


@given(call=CALLS)
def test_a_source_without_rules_wants_all_but_internal_calls(call: Call) -> None:
    internal = call.direction is Direction.INTERNAL
    assert unwanted(call, wanting()) is (Reason.INTERNAL_CALL if internal else None)
    assert unwanted(call, wanting()) is unwanted(call, Rules())


@pytest.mark.parametrize("status", CallStatus)
@pytest.mark.parametrize("duration", [0, 9, 10])
def test_only_talks_can_be_too_short(status: CallStatus, duration: int) -> None:
    too_short = status is CallStatus.ANSWERED and duration < 10
    reason = unwanted(a_call(status=status, duration=duration), wanting(min_duration=10))
    assert reason is (Reason.TOO_SHORT if too_short else None)


def test_part_of_a_second_counts() -> None:
    assert unwanted(a_call(duration=2), wanting(min_duration=2.5)) is Reason.TOO_SHORT
    assert unwanted(a_call(duration=3), wanting(min_duration=2.5)) is None


@pytest.mark.parametrize("status", CallStatus)
def test_a_message_that_was_left_is_no_missed_call(status: CallStatus) -> None:
    kept = status in {CallStatus.ANSWERED, CallStatus.VOICEMAIL}
    assert unwanted(a_call(status=status), wanting(post_missed=False)) is (None if kept else Reason.MISSED_CALL)


@pytest.mark.parametrize(
    ("written", "phone", "ignored"),
    [
        ("+7 916 555-01-17", "89165550117", True),
        ("9165550117", "+7 (916) 555-01-17", True),
        ("+7 916 555-01-17", "+7 916 555-01-18", False),
        ("0117", "+79165550117", False),
        ("0117", "0117", True),
        ("8800*", "8 (800) 555-35-35", True),
        ("8800*", "+7 800 555-35-35", False),
        ("+7800*", "+7 800 555-35-35", True),
        ("8800*", "79168800555", False),
        ("8800 *", "88005553535", True),
        ("", "", False),
        ("*", "+79165550117", False),
        ("anonymous", "", False),
        ("anonymous", "anonymous", False),
    ],
)
def test_a_number_is_ignored_by_its_last_ten_digits_or_by_its_beginning(
    written: str, phone: str, ignored: bool
) -> None:
    reason = unwanted(a_call(phone=phone), wanting(ignore_numbers=("+1 202 555 0100", written)))
    assert reason is (Reason.IGNORED_NUMBER if ignored else None)


def test_an_ignored_number_is_so_whatever_became_of_the_call() -> None:
    strict = wanting(ignore_numbers=["9165550117"], post_missed=False, min_duration=60)
    for status in CallStatus:
        assert unwanted(a_call(status=status), strict) is Reason.IGNORED_NUMBER


def test_a_wanted_internal_call_is_told_by_the_one_who_called() -> None:
    call = a_call(direction=Direction.INTERNAL, phone="10234", extension="101")
    sent = selected(call, wanting(post_internal=True))
    assert isinstance(sent, Call)
    assert (sent.direction, sent.phone, sent.extension, sent.uniq) == (Direction.OUTBOUND, "10234", "101", call.uniq)
    assert selected(call, wanting()) == NotForCrm(Reason.INTERNAL_CALL)


@given(call=CALLS)
def test_any_other_call_is_sent_as_it_is(call: Call) -> None:
    sent = selected(call, wanting(post_internal=True))
    assert isinstance(sent, Call)
    assert sent == call or call.direction is Direction.INTERNAL
