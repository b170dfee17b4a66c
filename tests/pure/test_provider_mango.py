"""Mango Office: what its events say, and what its signature covers."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import quote_from_bytes, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction, is_web_link
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Finished, Ignored, Recording
from callbridge.intake.providers.mango import MANGO
from support.webhooks import MANGO_KEY, MANGO_SALT, NOW, a_mango_source, a_request, mango_form

QUICK = settings(max_examples=200, deadline=None)
MISSED = {
    "entry_id": "RU50cnk=", "call_direction": 1, "from": {"number": "79165550141"}, "to": {"extension": "12"},
    "create_time": 1_790_000_000, "forward_time": 0, "talk_time": 0, "end_time": 1_790_000_020,
    "entry_result": 0, "disconnect_reason": 1111,
}  # fmt: skip
SUMMARY = ("events", "summary")


def read(told, path=SUMMARY, **source):
    request = a_request(mango_form(told), path=path)
    source = a_mango_source(**source)
    MANGO.verify(request, source, NOW)
    return MANGO.parse(request, source, NOW)


def the_call(**changes):
    (event,) = read(MISSED | changes)
    assert isinstance(event, Finished)
    return event.call


def refused(body, **source):
    with pytest.raises(Unauthenticated):
        MANGO.verify(a_request(body, path=SUMMARY), a_mango_source(**source), NOW)


# --- the signature ---------------------------------------------------------------------------------------------------


def test_both_live_salts_hold_and_a_third_does_not():
    source = a_mango_source(secrets=(MANGO_SALT, "the salt before"))
    for salt in source.secrets:
        MANGO.verify(a_request(mango_form(MISSED, salt=salt)), source, NOW)
    refused(mango_form(MISSED, salt="another"), secrets=source.secrets)


def test_another_key_is_refused_even_if_signed_with_the_right_salt():
    refused(mango_form(MISSED, key="f" * 32))


def test_the_signature_covers_the_json_as_written():
    spaced = json.dumps(MISSED)
    dense = json.dumps(MISSED, separators=(",", ":"))
    good = mango_form(spaced)
    refused(good.replace(quote_plus(spaced).encode(), quote_plus(dense).encode()))


def test_json_outside_ascii_is_signed_as_its_bytes_however_it_is_escaped():
    told = json.dumps(MISSED | {"note": "Привет + 100%"}, ensure_ascii=False)
    sign = hashlib.sha256(f"{MANGO_KEY}{told}{MANGO_SALT}".encode()).hexdigest()
    raw = told.encode().replace(b"%", b"%25").replace(b"+", b"%2B")
    body = b"vpbx_api_key=" + MANGO_KEY.encode() + b"&sign=" + sign.encode() + b"&json=" + raw
    MANGO.verify(a_request(body), a_mango_source(), NOW)


@given(st.data())
@QUICK
def test_one_flipped_bit_of_key_sign_or_json_is_refused(data):
    fields = {"vpbx_api_key": MANGO_KEY, "json": json.dumps(MISSED)}
    fields["sign"] = hashlib.sha256(f"{fields['vpbx_api_key']}{fields['json']}{MANGO_SALT}".encode()).hexdigest()
    raw = {name: bytearray(value.encode()) for name, value in fields.items()}
    part = raw[data.draw(st.sampled_from(list(raw)))]
    part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    refused("&".join(f"{name}={quote_from_bytes(bytes(value), safe='')}" for name, value in raw.items()).encode())


@given(st.binary(max_size=100))
@QUICK
def test_any_other_bytes_are_refused(body):
    refused(body)
    refused(b"sign=" + body + b"&json=" + body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        mango_form(MISSED) + b"&sign=" + b"0" * 64,
        mango_form(MISSED) + b"&x=1" * 300,
        json.dumps(MISSED).encode(),
        b'--b\r\nContent-Disposition: form-data; name="json"\r\n\r\n{}\r\n--b--',
    ],
    ids=["empty", "sign twice", "too many fields", "json body", "multipart"],
)
def test_a_body_that_is_no_signed_form_is_refused(body):
    refused(body)


def test_a_source_without_key_or_salt_is_misconfigured_and_verifies_nothing():
    for changes, word in (({"key": None}, "key"), ({"secrets": ()}, "secret")):
        with pytest.raises(Misconfigured, match=word):
            MANGO.check(a_mango_source(**changes))
    MANGO.check(a_mango_source())
    refused(mango_form(MISSED, key=""), key=None)
    refused(mango_form(MISSED, salt=""), secrets=())


# --- the summary -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (1100, "no_answer"), (1110, "no_answer"), (1111, "no_answer"), (1120, "no_answer"), (1122, "no_answer"),
        (1121, "busy"),
        (1123, "unavailable"), (1124, "unavailable"), (1130, "unavailable"), (1131, "unavailable"),
        (1132, "unavailable"), (1134, "unavailable"), (1160, "unavailable"), (1169, "unavailable"), (1191, "unavailable"),
        (1133, "wrong_number"), (3200, "wrong_number"),
        (1170, "no_answer"), (1150, "no_answer"), (2100, "no_answer"), (4201, "no_answer"), (5000, "no_answer"),
        (99, "no_answer"), (None, "no_answer"), ("", "no_answer"),
    ],
)  # fmt: skip
def test_a_call_without_talk_gets_its_status_from_the_code_or_its_class(code, status):
    assert the_call(disconnect_reason=code).status == status
    assert the_call(disconnect_reason=code and str(code)).status == status


@pytest.mark.parametrize("code", [1100, 1121, 3200, None])
def test_talk_makes_a_call_answered_whatever_the_code_says(code):
    call = the_call(talk_time=1_790_000_005, disconnect_reason=code)
    assert call.status is CallStatus.ANSWERED
    assert call.duration == 15
    assert the_call(talk_time=1_790_000_020, disconnect_reason=code).status is CallStatus.ANSWERED


def test_the_entry_result_alone_makes_no_call_answered():
    assert the_call(entry_result=1).status is CallStatus.NO_ANSWER


def test_the_code_stays_readable_in_the_result():
    assert the_call(disconnect_reason=1110).result == "Mango 1110: the caller hung up"
    assert the_call(disconnect_reason="7001").result == "Mango 7001"
    assert the_call(disconnect_reason=None).result is None


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1150, "black or white list"), (1152, "black or white list"), (1160, "group or queue did not take it"),
        (1169, "group or queue did not take it"), (1171, "ended in the menu"), (1192, "inactive or out of schedule"),
        (2130, "account or billing"), (4210, "cannot be reached"), (4502, "refused for security"), (5004, "error in the PBX"),
        (1133, "number does not exist"),
    ],
)  # fmt: skip
def test_a_code_that_has_no_words_of_its_own_is_explained_by_its_class(code, words):
    assert the_call(disconnect_reason=code).result == f"Mango {code}: {words}"


@pytest.mark.parametrize("code", [5, 42, 115, 50041])
def test_what_is_no_four_digit_code_belongs_to_no_class(code):
    assert the_call(disconnect_reason=code).result == f"Mango {code}"


@pytest.mark.parametrize("told", [[], {}, None, ""])
def test_a_side_may_be_empty(told):
    assert the_call(to=told).extension is None
    assert the_call(**{"from": told}).phone == ""


def test_an_internal_call_is_told_as_such():
    call = the_call(call_direction="0", to={"number": "sip:b@office.example.net"})
    assert (call.direction, call.phone) == (Direction.INTERNAL, "b")


@pytest.mark.parametrize(
    ("side", "extension"),
    [
        ({"extension": "12", "number": "sip:anna@office.example.net"}, "12"),
        ({"number": "sip:anna@office.example.net"}, "anna"),
        ({"number": "SIPS:anna"}, "anna"),
        ({"number": "sip:@office.example.net"}, None),
        ({"number": "74955550199"}, None),
    ],
)
def test_an_employee_without_an_extension_is_known_by_the_sip_address(side, extension):
    assert the_call(to=side).extension == extension
    assert the_call(**{"call_direction": 2, "from": side, "to": {"number": "79165550141"}}).extension == extension


def test_an_answered_call_belongs_to_who_answered_and_a_missed_one_to_who_did_not():
    assert the_call(to={"extension": "31"}, talk_time=1_790_000_011).extension == "31"
    assert the_call(to={"extension": "12"}).extension == "12"


@pytest.mark.parametrize("number", ["anonymous", "Anonymous", "", " ", None])
def test_a_hidden_number_is_no_number(number):
    assert the_call(**{"from": {"number": number}}).phone == ""


def test_numbers_may_come_as_text():
    told = {name: str(MISSED[name]) for name in ("call_direction", "create_time", "end_time", "disconnect_reason")}
    assert the_call(**told | {"talk_time": "1790000005"}) == the_call(talk_time=1_790_000_005)


def test_without_a_creation_time_the_start_is_estimated():
    call = the_call(create_time=0)
    assert not call.dated
    assert call.started_at == NOW


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("entry_id", None), ("entry_id", ""), ("entry_id", []), ("entry_id", "x" * 300), ("call_direction", 3),
        ("call_direction", None), ("call_direction", "in"), ("call_direction", True), ("from", 7), ("from", {"number": []}),
        ("talk_time", "soon"), ("talk_time", 1_790_000_021), ("create_time", {}), ("create_time", 12),
        ("disconnect_reason", []), ("from", {"number": "9" * 65}),
    ],
)  # fmt: skip
def test_a_wrong_value_makes_it_undecodable_with_the_field_named(field, value):
    with pytest.raises(Undecodable) as error:
        read(MISSED | {field: value})
    assert field.removeprefix("talk_") in error.value.reason or "end_time" in error.value.reason
    assert "999" not in error.value.reason


@pytest.mark.parametrize("told", ["[]", "1", "null", '"text"', "", "{", "{" * 5000, '{"entry_id":1,"entry_id":2}'])
def test_json_that_is_no_object_is_undecodable(told):
    with pytest.raises(Undecodable):
        read(told)


@given(
    st.sampled_from(list(MISSED)), st.text(max_size=8) | st.integers() | st.floats() | st.lists(st.none()) | st.none()
)
@QUICK
def test_a_field_of_any_value_gives_a_call_or_undecodable(field, value):
    try:
        events = read(MISSED | {field: value})
    except Undecodable:
        return
    assert isinstance(events[0], Finished)


# --- events ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [SUMMARY, ("pbx", "events", "summary"), ()])
def test_the_event_is_in_the_path_or_else_in_the_keys(path):
    assert isinstance(read(MISSED, path=path)[0], Finished)


@pytest.mark.parametrize(
    "path",
    [
        ("events", "call"), ("events", "dtmf"), ("events", "sms"), ("events", "record", "tagged"),
        ("events", "recognized", "offline"), ("result", "callback"), ("events",),
    ],
)  # fmt: skip
def test_other_events_are_ignored_unread(path):
    assert read("not even json", path=path) == [Ignored("/".join(path))]


def test_a_base_address_may_have_a_path_of_its_own():
    assert read("not even json", path=("pbx", "1", "events", "call")) == [Ignored("events/call")]


def test_a_body_without_known_keys_at_a_bare_address_is_ignored():
    assert read({"call_id": "1", "dtmf": "5"}, path=()) == [Ignored("unnamed")]


RECORDED = {"recording_id": "r:1", "entry_id": "RU50cnk=", "recording_state": "Completed", "timestamp": 1_790_000_030}


def test_the_recording_link_is_signed_with_the_current_salt_and_the_same_for_the_same_event():
    events = [read(RECORDED, path=path, secrets=(MANGO_SALT, "old"))[0] for path in (("events", "recording"), (), ())]
    assert events[0].link == events[1].link == events[2].link
    head, recording, kind, key, expiry, sign = events[0].link.rsplit("/", 5)
    assert head == "https://app.mango-office.ru/vpbx/queries/recording/link"
    assert (recording, kind, key) == ("r:1", "play", MANGO_KEY)
    assert int(expiry) == 1_790_000_030 + 10 * 365 * 86_400
    assert sign == hashlib.sha256(f"{key}{expiry}{recording}{MANGO_SALT}".encode()).hexdigest()
    assert (events[0].ref, events[0].at) == ("RU50cnk=", 1_790_000_030)


def test_a_recording_id_cannot_leave_its_place_in_the_link():
    (event,) = read(RECORDED | {"recording_id": "../../x?y#z z"}, path=("events", "recording"))
    assert isinstance(event, Recording)
    assert "/link/..%2F..%2Fx%3Fy%23z%20z/play/" in event.link
    assert is_web_link(event.link)


@pytest.mark.parametrize(
    "changes",
    [
        {"recording_state": "Started"}, {"recording_state": "Continued"}, {"recording_state": None},
        {"completion_code": 2200}, {"completion_code": "4002"}, {"recipient": "Mail"},
    ],
)  # fmt: skip
def test_a_recording_that_is_not_complete_or_not_kept_is_ignored(changes):
    assert read(RECORDED | changes, path=("events", "recording")) == [Ignored("events/recording")]


@pytest.mark.parametrize("recipient", ["Cloud", "CloudAndMail", None])
def test_a_recording_that_is_kept_is_linked(recipient):
    (event,) = read(RECORDED | {"recipient": recipient, "completion_code": "1000"}, path=("events", "recording"))
    assert event.link


def test_an_added_record_is_told_from_its_keys_too():
    told = {"entry_id": "e", "recording_id": "r", "product_id": 1, "timestamp": 1_790_000_030}
    assert read(told, path=())[0].link == read(told, path=("events", "record", "added"))[0].link
