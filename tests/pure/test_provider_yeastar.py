"""Yeastar: the signature of the P-Series and the ways of those that sign nothing, and the two shapes of a finished call."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from contextlib import suppress
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Finished, Ignored
from callbridge.intake.providers.yeastar import YEASTAR
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=200, deadline=None)
SECRET, BEFORE = "0f4c2a9e7b1d4c6f8a3e5d7c9b1f2e4d", "the secret that it had before"
MSG = {
    "call_id": "1790000000.331", "time_start": "2026-09-21 17:13:20", "call_from": "79265550331", "call_to": "1007",
    "call_duration": 40, "talk_duration": 29, "src_trunk_name": "sip-out", "dst_trunk_name": " ", "pin_code": " ",
    "status": "ANSWERED", "type": "Inbound", "recording": "20260921171320-1790000000.331.wav",
    "did_number": "74955550330", "agent_ring_time": 0, "uid": "20260921171320C331",
}  # fmt: skip
CDR = {
    "action": "NewCdr", "callid": "1790000000.332", "timestart": "2026-09-21 17:13:20", "callfrom": "79265550331",
    "callto": "1007", "srctrunkname": "gsm-1", "callduraction": "40", "talkduraction": "29", "status": "ANSWERED",
    "type": "Inbound", "recording": "20260921171320-1790000000.332.wav", "sn": "S20-1",
}  # fmt: skip


def source_with(**changes):
    return a_source(**({"provider": "yeastar", "secrets": (SECRET,)} | changes))


def event_30012(msg, kind=30012):
    return json.dumps({"type": kind, "sn": "363", "msg": msg}).encode()


def told(msg):
    """As the P-Series tells it: JSON in JSON."""
    return event_30012(json.dumps(msg))


def signature(body, secret=SECRET):
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def signed(body, secret=SECRET, **options):
    return a_request(body, {"X-Signature": signature(body, secret)}, **options)


def read(body, **source):
    return YEASTAR.parse(a_request(body), source_with(**source), NOW)


def the_event(body, **source):
    (event,) = read(body, **source)
    assert isinstance(event, Finished)
    return event


def the_call(source=None, **changes):
    return the_event(told(MSG | changes), **(source or {})).call


def the_cdr(source=None, **changes):
    return the_event(json.dumps(CDR | changes).encode(), **(source or {})).call


def refused(request, **source):
    with pytest.raises(Unauthenticated) as error:
        YEASTAR.verify(request, source_with(**source), NOW)
    return error.value.reason


# --- the credential --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, BEFORE])
def test_both_live_secrets_sign_and_a_third_does_not(secret):
    source = source_with(secrets=(SECRET, BEFORE))
    YEASTAR.verify(signed(told(MSG), secret), source, NOW)
    assert refused(signed(told(MSG), secret + "x"), secrets=source.secrets) == "bad_signature"


@given(st.data())
@QUICK
def test_one_flipped_bit_of_body_or_signature_is_refused(data):
    body = told(MSG)
    octets, given_signature = bytearray(body), bytearray(signature(body).encode())
    flipped = data.draw(st.sampled_from([octets, given_signature]))
    flipped[data.draw(st.integers(0, len(flipped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    refused(a_request(bytes(octets), {"X-Signature": bytes(given_signature).decode("latin-1")}))


def test_the_same_json_in_other_bytes_is_refused():
    body = told(MSG)
    for other in (json.dumps(json.loads(body), indent=1).encode(), body + b"\n", b" " + body):
        assert refused(a_request(other, {"X-Signature": signature(body)})) == "bad_signature"


@pytest.mark.parametrize(
    "digest", ["", " ", "=", signature(b""), hmac.new(SECRET.encode(), told(MSG), "sha256").hexdigest()]
)
def test_what_is_no_signature_of_the_body_is_refused(digest):
    refused(a_request(told(MSG), {"X-Signature": digest}))


def test_unsigned_is_refused_where_there_is_a_secret_and_no_token():
    assert refused(a_request(told(MSG))) == "no_signature"
    assert refused(a_request(told(MSG)), path_token="q7") == "no_signature"


def test_those_that_sign_nothing_carry_the_secret():
    body = json.dumps(CDR).encode()
    basic = base64.b64encode(f"pbx:{SECRET}".encode()).decode()
    for request in (
        a_request(body, query=urlencode({"token": SECRET})),
        a_request(body, {"Authorization": f"Bearer {SECRET}"}),
        a_request(body, {"Authorization": f"Basic {basic}"}),
    ):
        YEASTAR.verify(request, source_with(secrets=(BEFORE, SECRET)), NOW)
    assert refused(a_request(body, query="token=another")) == "bad_token"
    assert refused(a_request(body, {"Authorization": "Bearer another"})) == "bad_token"


def test_a_wrong_signature_is_refused_whatever_else_is_right():
    query = urlencode({"token": SECRET})
    assert refused(a_request(told(MSG), {"X-Signature": signature(b"another body")}, query=query)) == "bad_signature"
    YEASTAR.verify(signed(told(MSG), query=query), source_with(), NOW)


def test_without_a_secret_the_path_token_is_the_credential_and_without_both_it_is_misconfigured():
    for body in (told(MSG), json.dumps(CDR).encode()):
        YEASTAR.verify(a_request(body), source_with(secrets=(), path_token="q7"), NOW)
        YEASTAR.verify(signed(body, "whatever"), source_with(secrets=(), path_token="q7"), NOW)
        assert refused(a_request(body), secrets=()) == "no_signature"
        refused(signed(body, ""), secrets=())
    with pytest.raises(Misconfigured, match=r"office\.secret"):
        YEASTAR.check(source_with(secrets=()))


# --- which event -----------------------------------------------------------------------------------------------------


def test_msg_may_be_text_or_an_object_and_the_type_text():
    assert the_event(event_30012(MSG)).call == the_event(event_30012(json.dumps(MSG), "30012")).call == the_call()
    assert YEASTAR.event_of(a_request(told(MSG))) == "30012"


@pytest.mark.parametrize("kind", [30039, "30039", 30011, 30005, "something"])
def test_other_types_are_ignored_and_so_are_the_legs_of_a_timeline(kind):
    assert read(event_30012(MSG, kind)) == [Ignored(str(kind))]
    assert read(event_30012("no json", kind)) == [Ignored(str(kind))]


@pytest.mark.parametrize("place", ["action", "event"])
@pytest.mark.parametrize("name", ["NewCdr", "newcdr", "NEWCDR "])
def test_the_flat_report_is_known_by_its_name(place, name):
    body = {key: value for key, value in CDR.items() if key != "action"} | {place: name}
    event = the_event(json.dumps(body).encode())
    assert (event.event, event.call) == ("NewCdr", the_cdr())


@pytest.mark.parametrize("name", ["RING", "BYE", "ANSWER"])
def test_other_reports_are_ignored(name):
    assert read(json.dumps({"action": name, "callid": ["x"]}).encode()) == [Ignored(name)]


# --- a finished call -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [the_call, the_cdr])
@pytest.mark.parametrize(
    ("kind", "direction", "phone", "extension"),
    [
        ("Inbound", "inbound", "79265550331", "1007"), ("INBOUND", "inbound", "79265550331", "1007"),
        ("outbound", "outbound", "1007", "79265550331"), ("Internal", "internal", "1007", "79265550331"),
    ],
)  # fmt: skip
def test_the_type_tells_the_direction_in_any_case_of_letters(call, kind, direction, phone, extension):
    found = call(type=kind)
    assert (found.direction, found.phone, found.extension) == (direction, phone, extension)


@pytest.mark.parametrize("kind", ["Transfer", "Callback", " ", None])
def test_a_type_that_tells_no_direction_leaves_it_to_the_trunks_and_then_to_the_numbers(kind):
    assert the_cdr(type=kind).direction is Direction.INBOUND
    without = {"type": kind, "srctrunkname": " "}
    for name in ("desttrunkname", "dsttrcunkname", "dsttrunkname", "dstrunkname"):
        assert the_cdr(**without, **{name: "gsm-2"}).direction is Direction.OUTBOUND
    assert the_cdr(**without, callfrom="1008", callto="79165550332").direction is Direction.OUTBOUND
    assert the_cdr(**without, callfrom="1008", callto="1009").direction is Direction.INTERNAL
    assert the_cdr(**without).direction is Direction.INBOUND


@pytest.mark.parametrize("call", [the_call, the_cdr])
@pytest.mark.parametrize(
    ("told_status", "status"),
    [
        ("BUSY", "busy"), ("busy", "busy"), ("VOICEMAIL", "voicemail"), ("NO ANSWER", "no_answer"),
        ("NO ANSWERED", "no_answer"), ("FAILED", "no_answer"), ("ABANDONED", "no_answer"), ("ANSWERED", "no_answer"),
        ("ANSWERD", "no_answer"), (" ", "no_answer"), (None, "no_answer"),
    ],
)  # fmt: skip
def test_without_a_talk_the_status_tells(call, told_status, status):
    found = call(status=told_status, talk_duration=0, talkduraction="0")
    assert (found.status, found.duration, found.result) == (status, 0, (told_status or "").strip() or None)


@pytest.mark.parametrize("told_status", ["ANSWERED", "ANSWERD", "NO ANSWER", "BUSY", " "])
def test_a_talk_beats_any_status(told_status):
    assert the_call(status=told_status).status is CallStatus.ANSWERED


def test_the_seconds_of_a_message_are_no_talk():
    call = the_call(status="Voicemail")
    assert (call.status, call.duration) == (CallStatus.VOICEMAIL, 29)


def test_the_operators_word_comes_before_the_table():
    source = {"status_overrides": {"BUSY": CallStatus.NO_ANSWER, "FAILED": CallStatus.WRONG_NUMBER}}
    assert the_call(source=source, status="BUSY", talk_duration=0).status is CallStatus.NO_ANSWER
    assert the_cdr(source=source, status="FAILED", talkduraction="0").status is CallStatus.WRONG_NUMBER


@pytest.mark.parametrize(
    ("talk", "seconds"), [(29, 29), ("29", 29), ("00:10:00", 600), ("1:00:05", 3605), (" ", 0), (None, 0)]
)
def test_talk_is_seconds_or_a_clock(talk, seconds):
    assert the_call(talk_duration=talk).duration == the_cdr(talkduraction=talk).duration == seconds
    spelt = {name: value for name, value in CDR.items() if name != "talkduraction"} | {"talkduration": talk}
    assert the_event(json.dumps(spelt).encode()).call.duration == seconds


@pytest.mark.parametrize(
    ("zone", "started_at"), [("Europe/Moscow", 1_790_000_000), ("UTC", 1_790_010_800), ("Asia/Almaty", 1_789_992_800)]
)
def test_the_start_is_a_wall_clock_of_the_source(zone, started_at):
    for start in ("2026-09-21 17:13:20", "2026/09/21 17:13:20"):
        assert the_call(source={"timezone": zone}, time_start=start).started_at == started_at
        assert the_cdr(source={"timezone": zone}, timestart=start).started_at == started_at


def test_without_a_start_it_is_estimated():
    assert the_call(time_start=" ").started_at == int(NOW) - 29


@pytest.mark.parametrize("uid", [" ", "", None])
def test_the_id_is_the_uid_or_else_that_of_the_call(uid):
    assert the_call().ref == "20260921171320C331"
    assert the_call(uid=uid).ref == "1790000000.331"
    assert the_cdr().ref == "1790000000.332"


def test_the_records_of_one_call_have_one_key():
    assert the_cdr().key == the_cdr(callto="1008", timestart="2026-09-22 00:00:01", talkduraction="5").key


@pytest.mark.parametrize(
    ("written", "number"),
    [("Anna<1007>", "1007"), ("A <b> <1007>", "1007"), ("<>", ""), ("1007>", "1007>"), ("anonymous", ""), (" ", "")],
)
def test_a_number_may_come_with_a_name(written, number):
    assert the_call(call_from=written).phone == number


@pytest.mark.parametrize("recording", [" ", "", None, "x" * 300])
def test_a_recording_without_a_usable_name_is_none_and_costs_no_call(recording):
    assert the_event(told(MSG | {"recording": recording})).recording is None
    assert the_event(told(MSG)).recording == MSG["recording"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("uid", "a\x1bb"), ("uid", "x" * 300), ("uid", ["x"]), ("type", {"a": 1}), ("talk_duration", "soon"),
        ("talk_duration", "1:b:2"), ("talk_duration", -1), ("time_start", "then"), ("call_from", "9" * 65),
        ("call_from", [1]), ("call_to", "8" * 300), ("recording", {}),
    ],
)  # fmt: skip
def test_a_wrong_value_makes_it_undecodable(field, value):
    with pytest.raises(Undecodable) as error:
        read(told(MSG | {field: value}))
    named = {"uid": "call_id", "talk_duration": "duration"}.get(field, field)
    assert named in error.value.reason
    assert str(value) not in error.value.reason


@pytest.mark.parametrize("msg", ["", "[]", "null", '{"call_id":', 5, None, []])
def test_a_msg_that_is_no_object_is_undecodable(msg):
    with pytest.raises(Undecodable, match="msg"):
        read(event_30012(msg))


@given(st.sampled_from(list(MSG)), st.none() | st.text(max_size=12) | st.integers() | st.lists(st.none(), max_size=2))
@QUICK
def test_a_field_of_any_value_gives_an_event_or_undecodable(field, value):
    try:
        events = read(told(MSG | {field: value}))
    except Undecodable:
        return
    assert isinstance(events[0], Finished | Ignored)


@given(st.binary(max_size=120), st.sampled_from([b"", b'{"type":30012,"msg":"', b'{"action":"NewCdr",', told(MSG)]))
@QUICK
def test_no_body_raises_anything_but_undecodable(body, start):
    request = a_request(start + body)
    YEASTAR.event_of(request)
    with suppress(Undecodable):
        YEASTAR.parse(request, source_with(), NOW)
