"""How each account is let in, in words [pure]: by what, until when, and whether a person has to do something about it.

The command line, `check` and `status` say the same about it. It sees expiry times and addresses, never a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from callbridge.account_settings import AccountSettings
from callbridge.amocrm.tokens import EXPIRY_WARNING, REFRESH_LIFE, TokenPair, expiry_of

AUTHORISE: Final = "callbridge accounts authorise"


@dataclass(frozen=True, slots=True)
class Authorisation:
    """`url` is where requests go. Unix seconds: `expires_at` is when the token in force ends, where it tells; with OAuth it
    is replaced before that, and a person is needed only at `renewable_until`. `problem` says what a person has to do now,
    `warning` what soon.
    """

    by: Literal["token", "oauth"]
    url: str
    expires_at: float | None = None
    renewable_until: float | None = None
    problem: str | None = None
    warning: str | None = None


def authorisation(name: str, account: AccountSettings, pair: TokenPair | str | None, now: float) -> Authorisation:
    """`pair` is what is stored for an account that uses OAuth, or why it cannot be read."""
    if account.token is not None:
        ends = expiry_of(account.token.get_secret_value())
        problem, warning = token_end(ends, now) if ends is not None else (None, None)
        return Authorisation("token", account.url, ends, problem=problem, warning=warning)
    if pair is None:
        return Authorisation("oauth", account.url, problem=f"it was never authorised: `{AUTHORISE} {name}`")
    if isinstance(pair, str):
        return Authorisation("oauth", account.url, problem=pair)
    if not pair.is_for(account.url):
        problem = f"it was authorised as {pair.home}, and the settings name {account.url}: `{AUTHORISE} {name}`"
        return Authorisation("oauth", account.url, problem=problem)
    renewable = pair.issued_at + REFRESH_LIFE
    problem = f"nothing has replaced its tokens for three months: `{AUTHORISE} {name}`" if renewable <= now else None
    warning = "its access token has ended; a worker replaces it before it sends" if pair.expires_at <= now else None
    return Authorisation("oauth", pair.url, pair.expires_at, renewable, problem, warning)


def token_end(ends: float, now: float) -> tuple[str | None, str | None]:
    """Problem and warning of a long-lived token that ends at `ends`."""
    day = datetime.fromtimestamp(min(ends, 253_402_000_000), UTC).strftime("%Y-%m-%d")
    if ends <= now:
        return f"its long-lived token ended on {day}: make a new one in the integration", None
    if ends - now < EXPIRY_WARNING:
        days = int((ends - now) // 86_400)
        left = f"{days} days" if days > 1 else "a day" if days else "hours"
        return None, f"its long-lived token ends in {left}, on {day}: make a new one in the integration"
    return None, None
