"""Translation keeps the last ten digits, gives the same bytes for the same call, and never raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.amocrm.schema import CallItem
from callbridge.amocrm.translate import dialable, translate
from callbridge.call import Call, CallStatus, Direction, plain_text
from callbridge.outcome import NotForCrm, Ready, Reason, Untranslatable
from support.builders import a_call

USERS = {"101": 70071, "102": 70072}


def item_of(call: Call, users: dict[str, int] = USERS) -> dict[str, Any]:
    translation = translate(call, users)
    assert isinstance(translation, Ready)
    item: dict[str, Any] = json.loads(translation.item)
    return item


def test_a_whole_call_in_amocrms_words() -> None:
    call = a_call(result="Разговор состоялся", link="https://rec.fabrika.example/a1.mp3", extension="101")
    assert item_of(call) == {
        "direction": "inbound",
        "phone": "+79165550117",
        "duration": 42,
        "source": "office",
        "uniq": call.uniq,
        "request_id": call.uniq,
        "call_status": 4,
        "call_result": "Разговор состоялся",
        "link": "https://rec.fabrika.example/a1.mp3",
        "created_at": 1_790_000_000,
        "responsible_user_id": 70071,
        "call_responsible": 70071,
        "created_by": 70071,
    }


def test_what_the_pbx_did_not_tell_is_not_sent() -> None:
    sent = item_of(a_call())
    assert set(sent) == {"direction", "phone", "duration", "source", "uniq", "request_id", "call_status", "created_at"}


@pytest.mark.parametrize("extension", [None, "999", "70071"])
def test_an_extension_without_a_user_names_nobody(extension: str | None) -> None:
    assert not {"responsible_user_id", "call_responsible", "created_by"} & set(item_of(a_call(extension=extension)))


def test_outbound_stays_outbound_and_a_missed_call_has_no_duration_but_zero() -> None:
    sent = item_of(a_call(direction=Direction.OUTBOUND, duration=0, status=CallStatus.BUSY))
    assert (sent["direction"], sent["duration"], sent["call_status"]) == ("outbound", 0, 7)


@pytest.mark.parametrize(("number", "status"), list(enumerate(CallStatus, 1)))
def test_each_status_has_the_vendors_number(number: int, status: CallStatus) -> None:
    assert item_of(a_call(status=status))["call_status"] == number


# --- phones ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("+7 (916) 555-01-17", "+79165550117"),
        ("8 916 555 01 17", "89165550117"),
        ("9165550117", "9165550117"),
        ("tel:+7-916-555-01-17", "+79165550117"),
        ("TEL:+79165550117;ext=101", "+79165550117"),
        ("sip:+79165550117@pbx.fabrika.example:5060;user=phone", "+79165550117"),
        ("sips:79165550117;ext=9@10.0.0.1", "79165550117"),
        ("79165550117@10.20.30.40", "79165550117"),
        ('"Anna 2" <sip:+79165550117@pbx.fabrika.example>', "+79165550117"),
        ("+79165550117,,101#", "+79165550117"),
        ("+79165550117;101", "+79165550117"),
        ("+79165550117 ext. 101", "+79165550117"),
        ("+79165550117x101", "+79165550117"),
        ("8 (916) 555-01-17 доб. 101", "89165550117"),
        ("89165550117#101", "89165550117"),
        ("89165550117*101", "89165550117"),
        ("89165550117w101", "89165550117"),
        ("*67 89165550117", "6789165550117"),
        ("+49 (0)30 5550117", "+49305550117"),
        ("+44(0)20 7946 0117", "+442079460117"),
        ("(030) 555/01-17", "0305550117"),
        ("+370 670 50117", "+37067050117"),
        ("+٧٩١٦٥٥٥٠١١٧", "+79165550117"),
        ("＋７９１６５５５０１１７", "+79165550117"),
        ("+७९१६५५५०११७", "+79165550117"),
        ("916‑555‑01‑17", "9165550117"),
        ("55501", "55501"),
    ],
)
def test_the_subscribers_last_ten_digits_survive_whatever_stands_around_them(written: str, sent: str) -> None:
    assert item_of(a_call(phone=written))["phone"] == sent


@pytest.mark.parametrize(
    "written",
    ["", "anonymous", "Anonymous", "unknown", "private", "restricted", "withheld", "blocked", "скрыт",
     "sip:anonymous@10.20.30.40", "Anonymous <sip:anonymous@anonymous.invalid>", "+", "-", "0", "0000000",
     "+266696687", "+7378742833"],
)  # fmt: skip
def test_a_hidden_number_is_not_for_the_crm(written: str) -> None:
    assert translate(a_call(phone=written), USERS) == NotForCrm(Reason.HIDDEN_NUMBER)


@pytest.mark.parametrize("written", ["101", "1234", "+112", "sip:204@pbx.fabrika.example", "*8", "tel:03"])
def test_a_short_number_is_not_for_the_crm(written: str) -> None:
    assert translate(a_call(phone=written), USERS) == NotForCrm(Reason.SHORT_NUMBER)


def test_an_internal_call_is_not_for_the_crm_whatever_its_number() -> None:
    for phone in ("101", "", "+79165550117"):
        call = a_call(direction=Direction.INTERNAL, phone=phone)
        assert translate(call, USERS) == NotForCrm(Reason.INTERNAL_CALL)


def test_a_texan_is_not_taken_for_a_hidden_caller() -> None:
    assert item_of(a_call(phone="7378742833"))["phone"] == "7378742833"


@given(
    digits=st.text("0123456789", min_size=10, max_size=15),
    spacing=st.lists(st.sampled_from(["", " ", "-", "(", ")", ".", "\u2011"]), min_size=15, max_size=15),
    plus=st.booleans(),
    before=st.sampled_from(["", "tel:", "sip:", "Anna <", "  "]),
    after=st.sampled_from(["", ";ext=101", ",,5550117", "@10.20.30.40", "#", " ext 77", ">"]),
)
@settings(deadline=None, max_examples=150)
def test_last_ten_digits_property(digits: str, spacing: list[str], plus: bool, before: str, after: str) -> None:
    spaced = "".join(digit + gap for digit, gap in zip(digits, spacing, strict=False))
    # "(0)" after a country code is a trunk digit and goes: not what this property is about
    written = before + "+" * plus + spaced.replace("(0)", "0") + after
    assert dialable(written)[-10:] == digits[-10:]


@given(written=st.text(max_size=64))
@settings(deadline=None, max_examples=200)
def test_a_dialable_number_is_digits_after_at_most_one_plus(written: str) -> None:
    phone = dialable(written)
    assert phone == "" or phone.removeprefix("+").isdecimal()
    assert phone.isascii()


# --- never an exception, always the same -----------------------------------------------------------------------------


def text(size: int) -> st.SearchStrategy[str]:
    return st.text(max_size=size).map(plain_text)


calls = st.builds(
    a_call,
    source=st.sampled_from(["office", "a", "0_-" * 10]),
    ref=text(60).filter(bool),
    direction=st.sampled_from(Direction),
    phone=text(64) | st.from_regex(r"\+?[0-9]{5,20}", fullmatch=True),
    duration=st.integers(0, 7 * 24 * 3600) | st.sampled_from([1.5, True]),
    started_at=st.integers(946_684_800, 4_102_444_799),
    status=st.sampled_from(CallStatus),
    dated=st.booleans(),
    result=st.none() | text(60).filter(bool),
    link=st.none() | st.sampled_from(["https://x.example/а?б=1", "http://h/" + "a" * 2000]),
    extension=st.none() | st.sampled_from(["101", "102", "я"]),
)


@given(call=calls, users=st.dictionaries(st.sampled_from(["101", "102", "я"]), st.integers() | st.booleans()))
@settings(deadline=None, max_examples=200)
def test_every_call_has_one_translation_and_it_is_always_the_same(call: Call, users: dict[str, int]) -> None:
    translation = translate(call, users)
    assert translation == translate(call, users)
    match translation:
        case Ready(uniq, item):
            sent = json.loads(item)
            assert sent["uniq"] == sent["request_id"] == uniq == call.uniq
            assert None not in sent.values()
            assert "" not in sent.values()
            CallItem(**sent)
        case NotForCrm(reason):
            assert reason in {Reason.INTERNAL_CALL, Reason.HIDDEN_NUMBER, Reason.SHORT_NUMBER}
        case Untranslatable(problem):
            assert problem


@pytest.mark.parametrize("user", [0, -1, 2**60, True])
def test_an_impossible_user_id_needs_a_person_and_shows_no_phone(user: int) -> None:
    translation = translate(a_call(extension="101"), {"101": user})
    assert isinstance(translation, Untranslatable)
    assert "responsible_user_id" in translation.problem
    assert "916" not in translation.problem
