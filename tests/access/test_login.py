"""Coming in: passwords, links, throttling, second factors, and that nothing tells whose name exists."""

from __future__ import annotations

import asyncio
import re

import pyotp
import pytest
from cryptography.fernet import Fernet

from callbridge.errors import LedgerUnavailable, Misconfigured
from callbridge.ops.access import totp
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.gate import Came, Gate, Turned
from callbridge.ops.access.operators import NotPossible
from callbridge.ops.access.passwords import WeakPassword
from callbridge.ops.who import Role
from support.access import ADMIN, OPERATORS_PASSWORD, PASSWORD, Clock, Outage, Site, fast_hashes, make_gate, serve


async def test_the_admin_logs_in_with_or_without_his_name(site: Site):
    for name in ("", "admin", " Admin "):
        browser = site.browser()
        answer = await browser.login(name)
        assert answer.status == 303 and answer.headers["Location"] == "/"
        assert (await browser.get("/")).text == "hello admin"


@pytest.mark.parametrize("case", ["unknown", "wrong", "disabled", "admin", "odd"])
async def test_every_refusal_reads_the_same(site: Site, case: str):
    await site.gate.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)
    await site.gate.operators.add(ADMIN, "gone", Role.VIEWER, OPERATORS_PASSWORD)
    await site.gate.operators.disable(ADMIN, "gone")
    name, password = {
        "unknown": ("nobody", OPERATORS_PASSWORD), "wrong": ("anna", "x" * 20), "disabled": ("gone", OPERATORS_PASSWORD),
        "admin": ("admin", "x" * 20), "odd": ("<b>\N{SNOWMAN}\0" + "y" * 900, "x" * 2000),
    }[case]  # fmt: skip
    answer = await site.browser().login(name, password)
    assert answer.status == 403 and "Set-Cookie" not in answer.headers
    assert "Name, password or code is wrong." in answer.text
    assert "<b>" not in answer.text

    def bare(text: str) -> str:
        return re.sub(r'name="name" value="[^"]*"', "", text)

    reference = await site.browser().login("somebody", "y" * 20)
    assert bare(answer.text) == bare(reference.text)


async def test_an_unknown_name_costs_a_hash_too(gate: Gate, monkeypatch: pytest.MonkeyPatch):
    spent: list[str] = []
    verified = gate._hashes._verified
    monkeypatch.setattr(
        gate._hashes, "_verified", lambda stored, given: spent.append(stored) or verified(stored, given)
    )
    await gate.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)
    for name in ("nobody", "anna", "no such name", "admin"):
        spent.clear()
        assert await gate.login(name, "x" * 20, "", "192.0.2.1", None) == Turned()
        assert len(spent) == 1, name


async def tries(gate: Gate, count: int, name: str = "anna", ip: str = "192.0.2.1") -> list[float]:
    turned = [await gate.login(name, "x" * 20, "", ip, None) for _ in range(count)]
    return [each.wait for each in turned if isinstance(each, Turned)]


async def test_tries_are_slowed_ever_more_and_only_for_a_while(gate: Gate, clock: Clock):
    assert await tries(gate, 5) == [0, 0, 0, 0, 0]
    waits = []
    for _ in range(12):
        (wait,) = await tries(gate, 1)
        waits.append(wait)
        clock.at += wait
        assert await tries(gate, 1) == [0.0]
    assert waits[:4] == [2, 4, 8, 16] and waits[-1] == 900


async def test_even_the_right_password_waits_and_then_clears_the_sheet(gate: Gate, clock: Clock):
    await tries(gate, 6, "")
    assert isinstance(await gate.login("", PASSWORD, "", "192.0.2.1", None), Turned)
    clock.at += 3
    assert isinstance(await gate.login("", PASSWORD, "", "192.0.2.1", None), Came)
    assert await tries(gate, 5, "") == [0, 0, 0, 0, 0]


async def test_a_stranger_elsewhere_locks_nobody_out(gate: Gate):
    await tries(gate, 8, "", "192.0.2.66")
    assert isinstance(await gate.login("", PASSWORD, "", "192.0.2.1", None), Came)


async def test_names_tried_from_one_address_are_slowed_together(gate: Gate):
    waits = [(await tries(gate, 1, f"name{number}"))[0] for number in range(32)]
    assert waits[:30] == [0] * 30 and waits[30] > 0
    assert await tries(gate, 1, "name1", "192.0.2.2") == [0]


