"""Access and erasure: an admin's, a password given a moment ago, and secrets shown once or never."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest

from callbridge.ledger.views import CallFilter
from callbridge.ops.dashboard import access_page, erase_page
from callbridge.ops.who import Role
from support.callpages import PHONE, Browse, a_row
from support.markup import PAYLOADS, links, shape
from support.mendpages import OTHER_PHONE, MendDesk, a_mend_desk

PASSWORD = "walnut ferry 17 umbrella"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[MendDesk]:
    async with a_mend_desk(tmp_path) as desk:
        yield desk


def test_every_change_is_an_admins_who_gave_his_password_a_moment_ago() -> None:
    routes = (*access_page.ROUTES, *erase_page.ROUTES)
    assert {route.role for route in routes} == {Role.ADMIN}
    assert all(route.proof for route in routes if route.method != "GET")


async def test_an_operator_is_added_changed_and_disabled(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console, Role.ADMIN)
    form = {"name": "olga", "role": "operator", "password": PASSWORD}
    added = await client.post("/access/operators", data=form, allow_redirects=False)
    assert added.headers["Location"] == "/access?done=operator_added"
    for verb, data in (("role", {"role": "viewer"}), ("password", {"password": PASSWORD + " two"}), ("disable", {})):
        answer = await client.post(f"/access/operators/olga/{verb}", data=data, allow_redirects=False)
        assert answer.headers["Location"] == "/access?done=operator_changed"
    [operator] = await desk.console.gate.operators.listed()
    assert (operator.name, operator.role) == ("olga", Role.VIEWER)
    assert operator.disabled_at is not None
    page = await (await client.get("/access")).text()
    assert "disabled" in page
    await client.post("/access/operators/olga/enable", data={}, allow_redirects=False)
    assert (await desk.console.gate.operators.listed())[0].disabled_at is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"password": "short"}, "15 characters or more"),
        ({"name": "Not A Name"}, "small letters"),
        ({"name": "admin"}, "is not admin"),
        ({"password": "password password password"}, "too easy"),
    ],
)
async def test_why_an_operator_is_not_added_is_said_and_no_password_comes_back(
    desk: MendDesk, browse: Browse, change: dict[str, str], said: str
) -> None:
    form = {"name": "olga", "role": "operator", "password": PASSWORD} | change
    answer = await (await browse(desk.console, Role.ADMIN)).post("/access/operators", data=form)
    page = await answer.text()
    assert answer.status == 400
    assert said in page
    assert form["name"] in page
    assert f'value="{form["password"]}"' not in page
    assert not await desk.console.gate.operators.listed()


async def test_no_role_is_no_operator(desk: MendDesk, browse: Browse) -> None:
    form = {"name": "olga", "role": "owner", "password": PASSWORD}
    client = await browse(desk.console, Role.ADMIN)
    assert (await client.post("/access/operators", data=form)).status == 400
    assert "no operator of that name" in await (await client.post("/access/operators/eve/disable", data={})).text()


async def test_a_token_is_shown_once_and_can_be_revoked(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console, Role.ADMIN)
    answer = await client.post("/access/tokens", data={"name": "grafana", "role": "viewer", "days": "90"})
    [secret] = set(re.findall(r"cbt_[\w-]{43}", await answer.text()))
    assert answer.url.path == "/access/tokens"
    assert await desk.console.gate.by_token(secret, "198.51.100.7") is not None
    page = await (await client.get("/access")).text()
    assert secret not in page
    [token_id] = re.findall(r'name="token" value="([0-9a-f]+)"', page)
    revoked = await client.post("/access/tokens/revoke", data={"token": token_id}, allow_redirects=False)
    assert revoked.headers["Location"] == "/access?done=token_revoked"
    again = await client.post("/access/tokens/revoke", data={"token": token_id}, allow_redirects=False)
    assert again.headers["Location"] == "/access?done=nothing"
    assert await desk.console.gate.by_token(secret, "198.51.100.7") is None


@pytest.mark.parametrize("change", [{"name": " "}, {"role": "owner"}, {"days": "7"}, {"name": "x" * 65}])
async def test_a_token_that_cannot_be_is_not_made(desk: MendDesk, browse: Browse, change: dict[str, str]) -> None:
    form = {"name": "grafana", "role": "viewer", "days": "90"} | change
    assert (await (await browse(desk.console, Role.ADMIN)).post("/access/tokens", data=form)).status == 400
    assert not await desk.console.gate.tokens.listed()


async def test_a_session_is_ended_by_its_digest(desk: MendDesk, browse: Browse) -> None:
    gate = desk.console.gate
    cookie, _ = await gate.sessions.begin("admin", Role.ADMIN, "198.51.100.7", "Firefox")
    client = await browse(desk.console, Role.ADMIN)
    page = await (await client.get("/access")).text()
    assert cookie not in page
    assert "198.51.100.7" in page
    [digest] = re.findall(r'name="session" value="([0-9a-f]+)"', page)
    ended = await client.post("/access/sessions/end", data={"session": digest}, allow_redirects=False)
    assert ended.headers["Location"] == "/access?done=session_ended"
    assert await gate.by_cookie(cookie) is None
    assert (await client.post("/access/sessions/end", data={"session": "x"})).status == 400


async def test_what_others_wrote_stays_text(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console, Role.ADMIN)
    gate = desk.console.gate
    cookie, session = await gate.sessions.begin("admin", Role.ADMIN, "198.51.100.7", "x")
    shapes = set()
    for text in ("plain", *PAYLOADS):
        await gate.sessions.end(session.digest)
        cookie, session = await gate.sessions.begin("admin", Role.ADMIN, "198.51.100.7", text)
        answer = await client.post("/access/operators", data={"name": text, "role": "viewer", "password": "x"})
        page = await answer.text()
        shapes.add(tuple(shape(page)))
        assert "__pwn" not in "".join(links(page))
    assert cookie
    assert len(shapes) == 1


# --- erasure ---------------------------------------------------------------------------------------------------------


async def test_a_number_is_counted_confirmed_and_erased(desk: MendDesk, browse: Browse) -> None:
    desk.know(a_row(1), a_row(2, phone="8 (916) 123-45-67"), a_row(3, phone=OTHER_PHONE))
    client = await browse(desk.console, Role.ADMIN)
    answer = await client.post("/erase/preview", data={"phone": "+7 916 123 45 67"})
    page = await answer.text()
    assert "2 calls with this number" in page
    assert "Type 4567 to confirm" in page
    assert answer.url.query_string == ""
    assert desk.rows.asked == [CallFilter(phone="9161234567")]
    form = {"phone": "+7 916 123 45 67", "reason": "he asked", "typed": "4567"}
    for bad in ({"typed": "4568"}, {"typed": ""}, {"reason": " "}):
        assert (await client.post("/erase", data=form | bad, allow_redirects=False)).status == 409
    assert not desk.actions.done
    done = await client.post("/erase", data=form, allow_redirects=False)
    assert done.headers["Location"] == "/erase?done=erased&n=2"
    assert desk.actions.done == [("erase", "+7 916 123 45 67", "he asked")]
    assert "2 calls were erased" in await (await client.get("/erase?done=erased&n=2")).text()


@pytest.mark.parametrize("phone", ["", "101", "anonymous", "9" * 65, "+7916123\x004567"])
async def test_what_is_no_whole_number_is_not_looked_for(desk: MendDesk, browse: Browse, phone: str) -> None:
    client = await browse(desk.console, Role.ADMIN)
    answer = await client.post("/erase/preview", data={"phone": phone})
    assert answer.status == 400
    assert "no whole phone number" in unescape(await answer.text())
    form = {"phone": phone, "reason": "r", "typed": phone[-4:]}
    assert (await client.post("/erase", data=form)).status == 400
    assert not desk.rows.asked
    assert not desk.actions.done


async def test_the_title_has_the_number_masked(desk: MendDesk, browse: Browse) -> None:
    page = await (await (await browse(desk.console, Role.ADMIN)).post("/erase/preview", data={"phone": PHONE})).text()
    assert "Erase +7916***4567?" in page
    assert page.count(PHONE) == 1
