"""MegaFon's virtual PBX and the ITooLabs family: the token, and what a `history` says."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Finished, Ignored
from callbridge.intake.providers.megafon import MEGAFON
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=200, deadline=None)
TOKEN = "crm-token-of-the-tests"
HISTORY = {
    "cmd": "history", "type": "in", "user": "ivanova", "ext": "411", "telnum": "79265550180", "phone": "79165550181",
    "diversion": "74955550182", "start": "20260921T141320Z", "duration": "55", "wait": "6", "callid": "90210",
    "link": "https://records.example.com/90210.mp3", "status": "Success", "crm_token": TOKEN,
}  # fmt: skip


def source_with(**changes):
    return a_source(**({"provider": "megafon", "secrets": (TOKEN,)} | changes))


def posted(told, headers=None):
    return a_request(urlencode(told, errors="replace").encode(), headers)


def read(told, **source):
    request, configured = posted(told), source_with(**source)
    MEGAFON.verify(request, configured, NOW)
    return MEGAFON.parse(request, configured, NOW)


def the_call(source=None, **changes):
    (event,) = read({name: value for name, value in (HISTORY | changes).items() if value is not None}, **(source or {}))
    assert isinstance(event, Finished)
    return event.call


def refused(request, **source):
    with pytest.raises(Unauthenticated):
        MEGAFON.verify(request, source_with(**source), NOW)


# --- the token -------------------------------------------------------------------------------------------------------


def test_both_live_tokens_hold_in_the_form_or_the_header_and_a_third_does_not():
    source = source_with(secrets=(TOKEN, "the token before"))
    for token in source.secrets:
        MEGAFON.verify(posted(HISTORY | {"crm_token": token}), source, NOW)
        MEGAFON.verify(posted({"cmd": "history"}, {"X-API-KEY": token}), source, NOW)
    refused(posted(HISTORY | {"crm_token": "another"}), secrets=source.secrets)
    refused(posted({"cmd": "history"}, {"X-API-KEY": "another"}), secrets=source.secrets)


@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 7))
@QUICK
def test_one_flipped_bit_of_the_token_is_refused(place, bit):
    token = bytearray(TOKEN.encode())
    token[place] ^= 1 << bit
    refused(a_request(urlencode(HISTORY | {"crm_token": bytes(token)}).encode()))
    refused(posted({"cmd": "history"}, {"x-api-key": bytes(token).decode("latin-1")}))


@given(st.binary(max_size=100))
@QUICK
def test_any_other_bytes_are_refused(body):
    refused(a_request(body))
    refused(a_request(b"crm_token=" + body))


def test_a_token_given_twice_is_refused():
    refused(a_request(urlencode(HISTORY).encode() + b"&crm_token=" + TOKEN.encode()))


def test_without_a_secret_the_path_token_is_the_credential_and_without_both_it_is_misconfigured():
    MEGAFON.check(source_with(secrets=(), path_token="tok"))
    MEGAFON.verify(posted({"cmd": "history"}), source_with(secrets=(), path_token="tok"), NOW)
    with pytest.raises(Misconfigured, match=r"office\.secret"):
        MEGAFON.check(source_with(secrets=()))
    refused(posted(HISTORY | {"crm_token": ""}), secrets=())


def test_with_a_secret_the_path_token_alone_does_not_hold():
    refused(posted({"cmd": "history"}), path_token="tok")


# --- history ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("missed", "no_answer"), ("Missed", "no_answer"), ("Cancel", "no_answer"), ("NotAllowed", "no_answer"),
        ("Busy", "busy"), ("busy", "busy"), ("NotAvailable", "unavailable"), ("notavailable", "unavailable"),
        ("NotFound", "wrong_number"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("duration", ["0", "", "31"])
def test_what_is_said_to_have_been_no_talk_is_none_however_long_it_rang(told, status, duration):
    call = the_call(status=told, duration=duration, link="")
    assert (call.status, call.duration, call.result) == (status, 0, told)


@pytest.mark.parametrize("told", ["Success", "success", "", None, "Something new"])
def test_otherwise_the_duration_tells_whether_somebody_talked(told):
    assert (the_call(status=told).status, the_call(status=told).duration) == (CallStatus.ANSWERED, 55)
    assert the_call(status=told, duration="0").status is CallStatus.NO_ANSWER
    assert the_call(status=told).result == (told or None)


def test_the_operators_word_comes_before_the_table():
    overrides = {"Cancel": CallStatus.BUSY, "missed": CallStatus.UNAVAILABLE}
    assert the_call(source={"status_overrides": overrides}, status="Cancel").status is CallStatus.BUSY
    assert the_call(source={"status_overrides": overrides}, status="cancel").status is CallStatus.NO_ANSWER
    assert the_call(source={"status_overrides": overrides}, status=None, type="missed").status is CallStatus.UNAVAILABLE


@pytest.mark.parametrize(
    ("kind", "direction"),
    [("in", "inbound"), ("IN", "inbound"), ("out", "outbound"), ("missed", "inbound"), ("internal", "internal")],
)
def test_the_type_tells_the_direction(kind, direction):
    assert the_call(type=kind).direction == direction


def test_a_number_as_short_as_an_extension_is_a_colleague():
    assert the_call(phone="412").direction is Direction.INTERNAL
    assert the_call(source={"internal_digits": 2}, phone="412").direction is Direction.INBOUND


@pytest.mark.parametrize("number", ["anonymous", "Hidden", "", None])
def test_a_hidden_number_is_no_number(number):
    assert the_call(phone=number).phone == ""


@pytest.mark.parametrize(
    ("ext", "user", "extension"),
    [("411", "ivanova", "411"), ("", "ivanova", "ivanova"), (None, "ivanova", "ivanova"), ("", "", None)],
)
def test_the_employee_is_the_extension_or_else_the_login(ext, user, extension):
    assert the_call(ext=ext, user=user).extension == extension


@pytest.mark.parametrize(
    "start", ["20260921T141320Z", "2026-09-21 17:13:20", "2026-09-21T17:13:20+03:00", "1790000000"]
)
def test_the_start_is_utc_or_a_wall_clock_of_the_source(start):
    call = the_call(start=start)
    assert (call.started_at, call.dated) == (1_790_000_000, True)


@pytest.mark.parametrize("start", ["", "0", None])
def test_without_a_start_it_is_estimated(start):
    call = the_call(start=start)
    assert (call.started_at, call.dated) == (NOW - 55, False)


def test_the_same_call_with_a_new_duration_and_link_is_the_same_call():
    assert the_call().key == the_call(duration="56", link="https://records.example.com/90210-b.mp3").key


@pytest.mark.parametrize("link", ["javascript:alert(1)", "file:///etc/passwd", "ftp://x/y", "https://user@host/x", ""])
def test_what_is_no_web_address_is_no_link(link):
    assert the_call(link=link).link is None


def test_json_is_read_like_a_form():
    request = a_request(json.dumps(HISTORY | {"duration": 55}).encode())
    MEGAFON.verify(request, source_with(), NOW)
    (event,) = MEGAFON.parse(request, source_with(), NOW)
    assert event.call == the_call()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("callid", ""), ("callid", "x" * 300), ("callid", "a\x1bb"), ("type", ""), ("type", "sideways"),
        ("duration", "soon"), ("duration", "-1"), ("duration", "999999999"), ("start", "tomorrow"), ("phone", "9" * 65),
        ("ext", "1" * 255),
    ],
)  # fmt: skip
def test_a_wrong_value_makes_it_undecodable_with_the_field_named(field, value):
    with pytest.raises(Undecodable) as error:
        read(HISTORY | {field: value})
    assert field in error.value.reason
    assert value == "" or value not in error.value.reason


@given(st.sampled_from(list(HISTORY)), st.text(max_size=12))
@QUICK
def test_a_field_of_any_value_gives_an_event_or_undecodable(field, value):
    try:
        events = MEGAFON.parse(posted(HISTORY | {field: value}), source_with(), NOW)
    except Undecodable:
        return
    assert isinstance(events[0], Finished | Ignored)


@given(st.binary(max_size=120), st.sampled_from([b"", b"cmd=history&callid=1&type=in&", b'{"cmd":"history",']))
@QUICK
def test_no_body_raises_anything_but_undecodable(body, start):
    request = a_request(start + body)
    MEGAFON.event_of(request)
    with suppress(Undecodable):
        MEGAFON.parse(request, source_with(), NOW)


# --- other events ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cmd", ["event", "contact", "rating", "something-new"])
def test_other_commands_are_ignored_and_answered_with_an_empty_object(cmd):
    told = {"cmd": cmd, "crm_token": TOKEN, "duration": "not a number"}
    assert read(told) == [Ignored(cmd)]
    assert MEGAFON.event_of(posted(told)) == cmd
    assert json.loads(MEGAFON.reply.body) == {}


def test_a_body_without_a_command_is_undecodable():
    with pytest.raises(Undecodable, match="cmd is missing"):
        read({"crm_token": TOKEN})


LONG_LOGIN = f"{'a' * 242}@example.com"


def test_whoever_took_the_call_may_have_a_name_as_long_as_an_address():
    assert the_call(ext=None, user=LONG_LOGIN).extension == LONG_LOGIN
