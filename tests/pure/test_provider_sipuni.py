"""Sipuni: where the parameters and the credential may be, and what the end of a call says."""

from __future__ import annotations

import json
from contextlib import suppress
from ipaddress import ip_network
from urllib.parse import parse_qs, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Broken, Finished, Ignored
from callbridge.intake.providers.sipuni import SIPUNI
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=200, deadline=None)
TOKEN = "token-of-the-tests-41"
HANGUP = {
    "event": "2", "call_id": "1790000000.7001", "src_num": "79265550301", "src_type": "1", "dst_num": "041922301",
    "dst_type": "2", "short_src_num": "79265550301", "short_dst_num": "301", "status": "ANSWER", "user_id": "041922",
    "timestamp": "1790000060", "call_start_timestamp": "1790000000", "call_answer_timestamp": "1790000012",
    "call_record_link": "https://records.example.com/7001.mp3", "last_called": "302,303",
}  # fmt: skip
OUTBOUND = HANGUP | {
    "src_num": "041922305", "src_type": "2", "short_src_num": "305", "dst_num": "79165550302", "dst_type": "1",
    "short_dst_num": "79165550302",
}  # fmt: skip


def source_with(**changes):
    return a_source(**({"provider": "sipuni", "secrets": (), "path_token": "q7"} | changes))


def given_by(told, way, **source):
    """The events of the parameters, sent in one of the ways."""
    written = urlencode({name: value for name, value in told.items() if value is not None}, errors="replace")
    match way:
        case "get":
            request = a_request(method="GET", query=written)
        case "query":
            request = a_request(query=written)
        case _:
            request = a_request(written.encode())
    configured = source_with(**source)
    SIPUNI.verify(request, configured, NOW)
    return SIPUNI.parse(request, configured, NOW)


def the_call(base=HANGUP, source=None, **changes):
    (event,) = given_by(base | changes, "form", **(source or {}))
    assert isinstance(event, Finished)
    return event.call


def refused(request, **source):
    with pytest.raises(Unauthenticated):
        SIPUNI.verify(request, source_with(**source), NOW)


# --- the credential --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [TOKEN, "the token before"])
def test_both_live_tokens_hold_in_the_address_and_a_third_does_not(token):
    source = source_with(secrets=(TOKEN, "the token before"))
    SIPUNI.verify(a_request(method="GET", query=urlencode(HANGUP | {"token": token})), source, NOW)
    SIPUNI.verify(a_request(urlencode(HANGUP).encode(), query=urlencode({"token": token})), source, NOW)
    refused(a_request(query=urlencode({"token": token + "x"})), secrets=source.secrets)


def test_a_token_among_the_parameters_of_a_form_is_none():
    refused(a_request(urlencode(HANGUP | {"token": TOKEN}).encode()), secrets=(TOKEN,))


def test_networks_alone_are_no_credential():
    networks = (ip_network("203.0.113.0/24"),)
    with pytest.raises(Misconfigured, match=r"office\.secret"):
        SIPUNI.check(source_with(path_token=None, allow_from=networks))
    refused(a_request(urlencode(HANGUP).encode()), path_token=None, allow_from=networks)


def test_the_path_token_stands_alone_but_not_beside_a_secret():
    SIPUNI.check(source_with())
    SIPUNI.verify(a_request(urlencode(HANGUP).encode()), source_with(), NOW)
    refused(a_request(urlencode(HANGUP).encode()), secrets=(TOKEN,))


@given(st.integers(0, len(TOKEN) - 1), st.integers(0, 7))
@QUICK
def test_one_flipped_bit_of_the_token_is_refused(place, bit):
    token = bytearray(TOKEN.encode())
    token[place] ^= 1 << bit
    refused(a_request(query=urlencode({"token": bytes(token)})), secrets=(TOKEN,))


# --- where the parameters are ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["get", "query", "form"])
def test_the_parameters_mean_the_same_wherever_they_are(way):
    (event,) = given_by(HANGUP, way)
    assert event.call == the_call()
    assert parse_qs(event.body.decode())["call_id"] == ["1790000000.7001"]
    (ignored,) = given_by(HANGUP | {"event": "4"}, way)
    assert ignored == Ignored("secondary_hangup")


def test_the_body_counts_more_than_the_address():
    request = a_request(urlencode(HANGUP).encode(), query="event=1&call_id=another")
    (event,) = SIPUNI.parse(request, source_with(), NOW)
    assert event.call.ref == HANGUP["call_id"]


def test_a_request_that_says_nothing_is_counted():
    for query in ("", urlencode({"token": TOKEN})):
        assert SIPUNI.parse(a_request(method="GET", query=query), source_with(), NOW) == [Ignored("empty")]


def test_the_reply_is_the_json_that_the_vendor_wants():
    assert SIPUNI.reply.status == 200
    assert SIPUNI.reply.content_type == "application/json"
    assert json.loads(SIPUNI.reply.body) == {"success": True}


# --- the end of a call -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sides", "direction"),
    [
        (("1", "2"), "inbound"), (("1", "1"), "inbound"), (("1", ""), "inbound"), (("1", None), "inbound"),
        (("2", "1"), "outbound"), (("", "1"), "outbound"), (("2", "2"), "internal"),
    ],
)  # fmt: skip
def test_a_caller_outside_is_looked_at_first(sides, direction):
    assert the_call(src_type=sides[0], dst_type=sides[1]).direction == direction


