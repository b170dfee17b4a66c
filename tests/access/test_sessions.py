"""Being in: how a session begins, how long it lasts, and all that ends it; and tokens."""

from __future__ import annotations

import asyncio

import pytest

from callbridge.errors import LedgerUnavailable
from callbridge.ledger.access import AccessBook
from callbridge.ledger.database import Ledger
from callbridge.ledger.tables import SESSIONS, TOKENS
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.gate import Came, Gate
from callbridge.ops.access.gate import _key as derived
from callbridge.ops.access.sessions import ABSOLUTE, IDLE
from callbridge.ops.who import Role, Who
from support.access import ADMIN, OPERATORS_PASSWORD, PASSWORD, Clock, Outage, Site, make_gate

IP = "192.0.2.1"


async def came(gate: Gate, name: str = "", password: str = PASSWORD) -> Came:
    found = await gate.login(name, password, "", IP, "browser")
    assert isinstance(found, Came)
    return found


async def anna(gate: Gate, role: Role = Role.OPERATOR) -> Came:
    await gate.operators.add(ADMIN, "anna", role, OPERATORS_PASSWORD)
    return await came(gate, "anna", OPERATORS_PASSWORD)


async def test_the_cookie_is_strict_and_of_this_host(site: Site):
    browser = site.browser()
    await browser.login()
    (line,) = browser.set_cookies
    name, *attributes = line.split("; ")
    assert name.startswith("callbridge-session=") and len(name.partition("=")[2]) >= 43
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes) and not any(
        "Domain" in each for each in attributes
    )


async def test_a_cookie_that_was_set_before_the_login_opens_nothing_after_it(site: Site):
    browser = site.browser()
    browser.cookies["callbridge-session"] = planted = "A" * 43
    await browser.login()
    assert browser.cookies["callbridge-session"] != planted
    stranger = site.browser()
    stranger.cookies["callbridge-session"] = planted
    assert (await stranger.get("/")).status == 303


async def test_a_second_login_ends_the_session_before_it(site: Site):
    browser, thief = await site.logged_in(), site.browser()
    thief.cookies = dict(browser.cookies)
    await browser.login()
    assert browser.cookies != thief.cookies
    assert (await thief.get("/")).status == 303
    assert (await browser.get("/")).status == 200


async def test_logout_ends_it_for_every_copy_of_the_cookie(site: Site):
    browser, copy = await site.logged_in(), site.browser()
    copy.cookies = dict(browser.cookies)
    assert (await copy.get("/")).status == 200
    answer = await browser.post("/logout")
    assert answer.status == 303 and answer.headers["Location"] == "/login" and not browser.cookies
    assert (await copy.get("/")).status == 303
    assert await site.gate.sessions.listed() == ()


async def test_a_logout_while_sql_is_away_is_one(site: Site, clock: Clock):
    browser, copy = await site.logged_in(), site.browser()
    copy.cookies = dict(browser.cookies)
    site.book.away = True
    assert (await browser.post("/logout")).status == 303
    assert (await copy.get("/")).headers["Location"].startswith("/login")
    site.book.away = False
    clock.at += 10
    assert (await copy.get("/")).status == 303
    assert await site.gate.sessions.listed() == ()


async def test_idleness_ends_a_session_and_use_keeps_it(gate: Gate, clock: Clock):
    cookie = (await came(gate)).cookie
    for _ in range(5):
        clock.at += IDLE - 61
        assert await gate.by_cookie(cookie)
    clock.at += IDLE
    assert await gate.by_cookie(cookie) is None


async def test_age_ends_a_session_whatever_its_use(gate: Gate, clock: Clock):
    cookie = (await came(gate)).cookie
    end = clock.at + ABSOLUTE
    while clock.at + 600 < end:
        clock.at += 600
        assert await gate.by_cookie(cookie)
    clock.at = end
    assert await gate.by_cookie(cookie) is None


async def test_sessions_that_ended_by_themselves_leave_the_table(gate: Gate, clock: Clock, book: Outage):
    await came(gate)
    clock.at += IDLE + 1
    await came(gate)
    assert len(await book.sessions()) == 1


@pytest.mark.parametrize("change", ["disable", "role", "password", "totp"])
async def test_what_is_decided_about_an_operator_ends_his_sessions_here_and_elsewhere(
    gate: Gate, book: Outage, audit: Audit, clock: Clock, change: str
):
    entered = await anna(gate)
    elsewhere = make_gate(book, audit, clock)
    assert await elsewhere.by_cookie(entered.cookie)
    match change:
        case "disable":
            await gate.operators.disable(ADMIN, "anna")
        case "role":
            await gate.operators.set_role(ADMIN, "anna", Role.VIEWER)
        case "password":
            await gate.operators.set_password(ADMIN, "anna", OPERATORS_PASSWORD)
        case _:
            await gate.operators.drop_totp(ADMIN, "anna")
    assert await gate.by_cookie(entered.cookie) is None
    assert not await gate.still(entered.who)
    clock.at += 5
    assert await elsewhere.by_cookie(entered.cookie) is None
    assert not await elsewhere.still(entered.who)


