"""What the API answers: pages, stories, jobs; and how it refuses: by name, without an echo."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import replace
from typing import Any, get_args

import pytest
from aiohttp.test_utils import TestClient

from callbridge.errors import StoreUnavailable
from callbridge.ops.actions import Refused
from callbridge.ops.api.given import AnswerName
from callbridge.ops.api.openapi import document
from callbridge.ops.api.problems import CODES
from callbridge.ops.api.table import ENDPOINTS
from callbridge.ops.jobs import Refusal
from callbridge.ops.who import Role
from callbridge.outcome import Answer
from support.apidesk import PHONE, Desk, bearer, call_row

API = "/api/v1"
DOCUMENT = document(ENDPOINTS)
OPERATOR = bearer(Role.OPERATOR)
LISTED = {
    "id", "state", "account", "source", "provider", "uniq", "direction", "phone", "duration", "started_at", "received_at",
    "attempts", "reason", "entity_type", "entity_id", "note_id", "updated_at",
}  # fmt: skip


async def ask(
    client: TestClient, path: str, role: Role = Role.VIEWER, method: str = "GET", **more: Any
) -> tuple[int, Any]:
    headers = bearer(role) | more.pop("headers", {})
    async with client.request(method, f"{API}{path}", headers=headers, **more) as answer:
        told = json.loads(await answer.text())
    _is_documented(path.partition("?")[0], method, answer.status, told)
    return answer.status, told


def _is_documented(path: str, method: str, status: int, told: Any) -> None:
    """No answer in these tests is one that the document does not tell."""
    for endpoint in ENDPOINTS:
        if endpoint.method == method and re.fullmatch(re.sub(r"{\w+}", "[^/]+", endpoint.path), path):
            said = DOCUMENT["paths"][API + endpoint.path][method.lower()]["responses"][str(status)]["description"]
            assert status < 400 or f"`{told['code']}`" in said


# --- lists -----------------------------------------------------------------------------------------------------------


async def test_a_listed_call_has_the_public_field_names(client: TestClient) -> None:
    status, told = await ask(client, "/calls")
    assert status == 200
    assert set(told["items"][0]) >= LISTED


async def test_a_walk_by_cursor_meets_each_call_once_and_the_link_header_leads_the_same_way(
    client: TestClient, desk: Desk
) -> None:
    met: list[str] = []
    address = f"{API}/calls?limit=3&state=delivered"
    while address:
        async with client.get(address, headers=OPERATOR) as answer:
            told = await answer.json()
            met += [row["id"] for row in told["items"]]
            link = answer.headers.get("Link", "")
        assert bool(link) == (told["next"] is not None)
        if link:
            assert link.endswith('; rel="next"') and f"cursor={told['next']}" in link and "state=delivered" in link
        address = link[1 : link.index(">")] if link else ""
    assert met == [row.id for row in desk.ledger.rows if row.state == "delivered"]
    assert len(met) == 7


async def test_every_part_of_a_filter_reaches_the_ledger(client: TestClient, desk: Desk) -> None:
    query = (
        "?state=dead&state=parked&account=main&source=office&direction=inbound&reason=expired&cause=ab12&phone=4567"
        "&text=ref-1&since=1700000000.5&until=1700000001"
    )
    status, _ = await ask(client, f"/calls{query}")
    assert status == 200
    (wanted,) = desk.ledger.asked
    assert wanted.states == ("dead", "parked")
    told = (wanted.account, wanted.source, wanted.direction, wanted.reason, wanted.cause, wanted.phone, wanted.text)
    assert told == ("main", "office", "inbound", "expired", "ab12", "4567", "ref-1")
    assert (wanted.since, wanted.until) == (1700000000.5, 1700000001)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=5.5", "limit"),
        ("limit=1_0", "limit"),
        ("limit=+5", "limit"),
        ("limit=", "limit"),
        ("limit=5&limit=6", "limit"),
        ("state=gone", "state.0"),
        ("state=dead,parked", "state.0"),
        ("phone=%2B7916", "phone"),
        ("phone=1", "phone"),
        ("account=", "account"),
        ("account=Main", "account"),
        ("since=yesterday", "since"),
        ("since=nan", "since"),
        ("since=-1", "since"),
        ("until=1e400", "until"),
        ("text=a%00b", "text"),
        ("cursor=%3Cscript%3E", "cursor"),
        ("stat=dead", ""),
        ("%3Cimg%20src%3Dx%3E=1", ""),
    ],
)
async def test_a_parameter_that_is_not_as_documented_is_named_and_not_repeated(
    client: TestClient, query: str, field: str
) -> None:
    status, told = await ask(client, f"/calls?{query}")
    assert (status, told["code"]) == (400, "bad_request")
    assert [error["field"] for error in told["errors"]] == [field]
    for hostile in ("script", "img", "yesterday", "gone", "7916"):
        assert hostile not in json.dumps(told)


async def test_a_cursor_that_opens_no_page_is_not_found(client: TestClient) -> None:
    status, told = await ask(client, "/calls?cursor=nonsense")
    assert (status, told["code"]) == (404, "no_such_page")


# --- numbers ---------------------------------------------------------------------------------------------------------

_WITH_NUMBERS = ("/calls", "/calls/{call}", "/batches/b000001", "/dead", "/status", "/audit")


@pytest.mark.parametrize("path", _WITH_NUMBERS)
async def test_a_viewer_never_reads_a_number_wherever_it_stands(client: TestClient, desk: Desk, path: str) -> None:
    role = Role.OPERATOR if path == "/audit" else Role.VIEWER
    await ask(client, "/calls", Role.OPERATOR)  # leaves an entry in the audit
    for call in (desk.ledger.rows[0].id, desk.ledger.rows[1].id):  # a live one and one of the history
        status, told = await ask(client, path.replace("{call}", call), role)
        assert status == 200
        assert PHONE.lstrip("+") not in json.dumps(told)
        if path.startswith("/calls"):
            assert "4567" in json.dumps(told)


async def test_an_operator_reads_numbers_whole_and_each_request_is_in_the_audit(client: TestClient, desk: Desk) -> None:
    _, told = await ask(client, "/calls?limit=4&state=delivered", Role.OPERATOR)
    assert {row["phone"] for row in told["items"]} == {PHONE}
    assert told["masked"] is False
    ((who, action, target, count),) = desk.audit.added
    assert (who.name, action, count) == ("a operator", "api.read_phones", 4)
    assert target == {"filter": {"state": ["delivered"], "limit": 4}}
    await ask(client, f"/calls/{desk.ledger.rows[0].id}", Role.OPERATOR)
    assert desk.audit.added[-1][2] == {"call": desk.ledger.rows[0].id}


async def test_numbers_that_nobody_can_write_down_stay_masked(client: TestClient, desk: Desk) -> None:
    desk.audit.away = True
    status, told = await ask(client, "/calls", Role.OPERATOR)
    assert status == 200 and told["masked"] is True
    assert PHONE not in json.dumps(told)


async def test_a_page_without_numbers_leaves_no_entry(client: TestClient, desk: Desk) -> None:
    await ask(client, "/calls?state=dead", Role.OPERATOR)
    assert desk.audit.added == []


async def test_revealing_goes_by_the_action_that_audits_it(client: TestClient, desk: Desk) -> None:
    call_id = desk.ledger.rows[0].id
    status, told = await ask(client, f"/calls/{call_id}/reveal", Role.OPERATOR, "POST")
    assert (status, told["phone"]) == (200, PHONE)
    assert desk.actions.done == [("reveal", call_id)]
    status, _ = await ask(client, f"/calls/{call_id}/reveal", Role.VIEWER, "POST")
    assert status == 403 and len(desk.actions.done) == 1


# --- stories ---------------------------------------------------------------------------------------------------------


async def test_a_live_call_is_told_by_the_queue_with_the_requests_of_the_history(
    client: TestClient, desk: Desk
) -> None:
    status, told = await ask(client, f"/calls/{desk.ledger.rows[0].id}", Role.OPERATOR)
    assert status == 200 and told["live"] is True
    assert told["webhook"]["body"] == f'{{"from": "{PHONE}"}}'
    assert told["requests"] == [
        {
            "batch_id": "b000001", "at": 1790000000.0, "became": "delivered", "reason": None, "detail": f"{PHONE} taken",
            "size": 2, "answer": "PerCall", "status": 200, "seconds": 0.21,
        }
    ]  # fmt: skip


async def test_a_call_that_the_queue_forgot_is_told_by_the_history(client: TestClient, desk: Desk) -> None:
    status, told = await ask(client, f"/calls/{desk.ledger.rows[1].id}")
    assert status == 200 and told["live"] is False
    assert told["advice"] == "It is in the CRM; nothing is left to do."


async def test_each_part_that_is_away_costs_what_it_tells_and_no_more(client: TestClient, desk: Desk) -> None:
    live, kept = desk.ledger.rows[0].id, desk.ledger.rows[1].id
    desk.ledger.away = True
    status, told = await ask(client, f"/calls/{live}")
    assert status == 200 and told["requests"] is None
    assert (await ask(client, f"/calls/{kept}"))[1]["code"] == "ledger_unavailable"
    assert (await ask(client, "/calls"))[0] == 503
    desk.ledger.away, desk.inspector.away = False, True
    assert (await ask(client, f"/calls/{live}"))[1]["live"] is False
    assert (await ask(client, "/accounts"))[1]["code"] == "store_unavailable"
    assert (await ask(client, "/status"))[0] == 200


@pytest.mark.parametrize(
    "path", ["/calls/nobody", "/calls/%00", "/calls/..%2F..", "/batches/x", "/replay-jobs/nothing1"]
)
async def test_what_names_nothing_is_not_found(client: TestClient, path: str) -> None:
    status, told = await ask(client, path)
    assert (status, told["code"]) == (404, "not_found")


def test_a_batch_is_asked_for_by_the_kinds_of_answer_that_there_are() -> None:
    assert set(get_args(AnswerName)) == {kind.__name__ for kind in get_args(Answer)}


@pytest.mark.parametrize(("answer", "status"), [("SlowDown", 200), ("slow_down", 400), ("per_call", 400)])
async def test_and_by_no_other(client: TestClient, desk: Desk, answer: str, status: int) -> None:
    assert (await ask(client, f"/batches?answer={answer}"))[0] == status
    assert desk.ledger.answers == (["SlowDown"] if status == 200 else [])


@pytest.mark.parametrize("window", [-12, None])
async def test_a_request_to_the_crm_is_shown_as_it_was_sent(client: TestClient, desk: Desk, window: int | None) -> None:
    sent = f'[{{"phone": "{PHONE}", "call_responsible": "Анна"}}]'.encode()
    deflate = zlib.compressobj(1, zlib.DEFLATED, window or 15)
    kept = deflate.compress(sent) + deflate.flush() if window else sent
    desk.ledger.xrays["b000001"] = replace(desk.ledger.xrays["b000001"], request=kept)
    _, told = await ask(client, "/batches/b000001", Role.OPERATOR)
    assert told["request"].encode() == sent and told["response"] == "{}"


# --- changes ---------------------------------------------------------------------------------------------------------

JOB = {"id": "job-00000001", "action": "replay", "filter": {"state": ["dead"]}, "reason": "the field is mended"}


async def test_a_job_asked_for_twice_is_one_job(client: TestClient, desk: Desk) -> None:
    first = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=JOB)
    second = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=JOB)
    assert (first[0], second[0]) == (201, 200)
    assert first[1] == second[1] and desk.jobs.begun == 1
    assert first[1]["filter"] == {"state": ["dead"]}


async def test_above_a_hundred_calls_the_number_has_to_be_confirmed(client: TestClient, desk: Desk) -> None:
    desk.jobs.total = 101
    for said in ({}, {"confirmed": 100}, {"confirmed": 102}):
        status, told = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=JOB | said)
        assert (status, told["code"], told["total"]) == (409, "confirmation_needed", 101)
    assert desk.jobs.begun == 0
    status, _ = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=JOB | {"confirmed": 101})
    assert status == 201


async def test_a_number_that_is_told_has_to_be_right_however_few_they_are(client: TestClient, desk: Desk) -> None:
    status, told = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=JOB | {"confirmed": 2})
    assert (status, told["code"], told["total"], desk.jobs.begun) == (409, "confirmation_needed", 3, 0)
    status, _ = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=JOB | {"confirmed": 3})
    assert status == 201


@pytest.mark.parametrize("code", ["nothing", "id_taken", "no_reason", "too_many"])
async def test_a_job_that_is_refused_says_why_by_a_code(client: TestClient, desk: Desk, code: Any) -> None:
    desk.jobs.refusal = Refusal("in words", code)
    status, told = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=JOB)
    assert (status, told["code"], told["reason"], told["detail"]) == (409, "refused", code, "in words")


@pytest.mark.parametrize(
    ("refused", "status", "code"),
    [("no_reason", 409, "refused"), ("forbidden", 403, "forbidden"), ("no_such_account", 404, "not_found")],
)
async def test_nobody_is_told_that_something_was_done_that_was_refused(
    client: TestClient, desk: Desk, refused: Any, status: int, code: str
) -> None:
    desk.actions.refusal = Refused(refused, "in words")
    for path, method, body in (
        ("/accounts/main/pause", "POST", {"reason": "\x1c"}),
        ("/accounts/main/resume", "POST", None),
        ("/dead/groups/main/refused_by_crm/abc123", "PUT", {"status": "fixed"}),
    ):
        found, told = await ask(client, path, Role.ADMIN, method, json=body)
        assert (found, told["code"]) == (status, code)
    assert desk.actions.done == []
    assert desk.overviews.outdated == 0


async def test_a_job_does_not_show_the_number_it_was_asked_with(client: TestClient) -> None:
    job = JOB | {"filter": {"phone": PHONE.lstrip("+")}, "reason": f"asked by {PHONE}"}
    await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=job)
    _, told = await ask(client, f"/replay-jobs/{JOB['id']}")
    assert PHONE.lstrip("+") not in json.dumps(told)
    assert told["filter"] == {"phone": "7916***4567"}


@pytest.mark.parametrize("doing", ["pause", "resume", "cancel"])
async def test_a_job_is_held_let_go_and_ended(client: TestClient, desk: Desk, doing: str) -> None:
    await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=JOB)
    status, told = await ask(client, f"/replay-jobs/{JOB['id']}/{doing}", Role.OPERATOR, "POST")
    assert (status, told["state"]) == (200, {"pause": "paused", "resume": "running", "cancel": "cancelled"}[doing])


@pytest.mark.parametrize(
    "change",
    [
        {"filter": None},
        {"ids": ["a"]},
        {"reason": " "},
        {"reason": "a\0b"},
        {"reason": 5},
        {"action": "delete"},
        {"id": "short"},
        {"confirmed": "5"},
        {"confirmed": True},
        {"filter": {"state": "dead"}},
        {"filter": {"since": "1700000000"}},
        {"filter": {"limit": 5}},
        {"<b>": 1},
    ],
)
async def test_a_body_that_is_not_as_documented_is_refused(client: TestClient, desk: Desk, change: Any) -> None:
    status, told = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", json=JOB | change)
    assert (status, told["code"]) == (400, "bad_request")
    assert told["errors"] and "<b>" not in json.dumps(told)
    assert desk.jobs.begun == 0


async def test_a_group_is_marked_and_told_as_it_is_then(client: TestClient) -> None:
    path = "/dead/groups/main/refused_by_crm/abc123"
    status, told = await ask(client, path, Role.OPERATOR, "PUT", json={"status": "fixed", "note": "mapped"})
    assert (status, told["status"], told["note"]) == (200, "fixed", "mapped")
    status, told = await ask(client, f"{path}9", Role.OPERATOR, "PUT", json={"status": "fixed"})
    assert (status, told["code"]) == (404, "not_found")


async def test_an_account_is_paused_and_resumed_by_an_admin_alone(client: TestClient, desk: Desk) -> None:
    body = {"reason": "moving the CRM"}
    assert (await ask(client, "/accounts/main/pause", Role.OPERATOR, "POST", json=body))[0] == 403
    assert desk.actions.done == []
    assert (await ask(client, "/accounts/main/pause", Role.ADMIN, "POST", json=body))[0] == 200
    assert (await ask(client, "/accounts/other/pause", Role.ADMIN, "POST", json=body))[0] == 404
    assert (await ask(client, "/accounts/main/resume", Role.ADMIN, "POST"))[0] == 200
    assert desk.actions.done == [("pause", "main", "moving the CRM"), ("resume", "main")]
    assert desk.overviews.outdated == 2  # whoever looks next sees it


async def test_an_account_tells_what_lets_us_in_and_until_when(client: TestClient) -> None:
    main, office = (await ask(client, "/accounts"))[1]["items"]
    assert (main["authorised_by"], main["state"], main["problem"]) == ("token", "active", None)
    assert (office["authorised_by"], office["state"]) == ("oauth", "unauthorised")
    assert "never authorised" in office["problem"] and office["url"] == "https://sample.amocrm.ru"


async def test_what_lets_us_in_is_unknown_while_it_cannot_be_read(client: TestClient, desk: Desk) -> None:
    desk.actions.pair = StoreUnavailable("away")
    _, office = (await ask(client, "/accounts"))[1]["items"]
    assert (office["authorised_by"], office["state"], office["problem"]) == (None, "active", None)


# --- the protocol ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_json"),
        (b"\xff\xfe", "application/json", 400, "bad_json"),
        (b"", "application/json", 400, "bad_json"),
        (b"[]", "application/json", 400, "bad_request"),
        (b"[" * 100_000, "application/json", 400, "bad_json"),
        (b"{}", "text/plain", 415, "unsupported_media_type"),
        (b"{}", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"id": "' + b"a" * 300_000 + b'"}', "application/json", 413, "body_too_large"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_by_what_is_wrong(
    client: TestClient, body: bytes, kind: str, status: int, code: str
) -> None:
    answer = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", data=body, headers={"Content-Type": kind})
    assert (answer[0], answer[1]["code"]) == (status, code)


async def test_a_compressed_body_is_not_read(client: TestClient) -> None:
    body, headers = (
        gzip.compress(json.dumps(JOB).encode()),
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )
    status, told = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", data=body, headers=headers)
    assert (status, told["code"]) == (415, "unsupported_media_type")


async def test_a_body_without_a_length_is_bounded_too(client: TestClient) -> None:
    async def endless() -> Any:
        for _ in range(100):
            yield b"x" * 65_536

    headers = {"Content-Type": "application/json"}
    answer = await ask(client, "/replay-jobs", Role.OPERATOR, "POST", data=endless(), headers=headers)
    assert answer[1]["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("accept", "status"),
    [("*/*", 200), ("text/html, application/json;q=0.5", 200), ("text/html", 406), ("application/json;q=0", 406)],
)
async def test_whoever_reads_no_json_is_told_so(client: TestClient, accept: str, status: int) -> None:
    assert (await ask(client, "/calls", headers={"Accept": accept}))[0] == status


async def test_every_refusal_is_a_problem_with_a_stable_code(client: TestClient) -> None:
    async with client.get(f"{API}/calls?limit=x", headers=OPERATOR) as answer:
        told = await answer.json(content_type="application/problem+json")
    assert told["type"] == "/api/docs#bad_request"
    assert (told["status"], told["title"]) == (400, "Bad Request")
    assert set(told) == {"type", "title", "status", "code", "detail", "errors"}
    assert all(400 <= status < 600 for status, _ in CODES.values())


async def test_hostile_texts_come_back_as_json_strings_and_half_characters_do_not_break_an_answer(
    client: TestClient, desk: Desk
) -> None:
    desk.ledger.rows = [call_row(1, result="</script><script>alert(1)</script>", detail="half \ud83d")]
    status, told = await ask(client, "/calls", Role.OPERATOR)
    assert status == 200
    assert told["items"][0]["result"] == "</script><script>alert(1)</script>"
    assert told["items"][0]["detail"] == "half ?"


async def test_sources_and_accounts_are_those_of_the_settings_and_those_that_were_heard_of(client: TestClient) -> None:
    _, accounts = await ask(client, "/accounts")
    assert [(row["account"], row["waiting"]) for row in accounts["items"]] == [("main", 3), ("office", 0)]
    _, sources = await ask(client, "/sources")
    source, stranger = sources["items"]
    assert source["refused"] == {"bad_signature": 4} and stranger["configured"] is False
    assert source["url"] == "https://hooks.example.com/hooks/office" and source["counts"]["stored"] == 10
