"""No matching entity: by number, which nobody sees here who did not ask for it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from callbridge.call import phone_tail
from callbridge.ops.who import Role
from support.callpages import PHONE, Browse
from support.markup import PAYLOADS, links, shape
from support.mendpages import OTHER_PHONE, MendDesk, a_mend_desk, some

REASON = "no_matching_entity"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[MendDesk]:
    async with a_mend_desk(tmp_path) as desk:
        desk.know(*some(3, "parked", REASON), *some(2, "parked", REASON, first=10, phone=OTHER_PHONE))
        yield desk


def ids_in(page: str) -> list[str]:
    [form] = re.findall(r'<form method="post" action="/jobs" .*?</form>', page, re.DOTALL)
    return [unescape(value) for value in re.findall(r'name="id" value="([^"]*)"', form)]


async def test_a_number_has_its_calls_why_it_did_not_match_and_what_to_do(desk: MendDesk, browse: Browse) -> None:
    page = await (await (await browse(desk.console)).get("/parked")).text()
    assert "+7916***4567" in page
    assert "No contact has this number" in page
    assert "Create the contact" in page
    assert "Retry all 5" in page


async def test_nobody_is_shown_a_number_whatever_his_role(desk: MendDesk, browse: Browse) -> None:
    for role in Role:
        client = await browse(desk.console, role)
        for path in ("/parked", "/parked/job?action=retry&id=1k00003abcdefghj"):
            answer = await client.get(path)
            page = await answer.text()
            assert answer.status == 200
            assert phone_tail(PHONE) not in page
            assert phone_tail(OTHER_PHONE) not in page


@pytest.mark.parametrize(("phone", "verdict"), [("123", "Too short"), ("anonymous", "hidden"), ("10145", "extension")])
async def test_a_number_that_no_contact_can_have_is_not_to_be_created(
    tmp_path: Path, browse: Browse, phone: str, verdict: str
) -> None:
    async with a_mend_desk(tmp_path) as desk:
        desk.know(*some(1, "parked", REASON, phone=phone))
        page = await (await (await browse(desk.console)).get("/parked")).text()
        assert verdict in page
        assert "/parked/contact" not in page


async def test_a_job_about_a_number_is_about_all_its_calls_and_no_others(desk: MendDesk, browse: Browse) -> None:
    desk.know(*some(1, "delivered", None, first=30), *some(1, "parked", REASON, first=40, account="other"))
    client = await browse(desk.console)
    newest = "1k00003abcdefghj"
    page = await (await client.get(f"/parked/job?action=retry&id={newest}")).text()
    assert sorted(ids_in(page)) == [row.id for row in some(3, "parked", REASON)]
    both = [("action", "give_up"), ("id", newest), ("id", "1k00011abcdefghj")]
    page = await (await client.post("/parked/job", data=both)).text()
    assert len(ids_in(page)) == 5
    assert "Stop waiting for a contact with 5 calls?" in page


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("action=replay&id=1k00003abcdefghj", 400),
        ("action=retry", 400),
        ("action=retry&id=%22%3E", 400),
        ("action=retry&id=nobodys", 404),
    ],
)
async def test_what_cannot_be_meant_is_about_no_calls(desk: MendDesk, browse: Browse, query: str, status: int) -> None:
    assert (await (await browse(desk.console)).get(f"/parked/job?{query}")).status == status


async def test_who_creates_the_contact_sees_the_number_and_that_is_written_down(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console)
    page = await (await client.post("/parked/contact", data={"id": "1k00003abcdefghj"})).text()
    assert desk.actions.done == [("reveal", "1k00003abcdefghj")]
    assert PHONE in page
    assert "https://example.amocrm.ru/contacts/add/?phone=%2B79161234567" in links(page)


async def test_a_viewer_gets_the_crms_form_without_the_number(desk: MendDesk, browse: Browse) -> None:
    page = await (await (await browse(desk.console, Role.VIEWER)).get("/parked")).text()
    assert "https://example.amocrm.ru/contacts/add/" in links(page)
    assert "/parked/contact" not in page
    assert "needs the role operator" in page


async def test_an_empty_lane_says_what_it_is_for(tmp_path: Path, browse: Browse) -> None:
    async with a_mend_desk(tmp_path) as desk:
        page = await (await (await browse(desk.console)).get("/parked")).text()
        assert "Every number has its contact" in page


async def test_what_others_wrote_stays_text(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console)
    shapes = set()
    for text in ("anonymous", *PAYLOADS):
        desk.rows.known = some(1, "parked", REASON, phone=text)
        page = await (await client.get("/parked")).text()
        assert "<script>window" not in page
        assert "<img src=x" not in page
        assert "__pwn" not in "".join(links(page))
        if "hidden" in page:
            shapes.add(tuple(shape(page)))
    assert len(shapes) == 1
