"""Binotel: a PHP array in a form, the credential, the replies, and what a finished call says."""

from __future__ import annotations

import json
from contextlib import suppress
from ipaddress import ip_network
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Challenge, Finished, Ignored
from callbridge.intake.providers.binotel import BINOTEL, MAX_FIELDS
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=200, deadline=None)
TOKEN = "token-of-the-tests-43"
DETAILS = {
    "companyID": "81235", "generalCallID": "7200000321", "callID": "7200000321", "startTime": "1790000000",
    "callType": "0", "internalNumber": "906", "externalNumber": "0675550321", "waitsec": "8", "billsec": "27",
    "disposition": "ANSWER", "employeeData][email": "iryna@example.com",
    "linkToCallRecordInMyBusiness": "https://my.example.com/?fileName=7200000321.mp3",
}  # fmt: skip


def source_with(**changes):
    return a_source(**({"provider": "binotel", "secrets": (), "path_token": "q7"} | changes))


def posted(kind="apiCallCompleted", details=DETAILS, query="", **top):
    told = {f"callDetails[{name}]": value for name, value in details.items() if value is not None}
    body = urlencode({"requestType": kind, **top, **told}, errors="replace").encode()
    return a_request(body, query=query)


def read(request, **source):
    return BINOTEL.parse(request, source_with(**source), NOW)


def the_call(source=None, **changes):
    (event,) = read(posted(details=DETAILS | changes), **(source or {}))
    assert isinstance(event, Finished)
    return event.call


def refused(request, **source):
    with pytest.raises(Unauthenticated):
        BINOTEL.verify(request, source_with(**source), NOW)


@pytest.mark.parametrize("token", [TOKEN, "the token before"])
def test_both_live_tokens_hold_in_the_address_and_a_third_does_not(token):
    source = source_with(secrets=(TOKEN, "the token before"))
    BINOTEL.verify(posted(query=urlencode({"token": token})), source, NOW)
    refused(posted(query=urlencode({"token": token + "x"})), secrets=source.secrets)
    refused(posted(token=token), secrets=source.secrets)


def test_the_vendors_networks_alone_are_no_credential():
    networks = (ip_network("203.0.113.0/24"),)
    with pytest.raises(Misconfigured, match=r"office\.secret"):
        BINOTEL.check(source_with(path_token=None, allow_from=networks))
    refused(posted(), path_token=None, allow_from=networks)
    BINOTEL.verify(posted(), source_with(), NOW)


def test_the_replies_are_the_json_that_the_vendor_wants():
    assert json.loads(BINOTEL.reply.body) == {"status": "success"}
    (event,) = read(posted("apiCallSettings", details={}, externalNumber="0675550321", companyID="81235"))
    assert isinstance(event, Challenge)
    assert json.loads(event.reply.body) == {"customerData": {}}
    assert b"0675550321" not in event.reply.body


@pytest.mark.parametrize(
    "kind", ["receivedTheCall", "answeredTheCall", "transferredTheCall", "hangupTheCall", "newOne"]
)
def test_other_requests_are_ignored_whatever_is_in_them(kind):
    request = posted(kind, details={"billsec": "not a number"})
    assert read(request) == [Ignored(kind)]
    assert BINOTEL.event_of(request) == kind


@pytest.mark.parametrize("disposition", ["SMS-SENDING", "SMS-SUCCESS", "sms-failed"])
def test_a_text_message_is_no_call(disposition):
    assert read(posted(details=DETAILS | {"disposition": disposition, "billsec": "0"})) == [Ignored("apiCallCompleted")]


@pytest.mark.parametrize(
    ("disposition", "status"),
    [
        ("BUSY", "busy"), ("CHANUNAVAIL", "unavailable"), ("VM", "voicemail"), ("VM-SUCCESS", "voicemail"),
        ("vm-success", "voicemail"), ("NOANSWER", "no_answer"), ("CANCEL", "no_answer"), ("CONGESTION", "no_answer"),
        ("FAILED", "no_answer"), ("TRANSFER", "no_answer"), ("ANSWER", "no_answer"), ("ONLINE", "no_answer"),
        ("", "no_answer"), (None, "no_answer"),
    ],
)  # fmt: skip
def test_without_a_talk_the_disposition_tells(disposition, status):
    call = the_call(disposition=disposition, billsec="0")
    assert (call.status, call.duration, call.result) == (status, 0, disposition or None)


@pytest.mark.parametrize("disposition", ["ANSWER", "TRANSFER", "BUSY", "NOANSWER", "SUCCESS", "", None])
def test_a_talk_beats_any_disposition(disposition):
    assert the_call(disposition=disposition).status is CallStatus.ANSWERED


