"""Zadarma and Novofon v1: the handshake, which three fields are signed, and what the events say."""

from __future__ import annotations

import base64
import hashlib
import hmac
from contextlib import suppress
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.call import CallStatus, Direction
from callbridge.errors import Misconfigured, Unauthenticated, Undecodable
from callbridge.intake.providers.base import Finished, Ignored, Recording
from callbridge.intake.providers.zadarma import ZADARMA
from support.webhooks import NOW, a_request, a_source

QUICK = settings(max_examples=200, deadline=None)
SECRET = "zd-secret-of-the-tests"
END = {
    "event": "NOTIFY_END", "call_start": "2026-09-21 17:13:20", "pbx_call_id": "in_0f5", "caller_id": "79165550171",
    "called_did": "74955550172", "internal": "131", "duration": "0", "disposition": "cancel", "status_code": "16",
    "is_recorded": "0", "call_id_with_rec": "",
}  # fmt: skip
OUT = {
    "event": "NOTIFY_OUT_END", "call_start": "2026-09-21 17:13:20", "pbx_call_id": "out_0f6", "caller_id": "74955550172",
    "destination": "79165550173", "internal": "131", "duration": "42", "disposition": "answered",
}  # fmt: skip
RECORD = {"event": "NOTIFY_RECORD", "pbx_call_id": "in_0f5", "call_id_with_rec": "1789.55"}
SIGNED = [
    ("NOTIFY_START", "caller_id called_did call_start"), ("NOTIFY_INTERNAL", "caller_id called_did call_start"),
    ("NOTIFY_END", "caller_id called_did call_start"), ("NOTIFY_IVR", "caller_id called_did call_start"),
    ("NOTIFY_ANSWER", "caller_id destination call_start"), ("NOTIFY_OUT_START", "internal destination call_start"),
    ("NOTIFY_OUT_END", "internal destination call_start"), ("NOTIFY_RECORD", "pbx_call_id call_id_with_rec"),
    ("SMS", "result"), ("NUMBER_LOOKUP", "result"), ("CALL_TRACKING", "result"), ("SPEECH_RECOGNITION", "result"),
]  # fmt: skip
FIELDS = dict(SIGNED)


def signature(text, secret=SECRET, *, raw=False):
    digest = hmac.new(secret.encode(), text if isinstance(text, bytes) else text.encode(), hashlib.sha1)
    return base64.b64encode(digest.digest() if raw else digest.hexdigest().encode()).decode()


def signed(told, secret=SECRET, *, raw=False):
    text = "".join(told.get(name, "") for name in FIELDS[told["event"]].split())
    return a_request(urlencode(told).encode(), {"Signature": signature(text, secret, raw=raw)})


def source_with(**changes):
    return a_source(**({"provider": "zadarma", "secrets": (SECRET,)} | changes))


def read(told, **source):
    request, configured = signed(told), source_with(**source)
    ZADARMA.verify(request, configured, NOW)
    return ZADARMA.parse(request, configured, NOW)


def the_call(told=END, source=None, **changes):
    (event,) = read(told | changes, **(source or {}))
    assert isinstance(event, Finished)
    return event.call


def refused(request, **source):
    with pytest.raises(Unauthenticated):
        ZADARMA.verify(request, source_with(**source), NOW)


# --- the handshake ---------------------------------------------------------------------------------------------------


@given(st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True))
@QUICK
def test_a_plain_echo_is_given_back_exactly(text):
    reply = ZADARMA.greet(a_request(method="GET", query=f"zd_echo={text}"), source_with())
    assert reply
    assert (reply.status, reply.content_type, reply.body) == (200, "text/plain", text.encode())


@given(st.text(max_size=80).filter(lambda text: not (text.isascii() and 0 < len(text) < 65)))
@QUICK
def test_nothing_else_is_echoed(text):
    request = a_request(method="GET", query=f"zd_echo={quote(text, errors='replace', safe='')}")
    assert ZADARMA.greet(request, source_with()) is None


