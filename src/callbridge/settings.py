"""Every setting: its name, type, default and description, in one model.

`configuration` builds an instance from a file and the environment; `.env.example` and `callbridge config example` are made
from the descriptions below. Unknown keys are errors, because a misspelt key is a default that nobody chose. No instance
lives here: the entry points build one and pass parts of it down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import Field, field_validator, model_validator
from pydantic.fields import FieldInfo

from callbridge.account_settings import AccountSettings
from callbridge.console_settings import AlertSettings, ConsoleSettings, LedgerSettings
from callbridge.source_settings import SourceSettings
from callbridge.values import Duration, Group, Networks, SealingKey, Secret, public_address, refusal

_REDIS_ADDRESS = (
    r"rediss?://[^/?]|unix://.*/"
    r"|rediss?\+sentinel://([^@/?]*@)?[^@/?,]+(,[^@/?,]+)*/[^/?]+(/\d+)?(\?(sentinel_(username|password)=[^&]*&?)+)?$"
)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class Durability(StrEnum):
    """The least that the operator accepts of Redis before a webhook is acknowledged."""

    ALWAYS = "always"
    EVERYSEC = "everysec"
    NONE = "none"


class RedisSettings(Group):
    url: Secret | None = Field(
        None,
        description="Redis to use, redis://[user:password@]host:port/db, rediss:// or unix://; behind Sentinels "
        "redis+sentinel://[user:password@]host:26379,host:26379/SERVICE[/db]. Unset: embedded.",
    )
    durability: Durability = Field(
        Durability.ALWAYS,
        description="The least that is accepted before a webhook is acknowledged: always (fsync), everysec, none.",
    )
    prefix: str = Field(
        "callbridge",
        pattern=r"^[a-z0-9_-]{1,32}$",
        description="First part of every key, for several bridges on one Redis.",
    )
    timeout: Duration = Field(2.0, gt=0, description="Longest wait for one Redis command.")
    replicas: int = Field(
        0, ge=0, le=5, description="Replicas that must confirm a webhook (WAIT) before it is acknowledged; 0: none."
    )
    trust_unverified: bool = Field(
        False, description="Accept a Redis that does not let us read CONFIG, on the word of whoever runs it."
    )
    accept_old: bool = Field(
        False,
        description="Accept Redis 6.2, where a full memory stops deliveries too. The embedded one is always accepted.",
    )

    @field_validator("url")
    @classmethod
    def _is_a_redis_address(cls, value: Secret | None) -> Secret | None:
        if value and not re.match(_REDIS_ADDRESS, value.get_secret_value()):
            raise ValueError(
                "is an address like redis://127.0.0.1:6379/0, rediss://..., unix:///path "
                "or redis+sentinel://host:26379,host:26379/SERVICE"
            )
        return value


class ReceiverSettings(Group):
    host: str = Field("127.0.0.1", description="Address on which webhooks are received.")
    port: int = Field(8080, ge=0, le=65535, description="Port on which webhooks are received; 0 takes a free one.")
    max_body: int = Field(
        65_536, ge=1_024, le=262_144, description="Largest webhook body in bytes; a source may allow more."
    )
    public_url: str | None = Field(
        None,
        description="The receiver's address as PBXs know it, https://hooks.example.com; Twilio signs it. Unset: Host header.",
    )
    trusted_proxies: Networks = Field(
        (), description="Networks of your proxies, whose X-Forwarded-For is believed; for allow_from of the sources."
    )
    body_timeout: Duration = Field(5.0, gt=0, description="Longest time a sender may take for its body.")
    keepalive: Duration = Field(
        15.0, gt=0, description="How long an idle connection is kept; more than the idle time of a proxy in front."
    )

    spool_size: int = Field(
        1_073_741_824,
        ge=0,
        description="Most bytes of webhooks kept on this host's disk while Redis is away; 0: none, senders hear 503.",
    )

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        return public_address(value)


class LogSettings(Group):
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="json for machines, console for a terminal, auto chooses by where the log goes."
    )
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severity that is logged.")


class SealingSettings(Group):
    key: SealingKey | None = Field(
        None, description="Seals stored OAuth tokens; made by `callbridge config key`. Needed by accounts with OAuth."
    )
    previous_key: SealingKey | None = Field(
        None, description="The key before this one: opens what it sealed, for the two days after a change."
    )

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key.get_secret_value() for key in (self.key, self.previous_key) if key)


class DeliverySettings(Group):
    request_timeout: Duration = Field(20.0, gt=0, description="Longest time for one request to the CRM.")
    connect_timeout: Duration = Field(5.0, gt=0, description="Longest time to connect to the CRM.")
    settle_delay: Duration = Field(
        30.0, gt=0, description="How long after an unread answer the CRM is asked what it stored, twice this far apart."
    )
    lease: Duration = Field(
        60.0, gt=0, description="How long a worker owns the calls it took; then others may take them."
    )
    expire_after: Duration = Field(
        72 * 3600.0, gt=0, description="How long after its first request a failing call is retried."
    )
    unknown_after: Duration = Field(
        24 * 3600.0, gt=0, description="How long an uncertain call is looked for while the CRM cannot be read."
    )
    probe_after: Duration = Field(60.0, gt=0, description="First wait before a paused account is tried with one call.")
    probe_at_most: Duration = Field(900.0, gt=0, description="Longest wait between two tries of a paused account.")
    ban_probe: Duration = Field(
        3600.0, gt=0, description="Wait between two tries of an account that is banned (403 page)."
    )


class WorkerSettings(Group):
    max_accounts: int = Field(200, ge=1, le=2000, description="Accounts that one worker drains at once.")


class Settings(Group):
    """All of it. Built by `configuration.load`, passed down in parts."""

    data_dir: Path = Field(Path("var"), description="Directory for the embedded Redis and other local files.")
    log: LogSettings = Field(LogSettings(), description="Logging.")
    redis: RedisSettings = Field(RedisSettings(), description="The queue's store.")
    ledger: LedgerSettings = Field(LedgerSettings(), description="The call history.")
    receiver: ReceiverSettings = Field(ReceiverSettings(), description="The webhook receiver.")
    console: ConsoleSettings = Field(ConsoleSettings(), description="The operators' console.")
    alerts: AlertSettings = Field(AlertSettings(), description="Who is told of problems.")
    worker: WorkerSettings = Field(WorkerSettings(), description="The delivering worker.")
    delivery: DeliverySettings = Field(DeliverySettings(), description="How calls are sent.")
    accounts: dict[str, AccountSettings] = Field({}, description="amoCRM / Kommo accounts by name.")
    sealing: SealingSettings = Field(SealingSettings(), description="How stored tokens are sealed.")
    sources: dict[str, SourceSettings] = Field(
        {}, description="PBX sources by name; the name is in the webhook's address."
    )

    @field_validator("accounts", "sources")
    @classmethod
    def _names_are_short(cls, value: dict[str, Any]) -> dict[str, Any]:
        if wrong := [name for name in value if not _NAME.fullmatch(name)]:
            raise refusal(*((name, "a name is 1 to 32 characters of a-z 0-9 _ -") for name in wrong))
        return value

    @model_validator(mode="after")
    def _sources_have_accounts(self) -> Settings:
        wrong: list[tuple[str, str]] = []
        for name, source in self.sources.items():
            where = f"sources.{name}.account"
            if source.account is None and len(self.accounts) != 1:
                wrong.append((where, f"is missing: there are {len(self.accounts)} accounts to choose from"))
            elif source.account is not None and source.account not in self.accounts:
                wrong.append((where, f"there is no account {source.account!r}"))
        if wrong:
            raise refusal(*wrong)
        return self

    @model_validator(mode="after")
    def _tokens_are_sealed(self) -> Settings:
        if self.sealing.key is None:
            using = next((name for name, account in self.accounts.items() if account.uses_oauth), None)
            if using or self.sealing.previous_key:
                why = f"account {using} uses OAuth" if using else "there is a previous_key"
                raise refusal(("sealing.key", f"is missing, and {why}: `callbridge config key` makes one"))
        return self

    def account_of(self, source: str) -> str:
        """The account a source delivers to; the only one where it names none."""
        return self.sources[source].account or next(iter(self.accounts))


def group_of(field: FieldInfo) -> tuple[type[Group] | None, bool]:
    """The group that a field holds, if any, and whether it holds one for each name (accounts, sources)."""
    named = get_origin(field.annotation) is dict
    kind: Any = get_args(field.annotation)[1] if named else field.annotation
    return (kind, named) if isinstance(kind, type) and issubclass(kind, Group) else (None, False)


def every_setting(
    names: Mapping[str, tuple[str, ...]], group: type[Group] = Settings, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Each setting with its path, in the order of the model; `names` gives the accounts and sources to walk through."""
    for key, field in group.model_fields.items():
        inner, named = group_of(field)
        if inner is None:
            yield (*path, key), field
        else:
            for below in ((*path, key, name) for name in names.get(key, ())) if named else ((*path, key),):
                yield from every_setting(names, inner, below)
