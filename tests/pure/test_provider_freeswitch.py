"""FreeSWITCH: the records of mod_json_cdr in each encoding, and what they say of a call."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Finished, Ignored
from callbridge.intake.providers.freeswitch import FREESWITCH
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=200, deadline=None)
UUID, OTHER = "3b0c8f7e-4a52-4d1c-8c55-0f7f6b1d2e90", "c1d2e3f4-0000-4111-8222-333344445555"
UNSAFE = '\r\n #%&+:;<=>?@[\\]^`{|}"'
"""The characters that FreeSWITCH encodes, and all outside printable ASCII."""

VARIABLES = {
    "uuid": UUID, "direction": "inbound", "sip_from_user": "79165550161", "start_stamp": "2026-09-21 17:30:00",
    "start_epoch": "1790001000", "answer_epoch": "1790001004", "end_epoch": "1790001054", "duration": "54",
    "billsec": "50", "bridge_uuid": OTHER, "hangup_cause": "NORMAL_CLEARING", "hangup_cause_q850": "16",
    "caller_id": '"Ann, 100%41" <79165550161>',
}  # fmt: skip
PROFILE = {"caller_id_number": "79165550161", "destination_number": "1010", "context": "office", "uuid": UUID}
MISSED = {"billsec": "0", "answer_epoch": "0", "bridge_uuid": ""}

TO_CLIENT = {"destination_number": "89165550161"}


def encoded(text: str, *, once: bool = False) -> str:
    """`once`: what begins %XX is left alone, as newer versions do it."""
    parts = re.findall(r"%[0-9A-F]{2}|.", text, re.DOTALL) if once else list(text)
    return "".join(part if len(part) == 3 or _is_plain(part) else _escaped(part) for part in parts)


def _is_plain(char: str) -> bool:
    return " " < char <= "~" and char not in UNSAFE


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


def a_record(variables=None, profile=None, *, values_encoded=False, flow=None, apps=()):
    told = VARIABLES | (variables or {})
    if values_encoded:
        told = {name: encoded(value) for name, value in told.items()}
    return {
        "core-uuid": OTHER,
        "variables": told,
        "app_log": {"applications": [{"app_name": name, "app_data": data} for name, data in apps]},
        "callflow": flow or [{"caller_profile": PROFILE | (profile or {})}],
    }


def dump(record) -> bytes:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


def read(body, query=f"uuid={UUID}", **source):
    return FREESWITCH.parse(a_request(body, query=query), a_source(provider="freeswitch", **source), NOW)


def the_event(record, **source) -> Finished:
    (event,) = read(dump(record), **source)
    assert isinstance(event, Finished), event
    return event


def the_call(variables=None, profile=None, **source):
    return the_event(a_record(variables, profile), **source).call


# --- encodings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values_encoded", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda raw: raw,
        lambda raw: b"cdr=" + quote(raw, safe="").encode(),
        lambda raw: b"cdr=" + encoded(raw.decode()).encode(),
        lambda raw: b"cdr=" + encoded(raw.decode(), once=True).encode(),
        lambda raw: b"cdr=" + base64.b64encode(raw),
        lambda raw: b"cdr=" + base64.b64encode(raw).rstrip(b"=") + b"\n",
        lambda raw: quote(raw, safe="").encode() + b"\n",
        base64.b64encode,
    ],
    ids=[
        "raw",
        "form",
        "form of old versions",
        "form of new versions",
        "base64",
        "unpadded",
        "form file",
        "base64 file",
    ],
)
def test_a_record_is_the_same_call_however_it_is_encoded(wrap, values_encoded):
    apps = [("record_session", "/recordings/a+b/1.wav")]
    body = wrap(dump(a_record(values_encoded=values_encoded, apps=apps)))
    (event,) = read(body)
    assert event.call == the_call()
    assert event.recording == "1.wav"


@given(st.text(max_size=40), st.booleans())
@QUICK
def test_whether_values_are_encoded_is_never_guessed_wrong(text, values_encoded):
    record = a_record({"caller_id": text, "hangup_cause": "NORMAL_CLEARING %41"}, values_encoded=values_encoded)
    call = the_event(record).call
    assert call.result == "NORMAL_CLEARING %41"


def test_without_a_stamp_one_plain_character_tells_that_no_value_is_encoded():
    bare = {"start_stamp": "", "caller_id": "79165550161"}
    plain = bare | {"hangup_cause": "A%41 B"}
    assert the_call(plain).result == "A%41 B"
    record = a_record(bare | {"hangup_cause": "A B"}, values_encoded=True)
    assert record["variables"]["hangup_cause"] == "A%20B"
    assert the_event(record).call.result == "A B"
    assert the_call(bare | {"hangup_cause": "100%"}).result == "100%"


def test_where_there_is_a_stamp_it_alone_says_whether_values_are_encoded():
    record = a_record({"hangup_cause": "A B"}, values_encoded=True)
    record["variables"]["added_by_a_proxy"] = "not encoded"
    assert the_event(record).call.result == "A B"
    plain = a_record({"hangup_cause": "A%20B"})
    assert the_event(plain).call.result == "A%20B"


def test_xml_is_told_from_json():
    for body in (b"<?xml version='1.0'?><cdr/>", b"cdr=%3C%3Fxml", b"uuid=1&cdr=<cdr>"):
        with pytest.raises(Undecodable, match="mod_xml_cdr"):
            read(body)


def test_the_record_of_a_long_call_is_read():
    flow = [{"caller_profile": PROFILE, "times": {f"t{n}": str(n) for n in range(40)}}] * 60
    assert the_event(a_record(flow=flow)).call == the_call()


@pytest.mark.parametrize("body", [b"", b"cdr=", b"[]", b"{}", b'{"variables":[]}', b"cdr=%%%", b"cdr=e30", b"\xff\xfe"])
def test_what_is_no_record_is_undecodable(body):
    with pytest.raises(Undecodable):
        read(body)


def test_a_crafted_name_adds_no_second_value_even_where_quotes_arrive_bare():
    name = 'x","billsec":"99999'
    body = b"cdr=" + encoded(dump(a_record({"caller_id": name}, values_encoded=True)).decode(), once=True).encode()
    with pytest.raises(Undecodable, match="twice"):
        read(body)


@given(st.data())
@QUICK
def test_no_mutation_of_a_record_raises_anything_but_undecodable(data):
    raw = dump(a_record(values_encoded=True))
    body = bytearray(
        data.draw(st.sampled_from([raw, b"cdr=" + quote(raw, safe="").encode(), b"cdr=" + base64.b64encode(raw)]))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Undecodable):
        assert read(bytes(body))


_ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=70),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*PROFILE, "originator", "caller_profile"]), inner)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["callflow", "app_log", "variables"]), _ODD),
    st.dictionaries(
        st.sampled_from([*VARIABLES, "originator", "originating_leg_uuid", "last_app", "record_name"]), _ODD
    ),
)
@QUICK
def test_no_value_of_any_part_raises_anything_but_undecodable(parts, variables):
    record = a_record() | parts
    if isinstance(record["variables"], dict):
        record["variables"] = record["variables"] | variables
    with contextlib.suppress(Undecodable):
        assert read(dump(record))


# --- who called whom -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "profile", "source", "expected"),
    [
        ({}, {}, {}, ("inbound", "79165550161", "1010")),
        ({}, {"context": "public", "caller_id_number": "112"}, {}, ("inbound", "112", "1010")),
        ({}, {"destination_number": "74955550100"}, {}, ("inbound", "79165550161", None)),
        (
            {},
            {
                "destination_number": "ring",
                "originatee": {"originatee_caller_profiles": [{"destination_number": "1012"}]},
            },
            {},
            ("inbound", "79165550161", "1012"),
        ),
        ({"sip_from_user": "1010"}, {"caller_id_number": "1010", **TO_CLIENT}, {}, ("outbound", "89165550161", "1010")),
        (
            {"sip_from_user": "1010"},
            {"caller_id_number": "74955550100", **TO_CLIENT},
            {},
            ("outbound", "89165550161", "1010"),
        ),
        ({"sip_from_user": "ann"}, {"caller_id_number": "ann", **TO_CLIENT}, {}, ("outbound", "89165550161", "ann")),
        (
            {"sip_from_user": "1010"},
            {"caller_id_number": "1010", "destination_number": "1011"},
            {},
            ("internal", "1011", "1010"),
        ),
        ({"sip_from_user": "anonymous"}, {"caller_id_number": "anonymous"}, {}, ("inbound", "", "1010")),
        ({"call_direction": "outbound"}, TO_CLIENT, {}, ("outbound", "89165550161", None)),
        ({"call_direction": "local"}, {}, {}, ("internal", "1010", None)),
        ({}, {}, {"directions": {"off": Direction.INTERNAL}}, ("internal", "1010", None)),
        (
            {"sip_gateway_name": "mts-1"},
            TO_CLIENT,
            {"directions": {"mts": Direction.OUTBOUND}},
            ("outbound", "89165550161", None),
        ),
    ],
)
def test_direction_number_and_extension(variables, profile, source, expected):
    call = the_call(variables, profile, **source)
    assert (call.direction, call.phone, call.extension) == expected


def test_the_context_in_which_a_call_began_counts_not_the_one_it_was_transferred_to():
    flow = [
        {"caller_profile": PROFILE},
        {"caller_profile": PROFILE | {"context": "gate", "destination_number": "7495"}},
    ]
    directions = {"gate": Direction.INBOUND, "office": Direction.OUTBOUND}
    call = the_event(a_record(flow=flow), directions=directions).call
    assert (call.direction, call.extension) == ("inbound", "1010")
    assert the_call(directions=directions).direction == "outbound"


def b_leg(variables=None, **profile):
    originator = {"originator_caller_profiles": [PROFILE | profile]}
    told = {"uuid": OTHER, "originating_leg_uuid": UUID, "originator": UUID, "dialed_user": "1013"} | (variables or {})
    return a_record(told, {"uuid": OTHER, "caller_id_number": "74955550100", "originator": originator})


def test_a_b_leg_tells_the_call_of_its_originator():
    call = the_event(b_leg()).call
    assert (call.ref, call.key) == (UUID, the_call().key)
    assert (call.direction, call.phone, call.extension) == ("inbound", "79165550161", "1013")
    out = the_event(b_leg(caller_id_number="1010", **TO_CLIENT)).call
    assert (out.direction, out.phone, out.extension) == ("outbound", "89165550161", "1010")


@pytest.mark.parametrize("kept", ["originating_leg_uuid", "originator", None])
def test_each_sign_of_a_b_leg_is_enough(kept):
    record = b_leg()
    for name in {"originating_leg_uuid", "originator"} - {kept}:
        del record["variables"][name]
    if kept:
        del record["callflow"][0]["caller_profile"]["originator"]
    assert the_event(record).call.ref == UUID


def test_a_b_leg_that_nobody_answered_is_no_call():
    assert read(dump(b_leg(MISSED | {"hangup_cause": "LOSE_RACE"}))) == [Ignored("b-leg")]


# --- how it ended ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "talk"),
    [
        ({}, "answered", 50),
        ({"hangup_cause": "USER_BUSY"}, "answered", 50),
        ({"billsec": "0"}, "answered", 0),
        ({"billsec": ""}, "answered", 50),
        (MISSED, "no_answer", 0),
        (MISSED | {"hangup_cause": "USER_BUSY"}, "busy", 0),
        (MISSED | {"hangup_cause": "NO_USER_RESPONSE"}, "no_answer", 0),
        (MISSED | {"hangup_cause": "CALL_REJECTED"}, "no_answer", 0),
        (MISSED | {"hangup_cause": "SUBSCRIBER_ABSENT"}, "unavailable", 0),
        (MISSED | {"hangup_cause": "USER_NOT_REGISTERED"}, "unavailable", 0),
        (MISSED | {"hangup_cause": "UNALLOCATED_NUMBER"}, "wrong_number", 0),
        (MISSED | {"hangup_cause": "NO_ROUTE_DESTINATION"}, "wrong_number", 0),
        (MISSED | {"hangup_cause": "NEW_CAUSE"}, "no_answer", 0),
        (MISSED | {"last_bridge_hangup_cause": "USER_BUSY"}, "busy", 0),
        ({"last_app": "voicemail"}, "voicemail", 50),
        ({"last_app": "ivr", "bridge_uuid": ""}, "no_answer", 0),
        ({"last_app": "ivr"}, "answered", 50),
        ({"last_app": "conference", "bridge_uuid": ""}, "answered", 50),
        ({"last_app": "playback", "bridge_uuid": "", "bridge_epoch": "0"}, "no_answer", 0),
        ({"last_app": "playback", "bridge_uuid": "", "bridge_epoch": "1790001020"}, "answered", 50),
        ({"last_app": "playback", "bridge_uuid": "", "originate_disposition": "USER_BUSY"}, "busy", 0),
        ({"last_app": "bridge", "bridge_uuid": "", "bridge_epoch": "0"}, "no_answer", 0),
        ({"last_app": "bridge", "bridge_uuid": "", "bridge_epoch": "0", "last_bridge_to": OTHER}, "answered", 50),
        ({"last_app": "bridge", "bridge_uuid": ""}, "answered", 50),
    ],
)
def test_talk_beats_the_cause_and_the_last_application_beats_both(changes, status, talk):
    call = the_call(changes)
    assert (call.status, call.duration) == (status, talk)


def test_a_colleague_whose_phone_only_rang_was_not_talked_to():
    rang = {"originatee": {"originatee_caller_profiles": [{"destination_number": "1012"}]}}
    call = the_event(a_record({"last_app": "playback", "bridge_uuid": ""}, rang)).call
    assert (call.status, call.duration, call.extension) == ("no_answer", 0, "1012")


@pytest.mark.parametrize("name", ["CALL_REJECTED", "21"])
def test_an_override_takes_the_cause_by_name_or_number(name):
    variables = MISSED | {"hangup_cause": "CALL_REJECTED", "hangup_cause_q850": "21"}
    call = the_call(variables, status_overrides={name: CallStatus.BUSY})
    assert (call.status, call.result) == ("busy", "CALL_REJECTED")


# --- identity, time, recording, credential ---------------------------------------------------------------------------


def test_a_record_without_its_uuid_has_the_one_in_the_address():
    record = a_record({"uuid": ""}, {"uuid": ""})
    for query in (f"uuid={OTHER}", f"token=t?uuid={OTHER}"):
        (event,) = read(dump(record), query)
        assert event.call.ref == OTHER
    with pytest.raises(Undecodable, match="uuid is missing"):
        read(dump(record), "")


def test_the_start_is_told_in_seconds_or_by_the_wall_clock():
    assert the_call().started_at == 1_790_001_000
    assert the_call({"start_epoch": "", "start_stamp": "2026-09-21 17:30:00"}).started_at == 1_790_001_000
    assert the_call({"start_epoch": "", "start_stamp": ""}).started_at == NOW - 50


@pytest.mark.parametrize(
    ("variables", "apps", "name"),
    [
        ({"record_path": "/rec/archive/2026", "record_name": "a.mp3"}, [], "a.mp3"),
        ({"recording_file": "/rec/b.wav"}, [("record_session", "/rec/c.wav")], "b.wav"),
        ({}, [("answer", ""), ("record_session", "/rec/c.wav")], "c.wav"),
        ({"record_path": "/rec/archive"}, [("bridge", "user/1.2")], None),
    ],
)
def test_the_recording_is_found_where_configurations_keep_it(variables, apps, name):
    assert the_event(a_record(variables, apps=apps)).recording == name


def verify(headers=None, query=f"uuid={UUID}", **source):
    FREESWITCH.verify(a_request(b"x", headers, query=query), a_source(provider="freeswitch", **source), NOW)


def basic(user, password):
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


def test_cred_is_the_key_and_either_secret():
    live = {"key": "fs", "secrets": ("menhir", "menhir before")}
    for secret in live["secrets"]:
        verify(basic("fs", secret), **live)
        verify(query=f"token={quote(secret)}?uuid={UUID}", **live)
    for headers in ({}, basic("fs", "dolmen"), basic("sf", "menhir"), {"Authorization": "Digest menhir"}):
        with pytest.raises(Unauthenticated):
            verify(headers, **live)
    with pytest.raises(Unauthenticated):
        verify(query=f"token=dolmen?uuid={UUID}", **live)


def test_a_source_needs_a_secret_or_a_path_token():
    with pytest.raises(Misconfigured):
        FREESWITCH.check(a_source(provider="freeswitch", secrets=()))
    verify(secrets=(), path_token="t")


@pytest.mark.parametrize("values_encoded", [False, True])
def test_a_long_session_description_costs_nobody_the_call(values_encoded):
    sdp = "v=0\r\n" + "a=candidate:1 1 udp 2130706431 198.51.100.7 40000 typ host\r\n" * 340
    assert len(sdp) > 20_000
    record = a_record({"switch_r_sdp": sdp, "sip_local_sdp_str": sdp}, values_encoded=values_encoded)
    assert the_event(record).call == the_event(a_record(values_encoded=values_encoded)).call
