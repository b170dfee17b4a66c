"""How an alert reaches people: a signed webhook, a Telegram bot, mail. Each way says what did not work, in words.

Nothing of a call goes out with an alert: no number, no name, a link into the console instead.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import Any, Final, Protocol, assert_never
from urllib.parse import unquote, urlsplit

import aiohttp
import orjson

from callbridge.ops.alerting import Began, Ended, News

PATIENCE: Final = 10.0
"""Seconds for one message."""

TELEGRAM: Final = "https://api.telegram.org"


@dataclass(frozen=True, slots=True)
class Message:
    """One piece of news as it goes out. `id` is the same however often it is sent; `at` in Unix seconds."""

    id: str
    at: float
    news: News
    console: str
    """The console's address, without a slash at its end; may be empty."""

    @property
    def subject(self) -> str:
        match self.news:
            case Began(known):
                return f"callbridge: {known.detail}"
            case Ended(known, lasted):
                return f"callbridge: over after {_span(lasted)}: {known.detail}"
            case _:
                assert_never(self.news)

    @property
    def text(self) -> str:
        known = self.news.known
        since = datetime.fromtimestamp(known.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        where = f"\n{self.console}{known.path}" if self.console else ""
        return f"{self.subject}\nSince {since}.{where}"

    def as_json(self) -> dict[str, Any]:
        known = self.news.known
        told: dict[str, Any] = {
            "type": "problem.began" if isinstance(self.news, Began) else "problem.ended",
            "timestamp": datetime.fromtimestamp(self.at, UTC).isoformat(),
            "data": {
                "cause": known.cause,
                "detail": known.detail,
                "since": known.since,
                "url": f"{self.console}{known.path}" if self.console else None,
            },
        }
        if isinstance(self.news, Ended):
            told["data"]["lasted"] = self.news.lasted
        return told


def message(news: News, *, at: float, console: str) -> Message:
    kind = "began" if isinstance(news, Began) else "ended"
    digest = hashlib.sha256(f"{kind}\0{news.known.cause}\0{news.known.since}".encode()).hexdigest()
    return Message(f"msg_{digest[:24]}", at, news, console.rstrip("/"))


class Channel(Protocol):
    """`name` is for the log. `tell` returns why it did not work, None once the other side has it."""

    name: str

    async def tell(self, told: Message) -> str | None: ...


class Webhook:
    """JSON by POST, signed after Standard Webhooks where there is a secret (https://www.standardwebhooks.com)."""

    name = "webhook"

    def __init__(self, session: aiohttp.ClientSession, url: str, secret: str | None) -> None:
        self._session = session
        self._url = url
        self._key = base64.b64decode(secret.removeprefix("whsec_")) if secret else None

    async def tell(self, told: Message) -> str | None:
        body = orjson.dumps(told.as_json())
        stamp = str(int(told.at))
        headers = {"Content-Type": "application/json", "webhook-id": told.id, "webhook-timestamp": stamp}
        if self._key is not None:
            signed = hmac.digest(self._key, b".".join((told.id.encode(), stamp.encode(), body)), "sha256")
            headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
        return await _posted(self._session, self._url, body, headers)


class Telegram:
    """`sendMessage` of the Bot API (https://core.telegram.org/bots/api#sendmessage), as plain text."""

    name = "telegram"

    def __init__(self, session: aiohttp.ClientSession, token: str, chat: str, *, api: str = TELEGRAM) -> None:
        self._session = session
        self._url = f"{api}/bot{token}/sendMessage"
        self._chat = chat

    async def tell(self, told: Message) -> str | None:
        body = orjson.dumps({"chat_id": self._chat, "text": told.text[:4000], "disable_web_page_preview": True})
        return await _posted(self._session, self._url, body, {"Content-Type": "application/json"})


class Mail:
    """SMTP (RFC 5321): `smtp://` takes up TLS by STARTTLS wherever there is a password, `smtps://` from the start."""

    name = "mail"

    def __init__(self, url: str, sender: str, receivers: Sequence[str]) -> None:
        self._parts = urlsplit(url)
        self._sender = sender
        self._receivers = receivers

    async def tell(self, told: Message) -> str | None:
        try:
            await asyncio.to_thread(self._send, told)
        except (smtplib.SMTPException, OSError) as error:
            return type(error).__name__
        return None

    def _send(self, told: Message) -> None:
        mail = EmailMessage()
        mail["Subject"] = " ".join(told.subject.split())[:200]
        mail["From"] = self._sender
        mail["To"] = ", ".join(self._receivers)
        mail["Message-ID"] = f"<{told.id}@callbridge>"
        mail.set_content(told.text)
        parts, context = self._parts, ssl.create_default_context()
        host = parts.hostname or ""
        if parts.scheme == "smtps":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=PATIENCE, context=context)
        else:
            server = smtplib.SMTP(host, parts.port or 587, timeout=PATIENCE)
        with server:
            if parts.scheme == "smtp" and parts.username:
                server.starttls(context=context)
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
            server.send_message(mail)


async def _posted(session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
    """What went wrong, without the address: it may hold a token."""
    try:
        async with session.post(
            url, data=body, headers=headers, allow_redirects=False, timeout=aiohttp.ClientTimeout(total=PATIENCE)
        ) as response:
            return None if 200 <= response.status < 300 else f"HTTP {response.status}"
    except (aiohttp.ClientError, OSError) as error:
        return type(error).__name__


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
