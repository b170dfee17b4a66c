"""UIS, CoMagic, CallGear, Novofon 2.0: the shipped templates, what others write, and the quotes that go wrong."""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Finished, Ignored, Recording
from callbridge.intake.providers.uis import UIS
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=200, deadline=None)
TEMPLATES = Path(__file__).parents[2] / "deploy" / "uis"
SECRET = "uis-secret-of-the-tests"
CALL = {
    "integration_key": SECRET, "event": "call.finished", "call_session_id": 5_120_077, "direction": "in",
    "is_internal": False, "contact_phone_number": "79165550191", "calling_phone_number": "79165550191",
    "called_phone_number": "74955550192", "extension_phone_number": "511", "employee_id": 77,
    "talk_time_duration": 0, "wait_time_duration": 20, "total_time_duration": 20,
    "start_time": "2026-09-21 17:13:20.001", "notification_time": "2026-09-21 17:13:40",
    "notification_timestamp": 1_790_000_020, "lost_reason": "timeout", "call_status": None,
}  # fmt: skip
FILE = {
    "integration_key": SECRET, "event": "call.recording", "call_session_id": 5_120_077,
    "file_link": "https://media.example.com/5120077/1", "notification_timestamp": 1_790_000_060,
}  # fmt: skip


def source_with(**changes):
    return a_source(**({"provider": "uis", "secrets": (SECRET,)} | changes))


def posted(told, headers=None, query=""):
    return a_request(json.dumps(told).encode(), headers, query=query)


def read(told, **source):
    request, configured = posted(told), source_with(**source)
    UIS.verify(request, configured, NOW)
    return UIS.parse(request, configured, NOW)


def the_call(source=None, **changes):
    (event,) = read(CALL | changes, **(source or {}))
    assert isinstance(event, Finished)
    return event.call


def refused(request, **source):
    with pytest.raises(Unauthenticated):
        UIS.verify(request, source_with(**source), NOW)


def filled(template, values):
    """A template as the PBX renders it: text in quotes, numbers bare, what is missing as null."""
    text = (TEMPLATES / template).read_text().replace("WRITE-YOUR-SECRET-HERE", SECRET)
    return re.sub(r"\{\{(\w+)\}\}", lambda match: json.dumps(values.get(match[1])), text).encode()


# --- the templates ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "values", "kind"), [("call_finished.json", CALL, Finished), ("recorded_call.json", FILE, Recording)]
)
def test_the_shipped_templates_are_understood_and_stand_in_the_guide(template, values, kind):
    text = (TEMPLATES / template).read_text()
    assert "".join(text.split()) in "".join(UIS.guide.split())
    request = a_request(filled(template, values))
    UIS.verify(request, source_with(), NOW)
    assert UIS.parse(request, source_with(), NOW) == [
        type(event)(**{name: getattr(event, name) for name in event.__slots__} | {"body": request.body})
        for event in read(values)
        if isinstance(event, kind)
    ]


def test_a_template_with_nothing_but_what_is_needed_is_enough():
    needed = ("integration_key", "event", "call_session_id", "direction", "contact_phone_number", "talk_time_duration")
    (event,) = read({name: CALL[name] for name in needed} | {"talk_time_duration": 12})
    assert (event.call.started_at, event.call.duration, event.call.dated) == (NOW - 12, 12, False)


@pytest.mark.parametrize("template", ["call_finished.json", "recorded_call.json"])
def test_quotes_around_a_placeholder_are_explained(template):
    values = CALL | FILE
    body = re.sub(rb'("(?:direction|file_link|notification_time)": )("[^"]*")', rb'\1"\2"', filled(template, values))
    request = a_request(body)
    UIS.verify(request, source_with(), NOW)
    with pytest.raises(Undecodable) as error:
        UIS.parse(request, source_with(), NOW)
    assert "doubled quotes" in error.value.reason
    assert '"x": {{x}}' in error.value.reason
    assert UIS.event_of(request) == json.loads(filled(template, values))["event"]


@pytest.mark.parametrize("text", ['{"integration_key": "%s", "direction": ""}x', '{"integration_key": "%s", "a": }'])
def test_other_broken_json_is_not_blamed_on_quotes(text):
    request = a_request((text % SECRET).encode())
    UIS.verify(request, source_with(), NOW)
    with pytest.raises(Undecodable) as error:
        UIS.parse(request, source_with(), NOW)
    assert "quotes" not in error.value.reason