@pytest.mark.parametrize("disposition", ["VM", "VM-SUCCESS"])
def test_the_seconds_of_a_message_are_no_talk(disposition):
    call = the_call(disposition=disposition)
    assert (call.status, call.duration) == (CallStatus.VOICEMAIL, 27)


def test_the_operators_word_comes_before_the_table():
    source = {"status_overrides": {"BUSY": CallStatus.NO_ANSWER, "VM": CallStatus.UNAVAILABLE}}
    assert the_call(source=source, disposition="BUSY", billsec="0").status is CallStatus.NO_ANSWER
    assert the_call(source=source, disposition="VM", billsec="5").status is CallStatus.UNAVAILABLE
    assert the_call(source=source, disposition="VM-SUCCESS", billsec="5").status is CallStatus.VOICEMAIL


@pytest.mark.parametrize(("kind", "direction"), [("0", "inbound"), ("1", "outbound")])
def test_the_type_tells_the_direction_and_the_external_number_is_always_the_customer(kind, direction):
    call = the_call(callType=kind)
    assert (call.direction, call.phone, call.extension) == (direction, "0675550321", "906")


def test_a_number_as_short_as_an_extension_is_a_colleague():
    assert the_call(externalNumber="907").direction is Direction.INTERNAL
    assert the_call(externalNumber="907", source={"internal_digits": 2}).direction is Direction.INBOUND


@pytest.mark.parametrize(
    ("number", "email", "extension"),
    [
        ("906", "iryna@example.com", "906"), ("", "iryna@example.com", "iryna@example.com"),
        (None, f"{'i' * 80}@example.com", f"{'i' * 80}@example.com"), ("", "", None), (None, None, None),
    ],
)  # fmt: skip
def test_the_employee_is_the_internal_number_or_else_the_email_address(number, email, extension):
    assert the_call(**{"internalNumber": number, "employeeData][email": email}).extension == extension


@pytest.mark.parametrize("number", ["anonymous", "", None])
def test_a_hidden_number_is_no_number(number):
    assert the_call(externalNumber=number).phone == ""


def test_the_general_id_names_the_call_and_repetitions_are_the_same():
    again = the_call(callID="7200000999", startTime="", linkToCallRecordInMyBusiness="")
    assert again.ref == "7200000321"
    assert again.key == the_call().key
    assert again.started_at == int(NOW) - 27


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "https://user@host/x", "", None])
def test_what_is_no_web_address_is_no_link(url):
    assert the_call(linkToCallRecordInMyBusiness=url).link is None


def test_a_history_of_many_employees_is_read_and_a_flood_of_fields_is_not():
    history = {f"historyData][{number}][billsec": "0" for number in range(MAX_FIELDS - 30)}
    (event,) = read(posted(details=DETAILS | history))
    assert event.call == the_call()
    with pytest.raises(Undecodable, match=f"{MAX_FIELDS} fields"):
        read(posted(details=DETAILS | {f"x][{number}": "" for number in range(MAX_FIELDS)}))


def test_brackets_however_deep_build_nothing():
    request = posted()
    deep = a_request(request.body + b"&callDetails" + b"[a]" * 15_000 + b"=1&callDetails[billsec][x]=2&[[[=3&]=4")
    (event,) = read(deep)
    assert event.call == the_call()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("generalCallID", ""), ("generalCallID", "x" * 300), ("generalCallID", "a\x1bb"), ("callType", ""),
        ("callType", "2"), ("billsec", "soon"), ("billsec", "-1"), ("billsec", "99999999"), ("startTime", "then"),
        ("startTime", "17"), ("externalNumber", "9" * 65), ("internalNumber", "9" * 255),
    ],
)  # fmt: skip
def test_a_wrong_value_makes_it_undecodable(field, value):
    with pytest.raises(Undecodable) as error:
        read(posted(details=DETAILS | {field: value}))
    assert field in error.value.reason or error.value.reason.startswith("duration")
    assert len(value) < 3 or value not in error.value.reason


def test_a_body_without_a_request_type_is_undecodable():
    with pytest.raises(Undecodable, match="requestType is missing"):
        read(posted(""))


@given(st.sampled_from(list(DETAILS)), st.text(max_size=12))
@QUICK
def test_a_field_of_any_value_gives_an_event_or_undecodable(field, value):
    try:
        events = read(posted(details=DETAILS | {field: value}))
    except Undecodable:
        return
    assert isinstance(events[0], Finished | Ignored)


@given(st.binary(max_size=120), st.sampled_from([b"", b"requestType=apiCallCompleted&callDetails[generalCallID]=1&"]))
@QUICK
def test_no_body_raises_anything_but_undecodable(body, start):
    request = a_request(start + body)
    BINOTEL.event_of(request)
    with suppress(Undecodable):
        read(request)
