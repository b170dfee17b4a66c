"""Asterisk: what becomes of call detail records in all the words in which they are posted."""

from __future__ import annotations

import base64
import contextlib
import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.asterisk import ASTERISK
from callbridge.intake.providers.base import Broken, Finished, Ignored, Recording
from support.webhooks import NOW, OLD_SECRET, SECRET, a_request, a_source, signed

QUICK = settings(max_examples=200, deadline=None)
CDR = {
    "uniqueid": "1790000500.31", "linkedid": "1790000500.30", "src": "79165550151", "dst": "210",
    "dcontext": "office", "channel": "PJSIP/provider-0000001e", "dstchannel": "PJSIP/210-0000001f", "lastapp": "Dial",
    "start": "2026-09-21 17:21:40", "answer": "2026-09-21 17:21:45", "end": "2026-09-21 17:22:25",
    "duration": "45", "billsec": "40", "disposition": "ANSWERED",
}  # fmt: skip
MISSED = {"billsec": "0", "answer": "", "disposition": "NO ANSWER"}


def form(record) -> bytes:
    return urlencode(record, quote_via=quote).encode()


def read(body, **source):
    return ASTERISK.parse(a_request(body), a_source(provider="asterisk", **source), NOW)


def the_event(record, **source) -> Finished:
    (event,) = read(form(record), **source)
    assert isinstance(event, Finished), event
    return event


def the_call(source=None, **changes):
    return the_event(CDR | changes, **(source or {})).call


# --- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        form(CDR),
        form(CDR) + b"\r\n",
        json.dumps(CDR).encode(),
        json.dumps(CDR, indent=2).encode(),
        json.dumps([CDR]).encode(),
        json.dumps(CDR | {"duration": 45, "billsec": 40}).encode(),
        json.dumps({name.upper(): value for name, value in CDR.items()}).encode(),
        form({"event": "Cdr"} | CDR),
        (
            b"Event: Cdr\nSource: 79165550151\nDestination: 210\nDestinationContext: office\n"
            b"Channel: PJSIP/provider-0000001e\nDestinationChannel: PJSIP/210-0000001f\nLastApplication: Dial\n"
            b"StartTime: 2026-09-21 17:21:40\nAnswerTime: 2026-09-21 17:21:45\nEndTime: 2026-09-21 17:22:25\n"
            b"Duration: 45\nBillableSeconds: 40\nDisposition: ANSWERED\nUniqueID: 1790000500.31\nLinkedID: 1790000500.30\n"
        ),
    ],
)
def test_one_record_is_one_call_in_whatever_form_it_comes(body):
    (event,) = read(body)
    assert event.call == the_call()


def test_several_records_come_as_lines_of_forms_or_objects():
    two = [CDR, CDR | {"linkedid": "1790000600.1"}]
    for body in (b"\n".join(map(form, two)), "\n".join(map(json.dumps, two)).encode(), json.dumps(two).encode()):
        assert [event.call.ref for event in read(body)] == ["1790000500.30", "1790000600.1"]


@pytest.mark.parametrize("turned", [False, True])
def test_the_legs_of_one_call_become_the_answered_one_with_the_longest_talk(turned):
    legs = [CDR | MISSED, CDR | {"billsec": "9"}, CDR, CDR | {"recordingfile": "a.wav", "billsec": "3"}]
    (event,) = read(b"\n".join(map(form, legs[::-1] if turned else legs)))
    assert (event.call, event.recording) == (the_call(), "a.wav")
    assert all(form(leg) in event.body for leg in legs)


def test_more_records_than_a_hundred_are_refused():
    with pytest.raises(Undecodable, match="100"):
        read(b"\n".join([form(CDR)] * 101))
    assert len(read(b"\n".join([form(CDR)] * 100))) == 1


def test_a_broken_record_leaves_its_neighbours_alone():
    events = read(b"\n".join([form(CDR), b"src=1&src=2", form(CDR | {"linkedid": "x", "billsec": "long"})]))
    assert [type(event) for event in events] == [Finished, Broken, Broken]
    assert [event.problem for event in events[1:]] == ["has a field twice", "billsec is a number"]


@given(st.binary(max_size=300))
@QUICK
def test_no_body_raises_anything_but_undecodable(body):
    try:
        events = read(body)
    except Undecodable:
        return
    assert events


@given(st.data())
@QUICK
def test_no_mutation_of_a_record_does_either(data):
    body = bytearray(data.draw(st.sampled_from([form(CDR), json.dumps([CDR]).encode()])))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Undecodable):
        assert read(bytes(body))


_VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80) | st.lists(st.text(), max_size=2)
)


@given(st.dictionaries(st.sampled_from([*CDR, "did", "cnum", "clid", "lastdata", "event", "extension"]), _VALUES))
@QUICK
def test_no_value_of_any_field_raises(record):
    events = read(json.dumps(CDR | record, allow_nan=False, default=str).encode()) if _is_json(record) else []
    assert all(isinstance(event, Finished | Broken | Ignored | Recording) for event in events)


def _is_json(record) -> bool:
    try:
        json.dumps(record, allow_nan=False)
    except ValueError:
        return False
    return True


# --- who called whom -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "source", "expected"),
    [
        ({}, {}, ("inbound", "79165550151", "210")),
        ({"dst": "s", "dstchannel": "Local/210@queue-00000003;1"}, {}, ("inbound", "79165550151", "210")),
        (
            {"dst": "600", "dstchannel": "Local/FMPR-211@from-internal-0000000a;1"},
            {},
            ("inbound", "79165550151", "211"),
        ),
        ({"dst": "210", "dstchannel": "PJSIP/alice-0000001f"}, {}, ("inbound", "79165550151", "210")),
        ({"dst": "s", "dstchannel": "PJSIP/alice-0000001f"}, {}, ("inbound", "79165550151", "alice")),
        ({"dst": "79165550152", "dstchannel": "PJSIP/provider-0000001f"}, {}, ("inbound", "79165550151", None)),
        ({"src": "310", "dcontext": "from-trunk"}, {}, ("inbound", "310", "210")),
        ({"src": "310", "did": "74955550100"}, {}, ("inbound", "310", "210")),
        ({"src": "210", "dst": "79165550151", "channel": "SIP/210-1f"}, {}, ("outbound", "79165550151", "210")),
        ({"src": "74955550100", "cnum": "210", "dst": "8(916)555-01-51"}, {}, ("outbound", "8(916)555-01-51", "210")),
        (
            {"src": "74955550100", "dst": "79165550151", "channel": "PJSIP/210-0000001f"},
            {},
            ("outbound", "79165550151", "210"),
        ),
        (
            {"src": "+74955550100", "dst": "79165550151", "channel": "Local/s@click-01;2"},
            {"own_numbers": ("8 495 555-01-00",)},
            ("outbound", "79165550151", None),
        ),
        (
            {"src": "210", "dst": "s", "lastdata": "PJSIP/79165550151@provider,30"},
            {},
            ("outbound", "79165550151", "210"),
        ),
        ({"src": "210", "dst": "s", "lastdata": "SIP/provider/79165550151,30"}, {}, ("outbound", "79165550151", "210")),
        ({"src": "alice", "dst": "79165550151", "channel": "PJSIP/alice-1f"}, {}, ("outbound", "79165550151", "alice")),
        ({"src": "210", "dst": "211", "dstchannel": "PJSIP/211-20"}, {}, ("internal", "211", "210")),
        ({"src": "210", "dst": "*97", "dstchannel": ""}, {}, ("internal", "*97", "210")),
        ({"src": "1234567", "dst": "7654321"}, {"internal_digits": 7}, ("internal", "7654321", "1234567")),
        ({"src": "anonymous", "dst": "s"}, {}, ("inbound", "", "210")),
        ({"src": "", "cnum": "", "clid": '"A" <79165550153>'}, {}, ("inbound", "79165550153", "210")),
        (
            {"direction": "outgoing", "channel": "PJSIP/bob-1", "dst": "79165550152"},
            {},
            ("outbound", "79165550152", "bob"),
        ),
        ({"extension": "900"}, {}, ("inbound", "79165550151", "900")),
    ],
)
def test_direction_number_and_extension(changes, source, expected):
    call = the_call(source, **changes)
    assert (call.direction, call.phone, call.extension) == expected


@pytest.mark.parametrize(
    ("directions", "expected"),
    [
        ({"off": "inbound"}, "inbound"),
        ({"off": "inbound", "office": "outbound"}, "outbound"),
        ({"PJSIP/prov": "internal"}, "internal"),
        ({"provider": "outbound"}, "outbound"),
        ({"210": "outbound"}, "outbound"),
        ({"210": "internal"}, "inbound"),  # the second channel tells only by which trunk a call left
        ({"elsewhere": "internal"}, "inbound"),
    ],
)
def test_the_operator_names_routes_and_the_longest_name_counts(directions, expected):
    source = {"directions": {start: Direction(word) for start, word in directions.items()}}
    assert the_call(source).direction == expected