async def test_colleagues_behind_one_address_do_not_slow_each_other(gate: Gate):
    for _ in range(40):
        assert isinstance(await gate.login("", PASSWORD, "", "192.0.2.1", None), Came)


async def test_tries_at_the_same_time_count_one_after_the_other(gate: Gate):
    turned = await asyncio.gather(*(gate.login("anna", "x" * 20, "", "192.0.2.1", None) for _ in range(30)))
    assert sum(isinstance(each, Turned) and each.wait == 0 for each in turned) == 5


async def test_a_restart_forgets_no_failure(gate: Gate, book: Outage, audit: Audit, clock: Clock):
    await tries(gate, 7)
    (wait,) = await tries(make_gate(book, audit, clock), 1)
    assert wait > 0


async def test_who_is_slowed_is_told_how_long(site: Site):
    browser = site.browser()
    for _ in range(5):
        await browser.login("anna", "x" * 20)
    known, unknown = await browser.login("anna", "x" * 20), await browser.login("anna", OPERATORS_PASSWORD)
    assert known.status == unknown.status == 429 and known.headers["Retry-After"] == "2"
    assert "Too many tries" in known.text


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("short one 4", "too_short"), ("", "too_short"), ("x" * 1025, "too_long"), ("passwordpassword", "common"),
        ("Password1234567890", "common"), ("P@ssw0rd!P@ssw0rd!", "common"), ("qwertyuiopasdfghjkl", "common"),
        ("111111111111111111", "common"), ("abcabcabcabcabcabc", "common"), ("callbridgeadmin2024", "common"),
        ("123456789123456789", "common"), ("gfhjkmgfhjkm123456", "common"), ("annasmith-annasmith", "common"),
        ("admin admin admin admin", "common"), ("abcdefghijklmnopqrstuvwxyz", "common"), ("zyxwvutsrqponmlkji", "common"),
    ],
)  # fmt: skip
async def test_weak_passwords_are_refused(gate: Gate, password: str, code: str):
    with pytest.raises(WeakPassword) as refused:
        await gate.operators.add(ADMIN, "annasmith", Role.VIEWER, password)
    assert refused.value.code == code
    assert await gate.operators.listed() == ()


@pytest.mark.parametrize(
    "password", [PASSWORD, OPERATORS_PASSWORD, "correct horse battery staple", "кошка рисует жёлтый мост",
                 "83920571664028175930", "Gq7#vR2m!Zt9Lw4", "a password of my own making, long"],
)  # fmt: skip
async def test_good_ones_are_taken_and_work(gate: Gate, password: str):
    await gate.operators.add(ADMIN, "anna", Role.VIEWER, password)
    assert isinstance(await gate.login("anna", password, "", "192.0.2.1", None), Came)
    assert isinstance(await gate.login("anna", password + " ", "", "192.0.2.1", None), Turned)


def test_the_settings_password_has_to_be_good_too(book: Outage, audit: Audit, clock: Clock):
    with pytest.raises(Misconfigured, match=r"console\.password"):
        make_gate(book, audit, clock, password="hunter2")
    with pytest.raises(Misconfigured, match=r"console\.password is needed"):
        make_gate(book, audit, clock, password=None, loopback_only=False)


async def test_no_password_is_stored_as_it_is(gate: Gate, book: Outage):
    await gate.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)
    stored = await book.operator("anna")
    assert stored.password.startswith("$argon2id$") and OPERATORS_PASSWORD not in stored.password


@pytest.mark.parametrize(
    "name", ["admin", "", "Anna", "a b", "a:b", "-a", "a" * 65, "\N{CYRILLIC SMALL LETTER A}nna", "a\n"]
)
async def test_names_that_are_none_are_refused(gate: Gate, name: str):
    with pytest.raises(NotPossible) as refused:
        await gate.operators.add(ADMIN, name, Role.VIEWER, OPERATORS_PASSWORD)
    assert refused.value.code == "bad_name"


async def test_what_is_not_there_cannot_be_changed_and_what_is_not_added_twice(gate: Gate):
    with pytest.raises(NotPossible) as refused:
        await gate.operators.disable(ADMIN, "nobody")
    assert refused.value.code == "unknown_operator"
    await gate.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)
    with pytest.raises(NotPossible) as refused:
        await gate.operators.add(ADMIN, "anna", Role.ADMIN, OPERATORS_PASSWORD)
    assert refused.value.code == "name_taken"
    assert [(each.name, each.role) for each in await gate.operators.listed()] == [("anna", Role.VIEWER)]