@pytest.mark.parametrize("text", ["<b>", "a b", "a\n", "a/b", "a%00", "x" * 65, ""])
def test_markup_and_the_like_is_no_greeting_and_refused(text):
    request = a_request(method="GET", query=f"zd_echo={quote(text, safe='')}")
    assert ZADARMA.greet(request, source_with()) is None
    refused(request)


def test_a_post_is_never_a_greeting():
    assert ZADARMA.greet(a_request(b"", query="zd_echo=abc"), source_with()) is None


# --- the signature ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize(("event", "names"), SIGNED)
def test_each_event_is_signed_over_its_fields_in_both_spellings(event, names, raw):
    told = {"event": event, **{name: f"{name}-1" for name in names.split()}}
    ZADARMA.verify(signed(told, raw=raw), source_with(), NOW)
    for name in names.split():
        request = signed(told, raw=raw)
        refused(a_request(urlencode(told | {name: "another"}).encode(), dict(request.headers)))


def test_the_text_is_signed_as_decoded_bytes():
    told = END | {"caller_id": "Контора № 5 & Co"}
    ZADARMA.verify(signed(told), source_with(), NOW)
    body = urlencode(told | {"caller_id": ""}).encode().replace(b"caller_id=", b"caller_id=\xff%FE")
    text = b"\xff\xfe" + f"{END['called_did']}{END['call_start']}".encode()
    ZADARMA.verify(a_request(body, {"signature": signature(text)}), source_with(), NOW)


def test_both_live_secrets_hold_and_a_third_does_not():
    source = source_with(secrets=(SECRET, "the secret before"))
    for secret in source.secrets:
        ZADARMA.verify(signed(END, secret), source, NOW)
    refused(signed(END, "another"), secrets=source.secrets)


@given(st.data(), st.booleans())
@QUICK
def test_one_flipped_bit_of_a_signed_field_or_of_the_signature_is_refused(data, raw):
    told = data.draw(st.sampled_from([END, OUT, RECORD]))
    names = FIELDS[told["event"]].split()
    request = signed(told, raw=raw)
    parts = {name: bytearray(value.encode()) for name, value in told.items()}
    parts["signature"] = bytearray(request.headers["signature"].encode())
    part = parts[data.draw(st.sampled_from([*names, "signature"]))]
    part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    header = bytes(parts.pop("signature")).decode("latin-1")
    body = "&".join(f"{name}={quote(bytes(value), safe='')}" for name, value in parts.items()).encode()
    refused(a_request(body, {"signature": header}))


def test_duration_and_disposition_are_not_covered_by_the_signature():
    """The vendor's scheme; the guide says so. This test tells when it changes."""
    request = signed(END)
    body = urlencode(END | {"duration": "600", "disposition": "answered", "pbx_call_id": "in_other"}).encode()
    ZADARMA.verify(a_request(body, dict(request.headers)), source_with(), NOW)
    assert "Not signed" in ZADARMA.guide
    assert "`duration`, `disposition`" in ZADARMA.guide


@pytest.mark.parametrize("names", ["internal destination call_start", "caller_id destination call_start", "result"])
def test_a_known_event_is_not_signed_in_the_way_of_another(names):
    told = END | {"destination": "79165550173", "result": "r"}
    text = "".join(told[name] for name in names.split())
    refused(a_request(urlencode(told).encode(), {"signature": signature(text)}))


def test_a_signature_over_nothing_opens_nothing():
    refused(a_request(b"event=NOTIFY_END&duration=5&pbx_call_id=x", {"signature": signature("")}))
    refused(a_request(b"event=SMS&result=", {"signature": signature("")}))


@given(st.binary(max_size=100), st.text(max_size=40))
@QUICK
def test_any_other_bytes_are_refused(body, header):
    refused(a_request(body, {"signature": header}))
    refused(a_request(b"event=NOTIFY_END&" + body))


