"""`dead list`, `show`, `replay`, `discard`."""

from __future__ import annotations

import io
from collections import Counter

import pytest

from callbridge.call import CallId, UndecodableWebhook, Webhook
from callbridge.outcome import State
from cli.conftest import Office
from support.store import Bench


async def a_bad_night(bench: Bench) -> None:
    await bench.bring_to(State.DEAD, 205, reason="expired", ref="e")
    await bench.bring_to(State.DEAD, 2, reason="unknown_outcome", ref="u", account="other", phone="+7 916 000-00-02")
    webhook = UndecodableWebhook("main", "office", "generic", Webhook("call.finished", b"<xml>"), "is not JSON")
    await bench.inbox.put([webhook])
    await bench.bring_to(State.DELIVERED, 3, ref="d")


def states(office: Office) -> Counter[str]:
    return Counter(call["state"] for call in office.run("calls", "list", "--json").lines)


def test_dead_calls_are_listed_and_shown(office: Office) -> None:
    office.seed(a_bad_night)
    assert len(office.run("dead", "list", "--json").lines) == 208
    (call, _) = office.run("dead", "list", "--reason", "unknown_outcome", "--json").lines
    assert office.run("dead", "show", call["id"], "--json").json["reason"] == "unknown_outcome"


def test_a_call_that_is_not_dead_is_not_shown_as_dead(office: Office) -> None:
    (call_id,) = office.seed(lambda bench: bench.bring_to(State.DELIVERED))
    ended = office.run("dead", "show", call_id)
    assert (ended.code, ended.out) == (1, "")
    assert "it is delivered" in ended.err


@pytest.mark.parametrize("action", ["replay", "discard"])
def test_a_dry_run_counts_and_changes_nothing(office: Office, action: str) -> None:
    office.seed(a_bad_night)
    before = office.seed(lambda bench: bench.everything())
    ended = office.run("dead", action, "--all", "--dry-run", "--json")
    skipped = {"undecodable": 1} if action == "replay" else {}
    assert (ended.code, ended.json) == (0, {"matched": 208, "moved": 0, "skipped": skipped, "dry_run": True})
    assert office.seed(lambda bench: bench.everything()) == before


def test_a_replay_moves_what_can_be_moved(office: Office) -> None:
    office.seed(a_bad_night)
    ended = office.run("dead", "replay", "--all", "--yes", "--json")
    assert (ended.code, ended.json) == (
        0,
        {"matched": 208, "moved": 207, "skipped": {"undecodable": 1}, "dry_run": False},
    )
    assert states(office) == {"retrying": 205, "uncertain": 2, "dead": 1, "delivered": 3}
    again = office.run("dead", "replay", "--all", "--yes", "--json")
    assert again.json == {"matched": 1, "moved": 0, "skipped": {"undecodable": 1}, "dry_run": False}


def test_a_discard_closes_all_of_them(office: Office) -> None:
    office.seed(a_bad_night)
    assert office.run("dead", "discard", "--all", "--yes", "--json").json["moved"] == 208
    assert states(office) == {"ignored": 208, "delivered": 3}
    assert {call["reason"] for call in office.run("calls", "list", "--state", "ignored", "--json").lines} == {
        "discarded"
    }


@pytest.mark.parametrize(
    ("filters", "moved"),
    [
        ("--reason unknown_outcome", 2),
        ("--account other", 2),
        ("--phone 0002", 2),
        ("--source office --reason expired", 205),
        ("--until 1h", 0),
        ("--since 1h --account other", 2),
    ],
)
def test_a_filter_is_all_that_is_touched(office: Office, filters: str, moved: int) -> None:
    office.seed(a_bad_night)
    assert office.run("dead", "discard", *filters.split(), "--yes", "--json").json["moved"] == moved
    assert states(office)["ignored"] == moved


def test_calls_can_be_named_one_by_one(office: Office) -> None:
    first, second, third = office.seed(lambda bench: bench.bring_to(State.DEAD, 3, reason="expired"))
    ended = office.run("dead", "replay", first, second, first, "--yes", "--json")
    assert (ended.code, ended.json["matched"], ended.json["moved"]) == (0, 2, 2)
    assert [call["id"] for call in office.run("dead", "list", "--json").lines] == [third]


def test_a_name_without_a_call_is_a_problem_and_the_others_move(office: Office) -> None:
    (call_id,) = office.seed(lambda bench: bench.bring_to(State.DEAD, reason="expired"))
    ended = office.run("dead", "replay", call_id, "1ngc9ejwfeqs9y9m", "--yes", "--json")
    assert ended.code == 1
    assert ended.json == {"matched": 2, "moved": 1, "skipped": {"no_such_call": 1}, "dry_run": False}


def test_people_see_what_would_happen(office: Office) -> None:
    office.seed(a_bad_night)
    out = office.run("dead", "replay", "--all", "--dry-run").out
    expected = (
        "207 calls would be sent again",
        "205 expired",
        "2 unknown_outcome (looked for in the CRM first)",
        "1 undecodable: stay as they are",
        "and 202 more",
    )
    assert [part for part in expected if part not in out] == []
    assert "No such dead calls." in office.run("dead", "discard", "--reason", "kills_worker", "--yes").out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "moved"), [("n\n", 0), ("\n", 0), ("y\n", 1)])
def test_a_person_is_asked_and_the_answer_counts(
    office: Office, monkeypatch: pytest.MonkeyPatch, answer: str, moved: int
) -> None:
    (call_id,) = office.seed(lambda bench: bench.bring_to(State.DEAD, reason="expired"))
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    ended = office.run("dead", "replay", call_id, "--json")
    assert "Replay 1 call?" in ended.err
    assert (ended.code, ended.json["moved"]) == (0, moved)

    async def state(bench: Bench) -> str:
        return (await bench.get(CallId(call_id))).state

    assert office.seed(state) == ("retrying" if moved else "dead")
