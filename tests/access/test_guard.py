"""What stands before every route: headers, hosts, origins, roles, proofs, and answers where something fails."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge import observe
from callbridge.ops.access import origins
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.gate import Gate
from callbridge.ops.access.headers import KEEP
from callbridge.ops.access.origins import Place
from callbridge.ops.who import Role
from support.access import ADMIN, OPERATORS_PASSWORD, PASSWORD, ROUTES, Clock, Outage, Site, make_gate, serve

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Permissions-Policy": "accelerometer=(), autoplay=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "
    "magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
}


def bare(headers: Any) -> dict[str, str]:
    """Without what belongs to the one answer, or is HTTP's own."""
    own = {"content-type", "content-length", "date", "location", "allow", "retry-after", "www-authenticate", "set-cookie",
           "transfer-encoding", "connection", "clear-site-data"}  # fmt: skip
    return {name: value for name, value in headers.items() if name.lower() not in own}


# --- headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200), ("GET", "/login", 200), ("GET", "/nowhere", 404), ("DELETE", "/", 405), ("GET", "/fails", 500),
        ("GET", "/store", 503), ("GET", "/history", 503), ("GET", "/stream", 200), ("GET", "/many", 429),
        ("GET", "/livez", 200), ("HEAD", "/livez", 200), ("GET", "/api/v1/things", 200), ("GET", "/api/v1/nothing", 404),
        ("PATCH", "/api/v1/things", 405), ("GET", "/api/v1/fails", 500), ("GET", "/api/v1/store", 503),
        ("GET", "/api/v1/history", 503), ("POST", "/calls/1/act", 403), ("POST", "/proof", 403), ("GET", "/proof", 200),
        ("OPTIONS", "/", 405), ("GET", "/static/../etc/passwd", 404),
    ],
)  # fmt: skip
async def test_every_answer_carries_the_same_headers(site: Site, method: str, path: str, status: int):
    browser = await site.logged_in()
    site_of_sender = {"Sec-Fetch-Site": "same-origin"} if path == "/proof" else {}
    answer = await browser.ask(method, path, site_of_sender)
    assert answer.status == status
    assert bare(answer.headers) == HEADERS


async def test_so_does_an_answer_to_nobody_and_a_redirection(site: Site):
    for path in ("/", "/api/v1/things", "/stream"):
        answer = await site.browser().get(path)
        assert answer.status in {303, 401} and bare(answer.headers) == HEADERS


async def test_so_does_an_answer_to_what_is_no_request(site: Site):
    address = urlsplit(site.listening.url)
    for sent in (b"NONSENSE secret-words\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: secret-words\r\n\r\n"):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(sent)
        answer = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        assert answer.startswith("HTTP/1.") and " 400 " in answer.splitlines()[0]
        assert "secret-words" not in answer and "Content-Security-Policy: default-src 'none'" in answer
        assert "aiohttp" not in answer


async def test_what_is_kept_for_ever_is_kept(site: Site):
    answer = await site.browser().get("/static/kept.abc.js")
    assert bare(answer.headers) == HEADERS | {"Cache-Control": KEEP}


async def test_a_nonce_is_of_one_answer(site: Site):
    browser, seen = await site.logged_in(), set()
    for _ in range(3):
        answer = await browser.get("/scripted")
        assert f"script-src 'self' 'nonce-{answer.text}';" in answer.headers["Content-Security-Policy"]
        seen.add(answer.text)
    assert len(seen) == 3


# --- who


async def test_every_route_asks_for_its_role(site: Site):
    """Who may not, is refused; who may, is not refused for his role. All routes of the table, all roles, both ways in."""
    for role in (None, *Role):
        ways: list[tuple[str, dict[str, str]]] = [("nobody", {})]
        if role is not None:
            cookies = (await site.logged_in(role)).cookies
            ways = [("session", {"Cookie": f"callbridge-session={cookies['callbridge-session']}"})]
            ways.append(("token", await site.token(role)))
        for (way, sent), route in itertools.product(ways, ROUTES):
            path = route.path.replace("{id}", "1")
            if path in {"/logout", "/login", "/fails", "/store", "/history"} or "/fails" in path or "503" in path:
                continue
            answer = await site.browser().ask(route.method, path, {"Sec-Fetch-Site": "same-origin", **sent})
            told = (way, role, route.method, path, answer.status)
            if way == "token" and route.kind == "page":
                assert answer.status == 403, told
            elif route.role is None:
                assert answer.status in {200, 403} if path.startswith("/login") else answer.status == 200, told
            elif role is None:
                assert answer.status == (303 if route.kind == "page" else 401), told
            elif not role.covers(route.role):
                assert answer.status == 403, told
            else:
                assert answer.status in {200, 303, 429, 503} or path == "/proof", told