# --- the second factor


@pytest.fixture
async def factored(book: Outage, audit: Audit, clock: Clock) -> tuple[Gate, str]:
    """An operator with a second factor, and its secret."""
    gate = make_gate(book, audit, clock, sealing_keys=[Fernet.generate_key().decode()])
    await gate.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)
    secret = totp.enrolment("anna").secret
    await gate.operators.set_totp(ADMIN, "anna", secret, pyotp.TOTP(secret).at(int(clock.at)))
    clock.at += 60
    return gate, secret


async def login(gate: Gate, code: str) -> Came | Turned:
    return await gate.login("anna", OPERATORS_PASSWORD, code, "192.0.2.1", None)


async def test_a_code_is_good_once(factored: tuple[Gate, str], clock: Clock):
    gate, secret = factored
    code = pyotp.TOTP(secret).at(int(clock.at))
    assert await login(gate, "") == Turned()
    assert isinstance(await login(gate, f"{code[:3]} {code[3:]}"), Came)
    assert await login(gate, code) == Turned()
    clock.at += 30
    assert isinstance(await login(gate, pyotp.TOTP(secret).at(int(clock.at))), Came)


async def test_a_code_used_twice_at_the_same_time_lets_one_in(factored: tuple[Gate, str], clock: Clock):
    gate, secret = factored
    code = pyotp.TOTP(secret).at(int(clock.at))
    came = await asyncio.gather(*(login(gate, code) for _ in range(4)))
    assert sum(isinstance(each, Came) for each in came) == 1


async def test_a_code_of_long_ago_or_of_another_secret_is_none(factored: tuple[Gate, str], clock: Clock):
    gate, secret = factored
    for code in (
        pyotp.TOTP(secret).at(int(clock.at) - 120),
        pyotp.TOTP(pyotp.random_base32()).at(int(clock.at)),
        "\ud800",
        "1",
    ):
        assert await login(gate, code) == Turned()


async def test_a_secret_is_sealed_and_without_its_key_nobody_gets_in(
    factored: tuple[Gate, str], book: Outage, audit: Audit, clock: Clock
):
    _, secret = factored
    assert secret not in (await book.operator("anna")).totp
    other = make_gate(book, audit, clock, sealing_keys=[Fernet.generate_key().decode()])
    for gate in (other, make_gate(book, audit, clock)):
        assert await login(gate, pyotp.TOTP(secret).at(int(clock.at))) == Turned()


async def test_a_factor_that_was_entered_wrongly_locks_nobody_out(gate: Gate, book: Outage, audit: Audit, clock: Clock):
    sealing = make_gate(book, audit, clock, sealing_keys=[Fernet.generate_key().decode()])
    await gate.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)
    for each, secret, wanted in (
        (gate, totp.enrolment("anna").secret, "no_sealing_key"),
        (sealing, totp.enrolment("anna").secret, "wrong_code"),
        (sealing, "no secret!", "wrong_code"),
    ):
        with pytest.raises(NotPossible) as refused:
            await each.operators.set_totp(ADMIN, "anna", secret, "000000")
        assert refused.value.code == wanted
    assert isinstance(await login(gate, ""), Came)