# --- how it ended ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "talk"),
    [
        ({}, "answered", 40),
        ({"disposition": "NO ANSWER"}, "answered", 40),
        ({"billsec": "40.9"}, "answered", 40),
        ({"billsec": "0"}, "answered", 0),
        (MISSED, "no_answer", 0),
        (MISSED | {"disposition": "BUSY"}, "busy", 0),
        (MISSED | {"disposition": "FAILED"}, "no_answer", 0),
        (MISSED | {"disposition": "CONGESTION"}, "no_answer", 0),
        (MISSED | {"disposition": "CANCEL"}, "no_answer", 0),
        (MISSED | {"disposition": "CHANUNAVAIL"}, "unavailable", 0),
        (MISSED | {"disposition": "SOMETHING NEW"}, "no_answer", 0),
        ({"lastapp": "VoiceMail", "dstchannel": ""}, "voicemail", 40),
        ({"lastapp": "VoiceMail"} | MISSED, "no_answer", 0),
        ({"lastapp": "Playback", "dstchannel": ""}, "no_answer", 0),
        ({"lastapp": "BackGround", "dstchannel": ""}, "no_answer", 0),
        ({"lastapp": "Queue", "dstchannel": ""}, "no_answer", 0),
        ({"lastapp": "Playback"}, "answered", 40),
        ({"lastapp": "Queue"}, "answered", 40),
        ({"lastapp": "ConfBridge", "dstchannel": ""}, "answered", 40),
    ],
)
def test_talk_beats_the_disposition_and_the_last_application_beats_both(changes, status, talk):
    call = the_call(**changes)
    assert (call.status, call.duration) == (status, talk)


@pytest.mark.parametrize("word", ["ANSWERED", "ANSWER"])
@pytest.mark.parametrize("answer", ["", " ", "0", "0000-00-00 00:00:00", None])
@pytest.mark.parametrize(("app", "status"), [("Dial", "no_answer"), ("VoiceMail", "voicemail")])
def test_answered_without_talk_and_without_the_time_of_an_answer_is_no_answer(word, answer, app, status):
    record = {name: value for name, value in CDR.items() if name != "answer" or answer is not None}
    record |= {"billsec": "0", "disposition": word, "lastapp": app}
    record |= {} if answer is None else {"answer": answer}
    call = the_event(record).call
    assert (call.status, call.duration, call.result) == (status, 0, word)


def test_a_call_that_was_hung_up_in_the_second_of_its_answer_is_answered():
    call = the_call(billsec="0", answer=CDR["start"])
    assert (call.status, call.duration) == ("answered", 0)


def test_a_script_that_tells_no_second_channel_does_not_deny_one():
    short = {name: value for name, value in CDR.items() if name != "dstchannel"}
    assert the_event(short | {"lastapp": "Queue"}).call.status == "answered"
    assert the_event(short | {"lastapp": "Playback"}).call.status == "no_answer"


def test_an_override_takes_the_raw_disposition():
    overrides = {"status_overrides": {"FAILED": CallStatus.WRONG_NUMBER, "ANSWERED": CallStatus.BUSY}}
    call = the_call(overrides, **MISSED | {"disposition": "FAILED"})
    assert (call.status, call.result) == ("wrong_number", "FAILED")
    assert the_call(overrides).status == "answered"


@pytest.mark.parametrize(
    ("record", "status", "talk"),
    [
        ({"status": "ANSWERED", "duration": 7}, "answered", 7),
        ({"status": "NO ANSWER", "duration": 7}, "no_answer", 0),
        ({"duration_seconds": 7}, "answered", 7),
        ({"duration_seconds": 7, "hangup_cause": 16}, "answered", 7),
        ({"duration_seconds": 7, "hangup_cause": 17}, "busy", 0),
        ({"hangup_cause": 1}, "wrong_number", 0),
    ],
)
def test_scripts_without_billsec_say_it_otherwise(record, status, talk):
    common = {"call_id": "1790000500.1", "from": "210", "to": "79165550151"}
    (event,) = read(json.dumps(common | record).encode())
    assert (event.call.status, event.call.duration) == (status, talk)
    assert (event.call.direction, event.call.phone, event.call.extension) == ("outbound", "79165550151", "210")


# --- identity, time, recording ---------------------------------------------------------------------------------------


