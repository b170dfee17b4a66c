"""A call cannot be built wrong, and its identities depend on what they must depend on."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.call import (
    CallStatus,
    call_id,
    call_key,
    is_web_link,
    key_digest,
    plain_text,
    recording_keys,
    uniq_of,
)
from support.builders import a_call


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": ""}, {"source": "Office"}, {"source": "a" * 33}, {"ref": ""}, {"ref": "x" * 257}, {"ref": "a\nb"},
        {"phone": "7" * 65}, {"phone": "7916\u202e"}, {"duration": -1}, {"duration": 7 * 86400 + 1},
        {"started_at": 0}, {"started_at": 1_790_000_000_000}, {"link": "javascript:alert(1)"}, {"link": "https://"},
        {"link": "https://user@host/x"}, {"result": ""}, {"result": "x" * 1001}, {"result": "a\x00"}, {"extension": " "},
    ],
)  # fmt: skip
def test_an_impossible_call_cannot_be_built(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        a_call(**wrong)


def test_status_numbers_are_those_of_the_canonical_webhook() -> None:
    names = ["voicemail", "callback", "unavailable", "answered", "wrong_number", "no_answer", "busy"]
    assert [CallStatus.numbered(number).value for number in range(1, 8)] == names
    assert [status.number for status in CallStatus] == list(range(1, 8))
    for number in (0, 8, -1):
        with pytest.raises(ValueError):
            CallStatus.numbered(number)


def test_the_uniq_is_deterministic_and_carries_the_source() -> None:
    assert a_call().uniq == a_call(duration=1, phone="+7 000").uniq
    assert a_call().uniq.startswith("office-")
    assert a_call(source="branch").uniq.split("-")[1] != a_call().uniq.split("-")[1]


@given(st.text(max_size=40), st.text(max_size=40), st.integers(946_684_800, 4_102_444_799))
def test_parts_of_a_key_cannot_be_shifted_into_each_other(one: str, two: str, at: int) -> None:
    clean_one, clean_two = plain_text(one), plain_text(two)
    if clean_one != clean_two:
        assert call_key("office", clean_one, at) != call_key("office", clean_two, at)
        assert uniq_of("office", call_key("office", clean_one, at)) != uniq_of(
            "office", call_key("office", clean_two, at)
        )
    assert call_key("office", clean_one, at) != call_key("office", clean_one, None)
    assert len(key_digest(call_key("office", one, at))) == 16


@given(st.integers(946_684_800, 4_000_000_000), st.integers(0, 86_400))
def test_a_recording_within_a_day_finds_the_key_of_its_call(started_at: int, later: int) -> None:
    assert call_key("office", "r", started_at) in recording_keys("office", "r", started_at + later)


@given(st.integers(1_600_000_000, 4_000_000_000), st.integers(1_600_000_000, 4_000_000_000))
def test_ids_sort_by_time(one: int, two: int) -> None:
    key = a_call().key
    if one != two:
        assert (call_id(key, one) < call_id(key, two)) == (one < two)
    assert len(call_id(key, one)) == 16


@given(st.text(max_size=200))
def test_plain_text_is_printable_encodable_and_stable(text: str) -> None:
    plain = plain_text(text)
    plain.encode("utf-8")
    assert plain_text(plain) == plain
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in plain)


@given(st.text(max_size=60))
def test_a_web_link_never_leaves_http(text: str) -> None:
    if is_web_link(text):
        assert text.lower().startswith(("http://", "https://"))
        assert text.split("/")[2]
        assert not set(text) & set(" \t\r\n\"'<>\\")
