"""The verdict table: for any answer, every call gets exactly one outcome, or the batch gets one answer."""

from __future__ import annotations

import json
import time
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.amocrm.classify import MAX_DETAIL, bounded, classify
from callbridge.call import CallId
from callbridge.outcome import (
    AccountStopped,
    Answer,
    Delivered,
    NoAnswer,
    Outcome,
    PauseReason,
    PerCall,
    Reason,
    Refused,
    Resend,
    SlowDown,
    Unanswered,
    Unmatched,
    WholeRefused,
)
from support.amocrm import BAN_PAGE, recorded

ONE, TWO, THREE = CallId("call-1"), CallId("call-2"), CallId("call-3")
IDS = {"u-one": ONE, "u-two": TWO, "u-three": THREE}
NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
LOST = Unanswered(Reason.NOT_IN_ANSWER)
LANGUAGES = ["Entity not found", "Сущность не найдена", "Entidad no encontrada", "", "Stored successfully"]


def verdict(status: int, body: object, ids: dict[str, CallId] = IDS, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return classify(status, named, content, ids, now=NOW)


def outcomes(status: int, body: object, ids: dict[str, CallId] = IDS) -> dict[CallId, Outcome]:
    answer = verdict(status, body, ids)
    assert isinstance(answer, PerCall)
    return dict(answer.outcomes)


def stored(request_id: object, note: object = 31, **changes: Any) -> dict[str, Any]:
    return {"id": note, "entity_id": 77, "entity_type": "contact", "request_id": request_id} | changes


def missed(request_id: object, status: object = 263, title: str = "Entity not found") -> dict[str, Any]:
    return {"title": title, "status": status, "detail": title, "request_id": request_id}


def lists(*calls: object, errors: object = (), total: int = 0) -> dict[str, Any]:
    errors = list(errors) if isinstance(errors, tuple) else errors
    return {"_total_items": total, "errors": errors, "_embedded": {"calls": list(calls)}}


def invalid(*named: object) -> dict[str, Any]:
    entry = {"errors": [{"code": "InvalidType", "path": "duration", "detail": "Значение должно быть числом."}]}
    return {"validation-errors": [entry | {"request_id": n} for n in named], "status": 400, "title": "Bad Request"}


# --- answers with lists ----------------------------------------------------------------------------------------------


def test_stored_calls_are_found_by_request_id_in_any_order() -> None:
    assert outcomes(200, recorded("stored")) == {
        ONE: Delivered(90210454, "contact", 8120033),
        TWO: Delivered(90210455, "lead", 4401977),
        THREE: LOST,
    }


def test_a_partly_stored_batch_has_an_outcome_for_each() -> None:
    found = outcomes(200, recorded("partly_stored"))
    assert found[ONE] == Delivered(90210460, "company", 6550012)
    assert found[TWO] == Unmatched()
    assert isinstance(found[THREE], Refused)
    assert '"status":999' in found[THREE].detail
    assert "79165550117" not in found[THREE].detail
    assert "***0117" in found[THREE].detail


def test_a_400_in_which_nobody_matched_is_not_a_refused_batch() -> None:
    assert outcomes(400, recorded("none_matched")) == {ONE: Unmatched(), TWO: Unmatched(), THREE: LOST}


@pytest.mark.parametrize("status", [200, 201, 202, 207, 299, 400])
@pytest.mark.parametrize("title", LANGUAGES)
def test_an_unmatched_call_is_told_by_its_number_in_any_language_and_under_any_status(status: int, title: str) -> None:
    body = lists(errors=tuple(missed(u, title=title) for u in IDS))
    assert outcomes(status, body) == dict.fromkeys(IDS.values(), Unmatched())


@pytest.mark.parametrize("code", [262, 400, 999, 0, None, "not found", True, [263], {"263": 1}])
@pytest.mark.parametrize("title", ["Entity not found", "Другая ошибка"])
def test_any_other_error_refuses_the_call_whatever_its_text_says(code: object, title: str) -> None:
    found = outcomes(200, lists(stored("u-one"), errors=(missed("u-two", code, title), missed("u-three"))))
    assert isinstance(found[TWO], Refused)
    assert (found[ONE], found[THREE]) == (Delivered(31, "contact", 77), Unmatched())


def test_263_may_come_in_quotes() -> None:
    assert outcomes(200, lists(errors=(missed("u-one", "263"),)))[ONE] == Unmatched()


def test_in_both_lists_delivered_wins() -> None:
    assert outcomes(200, lists(stored("u-one"), errors=(missed("u-one"),)))[ONE] == Delivered(31, "contact", 77)


def test_request_ids_that_come_back_as_numbers_are_compared_as_text() -> None:
    ids = {"17": ONE, "18": TWO}
    assert outcomes(200, lists(stored(17), errors=(missed(18),)), ids) == {
        ONE: Delivered(31, "contact", 77),
        TWO: Unmatched(),
    }


def test_duplicate_request_ids_keep_the_first_readable_note() -> None:
    assert outcomes(200, lists(stored("u-one", None), stored("u-one", 5), stored("u-one", 6)))[ONE] == Delivered(
        5, "contact", 77
    )


@pytest.mark.parametrize("foreign", ["0", 0, "1", None, "u-four", True, 1.0, ["u-one"], {"u-one": 1}])
def test_a_call_is_never_matched_by_position_or_by_a_foreign_name(foreign: object) -> None:
    assert outcomes(200, lists(stored(foreign)), {"u-one": ONE}) == {ONE: LOST}
    assert outcomes(200, lists(errors=(missed(foreign),)), {"u-one": ONE}) == {ONE: LOST}


def test_an_item_without_request_id_belongs_to_nobody() -> None:
    item = stored("x")
    del item["request_id"]
    assert outcomes(200, lists(item), {"u-one": ONE}) == {ONE: LOST}


@pytest.mark.parametrize("note", [None, 0, -4, "", "abc", True, 3.7, [31], {}])
def test_a_stored_call_without_its_notes_id_is_unanswered_even_beside_an_error(note: object) -> None:
    assert outcomes(200, lists(stored("u-one", note), errors=(missed("u-one"),)))[ONE] == LOST


def test_the_notes_id_is_the_proof_even_where_the_card_cannot_be_read() -> None:
    body = lists(stored("u-one", "31", entity_id=None, entity_type=12))
    assert outcomes(200, body)[ONE] == Delivered(31, "unknown", 0)


@pytest.mark.parametrize("errors", [None, {}, "none", 0, [None, 7, "x", []]])
def test_errors_of_a_wrong_shape_do_not_hide_the_stored_calls(errors: object) -> None:
    found = outcomes(200, lists(stored("u-one"), errors=errors))
    assert found == {ONE: Delivered(31, "contact", 77), TWO: LOST, THREE: LOST}


@pytest.mark.parametrize(
    "body",
    [{}, {"errors": []}, {"_embedded": None}, {"_embedded": []}, {"_embedded": {}}, {"_embedded": {"calls": {"0": 1}}},
     {"_embedded": {"calls": [None, 7, "u-one", ["u-one"]]}}, {"status": 401, "title": "Unauthorized"}, invalid("u-one")],
)  # fmt: skip
def test_a_200_that_says_nothing_about_a_call_delivers_and_refuses_nothing(body: object) -> None:
    assert outcomes(200, body) == dict.fromkeys(IDS.values(), LOST)


# --- 400 -------------------------------------------------------------------------------------------------------------


def test_the_call_that_validation_names_is_refused_and_its_neighbours_go_again() -> None:
    found = outcomes(400, recorded("invalid"))
    assert found[ONE] == found[THREE] == Resend()
    assert isinstance(found[TWO], Refused)
    assert "NotSupportedChoice" in found[TWO].detail
    assert "call_status" in found[TWO].detail


def test_validation_may_name_several_and_by_number() -> None:
    found = outcomes(400, invalid(17, "u-two", "stranger"), {"17": ONE, "u-two": TWO, "u-three": THREE})
    assert [type(found[i]) for i in (ONE, TWO, THREE)] == [Refused, Refused, Resend]


def test_where_lists_and_validation_both_speak_nobody_is_resent_blindly() -> None:
    found = outcomes(400, lists(errors=(missed("u-one"),)) | invalid("u-one", "u-two"))
    assert found[ONE] == Unmatched()
    assert isinstance(found[TWO], Refused)
    assert found[THREE] == LOST


def test_a_400_that_stored_something_of_somebody_is_read_call_by_call() -> None:
    assert outcomes(400, lists(stored("stranger"))) == dict.fromkeys(IDS.values(), LOST)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>400</html>", b"[]", b'{"validation-errors": [', {}, invalid(), invalid("stranger", None, "0"), lists(),
     lists(errors=None), lists(errors=(missed("0"),)), {"validation-errors": None}, {"validation-errors": {"u-one": []}},
     {"status": 400, "detail": "Данные запроса не могут быть пустыми"}],
)  # fmt: skip
def test_a_400_that_names_none_of_our_calls_refuses_the_batch(body: object) -> None:
    answer = verdict(400, body)
    assert isinstance(answer, WholeRefused)
    assert answer.detail.startswith("HTTP 400")


