"""Bodies as pages show them: no number in any spelling, no secret in any case, whatever the bytes are."""

from __future__ import annotations

from urllib.parse import quote_plus

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.ops.dashboard.shown_text import MOST_SHOWN, Veil, part_about

SPELLINGS = (
    "+79161234567", "79161234567", "89161234567", "9161234567", "+7 916 123-45-67", "+7 (916) 123-45-67",
    "8 (916) 123 45 67", "8-916-123-45-67", "7.916.123.45.67", "+7\u00a0916\u00a0123\u00a045\u00a067",
    "+7\u2009916\u2009123\u200945\u200967", "+7 916 123\u201345\u201367", "tel:+79161234567",
    "sip:79161234567@pbx.example.com", "sip:+79161234567@10.0.0.1;user=phone", "SIP/79161234567", "++79161234567",
    "007 916 123 45 67", "+7/916/123/45/67", "+7_916_123_45_67", "+7\u200b916\u200b123\u200b4567",
    "\u0667\u0669\u0661\u0666\u0661\u0662\u0663\u0664\u0665\u0666\u0667",
    "\uff17\uff19\uff11\uff16\uff11\uff12\uff13\uff14\uff15\uff16\uff17", "+7 916 1234567 ext. 5",
    "from 8 916 123-45-67 to 101", '"Ivan" <+79161234567>', "+7(916)1234567", "%2B79161234567",
)  # fmt: skip


def digits(words: str) -> str:
    """As plain digits, so that no spelling hides from the test."""
    return "".join(str(int(each)) for each in words if each.isdecimal())


@pytest.mark.parametrize("number", SPELLINGS)
def test_a_number_is_masked_in_every_kind_of_body(number: str) -> None:
    bodies = (
        orjson.dumps({"from": number}),
        orjson.dumps([{"call": {"parties": [number]}}]),
        orjson.dumps({number: 1}),
        orjson.dumps({"nested": orjson.dumps({"caller": number}).decode()}),
        f"from={quote_plus(number)}&to=101".encode(),
        f"caller: {number}\nend".encode(),
    )
    for body in bodies:
        shown = Veil().body(body)
        assert "9161234567" not in digits(shown), shown
        assert "1234567" not in digits(shown), shown


@pytest.mark.parametrize("number", ["123-45-67", "123 45 67"])
def test_a_number_without_its_area_is_masked_too(number: str) -> None:
    for body in (orjson.dumps({"from": number}), f"from {number}, missed".encode()):
        assert "1234567" not in digits(Veil().body(body))


def test_a_number_that_is_a_number_is_masked_but_where_it_is_a_time_or_an_id() -> None:
    given_body = {"caller": 79161234567, "phone": 1234567, "start_time": 1790000000, "created_at": 1790000000123}
    shown = Veil().body(orjson.dumps(given_body | {"id": 12345678, "time": 79161234567}))
    assert "79161234567" not in shown
    assert "1234567," not in shown
    for kept in ("1790000000", "1790000000123", "12345678"):
        assert kept in shown


@pytest.mark.parametrize(
    "kept",
    [
        "2026-03-01 08:30:00",
        "2026-03-01T08:30:00+03:00",
        "192.168.10.12",
        "office-abcdefghijklmnopqrstuvwx",
        "101",
        "73",
    ],
)
def test_what_is_no_number_stays_readable(kept: str) -> None:
    assert kept in Veil().body(orjson.dumps({"value": kept}))


@pytest.mark.parametrize("lifted", [False, True])
def test_secrets_are_hidden_whoever_looks(*, lifted: bool) -> None:
    veil = Veil(lifted=lifted)
    bodies = (
        orjson.dumps({"token": "very-secret", "a": {"api_key": "very-secret", "Authorization": "Bearer very-secret"}}),
        orjson.dumps({"secret": ["very-secret"], "password": {"x": "very-secret"}, "sign": 1234567890}),
        b"sign=very-secret&json=%7B%22token%22%3A%22very-secret%22%7D",
        b"Authorization: Bearer very-secret",
    )
    for body in bodies:
        assert "very-secret" not in veil.body(body)
        assert "1234567890" not in veil.body(body)


def test_a_lifted_veil_shows_numbers() -> None:
    assert "+7 916 123-45-67" in Veil(lifted=True).body(orjson.dumps({"from": "+7 916 123-45-67"}))
    assert Veil(lifted=True).line("+7 916 123-45-67") == "+7 916 123-45-67"
    assert Veil(lifted=True).phone("+79161234567") == "+79161234567"


def test_an_id_of_the_pbx_stays_whole_unless_the_number_is_in_it() -> None:
    assert Veil().ref("1726839552.1041", "+79161234567") == "1726839552.1041"
    assert Veil().ref("79161234567-1041", "8 (916) 123-45-67") == "***1041"
    assert Veil().ref("1726839552.1041", None) == "***1041"
    assert Veil().ref(None, "+79161234567") is None


@settings(max_examples=100)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode)))
def test_any_bytes_are_shown_somehow(body: bytes) -> None:
    for veil in (Veil(), Veil(lifted=True)):
        assert isinstance(veil.body(body), str)


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=100)
@given(json, st.text(min_size=1, max_size=8))
def test_a_part_is_looked_for_in_anything(read: object, mark: str) -> None:
    part = part_about(read, mark)
    assert part is None or mark in repr(part) or repr(mark)[1:-1] in repr(part)


def test_what_is_shown_is_bounded() -> None:
    assert len(Veil().body(b"x " * 10_000_000)) <= MOST_SHOWN + 10
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    assert Veil().body(deep)
    assert Veil().body(b'{"a":' * 200 + b"1" + b"}" * 200)