async def test_an_operator_changed_past_us_is_out_all_the_same(gate: Gate, book: Outage, clock: Clock):
    entered = await anna(gate)
    await book.change_operator("anna", {"role": "admin"}, end_sessions=False)
    clock.at += 5
    assert await gate.by_cookie(entered.cookie) is None


async def test_enabled_again_he_gets_in_again(gate: Gate):
    await anna(gate)
    await gate.operators.disable(ADMIN, "anna")
    await gate.operators.enable(ADMIN, "anna")
    assert await came(gate, "anna", OPERATORS_PASSWORD)


async def test_another_password_in_the_settings_ends_the_admins_sessions(
    gate: Gate, book: Outage, audit: Audit, clock: Clock
):
    entered = await came(gate)
    assert await make_gate(book, audit, clock).by_cookie(entered.cookie), "a restart alone does not"
    for password in ("another lilac harbour 77", None):
        assert await make_gate(book, audit, clock, password=password).by_cookie(entered.cookie) is None


def test_the_key_of_the_admins_sessions_is_that_of_his_password():
    assert derived("a") == derived("a") != derived("b")
    assert derived(None) == derived("")


async def test_sessions_are_listed_and_ended_by_an_admin(gate: Gate, clock: Clock):
    entered, other = await came(gate), await anna(gate)
    listed = await gate.sessions.listed()
    assert {(each.operator, each.ip, each.agent) for each in listed} == {
        ("admin", IP, "browser"), ("anna", IP, "browser"),
    }  # fmt: skip
    assert await gate.end_session(entered.who, other.who.session or "")
    assert await gate.by_cookie(other.cookie) is None
    assert not await gate.end_session(entered.who, other.who.session or "")
    assert await gate.by_cookie(entered.cookie)
    clock.at += IDLE
    assert await gate.sessions.listed() == ()


async def test_a_copy_of_the_tables_opens_nothing(ledger: Ledger, gate: Gate):
    entered, other = await came(gate), await anna(gate)
    issued = await gate.tokens.issue(ADMIN, "ci", Role.ADMIN)
    async with ledger.read() as connection:
        for table in (SESSIONS, TOKENS):
            rows = (await connection.execute(table.select())).all()
            for secret in (entered.cookie, other.cookie, issued.secret):
                assert secret not in str(rows)
            for row in rows:
                assert await gate.by_cookie(row.digest) is None
                assert await gate.by_token(row.digest, IP) is None


async def test_what_was_just_asked_of_sql_is_not_asked_again(gate: Gate, book: Outage, clock: Clock):
    cookie = (await came(gate)).cookie
    book.asked = 0
    for _ in range(50):
        clock.at += 0.05
        await gate.by_cookie(cookie)
    assert book.asked == 0
    clock.at += 5
    await gate.by_cookie(cookie)
    assert book.asked == 1


async def test_while_sql_is_away_who_is_in_stays_in_and_others_are_told(
    gate: Gate, book: Outage, audit: Audit, clock: Clock
):
    entered = await anna(gate)
    book.away = True
    clock.at += 300
    assert await gate.by_cookie(entered.cookie) and await gate.still(entered.who)
    elsewhere = make_gate(book, audit, clock)
    with pytest.raises(LedgerUnavailable):
        await elsewhere.by_cookie(entered.cookie)
    assert not await elsewhere.still(entered.who)
    clock.at += IDLE
    assert await gate.by_cookie(entered.cookie) is None


async def test_who_only_watches_is_idle_unless_he_is_a_viewer(gate: Gate, clock: Clock):
    operator = await anna(gate)
    await gate.operators.add(ADMIN, "wall", Role.VIEWER, OPERATORS_PASSWORD)
    viewer = await came(gate, "wall", OPERATORS_PASSWORD)
    watched = []
    for _ in range(int(IDLE / 60) + 1):
        clock.at += 60
        watched.append((await gate.still(operator.who), await gate.still(viewer.who)))
    assert watched[0] == (True, True) and watched[-1] == (False, True)
    clock.at += ABSOLUTE
    assert not await gate.still(viewer.who)