async def test_a_viewer_is_told_what_he_lacks_and_nothing_is_done(site: Site):
    browser = await site.logged_in(Role.VIEWER)
    page = await browser.get("/for-operators")
    assert page.status == 403 and "This needs the role operator." in page.text
    assert (await browser.post("/calls/1/act")).status == 403
    api = await site.browser().ask("POST", "/api/v1/things", await site.token(Role.VIEWER))
    assert api.status == 403 and api.headers["Content-Type"] == "application/problem+json"
    assert json.loads(api.text)["code"] == "forbidden"
    assert site.done == []


async def test_nobody_gets_a_problem_from_the_api_and_the_login_from_a_page(site: Site):
    api = await site.browser().get("/api/v1/things")
    assert api.status == 401 and api.headers["WWW-Authenticate"] == "Bearer"
    assert json.loads(api.text)["code"] == "unauthenticated"
    page = await site.browser().get("/calls/1?state=dead&n=2")
    assert (
        page.status == 303 and page.headers["Location"] == f"/login?next={quote('/calls/1?state=dead&n=2', safe='/')}"
    )
    browser = site.browser()
    mistyped = await browser.login(password="x" * 20, next="/calls/1?state=dead")
    assert '<input type="hidden" name="next" value="/calls/1?state=dead">' in mistyped.text
    answer = await browser.login(next="/calls/1?state=dead")
    assert answer.headers["Location"] == "/calls/1?state=dead"
    part = await site.browser().get("/", HX_Request="true", HX_Current_URL=f"{site.listening.url}/calls/1?x=1")
    assert part.status == 401 and part.headers["HX-Redirect"] == "/login?next=/calls/1%3Fx%3D1"


async def test_a_token_opens_the_api_and_no_page(site: Site):
    token = await site.token(Role.ADMIN)
    assert (await site.browser().ask("GET", "/api/v1/things", token)).text == "hello a admin"
    assert (await site.browser().ask("GET", "/", token)).status == 403
    assert (await site.browser().ask("POST", "/calls/1/act", token)).status == 403
    assert site.done == []


@pytest.mark.parametrize("value", ["Bearer cbt_wrong", "Basic YTpi", "Bearer", "", "cbt_x", "Bearer \x80\xff"])
async def test_a_wrong_token_is_not_made_good_by_a_session(site: Site, value: str):
    browser = await site.logged_in()
    answer = await browser.ask("GET", "/api/v1/things", {"Authorization": value})
    assert answer.status == 401


async def test_a_session_opens_the_api_too(site: Site):
    browser = await site.logged_in(Role.OPERATOR)
    assert (await browser.get("/api/v1/things")).status == 200
    assert (await browser.post("/api/v1/things")).status == 200


async def test_what_is_in_no_table_is_closed(gate: Gate, http: aiohttp.ClientSession):
    from aiohttp import web  # noqa: PLC0415 - a route past the table

    from callbridge.ops.access.enforce import guard  # noqa: PLC0415 - likewise
    from callbridge.ops.access.listening import listen  # noqa: PLC0415 - likewise

    async def bare_handler(request: web.Request) -> web.Response:
        return web.Response(text="open")

    app = web.Application()
    guard(app, (), place=Place("127.0.0.1"))
    app.router.add_get("/forgotten", bare_handler)
    listening = await listen(app, "127.0.0.1", 0)
    async with http.get(f"{listening.url}/forgotten") as answer:
        assert answer.status == 404 and "open" not in await answer.text()
    await listening.stop()


# --- from where


