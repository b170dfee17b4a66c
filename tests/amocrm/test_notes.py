"""The read-back says "absent" only when everything was read to its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.amocrm.notes import MAX_PAGES, Page, likeness_of, read_back
from callbridge.found import ReadBack, Unreadable
from callbridge.outcome import Delivered, NoAnswer, NotSent
from support.amocrm import BAN_PAGE, recorded
from support.builders import a_call

SINCE = 1_790_000_000
Answering = Callable[[str, int], Page | NotSent | NoAnswer]


def note(number: int, uniq: object, entity: object = 500) -> dict[str, Any]:
    return {"id": number, "entity_id": entity, "note_type": "call_in", "params": {"uniq": uniq}}


def page(*notes: object) -> Page:
    return Page(200, json.dumps({"_embedded": {"notes": list(notes)}}).encode())


EMPTY = Page(204, b"")


class Reader:
    """Runs a read-back against `answer(plural, page)` and remembers what happened, in order."""

    def __init__(self, answer: Answering, account: Page = EMPTY) -> None:
        self.answer, self.account = answer, account
        self.log: list[str] = []
        self.queries: list[dict[str, list[str]]] = []

    async def permit(self) -> None:
        self.log.append("permit")

    async def get(self, path: str) -> Page | NotSent | NoAnswer:
        parts = urlsplit(path)
        if parts.path == "/api/v4/account":
            self.log.append("account")
            return self.account
        plural = parts.path.removeprefix("/api/v4/").removesuffix("/notes")
        query = parse_qs(parts.query)
        self.queries.append(query)
        self.log.append(f"{plural} {query['page'][0]}")
        return self.answer(plural, int(query["page"][0]))

    async def look_for(self, *uniqs: str) -> ReadBack | Unreadable:
        return await read_back(self.get, dict.fromkeys(uniqs), SINCE, self.permit)

    @property
    def gets(self) -> list[str]:
        return [entry for entry in self.log if entry != "permit"]


def by_page(pages: dict[str, list[Page]]) -> Answering:
    return lambda plural, number: (pages.get(plural, []) + [EMPTY] * number)[number - 1]


async def test_every_kind_of_card_is_read_and_names_its_notes() -> None:
    kinds = {"contacts": "contact", "companies": "company", "leads": "lead", "customers": "customer"}
    reader = Reader(by_page({plural: [page(note(n, plural, n + 70))] for n, plural in enumerate(kinds, 1)}))
    result = await reader.look_for(*kinds)
    assert result == ReadBack({p: Delivered(n, kind, n + 70) for n, (p, kind) in enumerate(kinds.items(), 1)})


async def test_what_nobody_has_is_absent_after_reading_every_kind_to_its_end() -> None:
    reader = Reader(by_page({"contacts": [page(note(1, "other"))]}))
    assert await reader.look_for("mine") == ReadBack({})
    assert reader.gets == ["contacts 1", "contacts 2", "companies 1", "leads 1", "customers 1"]


async def test_only_call_notes_since_a_minute_before_are_asked_for() -> None:
    reader = Reader(by_page({}))
    await reader.look_for("mine")
    assert reader.queries[0] == {
        "filter[note_type][]": ["call_in", "call_out"],
        "filter[updated_at][from]": [str(SINCE - 60)],
        "order[id]": ["asc"],
        "limit": ["250"],
        "page": ["1"],
    }


async def test_every_request_waits_for_the_shared_rate() -> None:
    reader = Reader(lambda plural, _: Page(402, b"{}") if plural == "customers" else EMPTY, Page(200, b"{}"))
    await reader.look_for("mine")
    assert reader.log[::2] == ["permit"] * 5
    assert "permit" not in reader.log[1::2]


async def test_reading_stops_when_everything_is_found() -> None:
    reader = Reader(by_page({"companies": [page(note(5, "a")), page(note(6, "b"))]}))
    assert await reader.look_for("a", "b") == ReadBack(
        {"a": Delivered(5, "company", 500), "b": Delivered(6, "company", 500)}
    )
    assert reader.gets == ["contacts 1", "companies 1", "companies 2"]


async def test_nothing_to_look_for_costs_no_request() -> None:
    reader = Reader(by_page({}))
    assert await reader.look_for() == ReadBack({})
    assert reader.log == []


async def test_a_short_page_without_a_next_link_is_not_the_end() -> None:
    pages = [Page(200, recorded("notes_page")), page(note(90210470, "late"))]
    result = await Reader(by_page({"contacts": pages})).look_for("u-one", "late")
    assert isinstance(result, ReadBack)
    assert set(result.notes) == {"u-one", "late"}


async def test_an_empty_list_or_a_page_with_nothing_new_is_the_end() -> None:
    for last in (page(), page(note(1, "other"))):
        reader = Reader(by_page({"contacts": [page(note(1, "other")), last, page(note(9, "mine"))]}))
        assert await reader.look_for("mine") == ReadBack({})


async def test_pages_that_overlap_are_read_on() -> None:
    pages = [page(note(1, "x"), note(2, "y")), page(note(2, "y"), note(3, "z")), page(note(4, "mine"))]
    result = await Reader(by_page({"leads": pages})).look_for("mine")
    assert result == ReadBack({"mine": Delivered(4, "lead", 500)})


async def test_a_server_that_never_ends_is_unreadable() -> None:
    reader = Reader(lambda _, number: page(note(number, "other")))
    result = await reader.look_for("mine")
    assert isinstance(result, Unreadable)
    assert len(reader.gets) == MAX_PAGES


@pytest.mark.parametrize(
    "broken",
    [
        Page(200, b""),
        Page(200, b"<html>"),
        Page(200, b'{"_embedded": {"notes": ['),
        Page(200, b"[]"),
        Page(200, b"{}"),
        Page(200, b'{"_embedded": {"notes": null}}'),
        page("a note"),
        page({"params": {"uniq": "mine"}}),
        page({"id": True, "params": {"uniq": "mine"}}),
        Page(401, recorded("unauthorised")),
        Page(403, BAN_PAGE),
        Page(404, b"{}"),
        Page(429, b"<html>"),
        Page(500, b"{}"),
        Page(500, page(note(3, "mine")).body),
        Page(302, b""),
        NotSent("refused"),
        NoAnswer("reset"),
    ],
)
async def test_a_page_that_cannot_be_read_concludes_nothing_and_keeps_what_was_found(broken: Any) -> None:
    reader = Reader(by_page({"contacts": [page(note(1, "found"))], "leads": [broken]}))
    result = await reader.look_for("found", "mine")
    assert isinstance(result, Unreadable)
    assert result.notes == {"found": Delivered(1, "contact", 500)}
    assert result.detail


@pytest.mark.parametrize("status", [400, 402, 403, 404, 405])
@pytest.mark.parametrize("mode", ["unavailable", "disabled"])
async def test_an_account_without_customers_has_no_customer_notes(status: int, mode: str) -> None:
    account = Page(200, json.dumps({"id": 1, "customers_mode": mode}).encode())
    reader = Reader(lambda plural, _: Page(status, b"{}") if plural == "customers" else EMPTY, account)
    assert await reader.look_for("mine") == ReadBack({})
    assert reader.gets[-1] == "account"


@pytest.mark.parametrize(
    ("customers", "account"),
    [
        (Page(404, b"{}"), Page(200, b'{"customers_mode": "segments"}')),
        (Page(404, b"{}"), Page(200, b"{}")),
        (Page(404, b"{}"), Page(200, b"<html>")),
        (Page(403, BAN_PAGE), Page(403, BAN_PAGE)),
        (Page(401, b"{}"), Page(200, b'{"customers_mode": "unavailable"}')),
        (Page(429, b"{}"), Page(200, b'{"customers_mode": "unavailable"}')),
        (Page(500, b"{}"), Page(200, b'{"customers_mode": "unavailable"}')),
        (Page(200, b"<html>"), Page(200, b'{"customers_mode": "unavailable"}')),
    ],
)
async def test_customers_that_cannot_be_read_for_another_reason_conclude_nothing(
    customers: Page, account: Page
) -> None:
    reader = Reader(lambda plural, _: customers if plural == "customers" else EMPTY, account)
    assert isinstance(await reader.look_for("mine"), Unreadable)


async def test_only_customers_can_be_switched_off() -> None:
    account = Page(200, b'{"customers_mode": "unavailable"}')
    reader = Reader(lambda plural, _: Page(404, b"{}") if plural == "leads" else EMPTY, account)
    assert isinstance(await reader.look_for("mine"), Unreadable)


async def test_of_two_notes_with_one_uniq_the_first_is_named() -> None:
    reader = Reader(by_page({"contacts": [page(note(8, "mine"), note(9, "mine"))]}))
    assert await reader.look_for("mine") == ReadBack({"mine": Delivered(8, "contact", 500)})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.sampled_from(["mine", "uniq"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "params", "uniq", "x"]), inner),
    max_leaves=8,
)


@settings(deadline=None, max_examples=150)
@given(notes=st.lists(JSON, max_size=4))
async def test_no_page_whatever_it_holds_makes_an_exception_or_a_wrong_absence(notes: list[Any]) -> None:
    result = await Reader(by_page({"contacts": [page(*notes)]})).look_for("mine")
    ours = [
        n
        for n in notes
        if isinstance(n, dict) and isinstance(n.get("params"), dict) and n["params"].get("uniq") == "mine"
    ]
    if ours:
        assert isinstance(result, Unreadable) or "mine" in result.notes
    else:
        assert not result.notes


def alike(**changes: Any) -> dict[str, Any]:
    """A note of `a_call()` whose `uniq` the CRM has dropped."""
    params = {"phone": "8 (916) 555-01-17", "duration": 42} | changes.pop("params", {})
    return {"id": 61, "entity_id": 7, "note_type": "call_in", "created_at": 1_790_000_000, "params": params} | changes


@pytest.mark.parametrize(
    ("written", "is_alike"),
    [
        (alike(), True),
        (alike(params={"uniq": ""}), True),
        (alike(params={"uniq": None}), True),
        (alike(params={"uniq": "somebody-elses"}), False),
        (alike(params={"duration": 43}), False),
        (alike(params={"phone": "+7 916 555-01-18"}), False),
        (alike(note_type="call_out"), False),
        (alike(created_at=1_790_000_001), False),
    ],
)
async def test_a_note_without_a_uniq_that_tells_of_the_call_is_alike_and_not_found(
    written: dict[str, Any], is_alike: bool
) -> None:
    call = a_call()
    reader = Reader(by_page({"contacts": [page(written)]}))
    read = await read_back(reader.get, {call.uniq: likeness_of(call)}, SINCE, reader.permit)
    assert read == ReadBack({}, {call.uniq: Delivered(61, "contact", 7)} if is_alike else {})


async def test_a_note_with_the_uniq_beats_one_that_is_alike() -> None:
    call = a_call()
    reader = Reader(by_page({"contacts": [page(alike(), note(62, call.uniq))]}))
    read = await read_back(reader.get, {call.uniq: likeness_of(call)}, SINCE, reader.permit)
    assert read == ReadBack({call.uniq: Delivered(62, "contact", 500)})
