"""The users of an account are read to the end of the list, or not at all."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.amocrm.notes import Page
from callbridge.amocrm.users import MAX_PAGES, User, Users, UsersUnreadable, read_users
from callbridge.outcome import NoAnswer, NotSent


def a_user(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"User {number}",
        "email": f"u{number}@x.example",
        "rights": {"is_active": True},
    } | changes


def a_page(*users: object, goes_on: bool = False) -> Page:
    links = {"self": {"href": "x"}} | ({"next": {"href": "https://evil.example/steal"}} if goes_on else {})
    return Page(200, orjson.dumps({"_links": links, "_embedded": {"users": users}}))


class Crm:
    """Answers one page after the other, and remembers what was asked."""

    def __init__(self, *pages: Page | NotSent | NoAnswer) -> None:
        self.pages = list(pages)
        self.asked: list[str] = []

    async def get(self, path: str) -> Page | NotSent | NoAnswer:
        self.asked.append(path)
        return self.pages.pop(0) if len(self.pages) > 1 else self.pages[0]


async def test_all_pages_are_read_and_no_link_is_followed() -> None:
    crm = Crm(a_page(a_user(1), a_user(2), goes_on=True), a_page(a_user(3, rights={"is_active": False})))
    found = await read_users(crm.get)
    assert isinstance(found, Users)
    assert [(user.id, user.active) for user in found.all] == [(1, True), (2, True), (3, False)]
    assert found.all[0] == User(1, "User 1", "u1@x.example", active=True)
    assert crm.asked == ["/api/v4/users?limit=250&page=1", "/api/v4/users?limit=250&page=2"]


async def test_an_empty_answer_is_the_end() -> None:
    crm = Crm(a_page(a_user(1), goes_on=True), Page(204, b""))
    found = await read_users(crm.get)
    assert isinstance(found, Users)
    assert len(found.all) == 1


async def test_a_server_that_repeats_a_page_does_not_keep_us() -> None:
    crm = Crm(a_page(a_user(1), goes_on=True))
    assert isinstance(await read_users(crm.get), Users)
    assert len(crm.asked) == 2


async def test_a_list_without_an_end_is_given_up() -> None:
    crm = Crm(*(a_page(a_user(number), goes_on=True) for number in range(1, MAX_PAGES + 5)))
    assert isinstance(await read_users(crm.get), UsersUnreadable)
    assert len(crm.asked) == MAX_PAGES


@pytest.mark.parametrize(
    ("page", "told"),
    [
        (Page(403, b"{}"), "administrator"),
        (Page(401, b"{}"), "token"),
        (Page(500, b""), "500"),
        (Page(200, b"<html>"), "not with a list of users"),
        (Page(200, b'{"_embedded": {"users": 7}}'), "not with a list of users"),
        (NotSent("no route"), "no route"),
        (NoAnswer("time-out"), "time-out"),
    ],
)
async def test_what_stops_the_reading_is_told_in_words(page: Page | NotSent | NoAnswer, told: str) -> None:
    found = await read_users(Crm(a_page(a_user(1), goes_on=True), page).get)
    assert isinstance(found, UsersUnreadable)
    assert told in found.detail


async def test_what_a_user_lacks_is_empty_and_who_has_no_id_is_nobody() -> None:
    odd = a_page({"id": 7, "name": None, "rights": None}, {"name": "no id"}, "text", a_user(8, name="A\x1b[31m\u202e"))
    found = await read_users(Crm(odd).get)
    assert isinstance(found, Users)
    assert found.all[0] == User(7, "", "", active=True)
    assert found.all[1].name == "A[31m"
    assert len(found.all) == 2


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["_embedded", "users", "id", "name", "_links", "next"]), inner, max_size=3
            )
        ),
        max_leaves=12,
    )
)
@settings(deadline=None, max_examples=150)
async def test_no_json_raises(told: Any) -> None:
    try:
        body = orjson.dumps(told)
    except orjson.JSONEncodeError:
        return
    assert isinstance(await read_users(Crm(Page(200, body)).get), Users | UsersUnreadable)