# --- the other statuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, recorded("unauthorised"), PauseReason.UNAUTHORISED),
        (401, BAN_PAGE, PauseReason.UNAUTHORISED),
        (401, b"", PauseReason.UNAUTHORISED),
        (402, recorded("payment_required"), PauseReason.PAYMENT_REQUIRED),
        (402, b"<html>", PauseReason.PAYMENT_REQUIRED),
        (403, recorded("forbidden"), PauseReason.FORBIDDEN),
        (403, b'{"response": {"error_code": "113", "error": "IP"}}', PauseReason.FORBIDDEN),
        (403, BAN_PAGE, PauseReason.BANNED),
        (403, b"", PauseReason.BANNED),
        (403, b"403", PauseReason.BANNED),
        (404, b'{"status": 404}', PauseReason.WRONG_HOST),
        (404, b"<html>", PauseReason.WRONG_HOST),
        (405, b'{"status": 405}', PauseReason.WRONG_HOST),
        (301, b"", PauseReason.WRONG_HOST),
        (302, b"<html>", PauseReason.WRONG_HOST),
        (304, b"", PauseReason.WRONG_HOST),
        (308, b"", PauseReason.WRONG_HOST),
    ],
)
def test_what_concerns_the_whole_account_stops_it(status: int, body: bytes, reason: PauseReason) -> None:
    answer = verdict(status, body)
    assert isinstance(answer, AccountStopped)
    assert answer.reason is reason


