"""Accounts: how each stands, and the three things that an admin does about it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from callbridge.errors import Misconfigured
from callbridge.ops.accounts import NotAuthorised
from callbridge.ops.actions import Refused
from callbridge.ops.dashboard.accounts_page import ROUTES
from callbridge.ops.who import Role
from callbridge.outcome import PauseReason
from callbridge.store.tally import AccountTally, Pause
from support.callpages import Browse, a_batch
from support.markup import PAYLOADS, links, shape
from support.mendpages import MendDesk, a_mend_desk
from support.overviews import NOW, an_overview

OAUTH = {
    "main": {
        "url": "https://example.amocrm.ru", "client_id": "integration-id", "client_secret": "integration-secret",
        "redirect_uri": "https://bridge.example.com/oauth",
    }
}  # fmt: skip


SEALING = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[MendDesk]:
    async with a_mend_desk(tmp_path) as desk:
        yield desk


@pytest.fixture
async def oauth(tmp_path: Path) -> AsyncIterator[MendDesk]:
    async with a_mend_desk(tmp_path, accounts=OAUTH, sealing={"key": SEALING}) as desk:
        yield desk


def paused(
    detail: str = "a bad token", owner: str | None = None, reason: PauseReason = PauseReason.BANNED
) -> AccountTally:
    pause = Pause(reason, detail, NOW - 60, None if owner else 30.0, owner, NOW + 600 if owner else None)
    return AccountTally("main", 35, 2, 41, 1.4, pause, used=4.2, slowed_times=12, slowed_at=NOW - 5)


async def test_an_account_says_how_it_stands_and_leads_to_its_calls(desk: MendDesk, browse: Browse) -> None:
    desk.figures(accounts=(paused(),))
    page = await (await (await browse(desk.console, Role.ADMIN)).get("/accounts")).text()
    for text in ("The CRM blocks our address", "Ask the CRM&#39;s support", "a bad token", "4.2 of 7", "12"):
        assert text in page
    assert {"/parked?account=main", "/uncertain?account=main"} <= set(links(page))
    assert 'action="/accounts/main/resume"' in page
    assert "/accounts/main/pause" not in page


async def test_a_pause_by_hand_says_who_and_until_when(desk: MendDesk, browse: Browse) -> None:
    desk.figures(accounts=(paused("price update", "olga", PauseReason.MANUAL),))
    page = await (await (await browse(desk.console)).get("/accounts")).text()
    for text in ("Paused by hand", "price update", "by olga", "until"):
        assert text in page


async def test_redis_away_is_said_and_no_figure_is_made_up(desk: MendDesk, browse: Browse) -> None:
    desk.overviews.overview = SimpleNamespace(status=None, stale_since=None, verdict="unknown", at=NOW)
    page = await (await (await browse(desk.console)).get("/accounts")).text()
    assert "Redis does not answer" in page
    assert "not known right now" in page
    assert "/parked?account=main" not in page


async def test_old_figures_are_called_old(desk: MendDesk, browse: Browse) -> None:
    desk.overviews.overview = an_overview(stale_since=NOW - 60)
    page = await (await (await browse(desk.console)).get("/accounts")).text()
    assert "last known figures" in page
    assert "stale" in page


async def test_a_pause_takes_a_reason_and_a_time(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console, Role.ADMIN)
    assert "Pause main?" in await (await client.get("/accounts/main/pause")).text()
    form = {"reason": "price update", "seconds": "3600"}
    answer = await client.post("/accounts/main/pause", data=form, allow_redirects=False)
    assert answer.headers["Location"] == "/accounts?done=account_paused"
    again = await client.post("/accounts/main/pause", data={"reason": " ", "seconds": ""}, allow_redirects=False)
    assert again.status == 400
    assert "Say why" in await again.text()
    for bad in ({"seconds": "1"}, {"reason": "x" * 201}):
        assert (await client.post("/accounts/main/pause", data=form | bad, allow_redirects=False)).status == 400
    assert desk.actions.done == [("pause", "main", "price update", 3600.0)]


async def test_no_account_of_that_name_is_no_page(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console, Role.ADMIN)
    for path in ("/accounts/other/pause", "/accounts/other/dossier"):
        assert (await client.get(path)).status == 404
    for path in ("/accounts/other/pause", "/accounts/other/resume", "/accounts/other/authorise"):
        assert (await client.post(path, data={"reason": "r"}, allow_redirects=False)).status == 404
    assert not desk.actions.done


async def test_what_is_refused_is_not_called_done(desk: MendDesk, browse: Browse) -> None:
    desk.actions.answers |= {"resume": Refused("no_such_account", "gone"), "pause": Refused("bad_pause", "no")}
    client = await browse(desk.console, Role.ADMIN)
    for path, form in (("/accounts/main/resume", {}), ("/accounts/main/pause", {"reason": "r", "seconds": ""})):
        answer = await client.post(path, data=form, allow_redirects=False)
        assert answer.headers["Location"] == "/accounts?done=refused"


async def test_what_an_admin_decides_is_an_admins() -> None:
    changing = {route.path: route.role for route in ROUTES if route.method != "GET"}
    assert len(changing) == 4
    assert set(changing.values()) == {Role.ADMIN}


async def test_others_see_the_buttons_and_whose_they_are(desk: MendDesk, browse: Browse) -> None:
    page = await (await (await browse(desk.console)).get("/accounts")).text()
    assert "needs the role admin" in page
    assert "/accounts/main/pause" not in page


# --- authorising -----------------------------------------------------------------------------------------------------


async def test_authorising_begins_on_a_page_with_the_crms_address(oauth: MendDesk, browse: Browse) -> None:
    client = await browse(oauth.console, Role.ADMIN)
    assert 'action="/accounts/main/authorise"' in await (await client.get("/accounts")).text()
    page = await (await client.post("/accounts/main/authorise")).text()
    assert "https://www.amocrm.ru/oauth?client_id=i&state=s" in [link.replace("&amp;", "&") for link in links(page)]


async def test_coming_back_changes_nothing_before_the_button_does(oauth: MendDesk, browse: Browse) -> None:
    client = await browse(oauth.console, Role.ADMIN)
    page = await (await client.get("/oauth?code=abc&state=s&referer=example.amocrm.ru&evil=1")).text()
    assert not oauth.actions.done
    assert 'name="code" value="abc"' in page
    assert 'name="evil"' not in page
    form = {"code": "abc", "state": "s", "referer": "example.amocrm.ru"}
    answer = await client.post("/oauth", data=form, allow_redirects=False)
    assert answer.headers["Location"] == "/accounts?done=account_authorised"
    assert oauth.actions.done == [("finish", form)]


async def test_an_address_can_be_pasted_instead(oauth: MendDesk, browse: Browse) -> None:
    client = await browse(oauth.console, Role.ADMIN)
    await client.post("/oauth", data={"address": " https://x.example/?code=abc&state=s&other=1 "})
    assert oauth.actions.done == [("finish", {"code": "abc", "state": "s"})]


@pytest.mark.parametrize("address", ["https://[", "no address", "", "?" * 9000])
async def test_whatever_is_pasted_is_answered(oauth: MendDesk, browse: Browse, address: str) -> None:
    oauth.actions.answers["finish"] = Refused("not_begun", "begin again")
    answer = await (await browse(oauth.console, Role.ADMIN)).post("/oauth", data={"address": address})
    assert answer.status == 409
    assert "Begin again under Accounts" in await answer.text()


async def test_why_it_was_not_authorised_is_said(oauth: MendDesk, browse: Browse) -> None:
    oauth.actions.answers["finish"] = NotAuthorised("the CRM does not take the code")
    client = await browse(oauth.console, Role.ADMIN)
    assert "the CRM does not take the code" in await (await client.post("/oauth", data={"code": "a"})).text()
    assert "was not allowed" in await (await client.get("/oauth?error=access_denied&state=s")).text()


async def test_tokens_that_cannot_be_read_are_told_as_what_they_are(oauth: MendDesk, browse: Browse) -> None:
    class Vault:
        async def load(self) -> None:
            raise Misconfigured("sealed with another key")

    oauth.actions.answers["door"] = SimpleNamespace(vault=Vault())
    page = await (await (await browse(oauth.console)).get("/accounts")).text()
    assert "sealed with another key" in page
    assert "needs authorisation" in page


# --- for support -----------------------------------------------------------------------------------------------------


async def test_the_dossier_has_the_last_requests_and_no_secret(oauth: MendDesk, browse: Browse) -> None:
    oauth.figures(accounts=(paused("call +7 916 123-45-67 was refused"),))
    oauth.rows.sent = [a_batch(status=403, request_id="req-77"), a_batch("b2", status=None, request_id=None)]
    page = await (await (await browse(oauth.console)).get("/accounts/main/dossier")).text()
    for text in ("https://example.amocrm.ru", "integration-id", "HTTP 403", "req-77", "UTC", "12"):
        assert text in page
    assert "integration-secret" not in page
    assert "123-45-67" not in page


async def test_what_others_wrote_stays_text(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console, Role.ADMIN)
    shapes = set()
    for text in ("plain", *PAYLOADS):
        desk.figures(accounts=(paused(text, text),))
        desk.rows.sent = [a_batch(request_id=text, answer=text)]
        pages = [await (await client.get(path)).text() for path in ("/accounts", "/accounts/main/dossier")]
        shapes.add(tuple(map(tuple, map(shape, pages))))
        assert "__pwn" not in "".join(links(pages[0]))
    assert len(shapes) == 1


async def test_what_the_browser_brings_back_stays_text(oauth: MendDesk, browse: Browse) -> None:
    client = await browse(oauth.console, Role.ADMIN)
    pages = [
        await (await client.get("/oauth", params={"code": text, "state": text})).text() for text in ("a", *PAYLOADS)
    ]
    assert len({tuple(shape(page)) for page in pages}) == 1