# --- the credential --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, "the secret before"])
def test_the_secret_holds_in_each_place_where_a_template_can_carry_it(secret):
    source = source_with(secrets=(SECRET, "the secret before"))
    bare = {name: value for name, value in CALL.items() if name != "integration_key"}
    basic = base64.b64encode(f"any:{secret}".encode()).decode()
    for request in (
        posted(CALL | {"integration_key": secret}),
        posted(bare, {"authorization": f"Bearer {secret}"}),
        posted(bare, {"authorization": f"Basic {basic}"}),
        posted(bare, query=urlencode({"token": secret})),
        posted(bare, query=urlencode({"integration_key": secret})),
        a_request(method="GET", query=urlencode({"integration_key": f'"{secret}"'})),
    ):
        UIS.verify(request, source, NOW)


@pytest.mark.parametrize("key", ["", None, [SECRET], {"a": SECRET}, 7, True, SECRET + " ", SECRET[:-1]])
def test_another_key_is_refused(key):
    refused(posted(CALL | {"integration_key": key}))


def test_the_key_is_what_the_json_says_and_not_what_its_text_looks_like():
    source = source_with(secrets=("секрет",))
    UIS.verify(posted(CALL | {"integration_key": "секрет"}), source, NOW)  # written with escapes
    UIS.verify(a_request('{"integration_key": "секрет"}'.encode()), source, NOW)
    refused(posted({"call_info": {"integration_key": SECRET}}))
    refused(posted({"call_info": {"integration_key": SECRET}, "integration_key": "another"}))


def test_the_key_of_a_broken_body_must_be_right_too():
    refused(a_request(b'{"integration_key": "another", "direction": ""in""}'))
    refused(a_request(b'{"integration_key": "another", "a": "\\"integration_key\\": \\"' + SECRET.encode() + b'\\""}'))
    refused(a_request(b'{"integration_key": "another", "b": {"integration_key": "' + SECRET.encode() + b'"}}'))


@given(st.integers(0, len(SECRET) - 1), st.integers(0, 6))
@QUICK
def test_one_flipped_bit_of_the_key_is_refused(place, bit):
    key = bytearray(SECRET.encode())
    key[place] ^= 1 << bit
    refused(posted(CALL | {"integration_key": bytes(key).decode()}))


@given(st.binary(max_size=100))
@QUICK
def test_any_other_bytes_are_refused(body):
    refused(a_request(body))
    refused(a_request(b'{"integration_key":"' + body))


def test_without_a_secret_the_path_token_is_the_credential_and_without_both_it_is_misconfigured():
    UIS.check(source_with(secrets=(), path_token="tok"))
    UIS.verify(posted({}), source_with(secrets=(), path_token="tok"), NOW)
    with pytest.raises(Misconfigured, match=r"office\.secret"):
        UIS.check(source_with(secrets=()))
    refused(posted({"integration_key": ""}), secrets=())


# --- finished calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("sip_offline", "unavailable"), ("numb_is_inactive", "unavailable"), ("operator_not_responsible", "unavailable"),
        ("numb_not_exists", "wrong_number"), ("subscriber_number_problems", "wrong_number"),
        ("subscriber_busy", "busy"), ("operator_busy", "busy"), ("OPERATOR_BUSY", "busy"),
        ("timeout", "no_answer"), ("subscriber_not_responsible", "no_answer"), ("subscriber_disconnects", "no_answer"),
        ("operator_disconnects", "no_answer"), ("no_success_subscriber_call", "no_answer"), ("no_money", "no_answer"),
        ("numa_in_black_list", "no_answer"), ("success_finish", "no_answer"), ("Пропущен", "no_answer"),
        (None, "no_answer"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["lost_reason", "finish_reason", "call_status"])
def test_a_call_without_talk_gets_its_status_from_the_reason(place, reason, status):
    call = the_call(**{"lost_reason": None, place: reason})
    assert (call.status, call.result) == (status, reason)
    assert the_call(**{"lost_reason": None, place: reason, "talk_time_duration": 1}).status is CallStatus.ANSWERED