@pytest.mark.parametrize("status", [406, 409, 410, 413, 414, 415, 422, 431, 451, 499])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"status": 422, "detail": "Limit 250 per page"}'])
def test_another_4xx_refuses_the_batch(status: int, body: bytes) -> None:
    assert isinstance(verdict(status, body), WholeRefused)


@pytest.mark.parametrize("status", [100, 103, 199, 408, 500, 501, 502, 503, 520, 599, 600, 999, 0, -1])
def test_a_5xx_a_408_or_a_number_nobody_knows_is_no_answer_even_with_full_lists(status: int) -> None:
    for body in (recorded("stored"), recorded("none_matched"), recorded("invalid"), b"<html>", b""):
        answer = verdict(status, body)
        assert isinstance(answer, NoAnswer)
        assert not answer.too_heavy


def test_a_504_is_no_answer_and_too_heavy() -> None:
    answer = verdict(504, recorded("stored"))
    assert isinstance(answer, NoAnswer)
    assert answer.too_heavy


@pytest.mark.parametrize("status", [200, 201, 204, 206])
@pytest.mark.parametrize(
    "body", [b"", b"<html>we are back soon</html>", b"[]", b"null", b"true", recorded("stored")[:-20]]
)
def test_a_2xx_that_is_no_json_object_is_no_answer(status: int, body: bytes) -> None:
    assert isinstance(verdict(status, body), NoAnswer)


@pytest.mark.parametrize(
    "body", [b'{"errors":' + b"[" * 900_000, b'{"a":' * 1_500 + b"1" + b"}" * 1_500, b"9" * 1_000_000]
)
def test_endless_nesting_and_endless_numbers_are_no_answer(body: bytes) -> None:
    assert isinstance(verdict(200, body), NoAnswer)


def test_an_error_nested_deeper_than_can_be_shown_is_still_a_refusal() -> None:
    error = b'{"request_id":"u-one","status":5,"x":' + b"[" * 900 + b"]" * 900 + b"}"
    answer = verdict(200, b'{"errors":[' + error + b"]}")
    assert isinstance(answer, PerCall)
    assert isinstance(answer.outcomes[ONE], Refused)


# --- 429 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [425, 429])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Mon, 21 Sep 2026 14:15:20 GMT", 120.0),
        ("Mon, 21 Sep 2026 14:15:20 -0000", 120.0),
        ("Mon, 21 Sep 2026 17:15:20 +0300", 120.0),
        ("Mon, 21 Sep 2026 14:00:00 GMT", None),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1e9", None),
        ("inf", None),
        ("nan", None),
        ("٧", None),
        ("9" * 400, None),
        ("Mon, 99 Sep 2026 99:99:99 GMT", None),
        ("Mon, 21 Sep 99999 14:15:20 GMT", None),
    ],
)
def test_the_header_tells_the_wait_or_nothing_does(status: int, header: str | None, seconds: float | None) -> None:
    headers = {} if header is None else {"Retry_After": header}
    assert verdict(status, b"<html>429</html>", **headers) == SlowDown(seconds)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        (300, 300.0),
        (0, 0.0),
        (2.5, 2.5),
        ("60", 60.0),
        (-1, None),
        (None, None),
        (True, None),
        ("x", None),
        ([1], None),
    ],
)
def test_without_a_header_the_body_tells_the_wait(told: object, seconds: float | None) -> None:
    assert verdict(429, {"retry_after": told}) == SlowDown(seconds)


