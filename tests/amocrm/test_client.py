"""Over real HTTP: for every way a request can end, do we know whether the CRM may have processed it?"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from callbridge.amocrm.client import AccountFound, AccountProblem, AmoAccount
from callbridge.amocrm.credential import long_lived
from callbridge.amocrm.exchange import Exchange, build_session
from callbridge.amocrm.users import User, Users
from callbridge.call import CallId
from callbridge.errors import Misconfigured
from callbridge.found import ReadBack, Unreadable
from callbridge.outcome import (
    AccountStopped,
    Answer,
    Delivered,
    NoAnswer,
    NotSent,
    PauseReason,
    PerCall,
    Ready,
    SlowDown,
    Unanswered,
    Unmatched,
)
from callbridge.posted import Evidence
from support.amocrm import (
    BAN_PAGE,
    FIXTURES,
    Step,
    answers,
    bombs,
    drips,
    floods,
    head,
    recorded,
    refusing_port,
    resets,
    scripted,
    sends_and_closes,
    stays_silent,
)
from support.builders import a_call

TOKEN = "long-lived.canary-token"
ONE, TWO = CallId("call-1"), CallId("call-2")
BATCH = {ONE: Ready("u-one", b'{"n":1}'), TWO: Ready("u-two", b'{"n":2}')}


@contextlib.asynccontextmanager
async def account(url: str, *, total: float = 5.0, connect: float = 2.0, **changes: Any) -> AsyncIterator[AmoAccount]:
    async with build_session() as session:
        settings: dict[str, Any] = {
            "session": session,
            "request_timeout": total,
            "connect_timeout": connect,
            "now": lambda: 1_790_000_000.0,
        } | changes
        users = settings.pop("users", {"office": {"101": 70071}})
        exchange = Exchange(**settings)
        opens = long_lived("main", url, TOKEN)
        yield AmoAccount("main", opens, exchange, users=users, now=settings["now"])


async def posted(*steps: Step, total: float = 5.0) -> Answer:
    async with scripted(*steps) as crm, account(crm.url, total=total) as amo:
        answer = (await amo.post(BATCH)).answer
        assert len(crm.requests) == 1
        return answer


async def test_a_batch_is_one_array_with_the_token_and_every_call_is_answered_by_its_request_id() -> None:
    async with scripted(answers(200, recorded("stored"))) as crm, account(crm.url) as amo:
        answer = (await amo.post(BATCH)).answer

    assert answer == PerCall({ONE: Delivered(90210454, "contact", 8120033), TWO: Delivered(90210455, "lead", 4401977)})
    (request,) = crm.requests
    assert (request.method, request.target) == ("POST", "/api/v4/calls")
    assert json.loads(request.body) == [{"n": 1}, {"n": 2}]
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("callbridge/")


async def test_a_400_in_which_nobody_matched_is_an_answer_per_call() -> None:
    answer = await posted(answers(400, recorded("none_matched"), kind="application/problem+json"))
    assert answer == PerCall({ONE: Unmatched(), TWO: Unmatched()})


async def test_an_answer_is_unpacked() -> None:
    packed = gzip.compress(recorded("stored"))
    answer = await posted(answers(200, packed, Content_Encoding="gzip"))
    assert isinstance(answer, PerCall)
    assert answer.outcomes[ONE] == Delivered(90210454, "contact", 8120033)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, recorded("unauthorised"), PauseReason.UNAUTHORISED),
        (402, recorded("payment_required"), PauseReason.PAYMENT_REQUIRED),
        (403, recorded("forbidden"), PauseReason.FORBIDDEN),
        (403, BAN_PAGE, PauseReason.BANNED),
        (405, b"{}", PauseReason.WRONG_HOST),
    ],
)
async def test_the_body_of_an_error_is_read_too(status: int, body: bytes, expected: PauseReason) -> None:
    answer = await posted(answers(status, body, kind="text/html"))
    assert isinstance(answer, AccountStopped)
    assert answer.reason is expected


async def test_the_wait_of_a_429_is_read_from_body_or_header() -> None:
    assert await posted(answers(429, recorded("slow_down"))) == SlowDown(240.0)
    assert await posted(answers(429, b"<html>", Retry_After="Mon, 21 Sep 2026 14:14:00 GMT")) == SlowDown(40.0)


# --- surely not sent -------------------------------------------------------------------------------------------------


async def test_a_refused_connection_was_not_sent() -> None:
    with refusing_port() as port:
        async with account(f"http://127.0.0.1:{port}") as amo:
            assert isinstance((await amo.post(BATCH)).answer, NotSent)


async def test_an_unknown_host_was_not_sent() -> None:
    async with account("http://callbridge-test.invalid") as amo:
        assert isinstance((await amo.post(BATCH)).answer, NotSent)


async def test_a_certificate_nobody_vouches_for_ends_the_request_before_the_token_is_sent() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FIXTURES / "self_signed.pem")
    async with scripted(answers(200), tls=context) as crm, account(crm.url) as amo:
        assert isinstance((await amo.post(BATCH)).answer, NotSent)
        assert crm.requests == []


async def test_plain_http_behind_an_https_address_was_not_sent() -> None:
    async with scripted(answers(200)) as crm, account(crm.url.replace("http:", "https:"), connect=0.3) as amo:
        assert isinstance((await amo.post(BATCH)).answer, NotSent)
        assert crm.requests == []


async def test_a_connection_that_is_never_accepted_was_not_sent() -> None:
    """The address is reserved for documentation: packets to it vanish, or the machine has no route at all."""
    async with account("http://192.0.2.1", connect=0.2) as amo:
        assert isinstance((await amo.post(BATCH)).answer, NotSent)


# --- nobody can tell -------------------------------------------------------------------------------------------------

GARBLED_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{    \r\nnot-hex\r\n"
BAD_GZIP = head(200, length=6, Content_Encoding="gzip") + b"no zip"
HUGE_HEADER = b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 100_000 + b"\r\n\r\n"


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(sends_and_closes(), id="closed instead of an answer"),
        pytest.param(resets(), id="reset instead of an answer"),
        pytest.param(resets(head(200, length=900)), id="reset after the headers"),
        pytest.param(sends_and_closes(head(200, length=900) + b'{"_embedded"'), id="half a body"),
        pytest.param(sends_and_closes(b"HTTP/1.1 200 O"), id="half a status line"),
        pytest.param(sends_and_closes(b"\x00\xffgarbage 200 garbage\r\n\r\n"), id="garbage status line"),
        pytest.param(sends_and_closes(b"SSH-2.0-OpenSSH_9.2\r\n"), id="another protocol"),
        pytest.param(sends_and_closes(GARBLED_CHUNKS), id="garbled chunks"),
        pytest.param(sends_and_closes(BAD_GZIP), id="not the gzip it says"),
        pytest.param(sends_and_closes(HUGE_HEADER), id="endless header"),
        pytest.param(answers(200, b'{"_embedded": {"calls": ['), id="truncated JSON of full length"),
        pytest.param(answers(200, b"<html>maintenance</html>", kind="text/html"), id="a page"),
        pytest.param(answers(200), id="nothing"),
        pytest.param(answers(204), id="204"),
        pytest.param(answers(500, b'{"title": "ErrInternalServer", "status": 500}'), id="500"),
        pytest.param(answers(502, recorded("stored")), id="502, whatever it holds"),
        pytest.param(answers(503, b"<html>"), id="503"),
        pytest.param(floods(50, begin=recorded("stored")), id="50 MB"),
        pytest.param(bombs(60, begin=recorded("stored")), id="a gzip of 60 kB that unpacks to 60 MB"),
    ],
)
async def test_a_request_that_was_handed_over_and_not_answered_is_never_called_unsent(step: Step) -> None:
    answer = await posted(step)
    assert isinstance(answer, NoAnswer)
    assert not answer.too_heavy


@pytest.mark.parametrize("step", [pytest.param(stays_silent(), id="silence"), pytest.param(drips(), id="slow drip")])
async def test_a_timeout_after_sending_leaves_the_batch_unanswered_and_calls_it_too_heavy(step: Step) -> None:
    answer = await posted(step, total=0.3)
    assert isinstance(answer, NoAnswer)
    assert answer.too_heavy


async def test_a_504_calls_the_batch_too_heavy() -> None:
    answer = await posted(answers(504, b"<html>504</html>"))
    assert isinstance(answer, NoAnswer)
    assert answer.too_heavy


async def test_a_kept_connection_closed_as_we_write_is_not_called_unsent() -> None:
    async with scripted(answers(200, recorded("stored")), sends_and_closes()) as crm, account(crm.url) as amo:
        assert isinstance((await amo.post(BATCH)).answer, PerCall)
        answer = (await amo.post(BATCH)).answer
        assert crm.connections == 1, "the second request must have used the kept connection"
        assert isinstance(answer, NoAnswer)
        assert len(crm.requests) == 2, "a POST is never repeated by the library"


async def test_an_error_page_beyond_the_bound_is_still_read_by_its_status() -> None:
    answer = await posted(floods(5, status=403))
    assert isinstance(answer, AccountStopped)
    assert answer.reason is PauseReason.BANNED


async def test_cancellation_passes_through() -> None:
    async with scripted(stays_silent()) as crm, account(crm.url) as amo:
        task = asyncio.create_task(amo.post(BATCH))
        await crm.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# --- what is kept of it ----------------------------------------------------------------------------------------------


async def test_a_request_is_kept_as_it_left_and_its_answer_as_it_came() -> None:
    steps = answers(200, recorded("stored"), X_Request_Id="vendor-7")
    async with scripted(steps) as crm, account(crm.url) as amo:
        posted = await amo.post(BATCH)
    assert posted.evidence == Evidence(b'[{"n":1},{"n":2}]', recorded("stored"), 200, "vendor-7")
    assert crm.requests[0].body == posted.evidence.request


async def test_of_an_answer_that_broke_off_it_is_kept_what_it_began_with() -> None:
    cut = head(502, length=5_000, X_Request_Id="vendor-8") + b"half"
    async with scripted(sends_and_closes(cut)) as crm, account(crm.url) as amo:
        posted = await amo.post(BATCH)
    assert isinstance(posted.answer, NoAnswer)
    assert posted.evidence == Evidence(b'[{"n":1},{"n":2}]', None, 502, "vendor-8")


async def test_of_a_request_that_never_left_it_is_kept_what_would_have() -> None:
    with refusing_port() as port:
        async with account(f"http://127.0.0.1:{port}") as amo:
            posted = await amo.post(BATCH)
    assert isinstance(posted.answer, NotSent)
    assert posted.evidence == Evidence(b'[{"n":1},{"n":2}]')


async def test_an_answer_that_quotes_our_headers_is_kept_without_the_token() -> None:
    async with scripted(answers(400, b"you sent Bearer " + TOKEN.encode())) as crm, account(crm.url) as amo:
        posted = await amo.post(BATCH)
    assert posted.evidence
    assert posted.evidence.response == b"you sent Bearer ***"


# --- where the token goes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_stops_the_account_and_the_token_stays_home(status: int) -> None:
    async with scripted(answers(200)) as elsewhere:
        answer = await posted(answers(status, Location=f"{elsewhere.url}/api/v4/calls"))
        assert elsewhere.connections == 0
    assert isinstance(answer, AccountStopped)
    assert answer.reason is PauseReason.WRONG_HOST


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(answers(200)) as proxy, scripted(answers(200, recorded("stored"))) as crm:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with account(crm.url) as amo:
            assert isinstance((await amo.post(BATCH)).answer, PerCall)
        assert proxy.connections == 0


async def test_a_cookie_of_one_answer_is_not_sent_with_the_next_request() -> None:
    steps = [answers(200, recorded("stored"), Set_Cookie="session=1; Path=/")] * 2
    # by name: a jar would ignore the cookie of a bare address
    async with scripted(*steps) as crm, account(crm.url.replace("127.0.0.1", "localhost")) as amo:
        await amo.post(BATCH)
        await amo.post(BATCH)
        assert "cookie" not in crm.requests[1].headers


async def test_no_answer_and_no_problem_ever_shows_the_token() -> None:
    with refusing_port() as port:
        async with account(f"http://127.0.0.1:{port}") as amo:
            assert TOKEN not in repr(amo) + repr(await amo.post(BATCH)) + repr(await amo.check())


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "кириллица"])
def test_a_token_that_cannot_be_one_is_named_by_its_setting_and_not_shown(token: str) -> None:
    with pytest.raises(Misconfigured, match=r"accounts\.main\.token") as problem:
        long_lived("main", "https://x.example", token)
    assert not token or token not in str(problem.value)


async def test_a_session_that_cannot_tell_whether_bytes_left_is_refused() -> None:
    async with aiohttp.ClientSession() as blind:
        with pytest.raises(ValueError):
            async with account("https://x.example", session=blind):
                pass


# --- the rest of the adapter -----------------------------------------------------------------------------------------


async def test_each_exchange_is_told_with_status_and_the_vendors_request_id() -> None:
    told: list[tuple[int | None, str | None]] = []

    def note(status: int | None, request_id: str | None, seconds: float) -> None:
        assert seconds >= 0
        told.append((status, request_id))

    async with (
        scripted(answers(200, recorded("stored"), X_Request_Id="trace-77"), resets()) as crm,
        account(crm.url, on_exchange=note) as amo,
    ):
        await amo.post(BATCH)
        await amo.post(BATCH)
    assert told == [(200, "trace-77"), (None, None)]


async def test_a_batch_that_cannot_be_told_apart_is_a_mistake_of_ours() -> None:
    twins = {ONE: Ready("same", b"{}"), TWO: Ready("same", b"{}")}
    crowd = {CallId(f"call-{n}"): Ready(f"u-{n}", b"{}") for n in range(251)}
    async with account("https://x.example") as amo:
        for batch in ({}, twins, crowd):
            with pytest.raises(ValueError):
                await amo.post(batch)


async def test_users_are_those_of_the_calls_source() -> None:
    async with account("https://x.example") as amo:
        ours, foreign = amo.translate(a_call(extension="101")), amo.translate(a_call(extension="101", source="branch"))
    assert isinstance(ours, Ready)
    assert isinstance(foreign, Ready)
    assert json.loads(ours.item)["responsible_user_id"] == 70071
    assert "responsible_user_id" not in json.loads(foreign.item)


async def test_check_finds_the_account_and_the_difference_of_the_clocks() -> None:
    step = answers(200, recorded("account"), Date="Mon, 21 Sep 2026 14:13:25 GMT")
    async with scripted(step) as crm, account(crm.url) as amo:
        assert await amo.check() == AccountFound(
            31660042, "Фабрика дверей", "fabrika", clock_ahead=5.0, takes_leads=True
        )
        assert [(r.method, r.target) for r in crm.requests] == [("GET", "/api/v4/account")]


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (answers(401, recorded("unauthorised")), PauseReason.UNAUTHORISED),
        (answers(403, BAN_PAGE), PauseReason.BANNED),
        (answers(404, b"{}"), PauseReason.WRONG_HOST),
        (answers(302, Location="https://www.example.com/"), PauseReason.WRONG_HOST),
        (answers(200, {"hello": "world"}), PauseReason.WRONG_HOST),
        (answers(200, b"<html>"), None),
        (answers(429, b"<html>"), None),
        (answers(500, b"{}"), None),
        (sends_and_closes(), None),
    ],
)
async def test_check_says_why_an_account_cannot_be_used(step: Step, reason: PauseReason | None) -> None:
    async with scripted(step, step) as crm, account(crm.url) as amo:  # twice: a GET may be repeated by the library
        problem = await amo.check()
    assert isinstance(problem, AccountProblem)
    assert problem.reason is reason
    assert problem.detail


async def test_the_read_back_goes_over_the_same_connection_rules() -> None:
    permits = 0

    async def permit() -> None:
        nonlocal permits
        permits += 1

    empty, here = answers(204), answers(200, recorded("account"))
    one = a_call(ref="one")
    notes = recorded("notes_page").replace(b"u-one", one.uniq.encode())
    steps = [here, answers(200, notes), empty, empty, empty, answers(404), here]
    async with scripted(*steps) as crm, account(crm.url) as amo:
        result = await amo.read_back([one, a_call(ref="two")], 600, permit)
        assert result == ReadBack({one.uniq: Delivered(90210454, "contact", 8120033)})
        assert permits == len(crm.requests) == 7
        assert {request.headers["authorization"] for request in crm.requests} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(("ahead", "earlier"), [(-1800, 1800), (0, 0), (1800, 0)])
async def test_a_crm_whose_clock_is_behind_is_read_further_back(ahead: int, earlier: int) -> None:
    async def permit() -> None:
        pass

    now = 1_790_000_000
    clock = {"Date": formatdate(now + ahead, usegmt=True)}
    steps = [answers(200, recorded("account"), **clock), *[answers(204, **clock)] * 4]
    async with scripted(*steps) as crm, account(crm.url) as amo:
        assert await amo.read_back([a_call()], 600, permit) == ReadBack({})
        since = [int(parse_qs(urlsplit(r.target).query)["filter[updated_at][from]"][0]) for r in crm.requests[1:]]
    assert len(since) == 4
    assert all(now - 600 - earlier - 120 <= at <= now - 600 - earlier for at in since)


async def test_a_read_back_that_is_cut_off_is_unreadable() -> None:
    async def permit() -> None:
        pass

    with refusing_port() as port:
        async with account(f"http://127.0.0.1:{port}") as amo:
            assert isinstance(await amo.read_back([a_call()], 600, permit), Unreadable)


async def test_an_item_in_neither_list_is_unanswered() -> None:
    answer = await posted(answers(200, {"errors": None, "_embedded": {"calls": []}}))
    assert isinstance(answer, PerCall)
    assert {type(outcome) for outcome in answer.outcomes.values()} == {Unanswered}


async def test_whose_a_call_is_does_not_depend_on_how_the_map_was_written() -> None:
    async with account("https://x.example", users={"office": {" Anna@X.example": 501}}) as amo:
        for extension in ("anna@x.example", "ANNA@X.EXAMPLE"):
            ready = amo.translate(a_call(extension=extension))
            assert isinstance(ready, Ready)
            assert b'"call_responsible":501' in ready.item


async def test_users_are_asked_of_the_accounts_own_host() -> None:
    page = {"_embedded": {"users": [{"id": 7, "name": "Anna", "email": "a@x.example"}]}}
    async with scripted(answers(200, page)) as crm, account(crm.url) as amo:
        found = await amo.users()
    assert found == Users((User(7, "Anna", "a@x.example", active=True),))
    assert crm.requests[0].target == "/api/v4/users?limit=250&page=1"
    assert crm.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
