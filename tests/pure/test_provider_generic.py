"""The canonical webhook, field by field."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Broken, Finished, Ignored, Recording
from callbridge.intake.providers.generic import GENERIC
from support.webhooks import NOW, a_request, a_source, signed

QUICK = settings(max_examples=200, deadline=None)
LEAST = {"id": "g-1", "direction": "inbound", "phone": "+7 916 555-01-17", "duration": 73}


def read(told, **source):
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return GENERIC.parse(a_request(body), a_source(**source), NOW)


def the_call(**changes):
    (event,) = read(LEAST | changes)
    assert isinstance(event, Finished), event
    return event.call


def the_problem(told):
    (event,) = read(told)
    assert isinstance(event, Broken), event
    return event.problem


def test_the_least_webhook_gets_the_documented_defaults():
    call = the_call()
    assert call.started_at == NOW - 73
    assert not call.dated
    assert call.status is CallStatus.ANSWERED
    assert (call.result, call.link, call.extension) == (None, None, None)
    assert the_call(duration=0).status is CallStatus.NO_ANSWER


@pytest.mark.parametrize("field", LEAST)
def test_a_required_field_that_is_missing_is_named(field):
    told = dict(LEAST)
    del told[field]
    assert the_problem(told) == f"{field} is missing"


@pytest.mark.parametrize("field", ["id", "direction", "duration"])
@pytest.mark.parametrize("absent", [None, "", "  "])
def test_an_empty_required_field_is_no_better_than_a_missing_one(field, absent):
    assert the_problem(LEAST | {field: absent}).startswith(field)


@pytest.mark.parametrize("absent", [None, "", " "])
def test_an_empty_phone_is_a_hidden_number(absent):
    assert the_call(phone=absent).phone == ""


@pytest.mark.parametrize("field", ["event", "started_at", "status", "result", "link", "extension"])
@pytest.mark.parametrize("absent", [None, "", " "])
def test_an_empty_optional_field_means_its_default(field, absent):
    assert the_call(**{field: absent}) == the_call()


@pytest.mark.parametrize(
    "field", ["event", "id", "direction", "phone", "duration", "started_at", "status", "result", "extension"]
)
@pytest.mark.parametrize("wrong", [True, [], [1], {}, {"a": 1}], ids=repr)
def test_a_value_of_the_wrong_kind_breaks_the_element(field, wrong):
    assert the_problem(LEAST | {field: wrong}).startswith(f"{field} ")


@pytest.mark.parametrize("field", ["id", "direction", "phone", "duration", "started_at", "status", "extension"])
def test_a_value_that_is_too_long_is_refused_and_not_quoted(field):
    problem = the_problem(LEAST | {field: "x" * 2000})
    assert problem.startswith(f"{field} ")
    assert "xxx" not in problem


def test_an_unknown_field_is_no_matter():
    assert the_call(queue={"name": [1, 2]}) == the_call()


@pytest.mark.parametrize(
    ("written", "ref"), [("  a-1\n", "a-1"), (1790000020, "1790000020"), (0, "0"), ("1790000020.10", "1790000020.10")]
)
def test_an_id_is_kept_as_written(written, ref):
    assert the_call(id=written).ref == ref


@pytest.mark.parametrize("written", [1790000020.1, "a\tb", "a\x00", "a\u202eb", "a\u200b", "x" * 257])
def test_an_id_that_could_be_taken_for_another_is_refused(written):
    assert the_problem(LEAST | {"id": written}).startswith("id ")


def test_an_id_with_half_a_surrogate_pair_is_refused():
    assert the_problem(b'{"id":"a\\ud800","direction":"in","phone":"1","duration":1}').startswith("id ")


@pytest.mark.parametrize("written", [73, "73", " 73 ", 73.0, 73.9, "73.9"])
def test_a_duration_may_be_written_as_text_or_with_a_fraction(written):
    assert the_call(duration=written).duration == 73


@pytest.mark.parametrize("written", [-1, "-1", -0.5, 604_801, "1:13", "1e2", "NaN", "٧٣", 10**19])
def test_a_duration_that_is_none_is_refused(written):
    assert the_problem(LEAST | {"duration": written}).startswith("duration ")


@pytest.mark.parametrize(
    "written",
    [
        1_790_000_020,
        "1790000020",
        1_790_000_020.9,
        1_790_000_020_123,
        "1790000020123",
        "2026-09-21T14:13:40Z",
        "2026-09-21t14:13:40.123456789z",
        "2026-09-21T17:13:40+03:00",
        "2026-09-21 17:13:40+0300",
        "2026-09-21T05:43:40-08:30",
        "2026-09-21 17:13:40",
    ],
)
def test_a_start_time_may_be_written_in_many_ways(written):
    call = the_call(started_at=written)
    assert call.started_at == 1_790_000_020
    assert call.dated


def test_a_leap_second_is_a_time():
    assert the_call(started_at="2016-12-31T23:59:60Z").started_at == 1_483_228_799


@pytest.mark.parametrize("written", [0, "0"])
def test_a_start_time_of_zero_is_no_start_time(written):
    assert not the_call(started_at=written).dated


@pytest.mark.parametrize(
    "written", ["yesterday", "2026-13-01T00:00:00Z", "0000-01-01T00:00:00Z", "2026-09-21", 12, -5, 10**11 - 1, 1.79e15]
)
def test_a_start_time_that_is_none_is_refused(written):
    assert the_problem(LEAST | {"started_at": written}).startswith("started_at ")


@pytest.mark.parametrize("written", [7, "7", 7.0, "busy", "BUSY"])
def test_a_status_is_a_number_or_a_name(written):
    assert the_call(status=written).status is CallStatus.BUSY


@pytest.mark.parametrize("written", [0, 8, -1, "asleep", 1.5])
def test_any_other_status_is_refused(written):
    assert the_problem(LEAST | {"status": written}).startswith("status ")


def test_the_operators_statuses_come_first():
    overrides = {"NO ANSWER": CallStatus.UNAVAILABLE, "7": CallStatus.CALLBACK}
    for written, status in (("NO ANSWER", CallStatus.UNAVAILABLE), (7, CallStatus.CALLBACK)):
        (event,) = read(LEAST | {"status": written}, status_overrides=overrides)
        assert event.call.status is status


@pytest.mark.parametrize(("written", "direction"), [("OUT", Direction.OUTBOUND), ("local", Direction.INTERNAL)])
def test_directions_have_short_names(written, direction):
    assert the_call(direction=written).direction is direction


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "file:///etc/passwd", "//rec.example.net/1", "rec.mp3", "https://a b/", 5, [], True]
)
def test_a_link_that_is_no_web_address_is_dropped(link):
    assert the_call(link=link).link is None


def test_a_long_result_loses_its_tail_and_a_long_phone_is_refused():
    assert the_call(result="y " * 1000).result == ("y " * 500).strip()
    assert the_problem(LEAST | {"phone": "1" * 65}) == "phone is at most 64 characters"


def test_a_recording_needs_an_id_and_a_link_only():
    told = {"event": "call.recording", "id": "g-1", "link": "https://rec.example.net/1.mp3"}
    (event,) = read(told)
    assert isinstance(event, Recording)
    assert (event.ref, event.link, event.at) == ("g-1", told["link"], int(NOW))
    (event,) = read(told | {"at": 1_790_000_050})
    assert event.at == 1_790_000_050
    assert the_problem(told | {"link": "nowhere"}) == "link is an http or https URL"
    assert the_problem(told | {"id": None}) == "id is missing"


def test_an_unknown_event_is_ignored_under_a_bounded_name():
    (event,) = read({"event": "call.\x1b[31mringing" + "g" * 500})
    assert isinstance(event, Ignored)
    assert event.event.startswith("call.[31mringing")
    assert len(event.event) <= 64


def test_an_array_may_have_a_hundred_elements_each_with_its_own_bytes():
    elements = [json.dumps(LEAST | {"id": i, "result": "words, [and] brackets"}) for i in range(100)]
    events = read(f"[{','.join(elements)}]".encode())
    assert [event.call.ref for event in events] == [str(i) for i in range(100)]
    assert [event.body.decode() for event in events] == elements
    with pytest.raises(Undecodable, match="100"):
        read(f"[{','.join([*elements, elements[0]])}]".encode())


def test_an_empty_array_is_ignored():
    assert read([]) == [Ignored("empty")]


@given(st.data())
@QUICK
def test_whatever_one_element_holds_its_neighbours_stand(data):
    junk = data.draw(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*LEAST, "event", "link"]), inner)
            ),
            max_leaves=6,
        )
    )
    body = json.dumps([LEAST | {"id": "first"}, junk, LEAST | {"id": "last"}]).encode()
    events = read(body)
    assert (events[0].call.ref, events[-1].call.ref) == ("first", "last")
    assert len(events) == 3


@given(
    st.sampled_from([*LEAST, "started_at", "status", "result", "link", "extension", "event"]),
    st.text(st.characters(), min_size=1, max_size=30) | st.integers() | st.floats(),
)
@QUICK
def test_a_field_of_any_value_gives_a_call_or_a_problem_without_it(field, value):
    (event,) = read(LEAST | {field: value})
    if isinstance(event, Broken):
        assert field in event.problem or "number" in event.problem or "NaN" in event.problem
        assert len(str(value)) < 6 or str(value) not in event.problem


def test_without_a_secret_the_path_token_is_the_credential_and_without_both_nothing_is():
    GENERIC.verify(a_request(b"{}"), a_source(secrets=(), path_token="t"), NOW)
    with pytest.raises(Unauthenticated):
        GENERIC.verify(a_request(b"{}"), a_source(secrets=()), NOW)


def test_a_source_that_could_never_be_verified_is_misconfigured():
    GENERIC.check(a_source())
    GENERIC.check(a_source(auth="bearer", secrets=("whsec_anything at all",)))
    with pytest.raises(Misconfigured, match=r"sources\.office\.secret"):
        GENERIC.check(a_source(secrets=("whsec_%%%",)))
    with pytest.raises(Misconfigured, match=r"sources\.office\.secret"):
        GENERIC.check(a_source(secrets=()))


def test_a_bearer_source_does_not_take_a_signature():
    body = b"{}"
    with pytest.raises(Unauthenticated, match="bearer"):
        GENERIC.verify(a_request(body, signed(body)), a_source(auth="bearer"), NOW)


LONG_LOGIN = f"{'a' * 242}@example.com"


def test_whoever_took_the_call_may_have_a_name_as_long_as_an_address():
    assert the_call(extension=LONG_LOGIN).extension == LONG_LOGIN
