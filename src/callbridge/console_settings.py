"""Settings of what operators use: the ledger, the console, and who is told when something is wrong.

Apart from `settings` for its length, as the accounts and sources are.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from callbridge.values import Duration, Group, Secret, Texts, public_address

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
        None, description="Signs them (Standard Webhooks): whsec_ and base64, `callbridge config key` makes one."
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