async def test_still_ends_with_the_session_within_five_seconds(gate: Gate, book: Outage, audit: Audit, clock: Clock):
    entered = await anna(gate)
    elsewhere = make_gate(book, audit, clock)
    assert await elsewhere.still(entered.who)
    await gate.logout(entered.who)
    clock.at += 5
    assert not await elsewhere.still(entered.who)
    assert await gate.still(Who("root", Role.ADMIN, "shell"))


# --- the password once more


async def test_a_password_given_again_is_good_for_five_minutes(gate: Gate, clock: Clock):
    entered = await came(gate)
    assert gate.has_proved(entered.who)
    clock.at += 300
    who = await gate.by_cookie(entered.cookie)
    assert who and not gate.has_proved(who)
    assert await gate.prove(who, "x" * 20, IP) is False
    assert await gate.prove(who, PASSWORD, IP) is True
    who = await gate.by_cookie(entered.cookie)
    assert who and gate.has_proved(who)
    clock.at += 10
    who = await gate.by_cookie(entered.cookie)
    assert who and gate.has_proved(who), "SQL knows it, too"


async def test_a_stolen_session_cannot_try_passwords_for_ever(gate: Gate):
    entered = await anna(gate)
    outcomes = [await gate.prove(entered.who, "x" * 20, IP) for _ in range(6)]
    assert outcomes[:5] == [False] * 5 and outcomes[5] is not False
    assert await gate.prove(entered.who, OPERATORS_PASSWORD, IP) is not True


# --- tokens


async def test_a_token_works_until_it_is_revoked(gate: Gate, book: Outage, audit: Audit, clock: Clock):
    issued = await gate.tokens.issue(ADMIN, "ci", Role.OPERATOR)
    assert issued.secret.startswith("cbt_") and len(issued.secret) == 47
    elsewhere = make_gate(book, audit, clock)
    for each in (gate, elsewhere):
        who = await each.by_token(issued.secret, IP)
        assert who and (who.name, who.role, who.by, who.ip) == ("ci", Role.OPERATOR, "token", IP)
        assert await each.still(who) and each.has_proved(who)
    assert await gate.tokens.revoke(ADMIN, issued.token.id)
    assert not await gate.tokens.revoke(ADMIN, issued.token.id)
    assert await gate.by_token(issued.secret, IP) is None
    clock.at += 5
    assert await elsewhere.by_token(issued.secret, IP) is None and not await elsewhere.still(who)


async def test_a_token_ends_by_its_time(gate: Gate, clock: Clock):
    issued = await gate.tokens.issue(ADMIN, "ci", Role.VIEWER, expires_at=clock.at + 60)
    clock.at += 59
    assert await gate.by_token(issued.secret, IP)
    clock.at += 1
    assert await gate.by_token(issued.secret, IP) is None


@pytest.mark.parametrize("token", ["", "cbt_", "cbt_" + "A" * 43, "cbt_" + "A" * 4000, "\ud800" * 47])
async def test_what_is_no_token_opens_nothing(gate: Gate, token: str):
    await gate.tokens.issue(ADMIN, "ci", Role.VIEWER)
    assert await gate.by_token(token, IP) is None


async def test_use_is_written_down_once_a_minute(gate: Gate, clock: Clock, book: Outage):
    issued = await gate.tokens.issue(ADMIN, "ci", Role.VIEWER)
    times = []
    for _ in range(20):
        await gate.by_token(issued.secret, IP)
        (listed,) = await gate.tokens.listed()
        times.append(listed.used_at)
        clock.at += 10
    assert len(set(times)) == 4


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\0b", "a\u202eb"])
async def test_a_tokens_name_can_be_read(gate: Gate, name: str):
    with pytest.raises(ValueError):
        await gate.tokens.issue(ADMIN, name, Role.VIEWER)


# --- the tables, on either database


async def test_the_tables_hold_what_the_gate_needs(each_ledger: Ledger, audit: Audit, clock: Clock):
    gate = make_gate(AccessBook(each_ledger), audit, clock)
    entered = await anna(gate)
    issued = await gate.tokens.issue(ADMIN, "ci", Role.VIEWER)
    again = make_gate(AccessBook(each_ledger), audit, clock)
    assert await again.by_cookie(entered.cookie) == entered.who
    assert await again.by_token(issued.secret, IP)
    refused = await asyncio.gather(*(gate.login("anna", "x" * 20, "", IP, None) for _ in range(12)))
    assert sum(getattr(each, "wait", 1) == 0 for each in refused) == 5
    clock.at += 3601
    assert isinstance(await again.login("anna", OPERATORS_PASSWORD, "", IP, None), Came)
    await again.operators.disable(ADMIN, "anna")
    assert [each.disabled_at for each in await again.operators.listed()] == [clock.at]
    with pytest.raises(Exception, match="there is an operator"):
        await again.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)
