"""`uncertain list`, `uncertain resolve`: what nobody could find out, and one person's word about it."""

from __future__ import annotations

import io

import pytest

from callbridge.call import CallId
from callbridge.outcome import State
from cli.conftest import Office
from support.store import Bench


async def a_doubtful_day(bench: Bench) -> None:
    await bench.bring_to(State.UNCERTAIN, 2, ref="u", phone="+7 916 000-00-07")
    await bench.bring_to(State.DEAD, 3, reason="unknown_outcome", ref="d", account="other")
    await bench.bring_to(State.DEAD, 1, reason="expired", ref="e")
    await bench.bring_to(State.DELIVERED, 1, ref="ok")


def dead_ones(office: Office) -> list[str]:
    return [call["id"] for call in office.run("uncertain", "list", "--account", "other", "--json").lines]


def test_the_list_holds_what_is_looked_for_and_what_died_of_it(office: Office) -> None:
    office.seed(a_doubtful_day)
    rows = office.run("uncertain", "list", "--json").lines
    assert sorted(row["state"] for row in rows) == ["dead", "dead", "dead", "uncertain", "uncertain"]
    assert len(office.run("uncertain", "list", "--limit", "2", "--json").lines) == 2
    one = next(row for row in rows if row["state"] == "uncertain")
    assert one["decidable_at"] == pytest.approx(one["uncertain_since"] + 86_400)
    assert (one["batch"], one["batch_size"], one["looks"]) == ("b-1", 2, 0)
    assert one["sent_at"] <= one["uncertain_since"] <= one["next_look_at"]


@pytest.mark.parametrize(
    ("filters", "count"),
    [("--account other", 3), ("--phone 0007", 2), ("--source city", 0), ("--since 1h", 5), ("--until 1h", 0)],
)
def test_the_list_is_filtered_like_other_lists(office: Office, filters: str, count: int) -> None:
    office.seed(a_doubtful_day)
    assert len(office.run("uncertain", "list", *filters.split(), "--json").lines) == count


def test_people_see_since_when_and_from_when_on_they_decide(office: Office) -> None:
    office.seed(a_doubtful_day)
    out = office.run("uncertain", "list").out
    assert [
        word for word in ("since", "looks", "to decide from", "b-1 of 2", "uncertain", "dead") if word not in out
    ] == []
    assert "No uncertain calls." in office.run("uncertain", "list", "--source", "city").out


@pytest.mark.parametrize(
    ("verdict", "state", "reason"), [("delivered", "delivered", "marked_delivered"), ("resend", "retrying", None)]
)
def test_a_decision_moves_the_calls_and_stands_in_their_stories(
    office: Office, verdict: str, state: str, reason: str | None
) -> None:
    office.seed(a_doubtful_day)
    ids = dead_ones(office)
    told = ("--reason", "looked at  the card", "--as", "anna", "--yes", "--json")
    ended = office.run("uncertain", "resolve", *ids, f"--{verdict}", *told)
    assert (ended.code, ended.json) == (
        0,
        {"verdict": verdict, "matched": 3, "moved": 3, "skipped": {}, "decidable_at": {}, "dry_run": False},
    )
    call = office.run("calls", "show", ids[0], "--json").json
    assert (call["state"], call["reason"], call["note_id"]) == (state, reason, None)
    entry = call["story"][-1]
    assert (entry["what"], entry["as"], entry["by"], entry["why"]) == (
        "resolved",
        verdict,
        "anna",
        "looked at the card",
    )
    assert entry.get("may_duplicate", False) == (verdict == "resend")
    again = office.run("uncertain", "resolve", *ids, f"--{verdict}", "--yes", "--json")
    assert (again.code, again.json["moved"], again.json["skipped"]) == (0, 0, {"not_uncertain": 3})


def test_a_call_that_is_still_looked_for_is_refused_with_the_time_and_moves_by_force(office: Office) -> None:
    office.seed(a_doubtful_day)
    (call_id, _) = [call["id"] for call in office.run("uncertain", "list", "--account", "main", "--json").lines]
    ended = office.run("uncertain", "resolve", call_id, "--resend", "--yes", "--json")
    assert (ended.code, ended.json["moved"], ended.json["skipped"]) == (1, 0, {"too_early": 1})
    (row,) = [row for row in office.run("uncertain", "list", "--json").lines if row["id"] == call_id]
    assert ended.json["decidable_at"] == {call_id: pytest.approx(row["decidable_at"])}
    assert "still being looked for" in office.run("uncertain", "resolve", call_id, "--resend", "--yes").out
    forced = office.run("uncertain", "resolve", call_id, "--resend", "--force", "--yes", "--json")
    assert (forced.code, forced.json["moved"]) == (0, 1)


def test_a_preview_warns_of_doubles_and_changes_nothing(office: Office) -> None:
    office.seed(a_doubtful_day)
    ids = dead_ones(office)
    before = office.seed(lambda bench: bench.everything())
    ended = office.run("uncertain", "resolve", *ids, "1ngc9ejwfeqs9y9m", "--resend", "--dry-run")
    assert ended.code == 1
    assert "may then be there twice" in ended.out
    assert "1 no_such_call" in ended.out
    assert office.seed(lambda bench: bench.everything()) == before


@pytest.mark.parametrize("wrong", [(), ("--delivered", "--resend", "--yes"), ("--delivered",)])
def test_a_decision_that_is_none_is_wrong_usage(office: Office, wrong: tuple[str, ...]) -> None:
    ended = office.run("uncertain", "resolve", "1ngc9ejwfeqs9y9m", *wrong)
    assert ended.code == 2


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "moved"), [("n\n", 0), ("\n", 0), ("y\n", 1)])
def test_a_person_is_asked_and_the_answer_counts(
    office: Office, monkeypatch: pytest.MonkeyPatch, answer: str, moved: int
) -> None:
    (call_id,) = office.seed(lambda bench: bench.bring_to(State.DEAD, reason="unknown_outcome"))
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    ended = office.run("uncertain", "resolve", call_id, "--delivered", "--json")
    assert "Mark as delivered 1 call?" in ended.err
    assert (ended.code, ended.json["moved"]) == (0, moved)

    async def state(bench: Bench) -> str:
        return (await bench.get(CallId(call_id))).state

    assert office.seed(state) == ("delivered" if moved else "dead")
