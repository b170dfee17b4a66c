"""Token pairs, the token endpoint's answers, and consent: what they mean, whatever they look like."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callbridge.amocrm.consent import Application, Consent, NoConsent, consent_url, read_consent
from callbridge.amocrm.tokens import (
    ACCOUNT_HOSTS,
    Granted,
    NotHere,
    NoVerdict,
    Rejected,
    TokenPair,
    address_of,
    api_domain_of,
    expiry_of,
    read_domain,
    read_token_answer,
    unpacked,
)

NOW = 1_790_000_000.0
DAY = 86_400.0
HOME = "https://romashka.amocrm.ru"
PAIR = TokenPair("acc-canary", "ref-canary", NOW, NOW + DAY, 4, HOME, HOME)
APP = Application("5b0e7a1c-office", "canary-client-secret", "https://bridge.example.com/oauth")


def a_jwt(**claims: Any) -> str:
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({"alg": "x"}, claims)
    ]
    return f"{parts[0]}.{parts[1]}.c2ln"


def granted(**changes: Any) -> bytes:
    told = {"token_type": "Bearer", "expires_in": 86_400, "access_token": "acc-2", "refresh_token": "ref-2"}
    return json.dumps(told | changes).encode()


# --- pairs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("later", "due"),
    [(0, False), (0.79 * DAY, False), (0.8 * DAY, True), (2 * DAY, True), (-60, False), (-2 * DAY, True)],
)
def test_a_pair_is_replaced_at_four_fifths_of_its_life_and_when_the_clock_jumped_back(later: float, due: bool) -> None:
    assert PAIR.is_due(NOW + later) is due


def test_the_life_of_a_pair_counts_from_its_receipt_by_our_own_clock() -> None:
    pair = Granted("a", "r", 600).pair(now=5_000, generation=2, url=HOME, home=HOME)
    assert (pair.issued_at, pair.expires_at) == (5_000, 5_600)


def test_a_pair_survives_being_packed_and_shows_no_token() -> None:
    assert unpacked(PAIR.packed()) == PAIR
    for shown in (repr(PAIR), str(PAIR.in_use), repr(Granted("acc-canary", "ref-canary", 1)), repr(APP)):
        assert "canary" not in shown


@given(st.one_of(st.binary(max_size=80), st.builds(lambda v: json.dumps(v).encode(), st.recursive(
    st.none() | st.integers() | st.text(max_size=5), lambda x: st.lists(x, max_size=3) | st.dictionaries(
        st.sampled_from(["access", "refresh", "url", "home", "generation", "issued_at", "expires_at", "x"]), x),
    max_leaves=6))))  # fmt: skip
def test_bytes_that_are_no_pair_are_a_value_error(stored: bytes) -> None:
    try:
        pair = unpacked(stored)
    except ValueError:
        return
    assert isinstance(pair.access, str)


def test_a_field_of_the_wrong_kind_is_no_pair() -> None:
    told = json.loads(PAIR.packed())
    for name, wrong in (("access", 5), ("generation", "4"), ("url", None), ("expires_at", [])):
        with pytest.raises(ValueError, match="not a token pair"):
            unpacked(json.dumps(told | {name: wrong}).encode())


def test_a_pair_belongs_to_the_address_of_its_consent_and_to_the_one_it_moved_to() -> None:
    moved = replace(PAIR, url="https://lilia.amocrm.ru")
    assert moved.is_for(HOME)
    assert moved.is_for("https://lilia.amocrm.ru")
    assert not moved.is_for("https://other.amocrm.ru")


# --- answers of the endpoint -----------------------------------------------------------------------------------------


def test_a_grant_is_read() -> None:
    assert read_token_answer(200, granted()) == Granted("acc-2", "ref-2", 86_400.0)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"<html>", b"[]", b"{}", granted(access_token=""), granted(refresh_token=None), granted(expires_in=0),
        granted(expires_in=True), granted(expires_in="1"), granted(expires_in=1e12), granted(access_token="two words"),
        granted(access_token="line\nbreak"), granted(refresh_token="x" * 9_000),
    ],
)  # fmt: skip
def test_a_200_without_a_pair_may_have_cost_the_old_one(body: bytes) -> None:
    answer = read_token_answer(200, body)
    assert isinstance(answer, NoVerdict)
    assert answer.lost


@pytest.mark.parametrize("status", [400, 401])
def test_a_refusal_in_json_is_about_the_token_and_tells_the_hint(status: int) -> None:
    body = json.dumps({"hint": "Token has been revoked", "title": "T", "status": status, "detail": "D"}).encode()
    assert read_token_answer(status, body) == Rejected(f"HTTP {status}: Token has been revoked")


@pytest.mark.parametrize(
    ("status", "body", "lost"),
    [
        (401, b"<html>proxy</html>", False), (403, b"<html>403 Forbidden</html>", False), (429, b"", False),
        (500, b"{}", True), (502, b"<html>", True), (504, b"", True), (302, b"", False), (418, b"{}", False),
    ],
)  # fmt: skip
def test_a_ban_an_outage_and_a_strangers_page_say_nothing_about_the_token(status: int, body: bytes, lost: bool) -> None:
    answer = read_token_answer(status, body)
    assert isinstance(answer, NoVerdict)
    assert answer.lost is lost


def test_a_404_means_another_address() -> None:
    assert isinstance(read_token_answer(404, b"{}"), NotHere)


@given(st.integers(100, 599), st.binary(max_size=200))
def test_any_answer_is_one_of_the_four(status: int, body: bytes) -> None:
    assert isinstance(read_token_answer(status, body), Granted | Rejected | NotHere | NoVerdict)


# --- hosts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["romashka.amocrm.ru", "a-1.kommo.com", "X.amocrm.com"])
def test_the_vendors_hosts_are_accounts(host: str) -> None:
    assert ACCOUNT_HOSTS.fullmatch(host)
    assert address_of(host, HOME) == f"https://{host.lower()}"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "amocrm.ru", "x.amocrm.ru.evil.example", "x.amocrm.ru:8443", "x.amocrm.ru/..", "a.b.amocrm.ru",
        "x.amocrm.ru@evil.example", "evil.example?x.amocrm.ru", "127.0.0.1", "", "xn--.amocrm.ru\n",
    ],
)  # fmt: skip
def test_no_other_host_gets_a_secret(host: str) -> None:
    assert address_of(host, HOME) is None


def test_a_rehearsal_stays_on_loopback() -> None:
    home = "http://127.0.0.1:8100"
    assert address_of("localhost:8100", home) == "http://localhost:8100"
    for host in ("romashka.amocrm.ru", "127.0.0.1:80@evil.example", "127.0.0.1:80.evil.example", "10.0.0.1:80"):
        assert address_of(host, home) is None


def test_where_an_account_moved_is_read_from_a_200_only() -> None:
    body = json.dumps({"id": 1, "domain": "Lilia.amocrm.ru"}).encode()
    assert read_domain(200, body) == "lilia.amocrm.ru"
    assert read_domain(401, body) is None
    assert read_domain(200, b'{"domain": 5}') is None


@given(st.text(max_size=60))
def test_whatever_a_token_is_reading_its_claims_never_fails(token: str) -> None:
    expiry_of(token)
    assert api_domain_of(token) is None or ACCOUNT_HOSTS.fullmatch(str(api_domain_of(token)))


def test_a_token_tells_its_end_and_its_domain() -> None:
    token = a_jwt(exp=1_790_086_400, api_domain="api-b.amocrm.ru")
    assert expiry_of(token) == 1_790_086_400
    assert api_domain_of(token) == "api-b.amocrm.ru"
    assert expiry_of(a_jwt(exp=True)) is None
    assert api_domain_of(a_jwt(api_domain="api-b.amocrm.ru.evil.example")) is None


# --- consent ---------------------------------------------------------------------------------------------------------


def redirected(now: float = NOW, **changes: str) -> str:
    asked = parse_qs(urlsplit(consent_url(HOME, APP, "main", now)).query)
    told = {"code": "def502-code", "state": asked["state"][0], "referer": "romashka.amocrm.ru", "from_widget": ""}
    return f"{APP.redirect_uri}?{urlencode(told | changes)}"


@pytest.mark.parametrize(
    ("home", "page"),
    [
        (HOME, "https://www.amocrm.ru/oauth?"),
        ("https://x.kommo.com", "https://www.kommo.com/oauth?"),
        ("http://127.0.0.1:8100", "http://127.0.0.1:8100/oauth?"),
    ],
)
def test_the_consent_page_is_the_vendors_and_tells_no_secret(home: str, page: str) -> None:
    url = consent_url(home, APP, "main", NOW)
    assert url.startswith(page)
    assert "canary" not in url


def test_what_the_browser_was_sent_to_gives_the_code() -> None:
    assert read_consent(redirected(), HOME, APP, "main", NOW + 60) == Consent("def502-code", HOME)
    assert read_consent(f"  {redirected().partition('?')[2]}\n", HOME, APP, "main", NOW) == Consent("def502-code", HOME)


def test_a_bare_code_is_taken_as_it_is() -> None:
    assert read_consent(" def502-code\n", HOME, APP, "main", NOW) == Consent("def502-code", HOME)


@pytest.mark.parametrize(
    ("pasted", "told"),
    [
        (redirected(state="1790000000.0000"), "state"),
        (redirected(state=""), "state"),
        (redirected(now=NOW - 7_200), "too old"),
        (redirected(referer="evil.example"), "referer"),
        (redirected(referer=""), "referer"),
        (redirected(referer="other.amocrm.ru"), "given for https://other.amocrm.ru"),
        (redirected(code=""), "no code"),
        (redirected(error="access_denied"), "refused"),
        ("two words", "no code"),
        ("", "no code"),
    ],
)
def test_anything_else_is_no_consent(pasted: str, told: str) -> None:
    answer = read_consent(pasted, HOME, APP, "main", NOW)
    assert isinstance(answer, NoConsent)
    assert told in answer.problem
    assert "def502-code" not in answer.problem


def test_a_consent_holds_for_its_account_and_its_integration_only() -> None:
    assert isinstance(read_consent(redirected(), HOME, APP, "branch", NOW), NoConsent)
    other = Application(APP.client_id, "another-secret", APP.redirect_uri)
    assert isinstance(read_consent(redirected(), HOME, other, "main", NOW), NoConsent)


@given(st.text(max_size=80))
def test_whatever_is_pasted_is_a_consent_or_none(pasted: str) -> None:
    assert isinstance(read_consent(pasted, HOME, APP, "main", NOW), Consent | NoConsent)


@given(st.text(max_size=60))
def test_no_made_up_state_is_taken(state: str) -> None:
    assert isinstance(read_consent(redirected(state=state), HOME, APP, "main", NOW), NoConsent)
