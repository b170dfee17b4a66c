"""How an operator's browser lets us into an account: the page to send it to, and what it brings back, once.

The consent's own signature says that the address was made for the account; beside it stands who asked, so that nobody
finishes what another began, and nobody finishes it twice. Kept in memory: after a restart it is begun again, which costs a
click.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from callbridge.account_settings import AccountSettings
from callbridge.amocrm.consent import Application, Consent, NoConsent, consent_url, read_consent
from callbridge.errors import Misconfigured, StoreUnavailable
from callbridge.ops.accounts import Endpoint, Vault
from callbridge.ops.authorised import Authorisation, authorisation
from callbridge.ops.who import Who

GOOD_FOR: Final = 600.0
"""Seconds in which what was begun has to be finished."""

MOST: Final = 100
_LONGEST: Final = 8192


@dataclass(frozen=True, slots=True)
class Door:
    """How an account that uses OAuth is let into. `permit` waits for a place in the account's rate."""

    home: str
    application: Application
    endpoint: Endpoint
    vault: Vault
    permit: Callable[[], Awaitable[object]]


async def authorised_now(
    name: str, account: AccountSettings, door: Callable[[str], Door | None], now: float
) -> Authorisation | None:
    """How the account is let in; None while it cannot be known. Redis is asked for accounts that use OAuth only."""
    if not account.uses_oauth:
        return authorisation(name, account, None, now)
    found = door(name)
    if found is None:
        return None
    try:
        pair = await found.vault.load()
    except Misconfigured as problem:
        return authorisation(name, account, str(problem), now)
    except StoreUnavailable:
        return None
    return authorisation(name, account, pair, now)


@dataclass(frozen=True, slots=True)
class _Begun:
    account: str
    by: str
    until: float


class Consents:
    """What was begun and not finished yet."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._begun: dict[str, _Begun] = {}

    def begin(self, who: Who, account: str, door: Door) -> str:
        """The page where a person allows it."""
        now = self._now()
        self._begun = {state: begun for state, begun in self._begun.items() if begun.until > now}
        while len(self._begun) >= MOST:
            self._begun.pop(next(iter(self._begun)))
        page = consent_url(door.home, door.application, account, now)
        self._begun[_digest(_one(parse_qs(urlsplit(page).query), "state"))] = _Begun(
            account, _named(who), now + GOOD_FOR
        )
        return page

    def account_of(self, who: Who, query: Mapping[str, str]) -> str | None:
        """The account that this answer is for: begun by the same one, not long ago, and not finished yet. It is now."""
        begun = self._begun.pop(_digest(query.get("state", "")), None)
        if begun is None or begun.until <= self._now() or begun.by != _named(who):
            return None
        return begun.account

    def read(self, query: Mapping[str, str], account: str, door: Door) -> Consent | NoConsent:
        told = {name: query[name] for name in ("code", "state", "referer", "error") if name in query}
        pasted = f"?{urlencode(told)}"
        if len(pasted) > _LONGEST:
            return NoConsent("that is no answer of a consent page")
        return read_consent(pasted, door.home, door.application, account, self._now())


def _named(who: Who) -> str:
    return f"{who.by}:{who.session or who.name}"


def _digest(state: str) -> str:
    """What is looked up tells by its time nothing about what is there."""
    return hashlib.sha256(state.encode()).hexdigest()


def _one(told: Mapping[str, list[str]], name: str) -> str:
    return told.get(name, [""])[0]
