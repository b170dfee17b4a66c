"""onlinePBX: three wrappings of one body, the credential, and what its two final events say."""

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
from callbridge.intake.providers.onlinepbx import ONLINEPBX
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=200, deadline=None)
TOKEN = "token-of-the-tests-42"
END = {
    "domain": "pbx9.onpbx.ru", "event": "call_end", "direction": "inbound", "uuid": "0b7c-42", "origin": "",
    "caller": "79265550311", "callee": "412", "gateway": "74955550310", "date": "1790000000", "call_duration": "50",
    "dialog_duration": "33", "hangup_cause": "NORMAL_CLEARING", "download_url": "https://records.example.com/42.mp3",
}  # fmt: skip


def source_with(**changes):
    return a_source(**({"provider": "onlinepbx", "secrets": (), "path_token": "q7"} | changes))


def as_form(told):
    return urlencode(told, errors="replace").encode()


def as_json(told):
    return json.dumps(told).encode()


def as_multipart(told):
    part = '--x7\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    return ("".join(part.format(name, value) for name, value in told.items()) + "--x7--\r\n").encode()


WRAPPINGS = pytest.mark.parametrize("wrapped", [as_form, as_json, as_multipart])


def the_call(source=None, wrapped=as_form, **changes):
    told = {name: value for name, value in (END | changes).items() if value is not None}
    (event,) = ONLINEPBX.parse(a_request(wrapped(told)), source_with(**(source or {})), NOW)
    assert isinstance(event, Finished)
    return event.call


def refused(request, **source):
    with pytest.raises(Unauthenticated):
        ONLINEPBX.verify(request, source_with(**source), NOW)


@pytest.mark.parametrize("token", [TOKEN, "the token before"])
def test_both_live_tokens_hold_in_the_address_and_a_third_does_not(token):
    source = source_with(secrets=(TOKEN, "the token before"))
    ONLINEPBX.verify(a_request(as_form(END), query=urlencode({"token": token})), source, NOW)
    refused(a_request(as_form(END), query=urlencode({"token": token[1:]})), secrets=source.secrets)


def test_a_token_in_the_body_is_none():
    for wrapped in (as_form, as_json, as_multipart):
        refused(a_request(wrapped(END | {"token": TOKEN})), secrets=(TOKEN,))


def test_a_source_without_any_secret_is_misconfigured_and_never_accepted():
    with pytest.raises(Misconfigured, match=r"office\.secret"):
        ONLINEPBX.check(source_with(path_token=None))
    refused(a_request(as_form(END)), path_token=None)
    ONLINEPBX.verify(a_request(as_form(END)), source_with(), NOW)


@WRAPPINGS
def test_the_wrapping_does_not_matter(wrapped):
    assert the_call(wrapped=wrapped) == the_call()
    request = a_request(wrapped(END | {"event": "call_start"}))
    assert ONLINEPBX.parse(request, source_with(), NOW) == [Ignored("call_start")]
    assert ONLINEPBX.event_of(request) == "call_start"


def test_numbers_of_json_are_read_like_text():
    told = END | {"date": 1_790_000_000, "dialog_duration": 33, "quality_score": None}
    (event,) = ONLINEPBX.parse(a_request(as_json(told)), source_with(), NOW)
    assert event.call == the_call()


@pytest.mark.parametrize("event", ["call_start", "call_answered", "something_new"])
def test_other_events_are_ignored_whatever_is_in_them(event):
    told = {"event": event, "dialog_duration": "not a number"}
    assert ONLINEPBX.parse(a_request(as_form(told)), source_with(), NOW) == [Ignored(event)]


def test_both_final_events_are_one_call():
    missed = {"dialog_duration": "0", "hangup_cause": "ORIGINATOR_CANCEL", "download_url": ""}
    end, other = the_call(**missed), the_call(event="call_missed", **missed)
    assert end == other
    assert end.status is CallStatus.NO_ANSWER


@pytest.mark.parametrize(
    ("word", "direction", "phone", "extension"),
    [
        ("inbound", "inbound", "79265550311", "412"), ("outbound", "outbound", "412", "79265550311"),
        ("local", "internal", "412", "79265550311"), ("LOCAL", "internal", "412", "79265550311"),
    ],
)  # fmt: skip
def test_the_direction_tells_who_is_who(word, direction, phone, extension):
    call = the_call(direction=word)
    assert (call.direction, call.phone, call.extension) == (direction, phone, extension)


