"""`calls list`, `calls show`, `status`."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from callbridge.call import FinishedCall, UndecodableWebhook, Webhook
from callbridge.outcome import PauseReason, State
from callbridge.store.presence import RedisPresence
from cli.conftest import Office
from support.builders import a_call
from support.store import A_NOTE, Bench

CONTRACT = {
    *("id", "state", "account", "source", "provider", "uniq", "direction", "phone", "duration", "started_at"),
    *("received_at", "attempts", "reason", "entity_type", "entity_id", "note_id", "updated_at"),
}
HOSTILE = b'{"id": "\x1b[31mred\x07[bold]", "note": "\xe2\x80\xae[/bold]\x9b2J"}'


async def busy_day(bench: Bench) -> None:
    for number, state in enumerate((State.DELIVERED, State.DEAD, State.UNMATCHED, State.PARKED, State.IGNORED)):
        delay = 600.0 if state is State.PARKED else 0.0
        await bench.bring_to(
            state, number + 1, account=f"a{number}", ref=state, delay=delay, phone=f"+7 916 000-00-0{number}"
        )
    await bench.store(3, ref="waiting", source="city", provider="mango")
    webhook = UndecodableWebhook("main", "office", "generic", Webhook("call.finished", HOSTILE), "is not UTF-8")
    await bench.inbox.put([webhook])


def test_every_call_is_one_line_with_the_fields_of_the_contract(office: Office) -> None:
    office.seed(busy_day)
    calls = office.run("calls", "list", "--json").lines
    assert all(set(call) >= CONTRACT for call in calls)
    assert Counter(call["state"] for call in calls) == {
        "delivered": 1,
        "dead": 3,
        "unmatched": 3,
        "parked": 4,
        "ignored": 5,
        "queued": 3,
    }
    assert len({call["id"] for call in calls}) == len(calls)


def test_types_of_a_delivered_call_are_those_of_the_contract(office: Office) -> None:
    office.seed(lambda bench: bench.bring_to(State.DELIVERED))
    (call,) = office.run("calls", "list", "--json").lines
    expected = a_call(ref="r0")
    assert call["uniq"] == expected.uniq
    assert call["phone"] == expected.phone
    assert (call["direction"], call["duration"], call["started_at"]) == ("inbound", 42, 1_790_000_000)
    assert (call["note_id"], call["entity_type"], call["entity_id"]) == (
        A_NOTE.note_id,
        A_NOTE.entity_type,
        A_NOTE.entity_id,
    )
    assert (call["attempts"], call["reason"], call["call_status"]) == (1, None, "answered")
    assert isinstance(call["received_at"], float)
    assert call["updated_at"] >= call["received_at"] > 1_700_000_000


def test_what_nobody_could_read_is_null(office: Office) -> None:
    office.seed(busy_day)
    (call,) = office.run("calls", "list", "--reason", "undecodable", "--json").lines
    assert call["state"] == "dead"
    assert call["detail"] == "is not UTF-8"
    assert [call[name] for name in ("uniq", "phone", "direction", "duration", "started_at", "note_id")] == [None] * 6


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ("--state delivered", 1),
        ("--state queued", 3),
        ("--account a3", 4),
        ("--account nobody", 0),
        ("--source city", 3),
        ("--phone 00-01", 2),
        ("--phone +79160000001", 2),
        ("--reason undecodable", 1),
        ("--since 1h", 19),
        ("--until 1h", 0),
        ("--since 2026-01-01 --until 2026-01-02", 0),
        ("--limit 4", 4),
        ("--state ignored --limit 2", 2),
        ("--state dead --reason undecodable", 1),
        ("--state erased", 0),
    ],
)
def test_filters_narrow_the_list(office: Office, filters: str, count: int) -> None:
    office.seed(busy_day)
    ended = office.run("calls", "list", "--json", *filters.split())
    assert ended.code == 0
    assert len(ended.lines) == count


def test_machines_get_everything_and_people_a_page(office: Office) -> None:
    office.seed(lambda bench: bench.store(60))
    assert len(office.run("calls", "list", "--json").lines) == 60
    page = office.run("calls", "list")
    assert page.out.count("queued") == 50
    assert "there are more" in page.err
    assert office.run("calls", "list", "--limit", "60").err == ""


def test_a_table_shows_whole_phones_and_ids_to_whoever_may_ask(office: Office) -> None:
    (call_id,) = office.seed(lambda bench: bench.store(1, phone="+7 916 555-01-17"))
    out = office.run("calls", "list").out
    assert call_id in out
    assert "+7 916 555-01-17" in out


def test_an_empty_list_is_no_problem(office: Office) -> None:
    assert office.run("calls", "list").out == "No such calls.\n"
    assert office.run("calls", "list", "--json").out == ""


def test_a_story_tells_webhook_events_and_what_is_next(office: Office) -> None:
    (call_id,) = office.seed(lambda bench: bench.bring_to(State.DEAD, reason="expired"))
    story = office.run("calls", "show", call_id, "--json").json
    assert set(story) >= CONTRACT | {"webhook", "story", "advice"}
    assert story["webhook"] == {"event": "call.finished", "size": 10, "body": '{"id":"x"}'}
    assert [event["what"] for event in story["story"]] == ["received", "dead"]
    assert "callbridge dead replay" in story["advice"]
    told = office.run("calls", "show", call_id).out
    assert all(part in told for part in (call_id, "dead (expired)", '{"id":"x"}', "callbridge dead replay"))


@pytest.mark.parametrize("command", ["calls", "dead"])
def test_a_call_that_is_not_there_is_a_problem(office: Office, command: str) -> None:
    for extra in ([], ["--json"]):
        ended = office.run(command, "show", "1ngc9ejwfeqs9y9m", *extra)
        assert (ended.code, ended.out) == (1, "")
        assert "no call 1ngc9ejwfeqs9y9m" in ended.err


def test_a_hostile_webhook_cannot_draw_on_the_terminal(office: Office) -> None:
    call = a_call(phone="[red]+7916[/red]", ref="[bold]x")

    async def attack(bench: Bench) -> None:
        await bench.inbox.put([FinishedCall("main", call, Webhook("call.finished", HOSTILE))])

    office.seed(attack)
    (listed,) = office.run("calls", "list", "--json").lines
    told = office.run("calls", "show", listed["id"]).out
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", told)
    assert "[bold]x" in told
    assert "\\x1b[31mred" in told
    assert "[red]+7916[/red]" in office.run("calls", "list").out


def test_the_status_of_an_empty_store_is_good(office: Office) -> None:
    ended = office.run("status", "--json")
    assert ended.code == 0
    assert ended.json["ok"]
    assert ended.json["summary"] == "All is well: no call has come yet."


def test_calls_that_wait_for_nobody_are_a_problem_until_a_worker_lives(office: Office) -> None:
    office.seed(lambda bench: bench.store(2))
    ended = office.run("status")
    assert ended.code == 1
    assert ended.out.startswith("Needs attention: 2 calls are waiting and no worker is running")
    office.seed(lambda bench: RedisPresence(bench.scripts.redis, bench.scripts.root).beat("host-1", frozenset))
    assert office.run("status").code == 0


def test_the_status_tells_accounts_sources_workers_and_durability(office: Office) -> None:
    async def work(bench: Bench) -> None:
        await bench.store(2)
        await bench.queue.pause("main", PauseReason.UNAUTHORISED, "HTTP 401", 60, 900)
        await RedisPresence(bench.scripts.redis, bench.scripts.root).beat("host-1", frozenset)

    office.seed(work)
    ended = office.run("status", "--json")
    assert ended.code == 1
    told = ended.json
    assert told["durability"] == "always"
    assert told["states"]["queued"] == told["total"] == 2
    (account,) = told["accounts"]
    assert (account["account"], account["waiting"], account["pause"]["reason"]) == ("main", 2, "unauthorised")
    assert told["sources"][0]["source"] == "office"
    assert [worker["worker"] for worker in told["workers"]] == ["host-1"]
    shown = office.run("status").out
    assert all(part in shown for part in ("unauthorised", "host-1", "Durability: always", "2 stored"))
