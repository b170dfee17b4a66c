"""The provider that runs a preset: decoding, handshakes, selection, elements, the call, and the story of all that."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import Call, CallStatus, Direction
from callbridge.errors import Misconfigured, Undecodable
from callbridge.intake.providers import provider_named
from callbridge.intake.providers.base import Broken, Challenge, Explains, Finished, Ignored, Recording
from callbridge.intake.providers.preset import PresetProvider
from callbridge.presets.load import read, shipped
from support.webhooks import FIXTURES, NOW, a_request, a_source, fixtures

HEAD = """
name = "mine"
title = "Mine"
auth.any_of = [{kind = "bearer"}, {kind = "path_token"}]
"""
MAP = """
[map]
ref = "id"
direction = "way"
phone = "number"
"""
CALL = {"id": "c-1", "way": "in", "number": "+49305550123"}
SOURCE = a_source(secrets=(), path_token="p", timezone="Europe/Berlin")


def a_preset(more: str = "", mapping: str = MAP) -> PresetProvider:
    return PresetProvider("mine.toml", read((HEAD + mapping + more).encode(), "mine.toml"))


def events(provider, told, source=SOURCE, **request):
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return provider.parse(a_request(body, request.pop("headers", {}), **request), source, NOW)


def call_of(more, told, source=SOURCE, **request) -> Call:
    (event,) = events(a_preset(more), told, source, **request)
    assert isinstance(event, Finished), event
    return event.call


def problem_of(more, told) -> str:
    (event,) = events(a_preset(more), told)
    assert isinstance(event, Broken), event
    return event.problem


@pytest.mark.parametrize(
    ("decode", "body"),
    [
        ('"json"', json.dumps(CALL).encode()),
        ('"text_json"', json.dumps(CALL).encode()),
        ('"auto"', json.dumps(CALL).encode()),
        ('"form"', urlencode(CALL).encode()),
        ('"auto"', urlencode(CALL).encode()),
        ('"form_json"\naccept.field = "cdr"', urlencode({"cdr": json.dumps(CALL), "x": 1}).encode()),
        (
            '"form_base64_json"\naccept.field = "cdr"',
            urlencode({"cdr": base64.b64encode(json.dumps(CALL).encode())}).encode(),
        ),
        ('"jwt"', json.dumps(CALL).encode()),
        ('"jwt"', b"e30." + base64.urlsafe_b64encode(json.dumps(CALL).encode()).rstrip(b"=") + b".sig"),
        (
            '"multipart"',
            b"".join(
                f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
                for name, value in CALL.items()
            )
            + b"--b--\r\n",
        ),
    ],
)
def test_the_same_call_comes_in_many_wrappings(decode, body):
    provider = PresetProvider("m", read((HEAD + f"accept.decode = {decode}" + MAP).encode(), "m"))
    (event,) = events(provider, body)
    assert isinstance(event, Finished)
    assert (event.call.ref, event.call.direction, event.call.phone) == ("c-1", Direction.INBOUND, "+49305550123")


def test_a_get_request_is_read_from_its_query():
    provider = PresetProvider("m", read((HEAD + 'accept.methods = ["GET", "POST"]' + MAP).encode(), "m"))
    assert provider.methods == {"GET", "POST"}
    (event,) = events(provider, b"", method="GET", query=urlencode(CALL))
    assert (event.call.phone, event.body) == ("+49305550123", urlencode(CALL).encode())


def test_brackets_nest_as_php_does():
    mapping = '[map]\nref = "call[id]"\ndirection = "way"\nphone = "x"\n'
    with pytest.raises(Misconfigured, match=r"map\.ref"):
        a_preset(mapping=mapping)
    mapping = '[map]\nref = "call.id"\ndirection = "call.legs[1].way"\nphone = "call.legs[0].num"\n'
    provider = PresetProvider("m", read((HEAD + 'accept.decode = "form_brackets"\n' + mapping).encode(), "m"))
    (event,) = events(provider, b"call%5Bid%5D=7&call[legs][0][num]=%2B49&call[legs][1][way]=out")
    assert (event.call.ref, event.call.phone, event.call.direction) == ("7", "+49", Direction.OUTBOUND)
    for clash in (b"call=1&call[id]=2", b"call" + b"[a]" * 20 + b"=1"):
        with pytest.raises(Undecodable):
            events(provider, clash)


def test_json_in_json_and_percent_in_json():
    accept = 'accept.nested_json = ["msg"]\naccept.percent_decoded = ["vars"]\n'
    mapping = '[map]\nref = "msg.id"\ndirection = "vars.way"\nphone = "vars.num"\n'
    provider = PresetProvider("m", read((HEAD + accept + mapping).encode(), "m"))
    for msg in ('{"id": "n-1"}', {"id": "n-1"}):
        (event,) = events(provider, {"msg": msg, "vars": {"way": "in", "num": "%2B49%2030"}})
        assert (event.call.ref, event.call.phone) == ("n-1", "+49 30")
    with pytest.raises(Undecodable):
        events(provider, {"msg": '{"id"'})


HANDSHAKES = """
[[handshake]]
method = "GET"
query = "echo"
reply.text = "@query.echo"
[[handshake]]
header = "Validation-Token"
reply.headers = {"Validation-Token" = "@header.validation-token"}
[[handshake]]
method = "OPTIONS"
header = "WebHook-Request-Origin"
reply.status = 204
reply.headers = {"WebHook-Allowed-Origin" = "@header.webhook-request-origin", "WebHook-Allowed-Rate" = "'120'"}
[[handshake]]
when = {value = "event", equals = "check"}
reply.json = {plain = "token", sealed = "hmac_sha256(token)"}
"""


def test_unsigned_handshakes_are_answered():
    provider = a_preset(HANDSHAKES)
    echo = provider.greet(a_request(method="GET", query="echo=abc-123"), SOURCE)
    assert (echo.body, echo.content_type) == (b"abc-123", "text/plain")
    header = provider.greet(a_request(b"{}", {"validation-token": "t-1"}), SOURCE)
    assert dict(header.headers) == {"Validation-Token": "t-1"}
    options = provider.greet(a_request(method="OPTIONS", headers={"webhook-request-origin": "e.example"}), SOURCE)
    assert (options.status, dict(options.headers)["WebHook-Allowed-Origin"]) == (204, "e.example")
    assert dict(options.headers)["WebHook-Allowed-Rate"] == "120"
    assert provider.greet(a_request(json.dumps(CALL).encode()), SOURCE) is None
    assert provider.greet(a_request(method="POST", query="echo=abc"), SOURCE) is None


@pytest.mark.parametrize("echo", ["<script>", "a%20b", "a%0d%0ab", "", "x" * 257, "%C3%A4"])
def test_nothing_but_harmless_text_is_sent_back(echo):
    assert a_preset(HANDSHAKES).greet(a_request(method="GET", query=f"echo={echo}"), SOURCE) is None


def test_a_signed_handshake_is_answered_with_the_secret():
    source = a_source(secrets=("s1", "s0"))
    (event,) = events(a_preset(HANDSHAKES), {"event": "check", "token": "<t>"}, source)
    assert isinstance(event, Challenge)
    assert json.loads(event.reply.body)["plain"] == "<t>"
    assert len(json.loads(event.reply.body)["sealed"]) == 64
    for token in (None, [], "x" * 1_025):
        (event,) = events(a_preset(HANDSHAKES), {"event": "check", "token": token}, source)
        assert isinstance(event, Broken)


SELECT = """
[select]
by = "event"
finished = ["Hangup"]
finished_if = [{value = "done", equals = true}]
recording = ["record"]
recording_if = [{value = "url", present = true}]
ignore = ["ring"]
skip_if = [{value = "test", equals = "1"}]
[recording]
ref = "id"
link = "url"
at = "at"
"""


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"event": "hangup"}, Finished),
        ({"event": "HANGUP"}, Finished),
        ({"done": True}, Finished),
        ({"event": "ring", "done": True}, Ignored),
        ({"event": "hangup", "test": "1"}, Ignored),
        ({"event": "other"}, Ignored),
        ({}, Ignored),
        ({"event": "record", "url": "https://r/1"}, Recording),
        ({"event": "hangup", "url": "https://r/1"}, Recording),
        ({"event": "record"}, Broken),
    ],
)
def test_an_event_is_selected(told, kind):
    (event,) = events(a_preset(SELECT), CALL | told)
    assert isinstance(event, kind)


@pytest.mark.parametrize("at", ["-99999999999999", 9e15, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", 5])
def test_a_recording_at_an_impossible_time_is_a_problem_and_no_fault_of_ours(at):
    more = '[recording]\nref = "id"\nrecording = "file"\nat = "at"\n[select]\nby = "event"\nrecording = ["rec"]\n'
    problem = problem_of(more, {"event": "rec", "id": "c-1", "file": "f.mp3", "at": at})
    assert problem.startswith("at (at)")


def test_a_recording_has_its_time_or_the_receipts():
    (event,) = events(a_preset(SELECT), {"id": "c-1", "url": "https://r/1", "at": 1_790_000_050})
    assert (event.ref, event.link, event.at) == ("c-1", "https://r/1", 1_790_000_050)
    (event,) = events(a_preset(SELECT), {"id": "c-1", "url": "https://r/1"})
    assert event.at == int(NOW)


@pytest.mark.parametrize(
    ("match", "names", "path", "kind"),
    [
        ("end", '["summary"]', ("events", "summary"), Finished),
        ("end", '["summary"]', ("events", "call"), Ignored),
        ("whole", '["events/summary"]', ("events", "summary"), Finished),
        ("whole", '["summary"]', ("events", "summary"), Ignored),
        ("start", '["events/"]', ("events", "summary"), Finished),
    ],
)
def test_an_event_may_be_named_by_the_address(match, names, path, kind):
    provider = a_preset(f'[select]\nby = "@path"\nmatch = "{match}"\nfinished = {names}')
    (event,) = events(provider, CALL, path=path)
    assert isinstance(event, kind)
    assert event.event == "/".join(path)


def test_case_counts_where_the_preset_says_so():
    provider = a_preset('[select]\nby = "event"\ncase = "exact"\nfinished = ["Hangup"]')
    assert [type(events(provider, CALL | {"event": e})[0]) for e in ("Hangup", "hangup")] == [Finished, Ignored]


def test_every_element_of_an_array_is_a_call_of_its_own():
    provider = a_preset('[select]\nby = "@root.event"\nfinished = ["done"]\neach = ["data.calls", "data.legs"]')
    told = {"event": "done", "data": {"legs": [CALL, {"way": "in"}, CALL | {"id": "c-2"}, 7]}}
    first, second, third, fourth = events(provider, told)
    assert [first.call.ref, third.call.ref] == ["c-1", "c-2"]
    assert isinstance(second, Broken) and isinstance(fourth, Broken)
    assert len({first.body, second.body, third.body, fourth.body}) == 4
    assert [type(each) for each in events(provider, {"event": "other", "data": {}})] == [Ignored]
    assert [type(each) for each in events(provider, {"event": "done", "data": {}})] == [Broken]
    assert [type(each) for each in events(provider, {"event": "done", "data": {"legs": []}})] == [Ignored]
    with pytest.raises(Undecodable, match="more than 100 elements"):
        events(provider, {"event": "done", "data": {"legs": [{}] * 101}})


def test_a_batch_and_a_single_object_alike():
    provider = a_preset('[select]\neach = "@root"')
    assert len(events(provider, CALL)) == 1
    assert len(events(provider, [CALL, CALL])) == 2
    with pytest.raises(Undecodable, match="is not an object"):
        events(a_preset(), [CALL])


@pytest.mark.parametrize(
    ("rule", "told", "source", "direction"),
    [
        ('"outbound"', {}, {}, "outbound"),
        ('"way"', {"way": "Outgoing"}, {}, "outbound"),
        ('{value = "k", table = {"0" = "internal", "1" = "inbound"}}', {"k": 0}, {}, "internal"),
        ('{value = "k", prefix = {"out" = "outbound", "out-int" = "internal"}}', {"k": "OUT-INT-1"}, {}, "internal"),
        ('[{if = {value = "k", gt = 3}, then = "outbound"}, "inbound"]', {"k": 4}, {}, "outbound"),
        ('[{if = {value = "k", gt = 3}, then = "outbound"}, "inbound"]', {"k": 3}, {}, "inbound"),
        ('{numbers = ["a", "b"]}', {"a": "101", "b": "+49301112233"}, {}, "outbound"),
        ('{numbers = ["a", "b"]}', {"a": "+49301112233", "b": "101"}, {}, "inbound"),
        ('{numbers = ["a", "b"]}', {"a": "102", "b": "101"}, {}, "internal"),
        (
            '{numbers = ["a", "b"]}',
            {"a": "0049 30 4445566", "b": "0301112233"},
            {"own_numbers": ("+49304445566",)},
            "outbound",
        ),
        ('{routes = "ctx"}', {"ctx": "from-trunk-7"}, {"directions": {"from-trunk": Direction.INBOUND}}, "inbound"),
    ],
)
def test_a_direction_is_told_by_the_first_rule_that_can(rule, told, source, direction):
    mapping = f'[map]\nref = "id"\ndirection = {rule}\nphone = "number"\n'
    made = a_source(secrets=(), path_token="p", **source)
    (event,) = events(a_preset(mapping=mapping), {"id": "c", "number": "1"} | told, made)
    assert isinstance(event, Finished), event
    assert event.call.direction == direction


def test_a_direction_that_no_rule_can_tell_is_a_problem():
    assert problem_of("", CALL | {"way": "sideways"}) == "direction cannot be told by any rule"


@pytest.mark.parametrize(
    ("duration", "told", "seconds"),
    [
        ('"talk"', {"talk": 42}, 42),
        ('"talk"', {"talk": "42.9"}, 42),
        ('"talk"', {"talk": ""}, 0),
        ('{value = "talk", unit = "ms"}', {"talk": 42999.5}, 42),
        ('{value = "talk", unit = "min"}', {"talk": 1.5}, 90),
        ('{value = "talk", unit = "hms"}', {"talk": "00:01:02"}, 62),
        ('"sub(end, answer)"', {"end": 1_790_000_052, "answer": 1_790_000_010}, 42),
        ('"if_present(answer, talk)"', {"talk": 42}, 0),
    ],
)
def test_talk_time_in_its_unit(duration, told, seconds):
    call = call_of(f"duration = {duration}", CALL | told)
    assert call.duration == seconds
    assert (call.status is CallStatus.ANSWERED) is (seconds > 0)


def test_whether_anybody_talked_may_be_a_condition():
    more = 'duration = "talk"\nanswered = {value = "answer", present = true}'
    assert call_of(more, CALL | {"talk": 42}).duration == 0
    call = call_of(more, CALL | {"answer": "1"})
    assert (call.duration, call.status) == (0, CallStatus.ANSWERED)


STATUS = """
duration = "talk"
[map.status]
value = "why"
table = {BUSY = "busy", "NO SUCH" = 5}
prefix = {CHAN = "unavailable", CHANX = 7}
"""
VOICEMAIL = 'voicemail = {value = "why", equals = "VM"}'


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"why": "busy"}, CallStatus.BUSY),
        ({"why": "No Such"}, CallStatus.WRONG_NUMBER),
        ({"why": "CHANUNAVAIL"}, CallStatus.UNAVAILABLE),
        ({"why": "CHANX"}, CallStatus.BUSY),
        ({"why": "whatever"}, CallStatus.NO_ANSWER),
        ({}, CallStatus.NO_ANSWER),
        ({"why": "BUSY", "talk": 3}, CallStatus.ANSWERED),
        ({"why": "VM", "talk": 3}, CallStatus.VOICEMAIL),
    ],
)
def test_a_call_without_talk_ends_as_the_table_says(told, status):
    assert call_of(VOICEMAIL + STATUS, CALL | told).status is status


def test_the_sources_overrides_come_before_the_table():
    source = a_source(secrets=(), path_token="p", status_overrides={"BUSY": CallStatus.NO_ANSWER})
    assert call_of(STATUS, CALL | {"why": "BUSY"}, source).status is CallStatus.NO_ANSWER
    assert call_of(STATUS, CALL | {"why": "BUSY", "talk": 1}, source).status is CallStatus.ANSWERED
    source = a_source(secrets=(), path_token="p", status_overrides={"odd": CallStatus.BUSY})
    assert call_of('result = "why"', CALL | {"why": "odd"}, source).status is CallStatus.BUSY


def test_numbers_stand_in_different_places_by_direction():
    mapping = """
