"""Messages as they leave: signed, in plain words, to real servers; what fails is told without any secret."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from standardwebhooks import Webhook as Official

from callbridge.ledger.views import KnownProblem
from callbridge.ops.alerting import Began, Ended
from callbridge.ops.telling import Mail, Message, Telegram, Webhook, message

SECRET = "whsec_b25lIG9mIHRoZSB0ZXN0cyBvZiBhbGVydHMhIQ=="
KNOWN = KnownProblem("banned:main", "account main is banned", "/accounts#main", since=1_790_000_000.0)


def told(*, ended: bool = False) -> Message:
    at = datetime.now(UTC).timestamp()
    return message(Ended(KNOWN, 90.0) if ended else Began(KNOWN), at=at, console="https://c.example/")


class Server:
    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append((request.path, dict(request.headers), await request.read()))
        return web.Response(status=self.status, headers={"Location": "/elsewhere"} if self.status == 302 else {})


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str, aiohttp.ClientSession]]:
    server = Server()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.answer)
    async with TestServer(app) as running, aiohttp.ClientSession() as session:
        yield server, str(running.make_url("")).rstrip("/"), session


async def test_the_official_library_takes_our_signature(server: tuple[Server, str, aiohttp.ClientSession]) -> None:
    heard, url, session = server
    assert await Webhook(session, f"{url}/in", SECRET).tell(told()) is None
    ((_, headers, body),) = heard.requests
    signed = {name.lower(): value for name, value in headers.items()}
    data = Official(SECRET).verify(body.decode(), signed)
    assert data["type"] == "problem.began"
    assert data["data"]["url"] == "https://c.example/accounts#main"


async def test_the_end_says_how_long_it_lasted(server: tuple[Server, str, aiohttp.ClientSession]) -> None:
    heard, url, session = server
    await Webhook(session, url, None).tell(told(ended=True))
    ((_, headers, body),) = heard.requests
    assert json.loads(body)["data"]["lasted"] == 90.0
    assert "webhook-signature" not in {name.lower() for name in headers}


@pytest.mark.parametrize("status", [302, 401, 500])
async def test_any_other_answer_is_a_failure_and_is_not_followed(
    server: tuple[Server, str, aiohttp.ClientSession], status: int
) -> None:
    heard, url, session = server
    heard.status = status
    assert await Webhook(session, url, SECRET).tell(told()) == f"HTTP {status}"
    assert len(heard.requests) == 1


async def test_the_bot_says_it_in_plain_text(server: tuple[Server, str, aiohttp.ClientSession]) -> None:
    heard, url, session = server
    assert await Telegram(session, "1:token", "-100", api=url).tell(told()) is None
    ((path, _, body),) = heard.requests
    assert path == "/bot1:token/sendMessage"
    sent = json.loads(body)
    assert sent["chat_id"] == "-100"
    assert "parse_mode" not in sent
    assert "https://c.example/accounts#main" in sent["text"]


async def test_a_failure_names_no_address() -> None:
    async with aiohttp.ClientSession() as session:
        problem = await Telegram(session, "1:token", "-100", api="http://127.0.0.1:1").tell(told())
    assert problem
    assert "token" not in problem
    assert "127.0.0.1" not in problem


async def test_mail_reaches_a_server() -> None:
    lines: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example\r\n")
        text = False
        while raw := await reader.readline():
            line = raw.decode().rstrip("\r\n")
            lines.append(line)
            if text:
                if line == ".":
                    text = False
                    writer.write(b"250 taken\r\n")
                continue
            text = line.upper() == "DATA"
            writer.write(b"354 go on\r\n" if text else b"221 bye\r\n" if line.upper() == "QUIT" else b"250 fine\r\n")
            if line.upper() == "QUIT":
                break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as running:
        port = running.sockets[0].getsockname()[1]
        channel = Mail(f"smtp://127.0.0.1:{port}", "callbridge@example.com", ("ops@example.com", "boss@example.com"))
        assert await channel.tell(told()) is None
    assert "Subject: callbridge: account main is banned" in lines
    assert "To: ops@example.com, boss@example.com" in lines


async def test_a_mail_server_that_is_away_is_told_as_such() -> None:
    problem = await Mail("smtp://user:pw@127.0.0.1:1", "a@example.com", ("b@example.com",)).tell(told())
    assert problem == "ConnectionRefusedError"


def test_the_same_news_has_the_same_id_whenever_it_is_sent() -> None:
    first, later = (message(Began(KNOWN), at=at, console="") for at in (1.0, 900.0))
    assert first.id == later.id
    assert first.id != message(Ended(KNOWN, 1.0), at=1.0, console="").id
