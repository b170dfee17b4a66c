"""Settings of what operators use: the ledger, the console, and who is told when something is wrong.

Apart from `settings` for its length, as the accounts and sources are.
"""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from callbridge.values import Duration, Group, Secret, Texts, public_address, refusal

DAY = 86_400.0


class LedgerSettings(Group):
    url: Secret | None = Field(
        None,
        description="SQL database of the call history, sqlite:///var/ledger.db or postgresql://user:password@host/db. "
        "Unset: SQLite in the data directory.",
    )
    forget_after: Duration = Field(
        3 * DAY,
        ge=3600,
        description="How long after its end a call stays in Redis too; after that the ledger alone has it.",
    )
    remember: Duration = Field(
        35 * DAY, ge=DAY, description="How long a repeated webhook of a call that ended is known as one."
    )
    keep_bodies: Duration = Field(
        30 * DAY, ge=DAY, description="How long webhooks, requests and answers are kept as they were."
    )
    keep_delivered: Duration = Field(365 * DAY, ge=DAY, description="How long delivered calls are kept.")
    keep_unmatched: Duration = Field(365 * DAY, ge=DAY, description="How long calls without a contact are kept.")
    keep_ignored: Duration = Field(90 * DAY, ge=DAY, description="How long ignored calls are kept.")


class ConsoleSettings(Group):
    host: str = Field("127.0.0.1", description="Address of the operators' console.")
    port: int = Field(8090, ge=0, le=65535, description="Port of the operators' console; 0 takes a free one.")
    password: Secret | None = Field(
        None,
        description="Password of the console's admin, 15 characters or more. Unset: loopback only, one-time login link.",
    )
    public_url: str | None = Field(
        None, description="The console's address as browsers know it, https://calls.example.com. Unset: as it listens."
    )

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        return public_address(value)


class AlertSettings(Group):
    webhook_url: str | None = Field(None, description="Address to which each alert and its end are posted, as JSON.")
    webhook_secret: Secret | None = Field(
        None, description="Signs them (Standard Webhooks): whsec_ and the base64 of 24 random bytes or more."
    )
    telegram_token: Secret | None = Field(None, description="Token of the Telegram bot that tells alerts.")
    telegram_chat: str | None = Field(None, description="Chat to which the bot tells them.")
    smtp_url: Secret | None = Field(
        None, description="Mail server, smtp://user:password@host:587 (STARTTLS) or smtps://host:465."
    )
    mail_from: str | None = Field(None, description="Sender of the mails.")
    mail_to: Texts = Field((), description="Receivers of the mails.")
    heartbeat_url: str | None = Field(
        None, description="Address asked every minute while calls flow: a monitor there tells when that ends."
    )
    after: Duration = Field(
        30.0, ge=0, description="How long a problem must last before it is told, and be gone likewise."
    )

    @field_validator("webhook_url", "heartbeat_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if value is not None and (parts.scheme not in {"http", "https"} or not parts.hostname):
            raise ValueError("is an address like https://alerts.example.com/callbridge")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _is_a_key(cls, value: Secret | None) -> Secret | None:
        if value is not None:
            written = value.get_secret_value()
            try:
                key = base64.b64decode(written.removeprefix("whsec_"), validate=True)
            except ValueError:
                key = b""
            if not written.startswith("whsec_") or len(key) < 24:
                raise ValueError("is whsec_ and the base64 of 24 random bytes or more")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _is_a_mail_server(cls, value: Secret | None) -> Secret | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
                raise ValueError("is an address like smtp://user:password@mail.example.com:587")
        return value

    @model_validator(mode="after")
    def _ways_are_whole(self) -> AlertSettings:
        if (self.telegram_token is None) != (self.telegram_chat is None):
            raise refusal(("telegram_chat", "and telegram_token belong together"))
        if self.smtp_url is not None and not (self.mail_from and self.mail_to):
            raise refusal(("mail_from", "and mail_to are needed beside smtp_url"))
        return self