[map]
ref = "id"
direction = "way"
phone = {inbound = ["from", "cli"], outbound = "to"}
extension = {inbound = "short(to)", outbound = "from"}
"""
    provider = a_preset(mapping=mapping)

    def told(way, **more):
        (event,) = events(provider, {"id": "c", "way": way, **more})
        return event.call.phone, event.call.extension

    assert told("in", cli="+4930", to="101") == ("+4930", "101")
    assert told("out", **{"from": "101", "to": "sip:+4930@trunk.example"}) == ("+4930", "101")
    assert told("internal", **{"from": "101", "to": "102"}) == ("102", "101")
    assert told("in", **{"from": "Anonymous"}) == ("", None)


@pytest.mark.parametrize(
    ("started", "told", "at", "dated"),
    [
        ('"t"', {"t": "2026-09-21 16:13:30"}, 1_790_000_010, True),
        ('{value = "t", zone = "utc"}', {"t": "2026-09-21 14:13:30"}, 1_790_000_010, True),
        ('{value = "t", zone = "Asia/Tokyo"}', {"t": "2026-09-21 23:13:30"}, 1_790_000_010, True),
        ('{value = "t", of = "end"}', {"t": 1_790_000_052}, 1_790_000_010, True),
        ('{value = "t", of = "end", length = "all"}', {"t": 1_790_000_052, "all": 50}, 1_790_000_002, True),
        ('["x", "t"]', {"t": 1_790_000_010}, 1_790_000_010, True),
        ('["x", {value = "t", of = "end"}]', {"t": 1_790_000_052}, 1_790_000_010, True),
        ('["x", {value = "t", of = "end"}]', {"t": 1_790_000_052, "x": 1_790_000_005}, 1_790_000_005, True),
        ('["x", {value = "t", of = "end"}]', {"x": 0}, int(NOW) - 42, False),
        ('"t"', {"t": 0}, int(NOW) - 42, False),
        ('"t"', {}, int(NOW) - 42, False),
    ],
)
def test_when_a_call_began(started, told, at, dated):
    call = call_of(f'duration = "talk"\nstarted_at = {started}', CALL | {"talk": 42} | told)
    assert (call.started_at, call.dated) == (at, dated)


def test_no_talk_is_a_length_that_is_there():
    call = call_of('duration = {value = "t", required = true}', CALL | {"t": 0})
    assert (call.duration, call.status) == (0, CallStatus.NO_ANSWER)


def test_an_id_that_never_comes_twice_needs_no_day():
    assert call_of('started_at = "t"\nunique = true', CALL | {"t": 1_790_000_010}).dated is False


@pytest.mark.parametrize(
    ("mapping", "told", "link", "recording"),
    [
        ('link = "url"', {"url": "https://r.example/a b.mp3"}, "https://r.example/a%20b.mp3", None),
        ('link = "url"', {"url": "javascript:alert(1)"}, None, None),
        ('link = ["x", "urls[0]"]', {"urls": ["https://r/1"]}, "https://r/1", None),
        (
            'link = {template = "https://r/{f}?k={k}", values = {f = "file", k = "id"}}',
            {"file": "../a&b/ü.wav"},
            "https://r/..%2Fa%26b%2F%C3%BC.wav?k=c-1",
            None,
        ),
        ('link = {template = "https://r/{f}", values = {f = "file"}}', {}, None, None),
        ('recording = "file"', {"file": "2026/a.wav"}, None, "2026/a.wav"),
        ('link = "url"\nrecording = "file"', {"file": "a", "url": "https://r/1"}, "https://r/1", None),
    ],
)
def test_where_a_recording_is(mapping, told, link, recording):
    (event,) = events(a_preset(mapping), CALL | told)
    assert (event.call.link, event.recording) == (link, recording)


@pytest.mark.parametrize(
    ("more", "told", "problem"),
    [
        ("", {"id": None}, "ref (id) is missing"),
        ("", {"id": 1.5}, "ref (id) is text or a whole number"),
        ("", {"number": ["x"]}, "number is text or a number"),
        ("", {"number": "9" * 65}, "phone (number) is at most 64 characters"),
        ('duration = "t"', {"t": "long"}, "duration (t) is a number"),
        ('duration = "t"', {"t": -1}, "duration (t) is less than nothing"),
        ('duration = {value = "t", required = true}', {}, "duration (t) is missing"),
        ('duration = {value = ["t", "u"], required = true}', {"t": ""}, "duration (t or u) is missing"),
        ('duration = "t"', {"t": 10**7}, "duration is between 0 seconds and 7 days"),
        ('started_at = "t"', {"t": "soon"}, "started_at (t): is a point in time (auto)"),
        ('started_at = "t"', {"t": 5}, "started_at is Unix seconds between the years 2000 and 2100"),
        ('answered = {value = "t", gt = 1}', {"t": "long"}, "t is a number"),
        ('[select]\nskip_if = [{value = "t", gt = 1}]', {"t": "long"}, "t is a number"),
    ],
)
def test_a_problem_names_place_and_field_and_repeats_nothing(more, told, problem):
    assert problem_of(more, CALL | told) == problem


def test_the_reply_is_the_presets():
    assert a_preset().reply.body == b'{"accepted": true}'
    assert a_preset('[reply]\ntext = "OK"\nstatus = 202\nheaders = {X-A = "1"}').reply.body == b"OK"
    assert a_preset("[reply]\njson = {success = true}").reply.body == b'{"success": true}'


def test_the_label_of_what_cannot_be_read():
    provider = a_preset(SELECT)
    assert provider.event_of(a_request(b'{"event": "hang\\u0000up"}')) == "hangup"
    assert provider.event_of(a_request(b"{")) == "webhook"
    assert provider.event_of(a_request(b'{"event": [1]}')) == "webhook"


OWN = str(FIXTURES / "own_presets" / "acme.toml")


def test_a_source_may_name_a_file_of_its_own():
    provider = provider_named(OWN)
    assert provider.title == "Acme Cloud PBX"
    assert provider_named(OWN) is provider
    with pytest.raises(Misconfigured, match="cannot be read"):
        provider_named("./nowhere.toml")


def acme(**more) -> dict[str, object]:
    call = {
        "uid": "ac-55-0193",
        "way": "I",
        "from": "+49 30 5550123",
        "to": "4930555099",
        "path": "200,207",
        "begin": "21.09.2026 16:13:30",
        "talk_ms": 42300,
        "cause": "NORMAL",
    }
    return {"event": "call.hangup", "call": call | more}


def test_the_worked_example_reads_what_it_says():
    source = a_source(provider=OWN, secrets=(), path_token="p", timezone="Europe/Berlin")
    (event,) = events(provider_named(OWN), acme(), source)
    call = event.call
    assert (call.ref, call.direction, call.phone, call.extension) == ("ac-55-0193", "inbound", "+49 30 5550123", "207")
    assert (call.duration, call.started_at, call.status) == (42, 1_790_000_010, CallStatus.ANSWERED)
    (event,) = events(provider_named(OWN), acme(**{"from": "207", "to": "208"}), source)
    assert event.call.direction is Direction.INTERNAL


def steps(provider, request, source, now=NOW) -> dict[str, str]:
    assert isinstance(provider, Explains)
    return {step.name: step.text for step in provider.explain(request, source, now)}


def test_the_way_of_a_request_is_told_step_by_step():
    source = a_source(provider=OWN, secrets=("S",), timezone="Europe/Berlin")
    told = steps(provider_named(OWN), a_request(json.dumps(acme()).encode()), source)
    assert told["auth hmac"] == "no_signature"
    assert told["selected"] == "call.hangup: finished (finished)"
    assert told["ref"] == "call.uid -> ac-55-0193"
    assert told["extension"].endswith("-> 207")
    assert told["link"] == "not in the preset"
    assert told["call"].startswith("inbound +49 30 5550123 answered 42 s")
    told = steps(provider_named(OWN), a_request(json.dumps(acme(talk_ms="x")).encode()), source)
    assert told["broken"] == "duration (call.talk_ms) is a number"
    assert steps(provider_named(OWN), a_request(b"{"), source)["read"].startswith("is not JSON")
    assert "abc" in steps(provider_named(OWN), a_request(method="GET", query="challenge=abc"), source)["handshake"]


SIGNED_TIME = "1790000101"


def signed(secret: str, *, header: str = "x-acme-signature", out: str = "hex", **changes):
    """A webhook of Acme's, signed right or in one of the ways in which people get it wrong."""
    body = json.dumps(acme(**changes)).encode()
    made = hmac.digest(secret.encode(), SIGNED_TIME.encode() + b"." + body, "sha256")
    value = made.hex() if out == "hex" else base64.b64encode(made).decode()
    return a_request(body, {"x-acme-time": SIGNED_TIME, header: f"sha256={value}"})