def test_a_known_event_is_not_excused_by_a_path_token():
    refused(a_request(urlencode(END).encode()), path_token="secret-path")


@pytest.mark.parametrize("around", ["{} ", " {}", "\t{}", "{}\u200b", "{}" + " " * 60 + "x"])
@pytest.mark.parametrize("event", ["NOTIFY_END", "NOTIFY_RECORD"])
def test_no_spelling_of_a_known_event_goes_unsigned(event, around):
    told = (END if event == "NOTIFY_END" else RECORD) | {"event": around.format(event)}
    request = a_request(urlencode(told).encode())
    refused(request, path_token="in the address")
    assert not isinstance(ZADARMA.parse(request, source_with(), NOW)[0], Ignored)
    request = a_request(urlencode(told).encode(), {"Signature": signature(END["caller_id"])})
    refused(request, path_token="in the address")


def test_an_undocumented_event_is_ignored_if_signed_in_any_known_way_or_behind_a_path_token():
    told = END | {"event": "NOTIFY_INTERNAL_END"}
    for names in {names for _, names in SIGNED if names != "result"}:
        text = "".join(told.get(name, "") for name in names.split())
        request = a_request(urlencode(told).encode(), {"signature": signature(text)})
        ZADARMA.verify(request, source_with(), NOW)
        assert ZADARMA.parse(request, source_with(), NOW) == [Ignored("NOTIFY_INTERNAL_END")]
    unsigned = a_request(urlencode(told).encode())
    refused(unsigned)
    ZADARMA.verify(unsigned, source_with(path_token="secret-path"), NOW)


def test_a_source_without_a_secret_is_misconfigured_and_verifies_nothing():
    with pytest.raises(Misconfigured, match=r"office\.secret"):
        ZADARMA.check(source_with(secrets=(), path_token="p"))
    ZADARMA.check(source_with())
    refused(signed(END, ""), secrets=())


# --- finished calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("disposition", "status"),
    [
        ("busy", "busy"), ("BUSY", "busy"), ("unallocated number", "wrong_number"), ("cancel", "no_answer"),
        ("no answer", "no_answer"), ("failed", "no_answer"), ("call failed", "no_answer"), ("no money", "no_answer"),
        ("no limit", "no_answer"), ("no day limit", "no_answer"), ("line limit", "no_answer"),
        ("no money, no limit", "no_answer"), ("answered", "no_answer"), ("something new", "no_answer"), ("", "no_answer"),
    ],
)  # fmt: skip
def test_a_call_without_talk_gets_its_status_from_the_disposition(disposition, status):
    call = the_call(disposition=disposition)
    assert call.status == status
    assert call.result == (disposition or None)
    assert the_call(disposition=disposition, duration="1").status is CallStatus.ANSWERED


def test_the_operators_word_comes_before_the_table_and_after_talk():
    overrides = {"busy": CallStatus.UNAVAILABLE}
    assert the_call(source={"status_overrides": overrides}, disposition="busy").status is CallStatus.UNAVAILABLE
    assert the_call(source={"status_overrides": overrides}, disposition="busy", duration="9").status == "answered"


def test_the_event_tells_the_direction_and_whose_number_it_is():
    incoming, outgoing = the_call(), the_call(OUT)
    assert (incoming.direction, incoming.phone, incoming.extension) == (Direction.INBOUND, "79165550171", "131")
    assert (outgoing.direction, outgoing.phone, outgoing.extension) == (Direction.OUTBOUND, "79165550173", "131")


def test_a_number_as_short_as_an_extension_is_a_colleague():
    assert the_call(OUT, destination="132").direction is Direction.INTERNAL
    assert the_call(OUT, destination="1234567").direction is Direction.OUTBOUND
    assert the_call(OUT, source={"internal_digits": 2}, destination="132").direction is Direction.OUTBOUND