def test_the_companys_line_is_no_employee():
    assert the_call(callee="74955550310").extension is None
    assert the_call(callee="74955550399", source={"own_numbers": ("84955550399",)}).extension is None
    assert the_call(callee="79035550312").extension == "79035550312"
    assert the_call(gateway="").extension == "412"


@pytest.mark.parametrize("event", ["call_end", "call_missed"])
@pytest.mark.parametrize(
    ("cause", "status"),
    [
        ("USER_BUSY", "busy"), ("user_busy", "busy"), ("SUBSCRIBER_ABSENT", "unavailable"),
        ("USER_NOT_REGISTERED", "unavailable"), ("DESTINATION_OUT_OF_ORDER", "unavailable"),
        ("UNALLOCATED_NUMBER", "wrong_number"), ("INVALID_NUMBER_FORMAT", "wrong_number"),
        ("NUMBER_CHANGED", "wrong_number"), ("NO_ROUTE_DESTINATION", "wrong_number"), ("NO_ANSWER", "no_answer"),
        ("ORIGINATOR_CANCEL", "no_answer"), ("CALL_REJECTED", "no_answer"), ("NORMAL_CLEARING", "no_answer"),
        ("NEW_CAUSE", "no_answer"), ("", "no_answer"),
    ],
)  # fmt: skip
def test_without_a_talk_the_cause_tells(event, cause, status):
    call = the_call(event=event, hangup_cause=cause, dialog_duration="0")
    assert (call.status, call.duration) == (status, 0)
    assert call.result == (cause or ("call_missed" if event == "call_missed" else None))


@pytest.mark.parametrize("cause", ["USER_BUSY", "NO_ANSWER", ""])
def test_a_talk_beats_any_cause(cause):
    assert the_call(hangup_cause=cause).status is CallStatus.ANSWERED


def test_the_whole_call_is_no_talk():
    assert the_call(dialog_duration=None).duration == 0
    assert the_call(dialog_duration="0").status is CallStatus.NO_ANSWER


def test_the_operators_word_comes_before_the_table():
    source = {"status_overrides": {"USER_BUSY": CallStatus.NO_ANSWER, "call_missed": CallStatus.UNAVAILABLE}}
    assert the_call(source=source, hangup_cause="USER_BUSY", dialog_duration="0").status is CallStatus.NO_ANSWER
    missed = the_call(source=source, event="call_missed", hangup_cause=None, dialog_duration="0")
    assert missed.status is CallStatus.UNAVAILABLE


def test_without_a_date_the_start_is_estimated_and_the_call_is_the_same():
    assert the_call(date="").started_at == int(NOW) - 33
    assert the_call(date="").key == the_call().key == the_call(date="1790090000").key


@pytest.mark.parametrize("number", ["anonymous", "Restricted", "", None])
def test_a_hidden_number_is_no_number(number):
    assert the_call(caller=number).phone == ""
    assert the_call(caller=number).direction is Direction.INBOUND


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "https://user@host/x", "", None])
def test_what_is_no_web_address_is_no_link(url):
    assert the_call(download_url=url).link is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event", ""), ("uuid", ""), ("uuid", "x" * 300), ("uuid", "a\x1bb"), ("direction", ""), ("direction", "both"),
        ("dialog_duration", "soon"), ("dialog_duration", "99999999"), ("date", "then"), ("date", "17"),
        ("caller", "9" * 65), ("callee", "9" * 255),
    ],
)  # fmt: skip
@WRAPPINGS
def test_a_wrong_value_makes_it_undecodable_with_the_field_named(wrapped, field, value):
    with pytest.raises(Undecodable) as error:
        ONLINEPBX.parse(a_request(wrapped(END | {field: value})), source_with(), NOW)
    assert field.removeprefix("dialog_") in error.value.reason
    assert value == "" or value not in error.value.reason


@given(st.sampled_from(list(END)), st.text(max_size=12), st.sampled_from([as_form, as_json]))
@QUICK
def test_a_field_of_any_value_gives_an_event_or_undecodable(field, value, wrapped):
    try:
        events = ONLINEPBX.parse(a_request(wrapped(END | {field: value})), source_with(), NOW)
    except Undecodable:
        return
    assert isinstance(events[0], Finished | Ignored)


@given(st.binary(max_size=120), st.sampled_from([b"", b"event=call_end&uuid=1&", b'{"event":"call_end",', b"--x\r\n"]))
@QUICK
def test_no_body_raises_anything_but_undecodable(body, start):
    request = a_request(start + body)
    ONLINEPBX.event_of(request)
    with suppress(Undecodable):
        ONLINEPBX.parse(request, source_with(), NOW)