def hinted(request, **changes):
    source = a_source(**({"provider": OWN, "secrets": ("the-secret",), "timezone": "Europe/Berlin"} | changes))
    return steps(provider_named(OWN), request, source, now=int(SIGNED_TIME) + 5)


def test_a_wrong_signature_is_told_beside_the_right_one_and_what_was_signed():
    told = hinted(signed("another"))
    right = signed("the-secret").headers["x-acme-signature"]
    assert told["auth hmac"] == "bad_signature"
    assert (
        told["auth hmac looked for"]
        == f"header x-acme-signature: found {signed('another').headers['x-acme-signature']}"
    )
    assert told["auth hmac signed"].startswith(
        '@header.x-acme-time + \'.\' + @body, which is: 1790000101.{"event": "call.hangup"'
    )
    assert told["auth hmac signed"].endswith("...")
    assert len(told["auth hmac signed"]) < 260
    assert told["auth hmac expected"].startswith(f"hex {right}; b64 (not in out) sha256=")
    assert "what came is" not in told["auth hmac expected"]


def test_a_signature_that_is_written_otherwise_is_recognised():
    assert hinted(signed("the-secret", out="b64"))["auth hmac expected"].endswith("; what came is b64")


def test_a_header_that_is_not_there_is_told():
    told = hinted(signed("the-secret", header="x-acme-sig"))
    assert told["auth hmac looked for"] == "header x-acme-signature: not found"