OWN, OTHER = "own", "https://evil.example"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    ("sent", "taken"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": OWN}, True),
        ({"Origin": OWN}, True),
        ({}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": OWN}, False),
        ({"Origin": OTHER}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://localhost"}, False),
        ({"Referer": OWN}, False),
    ],
    ids=str,
)
async def test_a_session_changes_things_from_its_own_pages_only(
    site: Site, method: str, sent: dict[str, str], taken: bool
):
    browser = await site.logged_in()
    sent = {name: site.listening.url if value == OWN else value for name, value in sent.items()}
    path = "/calls/1/act" if method == "POST" else "/calls/1"
    answer = await browser.ask(method, path, sent)
    assert (answer.status, bool(site.done)) == ((200, True) if taken else (403, False))
    if not taken:
        assert "Sent from another site" in answer.text and OTHER not in answer.text


async def test_nor_is_anybody_logged_in_or_out_from_elsewhere(site: Site):
    browser = site.browser()
    fields = {"name": "", "password": PASSWORD}
    for sent in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": OTHER}, {}):
        assert (await browser.ask("POST", "/login", sent, data=fields)).status == 403
        assert not browser.cookies
    browser = await site.logged_in()
    assert (await browser.ask("POST", "/logout", {"Sec-Fetch-Site": "cross-site"})).status == 403
    assert (await browser.get("/")).status == 200


@pytest.mark.parametrize(
    ("site_told", "status"), [(None, 200), ("none", 200), ("same-origin", 200), ("cross-site", 403)]
)
async def test_a_token_needs_no_page_but_does_not_come_from_a_foreign_one(
    site: Site, site_told: str | None, status: int
):
    sent = await site.token(Role.ADMIN) | ({"Sec-Fetch-Site": site_told} if site_told else {})
    assert (await site.browser().ask("POST", "/api/v1/things", sent)).status == status


@pytest.mark.parametrize("path", ["/stream", "/api/v1/things"])
async def test_data_is_not_read_by_other_pages(site: Site, path: str):
    browser = await site.logged_in()
    for told in ("cross-site", "same-site"):
        assert (await browser.get(path, Sec_Fetch_Site=told)).status == 403
    assert (await browser.get(path, Sec_Fetch_Site="same-origin")).status == 200
    assert (await browser.get("/", Sec_Fetch_Site="cross-site")).status == 200, "a link to a page is followed"


async def test_who_follows_a_link_from_elsewhere_is_asked_to_come_again_with_his_cookie(site: Site):
    answer = await site.browser().get("/calls/1?a=1", Sec_Fetch_Site="cross-site")
    assert answer.status == 200 and '<meta http-equiv="refresh" content="0; url=/calls/1?a=1">' in answer.text
    assert "hello" not in answer.text
    assert (await site.browser().get("/calls/1?a=1", Sec_Fetch_Site="same-origin")).status == 303


@pytest.mark.parametrize(
    ("place", "host", "taken"),
    [
        (Place("127.0.0.1", loopback_only=True), "localhost:8090", True),
        (Place("127.0.0.1", loopback_only=True), "[::1]:8090", True),
        (Place("127.0.0.1", loopback_only=True), "127.0.0.1", True),
        (Place("127.0.0.1", loopback_only=True), "evil.example", False),
        (Place("127.0.0.1", loopback_only=True), "192.0.2.4", False),
        (Place("127.0.0.1", loopback_only=True), "localhost.evil.example", False),
        (Place("127.0.0.1", loopback_only=True), "127.0.0.1.evil.example", False),
        (Place("0.0.0.0"), "192.0.2.4:8090", True),  # noqa: S104 - a setting
        (Place("0.0.0.0"), "evil.example", False),  # noqa: S104 - likewise
        (Place("console.lan"), "Console.LAN:8090", True),
        (Place("0.0.0.0", "https://calls.example.com"), "calls.example.com", True),  # noqa: S104 - likewise
        (Place("0.0.0.0", "https://calls.example.com"), "calls.example.com.", True),  # noqa: S104 - likewise
        (Place("0.0.0.0", "https://calls.example.com"), "evil.example", False),  # noqa: S104 - likewise
        (Place("127.0.0.1", "https://calls.example.com"), "user@calls.example.com", False),
    ],
    ids=str,
)
async def test_the_console_goes_by_its_own_names(
    gate: Gate, http: aiohttp.ClientSession, place: Place, host: str, taken: bool
):
    listening, _ = await serve(gate, place)
    for path in ("/login", "/nowhere", "/api/v1/things", "/"):
        async with http.get(listening.url + path, headers={"Host": host}, allow_redirects=False) as answer:
            assert (answer.status != 421) == taken, path
            assert "evil" not in await answer.text()
    async with http.get(listening.url + "/livez", headers={"Host": host}) as answer:
        assert answer.status == 200, "probes have names of their own"
    await listening.stop()


async def test_behind_tls_the_cookie_has_the_prefix_and_the_origin_is_the_public_one(
    gate: Gate, http: aiohttp.ClientSession
):
    listening, _ = await serve(gate, Place("127.0.0.1", "https://calls.example.com"))
    public = {"Host": "calls.example.com", "Origin": "https://calls.example.com"}
    fields = {"name": "", "password": PASSWORD}
    async with http.post(f"{listening.url}/login", headers=public, data=fields, allow_redirects=False) as answer:
        assert answer.status == 303
        cookie = answer.headers["Set-Cookie"]
        assert cookie.startswith("__Host-callbridge=") and "; Secure" in cookie and "Domain" not in cookie
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    value = cookie.partition(";")[0].partition("=")[2]
    for name, status in (("__Host-callbridge", 200), ("callbridge-session", 303)):
        sent = public | {"Cookie": f"{name}={value}"}
        async with http.get(f"{listening.url}/", headers=sent, allow_redirects=False) as answer:
            assert answer.status == status
    plain = {"Host": "calls.example.com", "Origin": "http://calls.example.com"}
    async with http.post(f"{listening.url}/login", headers=plain, data=fields, allow_redirects=False) as answer:
        assert answer.status == 403
    await listening.stop()


async def test_on_a_plain_network_forms_keep_their_origin(gate: Gate, http: aiohttp.ClientSession):
    """Browsers tell `Sec-Fetch-Site` on loopback and TLS only, and no origin where no referrer is allowed."""
    listening, _ = await serve(gate, Place("0.0.0.0"))  # noqa: S104 - a setting
    for host, policy in (("192.0.2.4:8090", "same-origin"), ("localhost:8090", "no-referrer")):
        async with http.get(f"{listening.url}/login", headers={"Host": host}) as answer:
            assert answer.headers["Referrer-Policy"] == policy
            assert 'name="referrer"' not in await answer.text(), "the page must not say otherwise"
    await listening.stop()


# --- back to where


BAD_PATHS = [
    "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "/ /evil", "",
    "evil.example", "/\t/evil.example", "/\n//evil.example", "///evil.example", "/login", "/login?next=/x", "/logout",
    "/proof", "/ok\r\nSet-Cookie: a=b", "/" + "a" * 3000, "/\u043f", "?x", "#x",
]  # fmt: skip


@pytest.mark.parametrize("path", BAD_PATHS)
async def test_a_login_leads_to_no_other_site(site: Site, path: str):
    assert (await site.browser().login(next=path)).headers["Location"] == "/"
    page = await site.browser().get(f"/login?next={quote(path, safe='')}")
    assert '<input type="hidden" name="next" value="/">' in page.text
    browser = await site.logged_in()
    proved = await browser.post("/proof", {"password": PASSWORD, "next": path})
    assert proved.headers["Location"] == "/?done=proved"


@given(st.text())
@settings(max_examples=100)
def test_what_is_inner_stays_inside(text: str):
    for path in (text, f"/{text}"):
        where = origins.inner(path)
        assert where.startswith("/") and not where.startswith("//") and "\\" not in where
        parts = urlsplit(where)
        assert not parts.netloc and not parts.scheme


@given(st.text(max_size=40))
@settings(max_examples=100)
def test_no_host_breaks_the_check(text: str):
    for place in (Place("127.0.0.1", loopback_only=True), Place("0.0.0.0", "https://calls.example.com")):  # noqa: S104 - a setting
        origins.knows(place, text)
        assert not origins.knows(place, f"{text}x.evil.example")
        origins.origin_of(place, "http", text)


# --- the password once more


async def test_what_is_grave_needs_the_password_again(site: Site, clock: Clock):
    browser = await site.logged_in()
    assert (await browser.post("/calls/1/grave")).status == 200
    clock.at += 301
    site.done.clear()
    page = await browser.post("/calls/1/grave")
    assert page.status == 403 and site.done == []
    assert 'action="/proof"' in page.text and '<input type="hidden" name="next" value="/calls/1">' in page.text
    api = await browser.ask("DELETE", "/api/v1/things", {"Sec-Fetch-Site": "same-origin"})
    assert api.status == 403 and json.loads(api.text)["code"] == "proof_needed"
    part = await browser.post("/calls/1/grave", HX_Request="true", HX_Current_URL=f"{site.listening.url}/calls/7?a=b")
    assert part.status == 403 and part.headers["HX-Redirect"] == "/proof?next=/calls/7%3Fa%3Db"

    assert (await browser.post("/proof", {"password": "x" * 20, "next": "/calls/1"})).status == 403
    assert (await browser.post("/calls/1/grave")).status == 403
    proved = await browser.post("/proof", {"password": PASSWORD, "next": "/calls/1"})
    assert proved.status == 303 and proved.headers["Location"] == "/calls/1?done=proved"
    assert (await browser.post("/calls/1/grave")).status == 200
    assert len(site.done) == 1


async def test_a_token_has_no_password_to_give_again(site: Site, clock: Clock):
    token = await site.token(Role.ADMIN)
    clock.at += 1000
    assert (await site.browser().ask("DELETE", "/api/v1/things", token)).status == 200


# --- what fails


async def test_failures_say_nothing_of_their_inside_and_are_logged(site: Site, monkeypatch: pytest.MonkeyPatch):
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(observe, "event", lambda name, **fields: told.append((name, fields)))
    browser = await site.logged_in()
    told.clear()
    for path, kind in (
        ("/fails?a=hidden-words", "text/html"),
        ("/api/v1/fails?a=hidden-words", "application/problem+json"),
    ):
        answer = await browser.get(path)
        assert answer.status == 500 and answer.headers["Content-Type"].startswith(kind)
        for secret in ("secret", "Traceback", "RuntimeError"):
            assert secret not in answer.text
    assert [(name, fields["route"]) for name, fields in told] == [
        ("console.failed", "/fails"), ("console.failed", "/api/v1/fails"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "words"),
    [("/store", "Redis does not answer"), ("/history", "The call history does not answer"),
     ("/api/v1/store", "Redis"), ("/api/v1/history", "call history")],
)  # fmt: skip
async def test_what_is_down_is_named_and_what_to_do(site: Site, path: str, words: str):
    answer = await (await site.logged_in()).get(path)
    assert answer.status == 503 and answer.headers["Retry-After"] == "5"
    assert words in answer.text and "secret" not in answer.text
    assert "/api" in path or "callbridge " in answer.text


async def test_refusals_speak_the_viewers_language(site: Site):
    answer = await (await site.logged_in()).get("/history", Accept_Language="ru")
    assert "История звонков не отвечает" in answer.text


async def test_a_stream_that_fails_is_cut_and_not_dressed_up(site: Site):
    browser = await site.logged_in()
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        await browser.get("/stream?fail=1")
    assert (await browser.get("/stream")).text == "data: 1\n\n"


async def test_sql_away_for_a_stranger_is_a_login_page_or_a_503_never_a_500(site: Site):
    site.book.away = True
    browser = site.browser()
    browser.cookies["callbridge-session"] = "B" * 43
    assert (await browser.get("/")).headers["Location"] == "/login?next=/"
    assert (await browser.get("/login")).status == 200
    assert (await browser.get("/stream")).status == 503
    api = await browser.get("/api/v1/things")
    assert api.status == 503 and json.loads(api.text)["code"] == "ledger_unavailable"
    assert (await browser.get("/nowhere")).status == 404
    assert (await browser.ask("GET", "/api/v1/things", {"Authorization": "Bearer cbt_" + "A" * 43})).status == 503


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/octet-stream"])
async def test_pages_take_forms_only(site: Site, kind: str):
    browser = await site.logged_in()
    answer = await browser.ask(
        "POST", "/calls/1/act", {"Sec-Fetch-Site": "same-origin", "Content-Type": kind}, data=b'{"a": 1}'
    )
    assert answer.status == 415 and site.done == []


@pytest.mark.parametrize("cookie", ["", "x" * 5000, "\x80", "a b", "%00", "A" * 43])
async def test_odd_cookies_are_nobody(site: Site, cookie: str):
    answer = await site.browser().ask("GET", "/", {"Cookie": f"callbridge-session={cookie}"})
    assert answer.status == 303


async def test_an_operators_session_ends_everywhere_when_he_is_disabled(
    site: Site, book: Outage, audit: Audit, clock: Clock
):
    browser = await site.logged_in(Role.OPERATOR)
    other = make_gate(book, audit, clock)
    (known,) = await other.operators.listed()
    await other.operators.disable(ADMIN, known.name)
    clock.at += 5
    assert (await browser.get("/")).status == 303
    assert (await browser.login(known.name, OPERATORS_PASSWORD)).status == 403
