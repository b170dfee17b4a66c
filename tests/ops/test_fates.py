"""What is next for a call, which buttons it has, why no card was found, and where its card is."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.ledger.views import CallRow
from callbridge.ops.fates import card_link, match_explained, moves, new_contact_link, next_step
from callbridge.ops.who import Role
from callbridge.outcome import PauseReason, PublicState, Reason


def a_row(state: PublicState = "dead", **changes: Any) -> CallRow:
    defaults: dict[str, Any] = {
        "id": "c1", "state": state, "account": "main", "source": "office", "provider": "generic", "uniq": "u",
        "direction": "inbound", "phone": "+79165550117", "duration": 1, "started_at": 1, "received_at": 1.0,
        "attempts": 0, "reason": "refused_by_crm" if state == "dead" else None, "entity_type": None,
        "entity_id": None, "note_id": None, "updated_at": 1.0, "ref": "r", "call_status": "answered", "link": None,
        "detail": None, "duplicates": 0, "variants": 0,
    }  # fmt: skip
    return CallRow(**(defaults | changes))


def allowed(row: CallRow, role: Role = Role.OPERATOR, **more: Any) -> set[str]:
    return {move.name for move in moves(row, role, **more) if move.allowed}


@pytest.mark.parametrize("state", get_args(PublicState))
@pytest.mark.parametrize("reason", [None, "of another version", *Reason])
def test_every_call_has_a_next_step(state: PublicState, reason: str | None) -> None:
    assert next_step(a_row(state, reason=reason)).code.split(".")[0] == state
    assert moves(a_row(state, reason=reason), Role.ADMIN) is not None


def test_what_waits_for_its_account_says_so() -> None:
    step = next_step(a_row("queued"), PauseReason.BANNED)
    assert (step.code, step.params) == ("waits_for_account", {"account": "main", "reason": "banned"})
    assert next_step(a_row("retrying"), None, "503").code == "waits_for_crm"
    assert next_step(a_row("dead", reason="expired"), PauseReason.BANNED).code == "dead.expired"


def test_a_reason_of_another_version_needs_no_words_of_its_own() -> None:
    assert next_step(a_row("dead", reason="novel")).code == "dead"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (a_row("dead"), {"replay", "edit", "discard", "reveal"}),
        (a_row("dead", reason="undecodable", phone=None), {"edit", "discard"}),
        (a_row("dead", reason="unknown_outcome"), {"replay", "discard", "resend", "mark_delivered", "reveal"}),
        (a_row("parked"), {"retry", "lead", "give_up", "reveal"}),
        (a_row("parked", direction="outbound"), {"retry", "give_up", "reveal"}),
        (a_row("uncertain"), {"resend", "mark_delivered", "reveal"}),
        (a_row("delivered"), {"reveal"}),
        (a_row("queued"), {"reveal"}),
        (a_row("erased", phone=None), set()),
    ],
)
def test_buttons_are_those_of_the_state(row: CallRow, expected: set[str]) -> None:
    assert allowed(row) == expected


def test_who_only_reads_sees_the_buttons_and_why_they_are_not_his() -> None:
    found = moves(a_row("dead"), Role.VIEWER)
    assert found and {(move.allowed, move.why_not) for move in found} == {(False, "needs_operator")}


def test_a_button_that_does_not_help_says_why() -> None:
    refused = {move.name: move.why_not for move in moves(a_row("dead", reason="undecodable"), Role.ADMIN)}
    assert refused["replay"] == "undecodable"
    told = {move.name: move.why_not for move in moves(a_row("uncertain"), Role.ADMIN, decidable_in=60)}
    assert (told["resend"], told["mark_delivered"]) == ("too_early", "too_early")


@pytest.mark.parametrize(
    ("phone", "digits", "key", "verdict"),
    [
        ("+7 (916) 555-01-17", "79165550117", "9165550117", "ok"),
        ("tel:8-916-555-01-17;ext=5", "89165550117", "9165550117", "ok"),
        ("5550117", "5550117", "5550117", "partial"),
        ("101", "101", "101", "short"),
        ("55501", "55501", "55501", "internal"),
        ("anonymous", "", "", "hidden"),
        ("", "", "", "hidden"),
        (None, "", "", "hidden"),
        ("+266696687", "266696687", "266696687", "hidden"),
        ("000000", "000000", "000000", "hidden"),
    ],
)
def test_why_a_number_was_not_found(phone: str | None, digits: str, key: str, verdict: str) -> None:
    found = match_explained(phone, 6)
    assert (found.digits, found.key, found.verdict) == (digits, key, verdict)


@given(st.text(max_size=64), st.integers(1, 9))
@settings(max_examples=100)
def test_whatever_a_pbx_wrote_is_explained(phone: str, most: int) -> None:
    found = match_explained(phone, most)
    assert found.key == found.digits[-10:]
    assert (found.verdict == "ok") <= (len(found.digits) >= 10)


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        ("contact", "https://a.amocrm.ru/contacts/detail/12"),
        ("companies", "https://a.amocrm.ru/companies/detail/12"),
        ("company", "https://a.amocrm.ru/companies/detail/12"),
        ("lead", "https://a.amocrm.ru/leads/detail/12"),
        ("customer", "https://a.amocrm.ru/customers/detail/12"),
        ("unsorted", None),
        (None, None),
    ],
)
def test_the_card_has_its_address(kind: str | None, link: str | None) -> None:
    assert card_link("https://a.amocrm.ru/", kind, 12) == link
    assert card_link("https://a.amocrm.ru", kind, None) is None


def test_no_link_leads_anywhere_but_to_the_web() -> None:
    assert card_link("javascript:alert(1)//", "contact", 1) is None
    assert new_contact_link("javascript:alert(1)//", "+7") is None


def test_the_form_for_a_new_contact_has_the_number_in_it() -> None:
    assert new_contact_link("https://a.amocrm.ru", "+7 916 555-01-17") == (
        "https://a.amocrm.ru/contacts/add/?phone=%2B79165550117"
    )
    assert new_contact_link("https://a.amocrm.ru", None) == "https://a.amocrm.ru/contacts/add/"