def test_a_date_without_a_zone_is_utc_wherever_we_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Vladivostok")
    time.tzset()
    try:
        assert verdict(429, b"", Retry_After="Mon, 21 Sep 2026 14:15:20 -0000") == SlowDown(120.0)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_header_comes_first_in_any_case_of_letters_and_a_malformed_one_leaves_it_to_the_body() -> None:
    assert classify(429, {"RETRY-AFTER": "3"}, recorded("slow_down"), IDS, now=NOW) == SlowDown(3.0)
    assert classify(429, {"retry-after": "later"}, recorded("slow_down"), IDS, now=NOW) == SlowDown(240.0)


# --- details ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phone", ["+79165550117", "8 (916) 555-01-17", "916.555.01.17", "٠٧٩١٦٥٥٥٠١١٧"])
def test_a_phone_in_the_crms_words_is_masked(phone: str) -> None:
    kept = bounded(f"phone {phone} is bad")
    assert phone not in kept
    assert "555" not in kept
    assert kept.startswith("phone")
    assert kept.endswith("is bad")


def test_details_are_one_bounded_line() -> None:
    assert bounded("a\r\n\x1b[31m b\u202e") == "a [31m b"
    assert len(bounded("ж" * 2_000_000)) == MAX_DETAIL


# --- for any answer at all -------------------------------------------------------------------------------------------

names = st.sampled_from(["u-one", "u-two", "u-three", "0", "stranger"]) | st.integers(0, 3) | st.none()
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-300, 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
items = st.fixed_dictionaries(
    {},
    optional={
        "id": scalars,
        "entity_id": scalars,
        "entity_type": scalars,
        "request_id": names,
        "status": st.just(263) | scalars,
        "errors": st.lists(scalars, max_size=2),
    },
)
maybe_items = st.lists(items | scalars, max_size=5) | scalars
bodies = st.fixed_dictionaries(
    {},
    optional={
        "errors": maybe_items,
        "validation-errors": maybe_items,
        "_embedded": st.fixed_dictionaries({}, optional={"calls": maybe_items}) | scalars,
        "retry_after": scalars,
        "detail": st.text(max_size=800),
    },
)
contents = bodies.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=200)
statuses = st.sampled_from([200, 201, 204, 400, 401, 403, 429, 500]) | st.integers(-10, 1100)
headers_of = st.dictionaries(st.sampled_from(["Retry-After", "X-Request-Id"]), st.text(max_size=40))


@given(status=statuses, headers=headers_of, body=contents)
@settings(deadline=None, max_examples=200)
def test_any_answer_gives_each_call_one_outcome_or_the_batch_one_answer(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    answer = classify(status, headers, body, IDS, now=NOW)
    assert answer == classify(status, headers, body, IDS, now=NOW)
    match answer:
        case PerCall(found):
            assert set(found) == set(IDS.values())
            assert all(isinstance(outcome, get_args(Outcome)) for outcome in found.values())
            assert 200 <= status < 300 or status == 400
            details = [outcome.detail for outcome in found.values() if isinstance(outcome, Refused)]
        case SlowDown(wait):
            assert wait is None or wait >= 0
            details = []
        case WholeRefused(detail) | AccountStopped(_, detail) | NoAnswer(detail):
            details = [detail]
        case _:
            pytest.fail(f"{answer} cannot follow from an answer")
    assert all(len(detail) <= MAX_DETAIL for detail in details)


@given(
    order=st.permutations(list(IDS)),
    kinds=st.lists(st.sampled_from(["stored", "missed", "absent"]), min_size=3, max_size=3),
)
@settings(deadline=None, max_examples=100)
def test_order_never_matters(order: list[str], kinds: list[str]) -> None:
    kind_of = dict(zip(IDS, kinds, strict=True))
    calls = [stored(u, 100 + list(IDS).index(u)) for u in order if kind_of[u] == "stored"]
    errors = tuple(missed(u) for u in order if kind_of[u] == "missed")
    expected: dict[str, Outcome] = {"missed": Unmatched(), "absent": LOST}
    assert outcomes(200, lists(*calls, errors=errors)) == {
        id_: expected.get(kind_of[u]) or Delivered(100 + n, "contact", 77) for n, (u, id_) in enumerate(IDS.items())
    }
