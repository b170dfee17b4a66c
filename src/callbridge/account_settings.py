"""Settings of one account of amoCRM or Kommo: where it is, what opens it, how fast, and what to do without a match.

Apart from `settings` for its length, as the sources are; the rules that need both stand there.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from callbridge.values import Duration, Group, Secret, Token, is_loopback, refusal


class NoMatchPolicy(StrEnum):
    """What to do with a call whose number no contact has."""

    WAIT = "wait"
    RECORD = "record"
    UNSORTED = "unsorted"


class NoMatchSettings(Group):
    policy: NoMatchPolicy = Field(
        NoMatchPolicy.WAIT,
        description="wait: try again until the window closes. record: note it at once. unsorted: incoming lead, else wait.",
    )
    window: Duration = Field(
        18 * 3600.0, description="How long after its receipt a call waits for its contact to appear."
    )
    pipeline_id: int | None = Field(
        None, ge=1, le=2**53, description="Pipeline of incoming leads (unsorted). Unset: the main one."
    )
    caller_field: Literal["phone", "from"] = Field(
        "phone",
        description="Field of an incoming lead's call that names the caller, for accounts that show the two exchanged.",
    )


class AccountSettings(Group):
    url: str = Field(
        description="Address of the account, https://NAME.amocrm.ru or .kommo.com; plain http on loopback only."
    )
    token: Token | None = Field(
        None, description="Long-lived access token of the integration; instead of the three settings of OAuth."
    )
    client_id: str | None = Field(None, min_length=1, description="OAuth: id of the integration (client id).")
    client_secret: Secret | None = Field(None, description="OAuth: secret key of the integration.")
    redirect_uri: str | None = Field(
        None, description="OAuth: redirect address, exactly as it is registered in the integration."
    )
    requests_per_second: float = Field(
        7.0, ge=0.1, le=100_000, description="Most requests in any second, over all workers; the vendor's limit is 7."
    )
    max_batch: int = Field(250, ge=1, le=250, description="Most calls in one request; the vendor's limit is 250.")
    max_in_flight: int = Field(4, ge=1, le=64, description="Most requests under way at once.")
    no_match: NoMatchSettings = Field(NoMatchSettings(), description="What to do when no contact has the number.")

    @field_validator("url")
    @classmethod
    def _is_an_account_address(cls, value: str) -> str:
        parts = urlsplit(value)
        host = parts.hostname or ""
        if parts.scheme not in {"http", "https"} or not host or parts.username or parts.query or parts.fragment:
            raise ValueError("is an address like https://example.amocrm.ru")
        try:
            parts.port  # noqa: B018 - reading it is the check
        except ValueError:
            raise ValueError("has a port that is no port") from None
        if parts.path.strip("/"):
            raise ValueError("is the account's address without a path")
        if parts.scheme == "http" and not is_loopback(host):
            raise ValueError("must be https; plain http is for loopback hosts only")
        return f"{parts.scheme}://{parts.netloc}"

    @field_validator("redirect_uri")
    @classmethod
    def _is_a_redirect_address(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment:
                raise ValueError("is an address like https://bridge.example.com/oauth")
        return value

    @model_validator(mode="after")
    def _has_a_credential(self) -> AccountSettings:
        oauth = {name: getattr(self, name) for name in ("client_id", "client_secret", "redirect_uri")}
        given = [name for name, value in oauth.items() if value is not None]
        if self.token is not None and given:
            raise refusal((given[0], "excludes token: an account has either a long-lived token or OAuth"))
        if self.token is None and not given:
            ways = "the long-lived token of the integration, or client_id, client_secret and redirect_uri for OAuth"
            raise refusal(("token", f"is missing: {ways}"))
        if self.token is None and len(given) < len(oauth):
            missing = (name for name in oauth if name not in given)
            raise refusal(*((name, f"is missing: OAuth needs it beside {given[0]}") for name in missing))
        return self

    @property
    def uses_oauth(self) -> bool:
        return self.token is None