def test_the_operators_word_comes_before_the_table():
    overrides = {"timeout": CallStatus.UNAVAILABLE, "operator_busy": CallStatus.NO_ANSWER}
    assert the_call(source={"status_overrides": overrides}).status is CallStatus.UNAVAILABLE
    assert the_call(source={"status_overrides": overrides}, lost_reason="operator_busy").status == "no_answer"


def test_the_number_is_the_contacts_or_that_of_the_other_side():
    assert the_call().phone == "79165550191"
    assert the_call(contact_phone_number=None).phone == "79165550191"
    outgoing = the_call(direction="out", contact_phone_number=None, called_phone_number="79165550193")
    assert (outgoing.direction, outgoing.phone) == (Direction.OUTBOUND, "79165550193")


@pytest.mark.parametrize("told", [True, "true", 1, "1"])
def test_a_call_between_employees_is_told_as_such(told):
    call = the_call(is_internal=told, direction=None, called_phone_number="512", contact_phone_number="79165550191")
    assert (call.direction, call.phone, call.extension) == (Direction.INTERNAL, "512", "511")


@pytest.mark.parametrize("told", [False, "false", 0, None, "null", ""])
def test_other_calls_are_not(told):
    assert the_call(is_internal=told).direction is Direction.INBOUND


@pytest.mark.parametrize("number", ["anonymous", None, "", "null"])
def test_a_hidden_number_is_no_number(number):
    assert the_call(contact_phone_number=number, calling_phone_number=number).phone == ""


def test_the_employee_is_the_extension_or_else_what_else_is_known():
    employee = {
        "extension_phone_number": "1",
        "employee_phone_number": "2",
        "employee_email": "a@b.c",
        "employee_id": 4,
    }
    for place, expected in zip(list(employee), ["1", "2", "a@b.c", "4"], strict=True):
        assert the_call(**employee).extension == expected
        employee[place] = None
    assert the_call(**employee).extension is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"start_time": None, "notification_time": None},
        {"notification_timestamp": None},
        {"notification_timestamp": None, "start_time": None},
        {"notification_timestamp": None, "notification_time": None},
        {"notification_timestamp": "1790000020", "total_time_duration": "20"},
        {"total_time_duration": None},
        {"notification_timestamp": None, "start_time": None, "notification_time": "2026-09-21T14:13:40Z"},
    ],
)
def test_the_start_comes_from_the_epoch_or_else_from_the_clock_of_the_account(changes):
    call = the_call(**changes)
    assert (call.started_at, call.dated) == (1_790_000_000, False)


def test_without_any_time_the_start_is_estimated():
    call = the_call(notification_timestamp=None, start_time=None, notification_time=None)
    assert call.started_at == NOW - 20


def test_a_call_that_is_told_late_again_is_the_same_call():
    assert the_call().key == the_call(notification_timestamp=1_790_000_020 + 200_000).key


def test_groups_are_dissolved_and_what_stands_outside_counts_more():
    told = {
        "integration_key": SECRET, "event": "CALL_END", "call_session_id": "5120077", "direction": "in",
        "notification_timestamp": 1_790_000_020, "extension_phone_number": "519",
        "contact_info": {"contact_phone_number": "79165550191"},
        "employee_info": {"extension_phone_number": "511", "employee_id": 77},
        "call_info": {"talk_time_duration": 5, "total_time_duration": 20, "call_status": "Успешный", "direction": None},
    }  # fmt: skip
    (event,) = read(told)
    assert (event.call.extension, event.call.duration, event.call.started_at) == ("519", 5, 1_790_000_000)
    assert event.call.result == "Успешный"
    assert event.event == "CALL_END"


def test_a_get_is_read_from_its_query():
    query = urlencode(
        {name: json.dumps(value, ensure_ascii=False) for name, value in CALL.items()}
        | {"token": SECRET, "employee_full_name": '"Мария"'}
    )
    request = a_request(method="GET", query=query)
    UIS.verify(request, source_with(), NOW)
    (event,) = UIS.parse(request, source_with(), NOW)
    assert event.call == the_call()
    assert b"call_session_id=5120077" in event.body


