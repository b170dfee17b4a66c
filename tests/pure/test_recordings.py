"""A late recording in amoCRM's words, and what its answers say."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.amocrm.notes import Page
from callbridge.amocrm.recordings import MAX_PAGES, body_of, find, path_of, read_answer
from callbridge.amocrm.schema import ENTITY_OF
from callbridge.found import Unreadable
from callbridge.note import CardGone, NoteAbsent, Noted, NoteRefused
from callbridge.outcome import AccountStopped, NoAnswer, NotSent, SlowDown
from support.builders import a_late_note

NOW = 1_790_000_000.0
LINK = a_late_note().link


def test_the_note_stands_on_the_calls_card_with_the_link_on_a_line_of_its_own() -> None:
    assert path_of(a_late_note()) == "/api/v4/leads/44/notes"
    [item] = orjson.loads(body_of(a_late_note()))
    assert item["note_type"] == "common"
    assert item["params"]["text"].splitlines() == ["Call recording: +7 916 555-01-17, 0:42", LINK]
    assert item["request_id"] == "c1.abcdefgh"
    assert item["is_need_to_trigger_digital_pipeline"] is False
    [bare] = orjson.loads(body_of(a_late_note(call=None)))
    assert LINK in bare["params"]["text"]


@pytest.mark.parametrize("kind", ENTITY_OF.values())
def test_every_kind_of_card_has_its_notes(kind: str) -> None:
    plural = next(plural for plural, singular in ENTITY_OF.items() if singular == kind)
    assert path_of(a_late_note(entity_type=kind)) == f"/api/v4/{plural}/44/notes"


@pytest.mark.parametrize("unknown", [{"entity_id": 0}, {"entity_type": "unknown"}, {"entity_type": ""}])
async def test_without_a_card_nobody_is_asked(unknown: dict[str, Any]) -> None:
    async def nobody(*_: object) -> Any:
        raise AssertionError

    assert path_of(a_late_note(**unknown)) is None
    assert isinstance(await find(nobody, a_late_note(**unknown), 0, nobody), CardGone)


@given(status=st.integers(100, 599).filter(lambda status: status != 404), body=st.binary(max_size=60))
def test_no_answer_without_the_notes_id_says_that_it_is_there(status: int, body: bytes) -> None:
    answer = read_answer(status, {}, body, now=NOW)
    assert not isinstance(answer, Noted | CardGone | NotSent)
    maybe_written = status < 300 or status >= 500 or status == 408
    assert isinstance(answer, NoAnswer) is maybe_written


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, {"_embedded": {"notes": [{"id": 81}]}}, Noted),
        (200, {"_embedded": {"notes": []}}, NoAnswer),
        (200, {"_embedded": {"notes": [{"id": None}]}}, NoAnswer),
        (200, {"_embedded": {"notes": ["x"]}}, NoAnswer),
        (400, {"title": "Bad Request", "validation-errors": [{"request_id": "0"}]}, NoteRefused),
        (400, {"_embedded": {"calls": [{"request_id": "0", "id": 5}]}}, NoteRefused),
        (422, {}, NoteRefused),
        (401, {}, AccountStopped),
        (402, {}, AccountStopped),
        (403, {"detail": "no right"}, AccountStopped),
        (429, {}, SlowDown),
        (502, {}, NoAnswer),
    ],
)
def test_each_answer_says_what_it_says(status: int, body: Any, kind: type) -> None:
    assert isinstance(read_answer(status, {}, orjson.dumps(body), now=NOW), kind)


# --- the look ----------------------------------------------------------------------------------------------------------


def page(*texts: str, start: int = 1) -> Page:
    notes = [{"id": start + n, "note_type": "common", "params": {"text": text}} for n, text in enumerate(texts)]
    return Page(200, orjson.dumps({"_embedded": {"notes": notes}}))


class Card:
    """Answers with its pages one after the other."""

    def __init__(self, *pages: Any, account: Any = None) -> None:
        self.pages, self.account, self.asked, self.permits = iter(pages), account, [], 0

    async def get(self, path: str) -> Any:
        self.asked.append(path)
        return self.account if path == "/api/v4/account" else next(self.pages)

    async def permit(self) -> None:
        self.permits += 1

    async def look(self, **changes: Any) -> Any:
        found = await find(self.get, a_late_note(**changes), 1_789_000_000, self.permit)
        assert self.permits == len(self.asked)
        return found


END = Page(204, b"")


async def test_the_note_is_found_on_any_page() -> None:
    card = Card(page("hello", "world"), page("x", f"Call recording: 1, 0:10\n{LINK}", start=3), END)
    assert await card.look() == Noted(4)
    query = parse_qs(urlsplit(card.asked[1]).query)
    assert query["filter[note_type][]"] == ["common"]
    assert query["filter[updated_at][from]"] == ["1789000000"]
    assert query["page"] == ["2"]


@pytest.mark.parametrize("text", [f"{LINK}0", f"x{LINK}", LINK[:-1], "", "Call recording"])
async def test_another_link_is_not_ours_even_where_ours_begins_it(text: str) -> None:
    assert await Card(page(text), END).look() == NoteAbsent()


async def test_a_text_that_comes_back_escaped_is_recognised() -> None:
    link = "https://rec.example.org/?a=1&b=2"
    for text in (f"Call recording\n{link}", "Call recording https://rec.example.org/?a=1&amp;b=2"):
        assert await Card(page(text), END).look(link=link) == Noted(1)


async def test_a_card_that_is_read_to_its_end_does_not_have_it() -> None:
    assert await Card(END).look() == NoteAbsent()
    assert await Card(page("a"), page("a"), page("a")).look() == NoteAbsent(), "the same page again is an end"


@pytest.mark.parametrize(
    "broken", [Page(500, b""), Page(200, b"<html>"), Page(200, b'{"_embedded":{"notes":[{}]}}'), NoAnswer("reset")]
)
async def test_what_cannot_be_read_proves_nothing(broken: Any) -> None:
    assert isinstance(await Card(page("a"), broken).look(), Unreadable)


async def test_endless_pages_are_given_up() -> None:
    card = Card(*(page("a", start=number) for number in range(1, 100)))
    assert isinstance(await card.look(), Unreadable)
    assert len(card.asked) == MAX_PAGES


@pytest.mark.parametrize(
    ("account", "kind"),
    [
        (Page(200, b'{"id": 31000001}'), CardGone),
        (Page(404, b"{}"), Unreadable),
        (Page(200, b"<html>"), Unreadable),
        (NotSent("no route"), Unreadable),
    ],
)
async def test_a_card_is_gone_only_where_its_account_is_there(account: Any, kind: type) -> None:
    assert isinstance(await Card(Page(404, b""), account=account).look(), kind)
