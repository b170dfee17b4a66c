"""A call's story: put together of what the queue and the history know, masked until somebody asks."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from callbridge.call import Webhook
from callbridge.ledger.views import BatchXray
from callbridge.ops.answers import NotFit, Refused
from callbridge.ops.dashboard.edit_page import changes
from callbridge.ops.dashboard.shown_text import Veil
from callbridge.ops.dashboard.story_view import evidence, merged, timeline
from callbridge.ops.dashboard.times import zone_of
from callbridge.ops.editing import FieldProblem
from callbridge.ops.who import Role
from callbridge.store.envelope import Envelope, seal
from support.callpages import (
    NOW,
    PHONE,
    UNIQ,
    Browse,
    a_batch,
    a_desk,
    a_row,
    a_story,
    an_attempt,
    dead,
    packed,
    parked,
)

ID = "1k00001abcdefghj"
BODY = f'{{"from": "{PHONE}", "note": "<b>hi</b>", "token": "very-secret"}}'.encode()
HAPPENED = (
    {
        "at": NOW - 50,
        "what": "dead",
        "reason": "refused_by_crm",
        "detail": f"bad {PHONE}",
        "batch": "b2",
        "status": 400,
    },
    {"at": NOW - 40, "what": "amended", "by": "anna", "why": "wrong prefix", "fields": "phone"},
)


async def test_the_story_tells_requests_decisions_and_people(browse: Browse) -> None:
    desk = a_desk()
    desk.know(
        dead(1, duplicates=2),
        story=HAPPENED,
        attempts=(
            an_attempt("b2", became="dead"),
            an_attempt("b0", at=NOW - 90, became="halved", answer="WholeRefused"),
        ),
        envelope=seal(Envelope("office", "mango", Webhook("summary", BODY), None)),
    )
    page = await (await (await browse(desk.console)).get(f"/calls/{ID}")).text()
    order = [
        page.index(mark)
        for mark in ("Webhook received", "and repeated 2 times", "refused whole and halved", "/batches/b2")
    ]
    assert order == sorted(order)
    assert "by anna" in page
    assert "Reason: wrong prefix" in page
    assert "HTTP 400" in page
    assert "&lt;b&gt;hi&lt;/b&gt;" in page
    assert "very-secret" not in page
    assert PHONE not in page


async def test_a_number_is_shown_once_to_whoever_asks_and_that_is_written_down(browse: Browse) -> None:
    desk = a_desk()
    desk.know(dead(1), story=HAPPENED, envelope=seal(Envelope("office", "mango", Webhook("summary", BODY), None)))
    client = await browse(desk.console)
    answer = await client.post(f"/calls/{ID}/reveal")
    page = await answer.text()
    assert desk.actions.done == [("reveal", "anna", ID)]
    assert answer.headers["Cache-Control"] == "no-store"
    assert PHONE in page
    assert "very-secret" not in page
    assert PHONE not in await (await client.get(f"/calls/{ID}")).text()


async def test_what_was_not_revealed_is_not_shown(browse: Browse) -> None:
    desk = a_desk()
    desk.know(dead(1))

    async def refused(*_: object) -> None:
        return None

    desk.actions.reveal = refused  # type: ignore[method-assign] # the other answer of that action
    answer = await (await browse(desk.console)).post(f"/calls/{ID}/reveal")
    assert answer.status == 404
    assert PHONE not in await answer.text()


async def test_a_viewer_sees_why_he_may_not(browse: Browse) -> None:
    desk = a_desk()
    desk.know(dead(1))
    page = await (await (await browse(desk.console, Role.VIEWER)).get(f"/calls/{ID}")).text()
    assert "/reveal" not in page
    assert "/jobs/new" not in page
    assert "/edit" not in page
    assert page.count("Only operators can do that") >= 2


async def test_a_call_newer_than_the_history_is_told_by_the_queue(browse: Browse) -> None:
    desk = a_desk()
    desk.queue.stories[ID] = a_story(a_row(1, state="queued", attempts=0), BODY)
    page = await (await (await browse(desk.console)).get(f"/calls/{ID}")).text()
    assert "queued" in page
    assert "No request was made for this call yet" in page


async def test_each_of_both_alone_is_enough_and_the_page_says_which_is_away(browse: Browse) -> None:
    desk = a_desk()
    desk.know(dead(1))
    desk.queue.stories[ID] = a_story(dead(1), BODY)
    client = await browse(desk.console)
    desk.ledger.away = True
    page = await (await client.get(f"/calls/{ID}")).text()
    assert "The ledger does not answer" in page
    assert "action=replay" in page
    desk.ledger.away, desk.queue.away = False, True
    page = await (await client.get(f"/calls/{ID}")).text()
    assert "Redis does not answer" in page
    assert "action=replay" not in page


@pytest.mark.parametrize("call_id", ["1k00009zzzzzzzzz", "%3Cscript%3E", "a" * 50])
async def test_an_unknown_call_is_a_page_that_says_so(browse: Browse, call_id: str) -> None:
    answer = await (await browse(a_desk().console)).get(f"/calls/{call_id}")
    assert answer.status == 404
    assert "There is nothing here" in await answer.text()
    assert "<script>" not in await answer.text()


async def test_of_an_erased_call_nothing_is_told_but_that_it_is(browse: Browse) -> None:
    desk = a_desk()
    bare = dict.fromkeys(
        ("phone", "uniq", "ref", "detail", "result", "extension", "entity_type", "entity_id", "note_id")
    )
    desk.know(
        a_row(1, state="erased", **bare), envelope=seal(Envelope("office", "mango", Webhook("summary", BODY), None))
    )
    desk.ledger.told[ID] = replace(desk.ledger.told[ID], story=HAPPENED)
    page = await (await (await browse(desk.console)).get(f"/calls/{ID}")).text()
    assert "was erased on request" in page
    assert "wrong prefix" not in page
    assert "bad ***4567" not in page
    assert "/reveal" not in page
    assert "Webhook as it was received" not in page


async def test_why_nobody_matched_is_told_without_the_number(browse: Browse) -> None:
    desk = a_desk()
    desk.know(parked(1))
    client = await browse(desk.console)
    page = await (await client.get(f"/calls/{ID}")).text()
    assert "Why did it not match?" in page
    assert "***4567 (10)" in page
    assert 'href="https://example.amocrm.ru/contacts/add/"' in page
    revealed = await (await client.post(f"/calls/{ID}/reveal")).text()
    assert "9161234567" in revealed
    assert "contacts/add/?phone=%2B79161234567" in revealed


async def test_a_paused_account_is_named_as_the_cause(browse: Browse) -> None:
    account = SimpleNamespace(account="main", pause=SimpleNamespace(reason="banned"))
    desk = a_desk(status=SimpleNamespace(tally=SimpleNamespace(accounts=(account,))))
    desk.know(a_row(1, state="queued", attempts=0))
    page = await (await (await browse(desk.console)).get(f"/calls/{ID}")).text()
    assert "Its account stands still: The CRM blocks our address" in page


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("https://rec.example.com/1.mp3", True),
        ("https://rec.example.com/79161234567.mp3", False),
        ("https://rec.example.com/1.mp3?token=abcdef", False),
        ("javascript:alert(1)", False),
    ],
)
async def test_a_recording_is_linked_where_its_address_hides_nothing(browse: Browse, link: str, *, shown: bool) -> None:
    desk = a_desk()
    desk.know(a_row(1, link=link))
    page = await (await (await browse(desk.console)).get(f"/calls/{ID}")).text()
    assert (f'href="{link}"' in page) is shown


async def test_an_edit_sends_what_was_changed_and_nothing_else(browse: Browse) -> None:
    desk = a_desk()
    desk.know(dead(1, result=f"called {PHONE}"))
    client = await browse(desk.console)
    page = await (await client.get(f"/calls/{ID}/edit")).text()
    assert PHONE not in page
    form = {"direction": "inbound", "phone": "", "duration": "73", "status": "answered", "result": "called ***4567"}
    form |= {"link": "", "extension": "205", "updated_at": "1790000000.123", "reason": "moved"}
    answer = await client.post(f"/calls/{ID}/edit", data=form, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/calls/{ID}?done=amended")
    assert desk.actions.done == [("edit", "anna", ID, {"extension": "205"}, 1_790_000_000.123, "moved")]


async def test_what_does_not_fit_is_told_beside_its_field_and_kept(browse: Browse) -> None:
    desk = a_desk()
    desk.know(dead(1))
    desk.actions.answer = NotFit((FieldProblem("duration", "not_a_number", "is a whole number of seconds"),))
    client = await browse(desk.console)
    answer = await client.post(
        f"/calls/{ID}/edit", data={"duration": "<i>soon", "reason": "r", "updated_at": "1790000000"}
    )
    page = await answer.text()
    assert answer.status == 422
    assert 'id="duration-problem"' in page
    assert "&lt;i&gt;soon" in page
    desk.actions.answer = Refused("changed", "meanwhile")
    answer = await client.post(f"/calls/{ID}/edit", data={"duration": "5", "reason": "r", "updated_at": "x"})
    assert answer.status == 409
    assert "changed the call meanwhile" in await answer.text()
    assert desk.actions.done[-1][4] == 0.0


async def test_a_call_that_is_not_dead_has_no_form(browse: Browse) -> None:
    desk = a_desk()
    desk.know(a_row(1))
    answer = await (await browse(desk.console)).get(f"/calls/{ID}/edit", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, f"/calls/{ID}")


def test_of_a_call_that_could_not_be_read_all_that_was_told_is_sent() -> None:
    empty = dict.fromkeys(("direction", "phone", "duration", "started_at", "status", "result", "link", "extension"), "")
    told = {"direction": "inbound", "phone": "123", "started_at": "2026-03-01T08:30:00", "link": ""}
    found = changes(empty, told, zone_of("Europe/Moscow"), unread=True)
    assert found == {"direction": "inbound", "phone": "123", "started_at": 1772343000}


def test_an_entry_that_both_tell_is_told_once() -> None:
    live = [{"at": 10.0, "what": "received", "bytes": 3}, {"at": 12.0, "what": "dead", "reason": "expired"}]
    kept = [{"at": 9.9, "what": "received"}, {"at": 11.0, "what": "waiting"}, {"at": 12.0, "what": "dead"}]
    assert [(each["what"], len(each)) for each in merged(live, kept)] == [("received", 3), ("waiting", 2), ("dead", 3)]


def test_a_request_that_only_the_history_knows_has_its_place() -> None:
    told = timeline(HAPPENED, (an_attempt("b1", at=NOW - 45, became="halved"), an_attempt("b2")), Veil())
    assert [(each.what, each.sent.batch if each.sent else None) for each in told] == [
        ("dead", "b2"), ("halved", "b1"), ("amended", None),
    ]  # fmt: skip


def test_of_a_request_the_part_of_this_call_is_shown() -> None:
    request = packed([{"uniq": "other", "phone": "+79160000000"}, {"uniq": UNIQ, "phone": PHONE}])
    response = packed({"validation-errors": [{"request_id": UNIQ, "errors": [{"detail": f"bad {PHONE}"}]}]})
    found = evidence(BatchXray(a_batch(), (), (), request, response), UNIQ, Veil())
    assert found is not None
    assert found.posted is not None
    assert found.answered is not None
    assert UNIQ in found.posted
    assert "other" not in found.posted
    assert "bad ***4567" in found.answered
    assert not found.whole
    silent = evidence(BatchXray(a_batch(), (), (), request, b"no deflate, no JSON"), UNIQ, Veil())
    assert silent is not None
    assert silent.whole
    others = evidence(BatchXray(a_batch(), (), (), request, packed({"bad": "+79160000000"})), UNIQ, Veil(lifted=True))
    assert others is not None
    assert "+79160000000" not in (others.answered or "")
    assert evidence(BatchXray(a_batch(), (), (), None, None), UNIQ, Veil()) is None
