"""What the log hides and what it leaves readable."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from callbridge.call import CallKey, call_id, uniq_of
from callbridge.redaction import clean, exception, text, without
from support.builders import a_call


@pytest.mark.parametrize(
    "written",
    [
        "+79165550117",
        "79165550117",
        "89165550117",
        "8 (916) 555-01-17",
        "+7 916 555 01 17",
        "+7(916)5550117",
        "916.555.01.17",
        "+7\u00a0916\u00a0555\u201001\u201117",
        "tel:+79165550117",
        "tel79165550117",
        "sip:79165550117@pbx.example.com",
        "out-79165550117.mp3",
        "79165550117_in.mp3",
        "ref 79165550117-a",
        "{'phone': '79165550117'}",
        "https://rec.example.com/79165550117.mp3?x=1",
        "55500117",
        "９１６５５５０１１７",
    ],
)
def test_a_phone_number_in_any_dress_shows_its_last_four_digits_at_most(written: str) -> None:
    shown = text(written)
    assert "55" not in shown
    assert "５５" not in shown
    assert "***" in shown


@pytest.mark.parametrize(
    "written",
    [
        "2026-09-21T10:20:30.123456Z",
        "2026-09-21 10:20:30",
        "192.168.100.200:8080",
        "http://127.0.0.1:6379/0",
        "0c1f7a52-8e4b-4d0a-9a61-512345678901",
        "HTTP 504 after 20000 ms, 250 calls",
        "main",
        "office-2",
        "POST /hooks/office",
        "/hooks/office/events/summary",
        "connection refused: 6379",
        "Привет",
        "",
    ],
)
def test_what_is_no_secret_and_no_number_stays_readable(written: str) -> None:
    assert text(written) == written


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(1_500_000_000, 2_100_000_000), st.sampled_from(["office", "pbx-2", "a"]))
def test_our_own_ids_are_never_mangled(key: str, accepted_at: int, source: str) -> None:
    shown_id = call_id(CallKey(key), accepted_at)
    uniq = uniq_of(source, CallKey(key))
    assert clean(shown_id, "id") == shown_id
    assert clean(uniq, "uniq") == uniq
    assert text(f"call {shown_id} as {uniq}, done") == f"call {shown_id} as {uniq}, done"


def test_an_id_with_a_long_run_of_digits_is_no_phone_number() -> None:
    for own in ("1mabcde123456789", "1234567890abcdef", "12345678a1234567", "office-abcdef234567234567234567"):
        assert text(own) == own


def test_numbers_that_are_numbers_stay_numbers() -> None:
    fields = {"started_at": 1_790_000_000, "duration": 42, "note_id": 987_654_321, "latency_ms": 12.5, "calls": 3}
    assert clean(fields) == fields


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("Authorization: Bearer canary.canary-canary", "Authorization: *** ***"),
        ("basic Y2FuYXJ5", "basic ***"),
        ("whsec_Y2FuYXJ5/Y2FuYXJ5+Y2FuYXJ5=", "***"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.canary-canary", "got ***"),
        ("https://h/x?token=canary&a=1", "https://h/x?token=***&a=1"),
        ("vpbx_api_key=canary&sign=canary&json={}", "vpbx_api_key=***&sign=***&json={}"),
        ("?sig=canary", "?sig=***"),
        ('{"access_token": "canary", "expires_in": 5}', '{"access_token": "***", "expires_in": 5}'),
        ("{'refresh_token': b'canary'}", "{'refresh_token': b'***'}"),
        ("password: canary", "password: ***"),
        ("redis://user:canary@h:6379/0 and https://canary@h/", "redis://***@h:6379/0 and https://***@h/"),
        ("POST /hooks/office/canary HTTP/1.1", "POST /hooks/office/*** HTTP/1.1"),
        ("/hooks/office/canary/events/summary?x=1", "/hooks/office/***/events/summary?x=1"),
    ],
)
def test_a_secret_is_hidden_by_its_shape(written: str, shown: str) -> None:
    assert text(written) == shown


@pytest.mark.parametrize(
    "key",
    ["token", "access_token", "accessToken", "client_secret", "Authorization", "password", "passwd", "sign", "signature",
     "x-signature", "api_key", "vpbx_api_key", "apiKey", "salt", "Set-Cookie", "credentials"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["canary", b"canary", ["canary"], {"a": "canary"}, 123456, SecretStr("canary")])
def test_a_secret_is_hidden_by_the_name_of_its_field(key: str, value: Any) -> None:
    assert clean(value, key) == "***"
    assert clean({"deep": [{key: value}]}) == {"deep": [{key: "***"}]}


@pytest.mark.parametrize("key", ["design", "signal", "assigned", "account", "reason", "calls", "key_count"])
def test_other_names_are_left_alone(key: str) -> None:
    assert clean("value", key) == "value"


@pytest.mark.parametrize("value", [None, True, False])
def test_whether_a_secret_is_set_may_be_told(value: bool | None) -> None:
    assert clean(value, "token") is value


@pytest.mark.parametrize("value", ["+7 916 555-01-17", "5550117", 79165550117, "89165550117"])
def test_a_field_of_a_phone_number_is_masked_however_short(value: Any) -> None:
    assert clean(value, "phone") == "***0117"
    assert clean({"caller": value})["caller"] == "***0117"


def test_an_extension_in_a_field_of_a_phone_number_shows_nothing() -> None:
    assert clean("101", "phone") == "***"


def test_a_phone_number_used_as_a_key_is_masked() -> None:
    assert clean({"by": {"79165550117": 1}}) == {"by": {"***0117": 1}}


def test_what_is_no_plain_data_shows_its_type_only() -> None:
    assert clean(a_call()) == "(Call)"
    assert clean(object()) == "(object)"
    assert clean(SecretStr("canary")) == "(SecretStr)"
    assert clean(b"canary") == "(6 bytes)"
    assert clean(Path("/var/lib")) == "/var/lib"


def test_words_of_our_own_are_logged_as_their_text() -> None:
    class Colour(StrEnum):
        RED = "red"

    assert clean({"colour": Colour.RED}) == {"colour": "red"}


def test_large_values_are_bounded() -> None:
    assert len(text("x" * 1_000_000)) < 2_100
    assert len(clean(list(range(1_000)))) == 101
    assert len(clean({str(n): n for n in range(1_000)})) == 100
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert "nested too deeply" in json.dumps(clean(deep))


def test_a_value_that_holds_itself_is_bounded() -> None:
    ring: dict[str, Any] = {}
    ring["again"] = ring
    assert "nested too deeply" in json.dumps(clean(ring))


def test_a_number_beyond_json_is_no_trouble() -> None:
    for value in (1 << 64, -(1 << 64), 10**10_000):
        assert clean(value) == clean(value, "phone") == "(huge number)"
        assert clean({value: 1}) == {"(huge number)": 1}


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
    max_leaves=20,
)


@settings(deadline=None, max_examples=200)
@given(_ANYTHING)
def test_anything_becomes_one_line_of_json(value: Any) -> None:
    line = json.dumps(clean(value), ensure_ascii=False, allow_nan=True)
    assert len(line.splitlines()) <= 1
    line.encode("utf-8")


@settings(deadline=None)
@example("\x0f", "0000000001", "")
@given(st.text(), st.text("0123456789", min_size=10, max_size=15), st.text())
def test_a_number_does_not_show_whatever_stands_around_it(before: str, digits: str, after: str) -> None:
    around = (before + after).strip("+")
    if not any(c.isalnum() for c in around):
        assert digits[:-4] not in text(f"{before}{digits}{after}") or len(set(digits)) < 2


@pytest.mark.parametrize(
    "bad", ["\n", "\r\n", "\x1b[31m", "\x00", "\u2028", "\u2029", "\x85", "\ud800", "\u202e", "\u200b"]
)
def test_a_character_that_breaks_lines_or_terminals_is_shown_as_an_escape(bad: str) -> None:
    shown = text(f"a{bad}b")
    assert shown.isprintable()
    assert shown.startswith("a\\u")


def test_an_exception_tells_class_message_and_places_but_no_values() -> None:
    def inner(token: str) -> None:
        local = "canary-local"
        raise KeyError(f"no {len(local)} for 79165550117, token=canary")

    try:
        try:
            inner("canary-argument")
        except KeyError as error:
            raise RuntimeError("failed with Bearer canary") from error
    except RuntimeError as error:
        told = exception(error)
    assert told["type"] == "RuntimeError"
    assert told["message"] == "failed with Bearer ***"
    assert told["causes"][0].startswith("KeyError: ")
    assert told["trace"][-1].startswith("pure/test_redaction.py:")
    assert "canary" not in json.dumps(told)
    assert "7916555" not in json.dumps(told)


def test_an_exception_that_cannot_be_printed_is_no_trouble() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    assert exception(Broken())["message"] == "(no message)"


def test_known_secrets_are_hidden_in_any_shape() -> None:
    assert without(("salt-of-pbx", "salt"), "a salt-of-pbx b salt") == "a *** b ***"
    assert exception(ValueError("what is salt-of-pbx?"), ("salt-of-pbx",))["message"] == "what is ***?"


def test_the_code_of_an_error_is_a_word_and_stays() -> None:
    assert text('{"code":"NotSupportedChoice","path":"link"}') == '{"code":"NotSupportedChoice","path":"link"}'


@pytest.mark.parametrize("written", ["code=def50200aa41c9", '{"code": "def50200aa41c9"}', "?code=abc123&state=x"])
def test_the_code_of_a_consent_is_hidden(written: str) -> None:
    assert "def50200" not in text(written)
    assert "abc123" not in text(written)