def test_a_signature_that_holds_needs_no_hints():
    told = hinted(signed("the-secret"))
    assert told["verified"] == "it is from whom it says"
    assert not [name for name in told if name.startswith("auth hmac ")]


def test_hints_hide_the_secret_wherever_it_stands_before_anything_is_cut():
    for length in range(120, 150):
        request = signed("x", uid="a" * length + "the-secret", path="the-secret")
        told = " ".join(hinted(request).values())
        assert "the-s" not in told, length
    digest = (
        'name = "d"\ntitle = "D"\n[auth]\nall_of = [{kind = "digest", parts = ["@secret", "@body"], in = "s"}]\n'
        '[map]\nref = "id"\ndirection = "inbound"\nphone = "n"\n'
    )
    provider = PresetProvider("d.toml", read(digest.encode(), "d.toml"))
    told = steps(provider, a_request(b'{"s":"0"}'), a_source(secrets=("abc",)))
    assert told["auth digest signed"] == '@secret + @body, which is: [secret]{"s":"0"}'
    right = hashlib.sha256(b'abc{"s":"0"}').hexdigest()
    assert f"hex {right}" in told["auth digest expected"]


def test_no_secret_is_told():
    for name in shipped():
        for case in fixtures(name):
            provider = provider_named(case.source.provider)
            told = " ".join(step.text for step in provider.explain(case.request, case.source, case.now))
            assert not [secret for secret in case.source.secrets if secret in told]


