"""What opens each account, built from its settings: a long-lived token, or OAuth with its endpoint and its vault.

A part of `wiring`, apart from it because the commands that authorise and look at accounts need the pieces one by one.
"""

from __future__ import annotations

import time

import aiohttp

from callbridge.account_settings import AccountSettings
from callbridge.amocrm.auth import Bearer
from callbridge.amocrm.consent import Application
from callbridge.amocrm.credential import Fixed, long_lived
from callbridge.amocrm.endpoint import TokenEndpoint
from callbridge.amocrm.tokens import expiry_of
from callbridge.amocrm.vault import Seal, SealedVault
from callbridge.errors import Misconfigured
from callbridge.settings import Settings
from callbridge.store.scripts import Scripts
from callbridge.store.tokens import RedisTokens

TOKEN_TIMEOUT = 10.0
"""Longest seconds for one request to the token endpoint: while it lasts nobody else may ask."""


def application(account: AccountSettings) -> Application | None:
    """The integration by which OAuth opens the account; None where a long-lived token does."""
    if account.client_id is None or account.client_secret is None or account.redirect_uri is None:
        return None
    return Application(account.client_id, account.client_secret.get_secret_value(), account.redirect_uri)


def token_endpoint(app: Application, settings: Settings, session: aiohttp.ClientSession) -> TokenEndpoint:
    return TokenEndpoint(app, session, min(TOKEN_TIMEOUT, settings.delivery.request_timeout))


def token_vault(name: str, settings: Settings, scripts: Scripts) -> SealedVault:
    """Where the account's pair is kept. Raises `Misconfigured`."""
    # Longer than one request to the endpoint: the lock is held on for each.
    lock_for = 1.5 * min(TOKEN_TIMEOUT, settings.delivery.request_timeout) + 1.0
    backup = settings.data_dir / "tokens" / f"{name}.sealed"
    return SealedVault(RedisTokens(scripts, name, lock_for=lock_for), Seal(settings.sealing.keys), backup)


def credential(name: str, settings: Settings, session: aiohttp.ClientSession, scripts: Scripts) -> Fixed | Bearer:
    """What opens the account. Raises `Misconfigured`."""
    account = settings.accounts[name]
    if account.token is not None:
        return long_lived(name, account.url, account.token.get_secret_value())
    app = application(account)
    if app is None:
        raise Misconfigured(f"accounts.{name}.token is missing")
    endpoint = token_endpoint(app, settings, session)
    return Bearer(name, account.url, endpoint, token_vault(name, settings, scripts), time.time)


def expiries(settings: Settings) -> dict[str, float]:
    """When the long-lived tokens end, as far as they tell it themselves: Unix seconds by account."""
    tokens = {name: account.token.get_secret_value() for name, account in settings.accounts.items() if account.token}
    return {name: end for name, token in tokens.items() if (end := expiry_of(token)) is not None}