def test_a_get_that_cannot_be_read_has_its_event_and_its_cause():
    request = a_request(method="GET", query="event=call.finished&call_session_id=1")
    with pytest.raises(Undecodable, match="direction is in or out"):
        UIS.parse(request, source_with(), NOW)
    assert UIS.event_of(request) == "call.finished"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("call_session_id", None), ("call_session_id", []), ("call_session_id", 1.5), ("call_session_id", "x" * 300),
        ("direction", None), ("direction", "sideways"), ("direction", {}), ("talk_time_duration", "soon"),
        ("talk_time_duration", -4), ("notification_timestamp", 12), ("contact_phone_number", []),
        ("contact_phone_number", "9" * 65), ("extension_phone_number", {}), ("lost_reason", []), ("event", [1]),
    ],
)  # fmt: skip
def test_a_wrong_value_makes_it_undecodable_with_the_field_named(field, value):
    with pytest.raises(Undecodable) as error:
        read(CALL | {field: value})
    assert field in error.value.reason or "duration" in error.value.reason
    assert "999" not in error.value.reason


@pytest.mark.parametrize("body", ["[]", "1", "null", '"text"', "", "{", "[" * 5000])
def test_what_is_no_object_is_undecodable(body):
    with pytest.raises(Undecodable):
        UIS.parse(a_request(body.encode()), source_with(), NOW)


@given(
    st.sampled_from([*CALL, "finish_reason", "file_link", "record_file_links", "contact_info", "notification_name"]),
    st.text(max_size=8)
    | st.integers()
    | st.floats()
    | st.lists(st.none() | st.text(max_size=3))
    | st.booleans()
    | st.none(),
)
@QUICK
def test_a_field_of_any_value_gives_an_event_or_undecodable(field, value):
    try:
        (event,) = UIS.parse(posted(CALL | {field: value}), source_with(), NOW)
    except Undecodable:
        return
    assert isinstance(event, Finished | Ignored | Recording)


@given(
    st.binary(max_size=120), st.sampled_from([b"", b'{"event":"call.finished",', b'{"a":""', b'{"integration_key":'])
)
@QUICK
def test_no_body_raises_anything_but_undecodable(body, start):
    request = a_request(start + body)
    UIS.event_of(request)
    with suppress(Undecodable):
        UIS.parse(request, source_with(), NOW)


# --- other events ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("call.finished", Finished), ("CALL_END", Finished), ("Call finished", Finished), ("Завершение звонка", Finished),
        ("Потерянный звонок", Finished), ("Lost call", Finished), ("RECORD_CALL", Recording),
        ("Записанный разговор", Recording), ("call.recording", Recording), ("Входящий звонок", Ignored),
        ("in_call_session", Ignored), (None, Ignored),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["event", "notification_mnemonic", "notification_name"])
def test_an_event_is_known_by_its_name(place, name, kind):
    base = FILE if kind is Recording else CALL | {"talk_time_duration": None, "total_time_duration": None}
    (event,) = read(base | {"event": None, place: name})
    assert isinstance(event, kind)


def test_an_event_of_an_unknown_name_is_known_by_what_it_tells():
    for name in (None, "something_new"):
        assert isinstance(read(CALL | {"event": name})[0], Finished)
        assert isinstance(read(FILE | {"event": name})[0], Recording)
    assert isinstance(read(CALL | {"event": None, "total_time_duration": None})[0], Finished)
    assert read(CALL | {"event": "ringing", "total_time_duration": 0}) == [Ignored("ringing")]


def test_a_recording_is_linked_and_dated():
    (event,) = read(FILE)
    assert (event.ref, event.link, event.at) == ("5120077", "https://media.example.com/5120077/1", 1_790_000_060)
    (event,) = read(FILE | {"notification_timestamp": None, "notification_time": "2026-09-21 17:13:20"})
    assert event.at == 1_790_000_000
    (event,) = read(FILE | {"notification_timestamp": None})
    assert event.at == NOW


def test_a_recording_without_an_address_is_ignored_and_with_a_bad_one_has_no_link():
    assert read(FILE | {"file_link": None}) == [Ignored("call.recording")]
    assert read(FILE | {"file_link": "javascript:alert(1)"})[0].link is None


def test_a_call_may_bring_its_recordings_along():
    links = ["https://media.example.com/1", "https://media.example.com/2"]
    assert the_call(talk_time_duration=5, record_file_links=links).link == links[0]
    assert the_call(talk_time_duration=5, record_file_links=[]).link is None
    assert the_call(talk_time_duration=5, record_file_links=links, file_link=links[1]).link == links[1]