@pytest.mark.parametrize("number", ["anonymous", "ANONYMOUS", "", " "])
def test_a_hidden_number_is_no_number(number):
    assert the_call(caller_id=number).phone == ""


@pytest.mark.parametrize(("zone", "at"), [("Europe/Moscow", 1_790_000_000), ("Asia/Tashkent", 1_790_000_000 - 7_200)])
def test_the_start_is_a_wall_clock_in_the_zone_of_the_source(zone, at):
    assert the_call(source={"timezone": zone}).started_at == at


@pytest.mark.parametrize("start", ["", "0", " "])
def test_without_a_start_it_is_estimated(start):
    call = the_call(OUT, call_start=start)
    assert call.started_at == NOW - 42


def test_all_that_is_told_of_a_call_has_one_key_whenever_it_is_told():
    first, again = the_call(), the_call(call_start="2026-09-23 00:00:01")
    assert not first.dated
    assert first.key == again.key


@pytest.mark.parametrize(("flag", "recording"), [("1", "1789.55"), ("true", "1789.55"), ("0", None), ("", None)])
def test_a_recorded_call_names_its_recording(flag, recording):
    (event,) = read(END | {"is_recorded": flag, "call_id_with_rec": "1789.55"})
    assert event.recording == recording


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pbx_call_id", ""), ("pbx_call_id", "x" * 300), ("pbx_call_id", "a\x00b"), ("duration", "soon"),
        ("duration", "-5"), ("call_start", "yesterday"), ("call_start", "2026-13-01 00:00:00"), ("caller_id", "9" * 65),
        ("internal", "1" * 255), ("call_id_with_rec", "r" * 300),
    ],
)  # fmt: skip
def test_a_wrong_value_makes_it_undecodable_with_the_field_named(field, value):
    with pytest.raises(Undecodable) as error:
        read(END | {field: value})
    assert field in error.value.reason
    assert value == "" or value not in error.value.reason


@given(st.sampled_from(list(END)), st.text(max_size=12))
@QUICK
def test_a_field_of_any_value_gives_an_event_or_undecodable(field, value):
    told = END | {field: value}
    request = a_request(urlencode(told, errors="replace").encode(), {})
    try:
        events = ZADARMA.parse(request, source_with(), NOW)
    except Undecodable:
        return
    assert isinstance(events[0], Finished | Ignored | Recording)


@given(
    st.binary(max_size=120), st.sampled_from([b"", b"event=NOTIFY_END&pbx_call_id=1&", b'{"event":"NOTIFY_RECORD",'])
)
@QUICK
def test_no_body_raises_anything_but_undecodable(body, start):
    request = a_request(start + body)
    ZADARMA.event_of(request)
    with suppress(Undecodable):
        ZADARMA.parse(request, source_with(), NOW)


# --- other events ----------------------------------------------------------------------------------------------------


def test_a_recording_is_told_by_name():
    assert read(RECORD) == [Recording("in_0f5", None, int(NOW), "NOTIFY_RECORD", urlencode(RECORD).encode(), "1789.55")]
    for name in ("pbx_call_id", "call_id_with_rec"):
        with pytest.raises(Undecodable, match=name):
            read(RECORD | {name: ""})


@pytest.mark.parametrize(
    "event", [event for event, _ in SIGNED if event not in {"NOTIFY_END", "NOTIFY_OUT_END", "NOTIFY_RECORD"}]
)
def test_other_events_are_ignored_unread(event):
    told = END | {"event": event, "result": "r", "destination": "", "duration": "not a number"}
    assert read(told) == [Ignored(event)]
    assert ZADARMA.event_of(signed(told)) == event


def test_a_body_without_an_event_is_undecodable():
    with pytest.raises(Undecodable, match="event is missing"):
        ZADARMA.parse(a_request(b"zd=1"), source_with(), NOW)
