"""What a stranger's call looks like as an incoming lead, and what the CRM's answers to it mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.amocrm.unsorted import CallerField, LeadWords, classify_leads, lead_item
from callbridge.call import CallId
from callbridge.outcome import (
    AccountStopped,
    BecameLead,
    NoAnswer,
    NoLead,
    PauseReason,
    PerCall,
    Reason,
    Resend,
    SlowDown,
    Unanswered,
    WholeRefused,
)
from support.builders import a_call

IDS = {"office-aa": CallId("1"), "office-bb": CallId("2")}
BAN = b"<html><body>403 Forbidden</body></html>"


def item(call: Any = None, words: LeadWords | None = None, **users: int) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(lead_item(call or a_call(), users, words or LeadWords()))
    return read


def classified(status: int, body: object) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify_leads(status, {}, content, IDS, now=1_790_000_000)


def made(request_id: object, lead: object = 71, contact: object = 72, uid: object = "0f3c") -> dict[str, Any]:
    return {"uid": uid, "request_id": request_id, "_embedded": {"leads": [{"id": lead}], "contacts": [{"id": contact}]}}


def told(*items: object) -> dict[str, Any]:
    return {"_total_items": len(items), "_embedded": {"unsorted": list(items)}}


def test_a_call_becomes_a_lead_a_contact_with_its_number_and_a_note_with_its_uniq() -> None:
    call = a_call(link="https://rec.example.org/7.mp3", extension="204")
    assert item(call, LeadWords(pipeline_id=3107712), **{"204": 7130045}) == {
        "request_id": call.uniq,
        "source_uid": "office",
        "source_name": "office",
        "pipeline_id": 3107712,
        "created_at": 1_790_000_000,
        "metadata": {
            "is_call_event_needed": True,
            "uniq": call.uniq,
            "phone": "+79165550117",
            "from": "office",
            "called_at": 1_790_000_000,
            "duration": 42,
            "link": "https://rec.example.org/7.mp3",
            "service_code": "callbridge",
            "call_responsible": 7130045,
        },
        "_embedded": {
            "leads": [{"name": "+79165550117"}],
            "contacts": [
                {
                    "name": "+79165550117",
                    "custom_fields_values": [
                        {"field_code": "PHONE", "values": [{"value": "+79165550117", "enum_code": "WORK"}]}
                    ],
                }
            ],
        },
    }


def test_a_key_without_a_value_is_left_out() -> None:
    plain = item()
    assert "pipeline_id" not in plain
    assert {"link", "call_responsible"} & plain["metadata"].keys() == set()


@pytest.mark.parametrize(("extension", "called"), [("204", "204"), (None, "office")])
def test_the_other_reading_has_the_caller_in_from_and_who_was_called_in_phone(
    extension: str | None, called: str
) -> None:
    told = item(a_call(extension=extension), LeadWords(caller_field=CallerField.FROM))
    assert (told["metadata"]["from"], told["metadata"]["phone"]) == ("+79165550117", called)
    [contact] = told["_embedded"]["contacts"]
    assert contact["custom_fields_values"][0]["values"][0]["value"] == "+79165550117"


@given(
    st.integers(0, 604_800),
    st.none() | st.text("абвxyz 09", min_size=1, max_size=9).map(str.strip).filter(bool),
    st.sampled_from(CallerField),
)
def test_the_same_call_gives_the_same_bytes(duration: int, extension: str | None, field: CallerField) -> None:
    words = LeadWords(5, field)
    call = a_call(duration=duration, extension=extension)
    assert lead_item(call, {"9": 1}, words) == lead_item(
        a_call(duration=duration, extension=extension), {"9": 1}, words
    )


def test_each_item_is_known_by_its_request_id_not_by_its_place() -> None:
    assert classified(200, told(made("office-bb", 5, 6), made("office-aa", 7, 8))) == PerCall(
        {CallId("1"): BecameLead(7, 8), CallId("2"): BecameLead(5, 6)}
    )


def test_an_item_that_is_not_in_the_answer_is_unanswered() -> None:
    assert classified(200, told(made("office-aa"), made("somebody-elses"))) == PerCall(
        {CallId("1"): BecameLead(71, 72), CallId("2"): Unanswered(Reason.NOT_IN_ANSWER)}
    )


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [
        (made("office-aa", "71", "72"), BecameLead(71, 72)),
        (made("office-aa", None, None), BecameLead(0, 0)),
        ({"uid": "0f3c", "request_id": "office-aa"}, BecameLead(0, 0)),
        (made("office-aa", 71, 72, uid=None), BecameLead(71, 72)),
        ({"request_id": "office-aa"}, Unanswered(Reason.NOT_IN_ANSWER)),
        ({"request_id": "office-aa", "uid": 5, "_embedded": []}, Unanswered(Reason.NOT_IN_ANSWER)),
    ],
)
def test_a_uid_or_a_leads_id_is_the_proof(entry: object, outcome: object) -> None:
    assert classified(200, told(entry)).outcomes[CallId("1")] == outcome


@pytest.mark.parametrize("body", [b"", b"<html>maintenance</html>", b"[]", b'{"_embedded": {"unsor'])
def test_a_yes_that_cannot_be_read_is_no_answer(body: bytes) -> None:
    assert isinstance(classified(200, body), NoAnswer)


def test_an_invalid_item_is_refused_and_its_neighbour_can_go_again() -> None:
    error = {"request_id": "office-bb", "errors": [{"code": "NotSupportedChoice", "path": "pipeline_id"}]}
    answer = classified(400, {"validation-errors": [error]})
    assert answer.outcomes[CallId("1")] == Resend()
    assert isinstance(answer.outcomes[CallId("2")], NoLead)
    assert "pipeline_id" in answer.outcomes[CallId("2")].detail
    assert not answer.outcomes[CallId("2")].everyone


@pytest.mark.parametrize(
    ("status", "body"), [(403, {"title": "Forbidden", "status": 403}), (404, {"status": 404}), (405, {"status": 405})]
)
def test_what_forbids_leads_does_not_stop_the_account_whose_calls_were_answered(status: int, body: object) -> None:
    answer = classified(status, body)
    assert {type(outcome) for outcome in answer.outcomes.values()} == {NoLead}
    assert all(outcome.everyone for outcome in answer.outcomes.values())


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"title": "Bad Request"}, WholeRefused),
        (400, b"", WholeRefused),
        (413, b"", WholeRefused),
        (422, {"detail": "Limit"}, WholeRefused),
        (429, b"", SlowDown),
        (500, b"{}", NoAnswer),
        (502, b"<html>", NoAnswer),
        (504, b"<html>", NoAnswer),
        (302, b"", AccountStopped),
        (401, {"status": 401}, AccountStopped),
        (402, {"status": 402}, AccountStopped),
        (403, BAN, AccountStopped),
        (400, {"errors": [], "_embedded": {"calls": [{"id": 1, "request_id": "x"}]}}, NoAnswer),
    ],
)
def test_everything_else_means_what_it_means_for_calls(status: int, body: object, kind: type) -> None:
    assert isinstance(classified(status, body), kind)


def test_a_page_instead_of_a_refusal_is_a_ban() -> None:
    answer = classified(403, BAN)
    assert answer.reason is PauseReason.BANNED


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([*IDS]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["_embedded", "unsorted", "leads", "id", "uid", "request_id", "validation-errors", "errors"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.integers(100, 599), json_values | st.binary(max_size=20))
def test_whatever_is_answered_each_call_has_one_outcome_and_none_is_invented(status: int, body: object) -> None:
    answer = classified(status, body)
    if isinstance(answer, PerCall):
        assert set(answer.outcomes) == set(IDS.values())
        if any(isinstance(outcome, BecameLead) for outcome in answer.outcomes.values()):
            assert 200 <= status < 300
    if status >= 500:
        assert isinstance(answer, NoAnswer)