MUTATED = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("name", shipped())
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_mutation_of_a_body_raises_anything_but_undecodable(name, data):
    case = data.draw(st.sampled_from(fixtures(name)))
    provider, source, request = provider_named(case.source.provider), case.source, case.request
    body = bytearray(request.body)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 6))] = data.draw(st.binary(max_size=4))
    mutated = a_request(
        bytes(body), dict(request.headers), method=request.method, query=request.target.partition("?")[2]
    )
    _survives(provider, mutated, source)


@pytest.mark.parametrize("name", shipped())
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_no_value_in_a_body_raises_anything_but_undecodable(name, data):
    whole = [
        case for case in fixtures(name) if case.request.body.startswith(b"{") and "undecodable" not in case.expected
    ]
    if not whole:
        whole = [case for case in fixtures("zoom") if "undecodable" not in case.expected]
    case = data.draw(st.sampled_from(whole))
    told = json.loads(case.request.body)
    here = told
    while True:
        places = list(here) if isinstance(here, dict) else list(range(len(here)))
        if not places:
            break
        place = data.draw(st.sampled_from(places))
        if not isinstance(here[place], dict | list) or data.draw(st.booleans()):
            here[place] = data.draw(MUTATED)
            break
        here = here[place]
    body = json.dumps(told).encode()
    _survives(provider_named(f"preset:{name}"), a_request(body, dict(case.request.headers)), case.source)


def _survives(provider, request, source):
    with contextlib.suppress(Undecodable):
        assert provider.parse(request, source, NOW)
    assert provider.event_of(request)
    assert list(provider.explain(request, source, NOW))


def test_the_names_of_shipped_presets_are_their_files():
    data = Path(__file__).parents[2] / "src" / "callbridge" / "presets" / "data"
    assert {path.stem for path in data.glob("*.toml")} == set(shipped())


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_preset_has_a_refused_a_repeated_and_a_hostile_fixture(name):
    told = fixtures(name)
    assert any("refused" in case.expected for case in told)
    assert any("repeats" in case.expected for case in told)
    assert any(case.name.startswith("hostile") for case in told)


LONG_LOGIN = f"{'a' * 242}@example.com"


def test_whoever_took_the_call_may_have_a_name_as_long_as_an_address():
    assert call_of('extension = "who"', CALL | {"who": LONG_LOGIN}).extension == LONG_LOGIN