@pytest.mark.parametrize(
    ("caller", "called", "direction"),
    [
        ("79265550301", "301", "inbound"), ("305", "79165550302", "outbound"), ("301", "302", "internal"),
        ("74955550300", "79165550302", "outbound"), ("79265550301", "74955550300", "inbound"), ("", "301", "inbound"),
    ],
)  # fmt: skip
def test_without_types_the_numbers_tell(caller, called, direction):
    changes = dict.fromkeys(("src_type", "dst_type", "short_src_num", "short_dst_num", "user_id"))
    own = {"own_numbers": ("+7 (495) 555-03-00",)}
    assert the_call(source=own, **(changes | {"src_num": caller, "dst_num": called})).direction == direction


def test_the_account_before_a_number_of_an_employee_is_taken_off():
    changes = dict.fromkeys(("src_type", "dst_type", "short_src_num", "short_dst_num"))
    call = the_call(**(changes | {"src_num": "041922305", "dst_num": "041922301"}))
    assert (call.direction, call.extension, call.phone) == (Direction.INTERNAL, "305", "301")


@pytest.mark.parametrize(
    ("short", "last", "extension"),
    [
        ("301", "302,303", "301"), ("74955550300", "302,303", "302"), ("", "302&303", "302"), ("", "041922302", "302"),
        ("", "79165550309,302", "79165550309"), ("", ",, 302", "302"), (None, None, "301"),
    ],
)  # fmt: skip
def test_the_employee_of_an_inbound_call_is_the_short_number_or_the_first_who_was_called(short, last, extension):
    assert the_call(short_dst_num=short, last_called=last).extension == extension


def test_the_employee_of_an_outbound_call_is_the_short_number_of_the_caller():
    assert the_call(OUTBOUND).extension == "305"
    assert the_call(OUTBOUND).phone == "79165550302"
    assert the_call(OUTBOUND, short_src_num="").extension == "305"
    assert the_call(OUTBOUND, short_src_num="", src_num="74955550300").extension is None


def test_talk_is_from_the_answer_to_the_event():
    call = the_call()
    assert (call.duration, call.started_at, call.status) == (48, 1_790_000_000, CallStatus.ANSWERED)
    assert the_call(timestamp=None).duration == int(NOW) - 1_790_000_012


@pytest.mark.parametrize("answer", ["0", "", None])
@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("BUSY", "busy"), ("busy", "busy"), ("CHANUNAVAIL", "unavailable"), ("NOANSWER", "no_answer"),
        ("CANCEL", "no_answer"), ("CONGESTION", "no_answer"), ("ANSWER", "no_answer"), ("NEW", "no_answer"),
        ("", "no_answer"), (None, "no_answer"),
    ],
)  # fmt: skip
def test_without_an_answer_the_status_tells(answer, told, status):
    call = the_call(call_answer_timestamp=answer, status=told)
    assert (call.status, call.duration, call.result) == (status, 0, told or None)


@pytest.mark.parametrize("told", ["BUSY", "CANCEL", "NOANSWER", ""])
def test_an_answer_beats_any_status(told):
    overrides = {"status_overrides": {told: CallStatus.UNAVAILABLE}}
    assert the_call(source=overrides, status=told).status is CallStatus.ANSWERED


def test_the_operators_word_comes_before_the_table():
    source = {"status_overrides": {"BUSY": CallStatus.NO_ANSWER, "CANCEL": CallStatus.BUSY}}
    assert the_call(source=source, status="BUSY", call_answer_timestamp="0").status is CallStatus.NO_ANSWER
    assert the_call(source=source, status="CANCEL", call_answer_timestamp="0").status is CallStatus.BUSY


@pytest.mark.parametrize("start", ["0", "", None])
def test_without_a_start_it_is_estimated(start):
    assert the_call(call_start_timestamp=start).started_at == int(NOW) - 48


def test_all_that_is_told_of_one_call_has_one_key():
    assert the_call().key == the_call(call_start_timestamp=None, status="CANCEL", timestamp="1790086500").key


@pytest.mark.parametrize("number", ["anonymous", "Hidden", "", None])
def test_a_hidden_number_is_no_number(number):
    call = the_call(src_num=number, short_src_num=number)
    assert (call.phone, call.direction) == ("", Direction.INBOUND)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event", ""), ("call_id", ""), ("call_id", "x" * 300), ("call_id", "a\x1bb"), ("timestamp", "soon"),
        ("timestamp", "1790000001"), ("call_answer_timestamp", "1e9"), ("call_start_timestamp", "17"),
        ("src_num", "9" * 65), ("short_dst_num", "9" * 65), ("last_called", "7" * 65),
    ],
)  # fmt: skip
def test_a_wrong_value_makes_it_undecodable_with_the_field_named(field, value):
    told = HANGUP | {field: value} | ({"short_dst_num": ""} if field == "last_called" else {})
    with pytest.raises(Undecodable) as error:
        given_by(told, "form")
    assert field in error.value.reason
    assert value == "" or value not in error.value.reason


@given(st.sampled_from(list(HANGUP)), st.text(max_size=12), st.sampled_from(["get", "form"]))
@QUICK
def test_a_field_of_any_value_gives_an_event_or_undecodable(field, value, way):
    try:
        events = given_by(HANGUP | {field: value}, way)
    except Undecodable:
        return
    assert isinstance(events[0], Finished | Ignored | Broken)


@given(st.binary(max_size=120), st.sampled_from([b"", b"event=2&call_id=1&src_type=1&", b'{"event":"2",']))
@QUICK
def test_no_body_raises_anything_but_undecodable(body, start):
    request = a_request(start + body)
    SIPUNI.event_of(request)
    with suppress(Undecodable):
        SIPUNI.parse(request, source_with(), NOW)
