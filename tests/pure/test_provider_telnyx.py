"""Telnyx: what a hang-up tells and what it does not, and what its signature covers. Another library than ours signs."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Finished, Ignored, Recording
from callbridge.intake.providers.telnyx import TELNYX
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=150, deadline=None)
KEY, OLD_KEY, STRANGER = (SigningKey(bytes([number]) * 32) for number in (7, 8, 9))
CUSTOMER, LINE, OTHER_LINE = "+12025550111", "+12025550100", "+12025550101"
BEGAN, ENDED = 1_790_000_000, 1_790_000_060
HANGUP = {
    "call_session_id": "1d9a-session", "call_leg_id": "1d9a-leg", "call_control_id": "v3:abc", "connection_id": "4711",
    "from": CUSTOMER, "to": LINE, "start_time": "2026-09-21T14:13:20.100000Z", "client_state": None,
    "hangup_cause": "normal_clearing", "hangup_source": "caller", "sip_hangup_cause": "200",
}  # fmt: skip
OUR = {"own_numbers": (LINE, OTHER_LINE)}


def public(key):
    return base64.b64encode(bytes(key.verify_key)).decode()


def a_telnyx_source(**changes):
    return a_source(**({"provider": "telnyx", "secrets": (public(KEY), public(OLD_KEY))} | changes))


def signed(body, *, key=KEY, at=NOW):
    stamp = str(int(at))
    signature = base64.b64encode(key.sign(f"{stamp}|".encode() + body).signature).decode()
    return a_request(body, {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": signature})


def an_event(payload, kind="call.hangup", **more):
    data = {"event_type": kind, "id": "evt", "occurred_at": "2026-09-21T14:14:20.900000Z", "payload": payload}
    return json.dumps({"data": data | more}).encode()


def read(payload, kind="call.hangup", **source):
    request = signed(an_event(payload, kind))
    TELNYX.verify(request, a_telnyx_source(**source), NOW)
    (event,) = TELNYX.parse(request, a_telnyx_source(**source), NOW)
    return event


def the_call(source=None, **changes):
    event = read(HANGUP | changes, **(source or {}))
    assert isinstance(event, Finished)
    return event.call


def state(told):
    return base64.b64encode((told if isinstance(told, str) else json.dumps(told)).encode()).decode()


def refused(request, reason="bad_signature", **source):
    with pytest.raises(Unauthenticated) as caught:
        TELNYX.verify(request, a_telnyx_source(**source), NOW)
    assert caught.value.reason == reason


def flipped(data, octets):
    place = data.draw(st.integers(0, len(octets) - 1))
    return octets[:place] + bytes([octets[place] ^ data.draw(st.integers(1, 255))]) + octets[place + 1 :]


# --- the signature ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
@QUICK
def test_any_bytes_signed_with_either_live_key_hold_and_with_a_third_do_not(body):
    for key in (KEY, OLD_KEY):
        TELNYX.verify(signed(body, key=key), a_telnyx_source(), NOW)
    refused(signed(body, key=STRANGER))


@given(st.data())
@QUICK
def test_a_flipped_byte_of_body_timestamp_or_signature_is_refused(data):
    request = signed(an_event(HANGUP))
    refused(dataclasses.replace(request, body=flipped(data, request.body)))
    name = data.draw(st.sampled_from(["telnyx-timestamp", "telnyx-signature-ed25519"]))
    other = flipped(data, request.headers[name].encode()).decode("latin-1")
    refused(dataclasses.replace(request, headers=dict(request.headers) | {name: other}))


@pytest.mark.parametrize("off", [-301, 301])
def test_a_timestamp_more_than_five_minutes_off_is_refused(off):
    refused(signed(b"{}", at=NOW + off), "stale_timestamp")
    TELNYX.verify(signed(b"{}", at=NOW + off * 299 / 301), a_telnyx_source(), NOW)


def test_a_signed_timestamp_that_is_no_number_is_refused():
    for stamp in ("", "-1", "1e9", "9" * 5_000, "\u0661" * 10):
        signature = base64.b64encode(KEY.sign(f"{stamp}|{{}}".encode()).signature).decode()
        refused(a_request(b"{}", {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": signature}), "stale_timestamp")


def test_a_request_without_a_signature_and_a_source_without_a_key_are_refused():
    refused(a_request(b"{}", {"telnyx-timestamp": str(int(NOW))}), "no_signature")
    refused(signed(b"{}"), secrets=())


@pytest.mark.parametrize("secret", ["", "c" * 64, "no base64!", base64.b64encode(b"x" * 31).decode(), public(KEY)[:-1]])
def test_what_is_no_public_key_is_found_at_the_start_and_lets_nobody_in(secret):
    with pytest.raises(Misconfigured, match="32 bytes in Base64"):
        TELNYX.check(a_telnyx_source(secrets=(public(KEY), secret)))
    refused(signed(b"{}"), secrets=(secret,))


def test_a_source_without_any_key_does_not_start():
    with pytest.raises(Misconfigured, match=r"sources\.office\.secret"):
        TELNYX.check(a_telnyx_source(secrets=()))
    TELNYX.check(a_telnyx_source())


# --- the call --------------------------------------------------------------------------------------------------------


def test_without_a_time_of_answer_the_duration_is_that_of_the_leg():
    call = the_call()
    assert (call.started_at, call.duration, call.status) == (BEGAN, 60, CallStatus.ANSWERED)
    assert (call.ref, call.dated) == ("1d9a-session", False)


def test_with_a_time_of_answer_it_is_that_of_the_talk_whatever_the_cause():
    for told in ({"client_state": state({"answered_at": BEGAN + 20})}, {"answered_time": "2026-09-21T14:13:40Z"}):
        call = the_call(**told, hangup_cause="unspecified", sip_hangup_cause="500")
        assert (call.started_at, call.duration, call.status) == (BEGAN, 40, CallStatus.ANSWERED)


@pytest.mark.parametrize(
    ("cause", "sip", "status"),
    [
        ("normal_clearing", "200", CallStatus.ANSWERED),
        ("normal_clearing", "unspecified", CallStatus.ANSWERED),
        ("normal_clearing", None, CallStatus.ANSWERED),
        ("normal_clearing", "487", CallStatus.NO_ANSWER),
        ("time_limit", "200", CallStatus.ANSWERED),
        ("user_busy", "486", CallStatus.BUSY),
        ("not_found", "404", CallStatus.WRONG_NUMBER),
        ("call_rejected", "603", CallStatus.NO_ANSWER),
        ("originator_cancel", "487", CallStatus.NO_ANSWER),
        ("timeout", None, CallStatus.NO_ANSWER),
        ("no_answer", None, CallStatus.NO_ANSWER),
        ("unspecified", None, CallStatus.NO_ANSWER),
        (None, None, CallStatus.NO_ANSWER),
    ],
)
def test_status(cause, sip, status):
    assert the_call(hangup_cause=cause, sip_hangup_cause=sip).status is status


def test_the_operators_words_beat_the_table_but_not_a_talk():
    mine = {"status_overrides": {"call_rejected": CallStatus.BUSY, "normal_clearing": CallStatus.BUSY}}
    assert the_call(mine, hangup_cause="call_rejected").status is CallStatus.BUSY
    assert the_call(mine).status is CallStatus.ANSWERED


@pytest.mark.parametrize(
    ("answered", "duration"),
    [
        (BEGAN - 3, 60),
        (ENDED + 3, 0),
        ((BEGAN + 20) * 1_000, 40),
        (BEGAN - 3_600, 60),
        (ENDED + 3_600, 60),
        (946_684_800, 60),
    ],
)
def test_a_time_of_answer_is_taken_if_it_is_near_the_call(answered, duration):
    """The last three are not, and the duration is that of the leg; as the first is, by a clock that is a little off."""
    assert the_call(client_state=state({"answered_at": answered})).duration == duration
    cancelled = the_call(client_state=state({"answered_at": answered}), hangup_cause="originator_cancel")
    near = answered not in {BEGAN - 3_600, ENDED + 3_600, 946_684_800}
    assert (cancelled.status is CallStatus.ANSWERED) == (near and duration > 0)


def test_an_application_that_says_that_nobody_answered_is_believed():
    for never in (None, 0, ""):
        call = the_call(client_state=state({"answered_at": never}))
        assert (call.duration, call.status, call.started_at) == (0, CallStatus.NO_ANSWER, BEGAN)
    assert the_call(client_state=state({"direction": "inbound"})).duration == 60


def test_a_leg_that_ended_before_it_began_lasted_no_time():
    call = the_call(start_time="2026-09-21T14:15:00Z")
    assert (call.duration, call.status) == (0, CallStatus.NO_ANSWER)


def test_without_any_time_the_receipt_counts():
    request = signed(
        json.dumps({"data": {"event_type": "call.hangup", "payload": HANGUP | {"start_time": None}}}).encode()
    )
    (event,) = TELNYX.parse(request, a_telnyx_source(), NOW)
    assert (event.call.started_at, event.call.duration) == (int(NOW), 0)


OUT = {"from": LINE, "to": CUSTOMER}


@pytest.mark.parametrize(
    ("source", "changes", "told"),
    [
        (OUR, {}, (Direction.INBOUND, CUSTOMER, None)),
        (OUR, OUT, (Direction.OUTBOUND, CUSTOMER, None)),
        (OUR, {"from": LINE, "to": OTHER_LINE}, (Direction.INTERNAL, OTHER_LINE, None)),
        ({}, OUT | {"direction": "outgoing"}, (Direction.OUTBOUND, CUSTOMER, None)),
        ({}, OUT | {"client_state": state({"direction": "outbound", "extension": "7"})}, (Direction.OUTBOUND, CUSTOMER, "7")),
        ({}, OUT | {"client_state": state("outbound")}, (Direction.OUTBOUND, CUSTOMER, None)),
        ({}, OUT | {"tags": [1, "vip", "outbound"]}, (Direction.OUTBOUND, CUSTOMER, None)),
        ({"directions": {"47": Direction.OUTBOUND}}, OUT, (Direction.OUTBOUND, CUSTOMER, None)),
        ({}, {"client_state": state({"direction": "internal"})}, (Direction.INTERNAL, LINE, None)),
        ({}, {"from": "sip:anna@office.sip.example.com", "to": CUSTOMER}, (Direction.OUTBOUND, CUSTOMER, "anna")),
        ({}, {"to": "sip:anna@office.sip.example.com"}, (Direction.INBOUND, CUSTOMER, "anna")),
        (OUR, OUT | {"tags": ["internal"]}, (Direction.INTERNAL, CUSTOMER, None)),
        ({}, {"to": CUSTOMER}, (Direction.INBOUND, CUSTOMER, None)),
        (OUR, {"direction": "outgoing", "to": "sip:anna@office.sip.example.com"}, (Direction.INBOUND, CUSTOMER, "anna")),
    ],
)  # fmt: skip
def test_who_is_the_customer_and_who_the_employee(source, changes, told):
    call = the_call(source, **changes)
    assert (call.direction, call.phone, call.extension) == told
    assert "assumed" not in call.result


def test_a_direction_that_nothing_tells_is_assumed_and_the_result_says_so():
    call = the_call()
    assert (call.direction, call.phone) == (Direction.INBOUND, CUSTOMER)
    assert call.result == "normal_clearing (SIP 200); direction assumed"
    assert the_call(OUR).result == "normal_clearing (SIP 200)"


MEMBERS_OF_STATE = st.sampled_from(["direction", "answered_at", "extension"])
STATES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=9)),
    lambda inner: st.dictionaries(MEMBERS_OF_STATE, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.one_of(st.text(max_size=40), st.binary(max_size=40).map(base64.b64encode).map(bytes.decode), STATES.map(state))
)
@QUICK
def test_nothing_that_an_application_passes_along_loses_the_call(written):
    assert the_call(OUR, client_state=written).phone == CUSTOMER


def test_all_legs_and_the_recording_name_the_same_call():
    first, second = the_call(), the_call(call_leg_id="another", to="sip:anna@office.sip.example.com")
    recording = read(HANGUP | {"public_recording_urls": {"mp3": "https://r.example.com/1.mp3"}}, "call.recording.saved")
    assert first.key == second.key
    assert (recording.ref, recording.link, recording.at) == (first.ref, "https://r.example.com/1.mp3", ENDED)


def test_a_recording_without_an_address_that_stays_is_told_by_id_where_a_template_makes_one_of_it():
    private = HANGUP | {"recording_id": "rec-1", "recording_urls": {"wav": "https://r.example.com/brief.wav"}}
    assert read(private, "call.recording.saved").link == "https://r.example.com/brief.wav"
    templated = read(private, "call.recording.saved", link_template="https://mine.example.com/{recording}")
    assert isinstance(templated, Recording)
    assert (templated.link, templated.recording) == (None, "rec-1")
    bare = read(HANGUP | {"recording_id": "rec-1"}, "call.recording.saved")
    assert (bare.link, bare.recording) == (None, "rec-1")


@pytest.mark.parametrize(
    "kind", ["call.initiated", "call.answered", "call.bridged", "call.recording.error", "a.new.one", ""]
)
def test_other_events_are_counted(kind):
    assert isinstance(read(HANGUP, kind), Ignored)


# --- TeXML -----------------------------------------------------------------------------------------------------------


def test_a_texml_callback_is_read_under_the_same_signature():
    form = {"CallSid": "v3:x", "From": CUSTOMER, "To": LINE, "CallStatus": "completed", "CallDuration": "12",
            "Timestamp": "2026-09-21 14:14:20.731479Z"}  # fmt: skip
    request = signed(urlencode(form).encode())
    TELNYX.verify(request, a_telnyx_source(), NOW)
    (event,) = TELNYX.parse(request, a_telnyx_source(**OUR), NOW)
    assert (event.call.provider, event.call.duration, event.call.started_at) == ("telnyx", 12, ENDED - 12)
    assert (event.call.direction, event.call.phone) == (Direction.INBOUND, CUSTOMER)


# --- whatever comes --------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=80), st.sampled_from(["sip:", "\0"])
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
MEMBERS = st.sampled_from([*HANGUP, "end_time", "answered_time", "direction", "tags", "recording_urls", "recording_id"])


@given(st.dictionaries(MEMBERS, JSON, max_size=4), st.sampled_from(["call.hangup", "call.recording.saved"]), JSON)
@QUICK
def test_no_payload_makes_reading_raise_anything_but_undecodable(changes, kind, occurred_at):
    request = a_request(an_event(HANGUP | changes, kind, occurred_at=occurred_at))
    with contextlib.suppress(Undecodable):
        (event,) = TELNYX.parse(request, a_telnyx_source(**OUR), NOW)
        assert isinstance(event, Finished if kind == "call.hangup" else Recording)


@given(st.binary(max_size=300))
@QUICK
def test_no_body_makes_it_raise_anything_but_undecodable(body):
    assert TELNYX.event_of(a_request(body))
    with contextlib.suppress(Undecodable):
        TELNYX.parse(a_request(body), a_telnyx_source(), NOW)
