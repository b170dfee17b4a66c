"""Twilio: what its callbacks say, and what its signature covers. Its own library signs."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Finished, Ignored, Recording
from callbridge.intake.providers.twilio import TWILIO
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=150, deadline=None)
TOKEN, OLD_TOKEN = "9f8e7d6c5b4a39281706f5e4d3c2b1a0", "00112233445566778899aabbccddeeff"
HOOK = "https://hooks.example.com/hooks/office"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ENDED = 1_790_000_000
CALL = {
    "CallSid": "CA00aa11bb22cc33dd44ee55ff66778899", "From": "+12025550111", "To": "+12025550100",
    "CallStatus": "completed", "Direction": "inbound", "CallDuration": "25", "Duration": "1",
    "Timestamp": format_datetime(datetime.fromtimestamp(ENDED, UTC)), "CallerCity": "",
}  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAMES_OF_FIELDS = TEXTS.filter(lambda name: name not in {"", "bodySHA256"})
FIELDS = st.lists(st.tuples(NAMES_OF_FIELDS, TEXTS), max_size=8)


def a_twilio_source(**changes):
    return a_source(**({"provider": "twilio", "secrets": (TOKEN, OLD_TOKEN)} | changes))


def signature(url, fields=(), token=TOKEN, algorithm=None):
    return RequestValidator(token).compute_signature(url, MultiDict(fields), algorithm)


def a_form(fields, *, token=TOKEN, query=""):
    body = urlencode(list(fields)).encode()
    signed = signature(HOOK + (f"?{query}" if query else ""), fields, token)
    return a_request(body, FORM | {"X-Twilio-Signature": signed}, query=query)


def read(told, **source):
    request = a_form(told.items())
    TWILIO.verify(request, a_twilio_source(**source), NOW)
    (event,) = TWILIO.parse(request, a_twilio_source(**source), NOW)
    return event


def the_call(source=None, **changes):
    event = read(CALL | changes, **(source or {}))
    assert isinstance(event, Finished)
    return event.call


def refused(request, **source):
    with pytest.raises(Unauthenticated):
        TWILIO.verify(request, a_twilio_source(**source), NOW)


def flipped(data, octets):
    place = data.draw(st.integers(0, len(octets) - 1))
    other = octets[place] ^ data.draw(st.integers(1, 255))
    return octets[:place] + bytes([other]) + octets[place + 1 :]


# --- the signature ---------------------------------------------------------------------------------------------------


@given(FIELDS, st.sampled_from([TOKEN, OLD_TOKEN]))
@QUICK
def test_a_form_signed_by_the_official_library_with_either_live_token_holds(fields, token):
    TWILIO.verify(a_form(fields, token=token), a_twilio_source(), NOW)
    refused(a_form(fields, token="a third token"))


@given(FIELDS)
@QUICK
def test_a_query_signed_by_the_official_library_holds(fields):
    query = urlencode(fields)
    request = a_request(
        b"", {"X-Twilio-Signature": signature(HOOK + (f"?{query}" if query else ""))}, method="GET", query=query
    )
    TWILIO.verify(request, a_twilio_source(), NOW)


@given(st.dictionaries(TEXTS, TEXTS, max_size=5), st.data())
@QUICK
def test_a_json_body_holds_by_its_digest_and_no_byte_of_it_may_change(told, data):
    body = json.dumps(told).encode()
    query = f"a=1&bodySHA256={hashlib.sha256(body).hexdigest()}"
    signed = signature(f"{HOOK}?{query}")
    assert RequestValidator(TOKEN).validate(f"{HOOK}?{query}", body.decode(), signed)
    request = a_request(body, {"X-Twilio-Signature": signed, "Content-Type": "application/json"}, query=query)
    TWILIO.verify(request, a_twilio_source(), NOW)
    refused(dataclasses.replace(request, body=flipped(data, body)))


def test_a_json_body_without_its_digest_in_the_query_is_refused():
    body = json.dumps(CALL).encode()
    refused(a_request(body, {"X-Twilio-Signature": signature(HOOK), "Content-Type": "application/json"}))


@given(st.data())
@QUICK
def test_a_flipped_byte_of_the_form_is_refused_unless_the_fields_stay_the_same(data):
    request = a_form(CALL.items())
    other = dataclasses.replace(request, body=flipped(data, request.body))

    def fields(body):
        return sorted(parse_qsl(body.decode("latin-1"), keep_blank_values=True, encoding="latin-1"))

    whole = all(b"=" in part for part in other.body.split(b"&"))
    if whole and fields(other.body) == fields(request.body):
        TWILIO.verify(other, a_twilio_source(), NOW)
    else:
        refused(other)


@given(st.data())
@QUICK
def test_a_flipped_byte_of_the_url_or_of_the_signature_is_refused(data):
    request = a_form(CALL.items(), query="tenant=7")
    refused(dataclasses.replace(request, target=flipped(data, request.target.encode()).decode("latin-1")))
    header = flipped(data, request.headers["x-twilio-signature"].encode()).decode("latin-1")
    refused(dataclasses.replace(request, headers=dict(request.headers) | {"x-twilio-signature": header}))


def test_a_value_cannot_be_turned_into_a_name():
    """Nothing is between name and value where they are signed."""
    for fields in ({"To": "anna"}, {"To": "anna", "From": "+12025550111"}):
        request = a_form(fields.items())
        refused(dataclasses.replace(request, body=request.body.replace(b"To=anna", b"To&anna")))


@pytest.mark.parametrize(
    ("addressed", "signs"),
    [
        ("https://hooks.example.com", "https://hooks.example.com:443"),
        ("https://hooks.example.com:443", "https://hooks.example.com"),
        ("http://hooks.example.com", "http://hooks.example.com:80"),
        ("https://hooks.example.com:8443", "https://hooks.example.com:8443"),
        ("https://hooks.example.com:8443", "https://hooks.example.com"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
    ],
)
def test_the_url_holds_with_and_without_its_port(addressed, signs):
    headers = FORM | {"X-Twilio-Signature": signature(f"{signs}/hooks/office", CALL.items())}
    request = a_request(urlencode(CALL).encode(), headers, origin=addressed)
    TWILIO.verify(request, a_twilio_source(), NOW)
    refused(dataclasses.replace(request, origin="https://hooks.example.org"))
    refused(dataclasses.replace(request, origin=addressed.replace("http", "gopher")))


def test_the_configured_address_counts_and_not_the_host_that_the_request_names():
    source = {"public_url": "https://calls.example.com"}
    headers = FORM | {"X-Twilio-Signature": signature("https://calls.example.com/hooks/office", CALL.items())}
    request = a_request(urlencode(CALL).encode(), headers, origin="http://10.0.0.7:8080")
    TWILIO.verify(request, a_twilio_source(**source), NOW)
    refused(a_form(CALL.items()), **source)


def test_a_shared_key_signs_with_the_algorithm_that_is_named():
    body = urlencode(CALL).encode()
    settings_header = {"X-Twilio-Webhooks-Signature-Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}
    strong = {"X-Twilio-Signature": signature(HOOK, CALL.items(), algorithm="HMAC_SHA256")}
    TWILIO.verify(a_request(body, FORM | strong | settings_header), a_twilio_source(), NOW)
    refused(a_request(body, FORM | strong))
    unknown = {"X-Twilio-Webhooks-Signature-Settings": "key=k,algorithm=HMAC_MD5"}
    refused(a_request(body, FORM | {"X-Twilio-Signature": signature(HOOK, CALL.items())} | unknown))


def test_what_is_missing_is_refused_and_a_source_without_a_token_does_not_start():
    refused(a_request(urlencode(CALL).encode(), FORM))
    refused(a_form(CALL.items()), secrets=())
    with pytest.raises(Misconfigured, match=r"sources\.office\.secret"):
        TWILIO.check(a_twilio_source(secrets=()))
    TWILIO.check(a_twilio_source())


# --- the call --------------------------------------------------------------------------------------------------------


def test_the_talk_is_call_duration_in_seconds_and_began_that_long_before_the_event():
    call = the_call()
    assert (call.duration, call.started_at, call.dated) == (25, ENDED - 25, False)
    assert the_call(CallDuration="").status is CallStatus.NO_ANSWER


@pytest.mark.parametrize(
    "written",
    ["Mon, 21 Sep 2026 14:13:20 +0000", "21 Sep 2026 16:13:20 +0200", "21 Sep 2026 08:43:20 -0530",
     "Mon, 21 Sept 2026 14:13:20 GMT", "2026-09-21 14:13:20.731479Z", "2026-09-21T14:13:20Z"],
)  # fmt: skip
def test_the_time_is_read_in_every_form_that_was_seen(written):
    assert the_call(Timestamp=written).started_at == ENDED - 25


@pytest.mark.parametrize("written", ["yesterday", "31 Feb 2026 14:13:20 GMT", "Mon, 21 Xyz 2026 14:13:20 GMT", ""])
def test_a_time_that_cannot_be_read_costs_no_call(written):
    assert the_call(Timestamp=written).started_at == int(NOW) - 25


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, CallStatus.ANSWERED),
        ({"CallDuration": "0"}, CallStatus.NO_ANSWER),
        ({"CallStatus": "busy"}, CallStatus.BUSY),
        ({"CallStatus": "no-answer"}, CallStatus.NO_ANSWER),
        ({"CallStatus": "canceled"}, CallStatus.NO_ANSWER),
        ({"CallStatus": "failed"}, CallStatus.NO_ANSWER),
        ({"CallStatus": "failed", "SipResponseCode": "404"}, CallStatus.WRONG_NUMBER),
        ({"CallStatus": "failed", "SipResponseCode": "484"}, CallStatus.WRONG_NUMBER),
        ({"CallStatus": "no-answer", "SipResponseCode": "604"}, CallStatus.WRONG_NUMBER),
        ({"CallStatus": "no-answer", "SipResponseCode": "480"}, CallStatus.NO_ANSWER),
        ({"AnsweredBy": "machine_start"}, CallStatus.ANSWERED),
        ({"AnsweredBy": "machine_end_beep", "Direction": "outbound-api"}, CallStatus.VOICEMAIL),
        ({"AnsweredBy": "human", "Direction": "outbound-api"}, CallStatus.ANSWERED),
        ({"AnsweredBy": "machine_end_beep", "Direction": "outbound-api", "CallStatus": "busy"}, CallStatus.BUSY),
    ],
)
def test_status(changes, status):
    assert the_call(**changes).status is status


def test_only_a_completed_call_has_a_talk():
    assert the_call(CallStatus="busy").duration == 0


def test_the_operators_words_beat_the_table_but_not_a_talk():
    mine = {"status_overrides": {"404": CallStatus.UNAVAILABLE, "completed": CallStatus.BUSY}}
    assert the_call(mine, CallStatus="failed", SipResponseCode="404").status is CallStatus.UNAVAILABLE
    assert the_call(mine).status is CallStatus.ANSWERED
    assert the_call(mine, CallDuration="0").status is CallStatus.BUSY


@pytest.mark.parametrize("status", ["queued", "initiated", "ringing", "in-progress", "", "COMPLETED?"])
def test_a_status_that_is_not_final_is_no_call(status):
    assert isinstance(read(CALL | {"CallStatus": status}), Ignored)


CLIENT, DESK = "client:anna", "sip:101@office.sip.example.com:5061;transport=tls"
CUSTOMER, LINE, MOBILE = "+12025550111", "+12025550100", "+12025550199"
OUR = {"own_numbers": (LINE, "202 555-01-99")}


@pytest.mark.parametrize(
    ("leg", "caller", "called", "told"),
    [
        ("inbound", CUSTOMER, LINE, (Direction.INBOUND, CUSTOMER, None)),
        ("inbound", CLIENT, CUSTOMER, (Direction.OUTBOUND, CUSTOMER, "anna")),
        ("inbound", DESK, "sip:+12025550111@office.sip.example.com", (Direction.OUTBOUND, CUSTOMER, "101")),
        ("inbound", DESK, "sip:102@office.sip.example.com", (Direction.INTERNAL, "102", "101")),
        ("inbound", "sip:anonymous@anonymous.invalid", LINE, (Direction.INBOUND, "", None)),
        ("outbound-api", LINE, CUSTOMER, (Direction.OUTBOUND, CUSTOMER, None)),
        ("outbound", LINE, CUSTOMER, (Direction.OUTBOUND, CUSTOMER, None)),
        ("outbound-dial", CUSTOMER, CLIENT, (Direction.INBOUND, CUSTOMER, "anna")),
        ("outbound-dial", CUSTOMER, DESK, (Direction.INBOUND, CUSTOMER, "101")),
        ("outbound-dial", CUSTOMER, MOBILE, (Direction.INBOUND, CUSTOMER, None)),
        ("outbound-dial", LINE, CUSTOMER, (Direction.OUTBOUND, CUSTOMER, None)),
        ("outbound-dial", CLIENT, "client:boris", (Direction.INTERNAL, "boris", "anna")),
        ("outbound-dial", LINE, MOBILE, (Direction.INTERNAL, MOBILE, None)),
        ("inbound", CLIENT, "client:" + "b" * 200, (Direction.INTERNAL, "b" * 64, "anna")),
        ("outbound-dial", CUSTOMER, "client:anna?region=eu", (Direction.INBOUND, CUSTOMER, "anna")),
        ("outbound-dial", CUSTOMER, "client:" + "a" * 200, (Direction.INBOUND, CUSTOMER, "a" * 200)),
    ],
)
def test_who_is_the_customer_and_who_the_employee(leg, caller, called, told):
    call = the_call(OUR, Direction=leg, From=caller, To=called)
    assert (call.direction, call.phone, call.extension) == told


@pytest.mark.parametrize(
    ("leg", "caller", "called"), [("inbound", CLIENT, ""), ("outbound-api", LINE, CLIENT), ("outbound-api", LINE, DESK)]
)
def test_a_leg_of_a_device_alone_is_not_taken_for_the_call(leg, caller, called):
    assert isinstance(read(CALL | {"Direction": leg, "From": caller, "To": called}), Ignored)


def test_every_leg_and_the_recording_name_the_same_call():
    parent = the_call()
    child = the_call(CallSid="CAchild", ParentCallSid=parent.ref, Direction="outbound-dial", To=CLIENT)
    recording = read(
        {"CallSid": parent.ref, "RecordingStatus": "completed", "RecordingUrl": "https://r.example.com/R1"}
    )
    assert isinstance(recording, Recording)
    assert parent.ref == child.ref == recording.ref
    assert parent.key == child.key


@pytest.mark.parametrize("status", ["in-progress", "absent", "failed"])
def test_a_recording_that_cannot_be_heard_is_none(status):
    told = {"CallSid": "CA1", "RecordingStatus": status, "RecordingUrl": "https://r.example.com/R1"}
    assert isinstance(read(told), Ignored)


def test_a_recording_of_a_conference_is_nobodys():
    told = {"ConferenceSid": "CF1", "RecordingStatus": "completed", "RecordingUrl": "https://r.example.com/R1"}
    assert isinstance(read(told), Ignored)


def test_a_link_beside_the_final_status_goes_with_the_call():
    assert the_call(RecordingUrl="https://r.example.com/R1").link == "https://r.example.com/R1"


# --- whatever comes --------------------------------------------------------------------------------------------------

NAMES = st.sampled_from([*CALL, "ParentCallSid", "SipResponseCode", "RecordingStatus", "RecordingUrl", "RecordingSid"])
VALUES = st.one_of(
    st.text(max_size=300), st.sampled_from([*CALL.values(), "9" * 400, "-1", "sip:", "client:", "%", "\0"])
)


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.sampled_from(["POST", "GET", "JSON"]))
@QUICK
def test_no_field_makes_reading_raise_anything_but_undecodable(changes, how):
    told = CALL | changes
    query = urlencode(told, errors="replace")
    body = query.encode() if how == "POST" else json.dumps(told).encode() if how == "JSON" else b""
    request = a_request(body, method="GET" if how == "GET" else "POST", query=query if how == "GET" else "")
    with contextlib.suppress(Undecodable):
        (event,) = TWILIO.parse(request, a_twilio_source(**OUR), NOW)
        assert isinstance(event, (Finished, Recording, Ignored))


@given(st.sampled_from(["From", "To", "CallDuration", "CallSid"]), st.text("0123456789", min_size=30))
@QUICK
def test_the_cause_never_repeats_what_was_sent(name, digits):
    long = digits * 20
    with pytest.raises(Undecodable) as caught:
        read(CALL | {name: long})
    assert name in caught.value.reason
    assert digits not in caught.value.reason


@given(st.binary(max_size=400))
@QUICK
def test_no_body_makes_it_raise_anything_but_its_two_errors(body):
    request = a_request(body, FORM | {"X-Twilio-Signature": "x"})
    refused(request)
    with contextlib.suppress(Undecodable):
        TWILIO.parse(request, a_twilio_source(), NOW)
