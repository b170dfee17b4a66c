"""The API and the metrics of the real console, asked over HTTP on a bad day. Every answer is held against the document."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from prometheus_client.parser import text_string_to_metric_families

from browser.stage import FORGED, HELD, KNOWN, OFFICE, POISON, UNKNOWN, a_call
from callbridge.commands.roles import consoling
from callbridge.ops.api.endpoint import PREFIX
from callbridge.ops.api.openapi import document
from callbridge.ops.api.table import ENDPOINTS
from callbridge.ops.metrics import METRICS
from callbridge.ops.who import Role
from support.rehearsal import LEAVES, NUMBER, Rehearsal

pytestmark = LEAVES

DOCUMENT = schemathesis.openapi.from_dict(document(ENDPOINTS))
ENOUGH = 30.0


@dataclass(frozen=True)
class Program:
    """One that uses the API with the token of a role."""

    day: Rehearsal
    role: Role

    def ask(self, what: str, status: int = 200, *, body: Any = None, query: Any = None, **parts: str) -> Any:
        """`what` is a method and a path of the document."""
        method, _, path = what.partition(" ")
        more = {} if body is None else {"body": body, "media_type": "application/json"}
        case = DOCUMENT[PREFIX + path][method.lower()].Case(path_parameters=parts, query=query or {}, **more)
        answer = case.call(base_url=self.day.url, headers=self.day.headers(self.role))
        case.validate_response(answer, headers=self.day.headers(self.role))
        assert answer.status_code == status, answer.text
        return answer.json()

    def walk(self, what: str, **query: Any) -> Iterator[Any]:
        """All pages of a list."""
        cursor: dict[str, str] = {}
        while True:
            page = self.ask(what, query={**query, **cursor})
            yield from page["items"]
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}

    def call(self, ref: str) -> Any:
        (found,) = self.ask("GET /calls", query={"text": ref})["items"]
        return found


@pytest.fixture
def viewer(day: Rehearsal) -> Program:
    return Program(day, Role.VIEWER)


@pytest.fixture
def operator(day: Rehearsal) -> Program:
    return Program(day, Role.OPERATOR)


@pytest.fixture
def admin(day: Rehearsal) -> Program:
    return Program(day, Role.ADMIN)


def until(holds: Callable[[], Any]) -> Any:
    """What `holds` tells once it tells something: figures are a few seconds old by design."""
    deadline = time.monotonic() + ENOUGH
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


# --- calls -----------------------------------------------------------------------------------------------------------


def test_a_walk_over_all_calls_finds_each_once_by_either_order(viewer: Program) -> None:
    def at_rest() -> Any:
        states = viewer.ask("GET /status")["states"]
        return states if states["queued"] == HELD else None

    states = until(at_rest)
    found = list(viewer.walk("GET /calls", limit="25"))
    assert len({row["id"] for row in found}) == len(found) == sum(states.values())
    assert [row["received_at"] for row in found] == sorted((row["received_at"] for row in found), reverse=True)
    by_state = Counter(row["state"] for row in found)
    assert by_state == {state: calls for state, calls in states.items() if calls}
    assert (by_state["delivered"], by_state["parked"], by_state["queued"]) == (KNOWN, UNKNOWN, HELD)
    settled = [row["id"] for row in viewer.walk("GET /calls", limit="7", order="settled")]
    assert len(set(settled)) == len(settled)
    assert set(settled) == {row["id"] for row in found if row["settled_at"] is not None}


def test_every_filter_finds_what_it_says(viewer: Program, operator: Program) -> None:
    assert {row["account"] for row in viewer.walk("GET /calls", account="north")} == {"north"}
    (found,) = operator.ask("GET /calls", query={"phone": POISON})["items"]
    assert (found["ref"], found["state"], found["reason"]) == ("poisoned", "dead", "refused_by_crm")
    alike = operator.ask("GET /calls", query={"cause": found["cause"], "state": ["dead", "parked"]})["items"]
    assert [row["id"] for row in alike] == [found["id"]]
    assert viewer.ask("GET /calls", query={"until": str(found["received_at"] - 3600)})["items"] == []


def test_a_story_tells_each_request_that_carried_the_call(operator: Program) -> None:
    poisoned = operator.call("poisoned")
    told = operator.ask("GET /calls/{id}", id=poisoned["id"])
    assert told["live"] is True and told["webhook"]["event"] == "call.finished" and POISON in told["webhook"]["body"]
    assert told["story"][0]["what"] == "received"
    became = [request["became"] for request in told["requests"]]
    assert len(became) > 1 and set(became[:-1]) == {"halved"} and became[-1] == "dead"
    assert told["requests"][-1]["size"] == 1 and told["attempts"] == len(became)
    delivered = operator.ask("GET /calls/{id}", id=operator.call("known-0")["id"])
    assert delivered["state"] == "delivered" and delivered["entity_id"]
    assert delivered["requests"][-1]["became"] == "delivered"


# --- batches ---------------------------------------------------------------------------------------------------------


def test_a_refused_batch_leads_by_its_halves_to_the_call_that_spoiled_it(operator: Program) -> None:
    poisoned = operator.call("poisoned")["id"]
    refused = list(operator.walk("GET /batches", answer="WholeRefused", limit="1"))
    assert refused == operator.ask("GET /batches", query={"answer": "WholeRefused", "limit": "200"})["items"]
    assert {row["status"] for row in refused} == {400}
    assert len(refused) < len(list(operator.walk("GET /batches")))
    (found,) = (row for row in refused if row["parent"] is None)
    sizes = []
    while True:
        told = operator.ask("GET /batches/{id}", id=found["id"])
        sizes.append(told["size"])
        assert poisoned in {carried["call"]["id"] for carried in told["calls"]}
        assert len(told["calls"]) == told["size"]
        assert POISON in told["request"] and "validation" in told["response"]
        if not told["halves"]:
            break
        assert sum(half["size"] for half in told["halves"]) == told["size"]
        (found,) = (half for half in told["halves"] if half["answer"] == "WholeRefused")
    assert sizes[-1] == 1 and sizes == sorted(sizes, reverse=True)
    assert told["calls"][0]["became"] == "dead"


def test_a_ban_is_an_answer_too(viewer: Program) -> None:
    stopped = list(viewer.walk("GET /batches", answer="AccountStopped"))
    assert stopped and {row["account"] for row in stopped} == {"north"} and {row["status"] for row in stopped} == {403}


# --- dead calls, jobs ------------------------------------------------------------------------------------------------


def test_a_cause_is_marked_and_that_is_in_the_audit(viewer: Program, operator: Program) -> None:
    (group,) = (row for row in viewer.ask("GET /dead")["items"] if row["reason"] == "refused_by_crm")
    assert (group["calls"], group["status"]) == (1, "open")
    parts = {name: group[name] for name in ("account", "reason", "cause")}
    body = {"status": "acknowledged", "note": "the field is being mended"}
    told = operator.ask("PUT /dead/groups/{account}/{reason}/{cause}", body=body, **parts)
    assert (told["status"], told["note"], told["changed_by"]) == ("acknowledged", body["note"], "a operator program")
    assert [row["cause"] for row in viewer.ask("GET /dead", query={"status": "acknowledged"})["items"]] == [
        group["cause"]
    ]
    (entry,) = operator.ask("GET /audit", query={"action": "group.marked"})["items"]
    assert entry["target"] == parts and entry["actor"] == "token:a operator program"


def test_a_job_is_previewed_confirmed_begun_once_and_watched_to_its_end(day: Rehearsal, operator: Program) -> None:
    day.run(day.stage.post("office", OFFICE, a_call("one-stranger-more", "+79885009999")))
    day.run(day.stage.settled())
    wanted = {"action": "retry", "filter": {"state": ["parked"], "account": "main"}}
    preview = operator.ask("POST /replay-jobs/preview", body=wanted)
    total = preview["total"]
    assert total == UNKNOWN + 1 and preview["fates"] == {"would_send": total} and len(preview["sample"]) == 5
    job = wanted | {"id": "job-of-the-day", "reason": "the contacts are there now"}
    for said in ({}, {"confirmed": total - 1}):
        refused = operator.ask("POST /replay-jobs", 409, body=job | said)
        assert (refused["code"], refused["total"]) == ("confirmation_needed", total)
    begun = operator.ask("POST /replay-jobs", 201, body=job | {"confirmed": total})
    again = operator.ask("POST /replay-jobs", body=job | {"confirmed": total})
    assert (begun["id"], again["id"], again["total"]) == ("job-of-the-day", "job-of-the-day", total)
    other = operator.ask("POST /replay-jobs", 409, body=job | {"action": "give_up", "confirmed": total})
    assert (other["code"], other["reason"]) == ("refused", "id_taken")

    def ended() -> Any:
        told = operator.ask("GET /replay-jobs/{id}", id=begun["id"])
        return told if told["state"] == "done" else None

    told = until(ended)
    assert (told["done"], told["moved"], told["skipped"], told["problem"]) == (total, total, {}, None)
    assert [row["id"] for row in operator.walk("GET /replay-jobs", limit="1")] == [begun["id"]]
    assert operator.ask("POST /replay-jobs/{id}/pause", id=begun["id"])["state"] == "done"  # it is past that
    (entry,) = operator.ask("GET /audit", query={"action": "job.started"})["items"]
    assert (entry["count"], entry["reason"]) == (total, job["reason"])


def test_a_job_of_nothing_is_refused(operator: Program) -> None:
    job = {"id": "job-of-nothing", "action": "replay", "ids": ["nobody"], "reason": "to see"}
    refused = operator.ask("POST /replay-jobs", 409, body=job)
    assert (refused["code"], refused["reason"]) == ("refused", "nothing")
    assert operator.ask("GET /replay-jobs/{id}", 404, id="job-of-nothing")["code"] == "not_found"


# --- accounts, sources -----------------------------------------------------------------------------------------------


def test_an_account_is_held_and_let_go_on_by_an_admin(admin: Program, operator: Program, viewer: Program) -> None:
    body = {"reason": "the CRM is being moved", "seconds": 600}
    assert operator.ask("POST /accounts/{name}/pause", 403, name="main", body=body)["code"] == "forbidden"
    held = admin.ask("POST /accounts/{name}/pause", name="main", body=body)
    assert (held["state"], held["reason"], held["detail"]) == ("paused", "manual", body["reason"])
    assert held["owner"] == "a admin program" and held["until"] > held["since"]
    listed = {row["account"]: row for row in viewer.ask("GET /accounts")["items"]}
    assert listed["main"]["state"] == "paused" and listed["north"]["reason"] == "banned"
    assert {row["authorised_by"] for row in listed.values()} == {"token"}
    assert admin.ask("POST /accounts/{name}/resume", name="main")["state"] == "active"
    assert admin.ask("POST /accounts/{name}/resume", 404, name="nobody")["code"] == "not_found"
    actions = [row["action"] for row in operator.ask("GET /audit")["items"]]
    assert {"account.paused", "account.resumed"} <= set(actions)


def test_a_pbx_with_another_secret_is_seen_by_what_was_refused(viewer: Program) -> None:
    def branch() -> Any:
        (row,) = (row for row in viewer.ask("GET /sources")["items"] if row["source"] == "branch")
        return row if row["refused"] else None

    row = until(branch)
    assert sum(row["refused"].values()) == FORGED and row["counts"] == {} and row["last_seen"] is None
    assert row["url"].endswith("/hooks/branch")


def test_the_status_says_what_is_wrong_without_a_number(viewer: Program) -> None:
    def judged() -> Any:
        told = viewer.ask("GET /status")
        return told if told["groups"] and any("branch" in each for each in told["problems"]) else None

    told = until(judged)
    assert told["verdict"] == "problem" and told["store_problem"] is None and told["ledger_problem"] is None
    assert any("north" in each for each in told["problems"])
    assert len(told["workers"]) == 1 and told["ledger"]["calls"] >= KNOWN + UNKNOWN
    assert told["last_day"]["delivered"] == KNOWN and told["last_hour"]["p95"] >= 0


# --- who reads what --------------------------------------------------------------------------------------------------


def test_no_number_is_whole_in_anything_that_a_viewer_reads(viewer: Program, operator: Program) -> None:
    """Whatever there is to be read, also what will be added."""
    calls = [operator.call(ref)["id"] for ref in ("poisoned", "known-0", "stranger-0")]
    batches = [row["id"] for row in operator.walk("GET /batches")]
    known = {"/calls/{id}": calls, "/batches/{id}": batches, "/replay-jobs/{id}": []}
    read = 0
    for endpoint in ENDPOINTS:
        if endpoint.method == "GET" and endpoint.role is Role.VIEWER:
            for parts in ({"id": each} for each in known[endpoint.path]) if "{" in endpoint.path else ({},):
                text = str(viewer.ask(f"GET {endpoint.path}", **parts))
                assert not NUMBER.search(text), (endpoint.path, text)
                read += 1
    assert read > len(calls) + len(batches) > 10
    assert not NUMBER.search(str(operator.ask("GET /audit", query={"limit": "200"})))


def test_an_operator_reads_numbers_whole_and_the_audit_says_so(operator: Program) -> None:
    def entries() -> int:
        return len(list(operator.walk("GET /audit", action="api.read_phones", limit="200")))

    before = entries()
    found = operator.ask("GET /calls", query={"limit": "3", "state": "delivered"})
    assert found["masked"] is False and all(NUMBER.search(row["phone"]) for row in found["items"])
    assert entries() == before + 1
    told = operator.ask("POST /calls/{id}/reveal", id=found["items"][0]["id"])
    assert told["phone"] == found["items"][0]["phone"]
    (entry,) = operator.ask("GET /audit", query={"action": "call.revealed"})["items"]
    assert entry["target"] == {"call": found["items"][0]["id"]}


def test_the_audit_is_walked_without_a_gap(operator: Program) -> None:
    seen = [row["seq"] for row in operator.walk("GET /audit", limit="2")]
    assert seen == list(range(seen[0], 0, -1))


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("GET", "/calls", {"headers": {}}, 401, "unauthenticated"),
        ("GET", "/calls", {"headers": {"Authorization": "Bearer cbt_" + "x" * 43}}, 401, "unauthenticated"),
        ("GET", "/nothing", {}, 404, "not_found"),
        ("GET", "/calls/nobody", {}, 404, "not_found"),
        ("GET", "/batches/nothing", {}, 404, "not_found"),
        ("DELETE", "/calls", {}, 405, "method_not_allowed"),
        ("GET", "/calls?limit=many", {}, 400, "bad_request"),
        ("GET", "/calls?cursor=nonsense", {}, 404, "no_such_page"),
        ("GET", "/batches?answer=per_call", {}, 400, "bad_request"),
        ("POST", "/replay-jobs", {"data": b"{"}, 415, "unsupported_media_type"),
        ("POST", "/replay-jobs", {"json": {}}, 400, "bad_request"),
        ("POST", "/replay-jobs", {"json": {"reason": "x" * 300_000}}, 413, "body_too_large"),
    ],
)
def test_every_refusal_is_a_problem_with_its_code(
    day: Rehearsal, method: str, path: str, sent: Any, status: int, code: str
) -> None:
    more = {"headers": day.headers(Role.ADMIN)} | sent
    answer = requests.request(method, f"{day.url}{PREFIX}{path}", timeout=10, **more)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert answer.json()["code"] == code and answer.json()["status"] == status
    assert ("WWW-Authenticate" in answer.headers) == (status == 401) and ("Allow" in answer.headers) == (status == 405)


# --- metrics ---------------------------------------------------------------------------------------------------------

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scraped(url: str, day: Rehearsal) -> tuple[Samples, str]:
    answer = requests.get(f"{url}/metrics", headers=day.headers(Role.VIEWER), timeout=10)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }
    return samples, answer.text


def test_the_figures_of_the_day_are_in_the_metrics_whichever_console_is_asked(day: Rehearsal, viewer: Program) -> None:
    context = consoling(day.stage.settings, day.redis.url, hooks=dict, tell_link=None)
    second = day.run(context.__aenter__())

    def alike() -> Any:
        """Figures of the ledger are kept for some seconds, refusals are told every few."""
        (told, text), (also, _) = scraped(day.url, day), scraped(second.url, day)
        there = ("callbridge_refused_total", BRANCH_REFUSED) in told and ("callbridge_latency_seconds", P95) in told
        return (told, text) if there and settled(told) == settled(also) else None

    try:
        told, text = until(alike)
    finally:
        day.run(context.__aexit__(None, None, None))

    def value(name: str, **labels: str) -> float:
        return told[f"callbridge_{name}", tuple(sorted(labels.items()))]

    assert {name for name, _ in told} <= {figure.name for figure in METRICS}
    assert value("up", part="redis") == value("up", part="ledger") == value("workers") == 1
    states = viewer.ask("GET /status")["states"]
    assert {state: value("calls", state=state) for state in states} == states
    assert value("waiting", account="north") == HELD
    assert value("parked", account="main") == states["parked"]
    assert value("account_paused", account="north", reason="banned") == 1
    assert value("received_total", source="north-office") == HELD
    assert value("delivered", window="24h") == KNOWN
    assert value("dead_group_calls", account="main", reason="undecodable") == 2
    assert value("problems") > 0 and value("ledger_behind") == 0
    assert value("refused_total", source="branch", code="bad_signature") == FORGED
    assert not NUMBER.search(text)


BRANCH_REFUSED = (("code", "bad_signature"), ("source", "branch"))
P95 = (("quantile", "0.95"), ("window", "24h"))


def settled(samples: Samples) -> Samples:
    """What stands still while nothing happens."""
    moving = ("_seconds", "_per_second")
    return {key: value for key, value in samples.items() if not key[0].endswith(moving)}