def test_codes_are_those_of_the_standard():
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert [totp.code_at(secret, at // 30) for at in (59, 1111111109, 20000000000)] == ["287082", "081804", "353130"]


# --- links


async def test_a_link_is_shown_by_get_redeemed_by_post_and_only_once(book: Outage, audit: Audit, clock: Clock, http):
    told: list[str] = []
    gate = make_gate(book, audit, clock, password=None, tell_link=told.append)
    listening, done = await serve(gate)
    site = Site(gate, book, audit, clock, http, listening, done)
    link = gate.new_link()
    for _ in range(3):
        browser = site.browser()
        page = await browser.get(f"/login?link={link}")
        assert page.status == 200 and link in page.text and not browser.cookies
    first, second = site.browser(), site.browser()
    assert (await first.post("/login", {"link": link})).status == 303
    assert (await first.get("/")).text == "hello admin"
    assert (await second.post("/login", {"link": link})).status == 403
    assert not second.cookies

    clock.at += 20
    answer = await second.post("/login/link")
    assert answer.status == 200 and len(told) == 1 and told[0] not in answer.text
    assert (await second.post("/login", {"link": told[0]})).status == 303
    await listening.stop()


async def test_a_link_ends_by_age_and_by_a_newer_one(book: Outage, audit: Audit, clock: Clock):
    gate = make_gate(book, audit, clock, password=None)
    old, new = gate.new_link(), gate.new_link()
    assert len(new) >= 22
    assert await gate.redeem(old, "127.0.0.1", None) is None
    clock.at += 900
    assert await gate.redeem(new, "127.0.0.1", None) is None
    assert await gate.redeem("", "127.0.0.1", None) is None


async def test_where_a_password_is_set_there_is_no_link_and_without_one_no_password_is_right(
    gate: Gate, book: Outage, audit: Audit, clock: Clock
):
    with pytest.raises(Misconfigured):
        gate.new_link()
    assert await gate.redeem("", "127.0.0.1", None) is None
    assert not gate.renew_link()
    by_link = make_gate(book, audit, clock, password=None)
    for password in ("", PASSWORD):
        assert await by_link.login("", password, "", "127.0.0.1", None) == Turned()


async def test_links_are_not_shown_faster_than_anybody_reads(book: Outage, audit: Audit, clock: Clock):
    told: list[str] = []
    gate = make_gate(book, audit, clock, password=None, tell_link=told.append)
    assert [gate.renew_link() for _ in range(5)] == [True, False, False, False, False]
    assert isinstance(await gate.redeem(told[0], "127.0.0.1", None), Came)


# --- SQL away


async def test_while_sql_is_away_the_admin_alone_gets_in_and_stays_when_it_is_back(site: Site, clock: Clock):
    await site.gate.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)
    site.book.away = True
    anna, nobody, admin = site.browser(), site.browser(), site.browser()
    refused, unknown = await anna.login("anna", OPERATORS_PASSWORD), await nobody.login("nobody", "x" * 20)
    assert refused.status == unknown.status == 503 and "call history (SQL) does not answer" in refused.text
    assert (await admin.login("", "x" * 20)).status == 403
    assert (await admin.login()).status == 303
    for _ in range(3):
        clock.at += 10
        assert (await admin.get("/")).text == "hello admin"
    site.book.away = False
    clock.at += 10
    assert (await admin.get("/")).text == "hello admin"
    assert len(await site.gate.sessions.listed()) == 1


async def test_while_sql_is_away_tries_are_counted_here(gate: Gate, book: Outage):
    book.away = True
    assert await tries(gate, 6, "") == [0, 0, 0, 0, 0, 2]


async def test_a_failing_audit_keeps_nobody_out(gate: Gate, book: Outage):
    book.away = True
    assert isinstance(await gate.login("", PASSWORD, "", "192.0.2.1", None), Came)
    with pytest.raises(LedgerUnavailable):
        await gate.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)


async def test_logins_and_decisions_are_in_the_audit(gate: Gate, audit: Audit):
    came = await gate.login("", PASSWORD, "", "192.0.2.1", "browser")
    assert isinstance(came, Came)
    await gate.operators.add(came.who, "anna", Role.VIEWER, OPERATORS_PASSWORD)
    await gate.operators.set_role(came.who, "anna", Role.ADMIN)
    issued = await gate.tokens.issue(came.who, "ci", Role.VIEWER)
    await gate.tokens.revoke(came.who, issued.token.id)
    await gate.logout(came.who)
    rows = (await audit.entries()).rows
    assert [row.action for row in reversed(rows)] == [
        "login", "operator.add", "operator.set_role", "token.issue", "token.revoke", "logout",
    ]  # fmt: skip
    assert rows[3].outcome == {"before": "viewer", "after": "admin"}
    assert rows[0].ip == "192.0.2.1" and {row.actor for row in rows} == {"admin"}
    assert issued.secret not in str(rows) and OPERATORS_PASSWORD not in str(rows)


async def test_a_hash_of_older_making_is_made_anew(gate: Gate, book: Outage, audit: Audit, clock: Clock):
    await gate.operators.add(ADMIN, "anna", Role.VIEWER, OPERATORS_PASSWORD)
    before = (await book.operator("anna")).password
    from argon2 import PasswordHasher  # noqa: PLC0415 - only here another strength

    newer = make_gate(book, audit, clock)
    newer.operators._hashes = type(fast_hashes())(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    assert isinstance(await newer.login("anna", OPERATORS_PASSWORD, "", "192.0.2.1", None), Came)
    assert (await book.operator("anna")).password != before
    assert isinstance(await gate.login("anna", OPERATORS_PASSWORD, "", "192.0.2.1", None), Came)