def test_legs_share_the_linkedid_and_old_versions_have_only_a_uniqueid():
    assert the_call().ref == "1790000500.30"
    assert the_call(linkedid="").ref == "1790000500.31"
    assert not the_call().dated
    (event,) = read(form(CDR | {"linkedid": "", "uniqueid": ""}))
    assert event.problem == "linkedid or uniqueid is missing"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1_790_000_500),
        ({"start": "1790000500.771"}, 1_790_000_500),
        ({"start": "2026-09-21T14:21:40Z"}, 1_790_000_500),
        ({"start": ""}, 1_790_000_500),
        ({"start": "0000-00-00 00:00:00"}, 1_790_000_500),
        ({"start": "", "end": "", "linkedid": "pbx-2-1790000477.12"}, 1_790_000_477),
        ({"start": "", "end": "", "linkedid": "a"}, int(NOW) - 45),
    ],
)
def test_the_start_is_told_or_follows_from_the_end_or_the_id(changes, expected):
    assert the_call(**changes).started_at == expected


@pytest.mark.parametrize(
    ("changes", "name", "link"),
    [
        ({"recordingfile": "in-1.wav"}, "in-1.wav", None),
        ({"recordingfile": "/var/spool/asterisk/monitor/2026/09/21/in-1.wav"}, "in-1.wav", None),
        ({"userfield": "audio:20260921-in.wav"}, "20260921-in.wav", None),
        ({"userfield": "note: call back"}, None, None),
        ({"recording_url": "https://pbx.example.org/1.wav"}, None, "https://pbx.example.org/1.wav"),
        ({"recording_url": "javascript:alert(1)"}, None, None),
        ({}, None, None),
    ],
)
def test_a_recording_is_a_file_name_or_a_link(changes, name, link):
    event = the_event(CDR | changes)
    assert (event.recording, event.call.link) == (name, link)


def test_a_recording_may_come_by_itself():
    (event,) = read(b"event=call.recording&uniqueid=1790000500.30&recordingfile=a.wav&at=1790000600")
    assert isinstance(event, Recording)
    assert (event.ref, event.link, event.recording, event.at) == ("1790000500.30", None, "a.wav", 1_790_000_600)
    (event,) = read(b"event=call.recording&uniqueid=1790000500.30")
    assert event == Broken("recording_url or recordingfile is missing", "call.recording", event.body)


@pytest.mark.parametrize("name", ["Newchannel", "call.started", "dtmf"])
def test_other_events_are_acknowledged(name):
    assert read(form({"event": name})) == [Ignored(name)]


# --- the credential --------------------------------------------------------------------------------------------------


def verify(headers=None, query="", body=b"x", **source):
    ASTERISK.verify(a_request(body, headers, query=query), a_source(provider="asterisk", **source), NOW)


@pytest.mark.parametrize("secret", ["spear", "spear before"])
def test_both_live_secrets_hold_by_whatever_way_they_come(secret):
    live = {"secrets": ("spear", "spear before")}
    basic = base64.b64encode(f"pbx:{secret}".encode()).decode()
    verify({"Authorization": f"Bearer {secret}"}, **live)
    verify({"Authorization": f"Basic {basic}"}, **live)
    verify(query=f"token={quote(secret)}", **live)
    for headers, query in (({}, ""), ({"Authorization": "Bearer shield"}, ""), ({}, "token=shield")):
        with pytest.raises(Unauthenticated):
            verify(headers, query, **live)


@given(st.data())
@QUICK
def test_a_signature_must_hold_where_there_is_one(data):
    body = form(CDR)
    source = {"secrets": (SECRET, OLD_SECRET)}
    headers = signed(body, data.draw(st.sampled_from(source["secrets"])))
    verify(headers, body=body, **source)
    place = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Unauthenticated):
        verify(headers, body=body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :], **source)
    with pytest.raises(Unauthenticated):  # not even with the bearer token beside it
        verify(headers | {"webhook-id": "other", "authorization": f"Bearer {SECRET}"}, body=body, **source)


def test_a_signature_grows_stale():
    body = form(CDR)
    with pytest.raises(Unauthenticated, match="stale"):
        verify(signed(body, at=NOW - 301), body=body)


def test_a_source_needs_a_secret_or_a_path_token():
    with pytest.raises(Misconfigured):
        ASTERISK.check(a_source(provider="asterisk", secrets=()))
    with pytest.raises(Misconfigured, match="whsec_"):
        ASTERISK.check(a_source(provider="asterisk", secrets=("whsec_!",)))
    ASTERISK.check(a_source(provider="asterisk", secrets=(), path_token="t"))
    verify(secrets=(), path_token="t")
