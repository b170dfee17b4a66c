"""The token endpoint over HTTP: one request each, told honestly.

No redirect is followed and no more than 64 kB are read, because each request carries a secret; what the answer says about
itself is freed of our own secrets before anybody may keep it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import orjson

from callbridge.amocrm.consent import Application
from callbridge.amocrm.tokens import (
    Granted,
    NoVerdict,
    TokenAnswer,
    TokenPair,
    address_of,
    api_domain_of,
    read_domain,
    read_token_answer,
)
from callbridge.redaction import without
from callbridge.values import is_loopback

TOKEN_PATH: Final = "/oauth2/access_token"  # noqa: S105 - a path
SUBDOMAIN_PATH: Final = "/oauth2/account/current/subdomain"
MAX_ANSWER: Final = 65_536


class TokenEndpoint:
    """`timeout` in seconds bounds each request."""

    def __init__(self, application: Application, session: aiohttp.ClientSession, timeout: float) -> None:
        self._application = application
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def exchange(self, url: str, code: str) -> TokenAnswer:
        return await self._ask(url, {"grant_type": "authorization_code", "code": code})

    async def refresh(self, url: str, refresh_token: str) -> TokenAnswer:
        return await self._ask(url, {"grant_type": "refresh_token", "refresh_token": refresh_token})

    async def moved_to(self, pair: TokenPair) -> str | None:
        """The account's address now, if the vendor tells one; asked of the host that the token itself names."""
        if is_loopback(urlsplit(pair.home).hostname or ""):
            asked = pair.url
        elif (host := api_domain_of(pair.access)) is not None:
            asked = f"https://{host}"
        else:
            return None
        heard = await self._exchange("GET", asked + SUBDOMAIN_PATH, {"X-Refresh-Token": pair.refresh}, None)
        domain = None if isinstance(heard, NoVerdict) else read_domain(*heard)
        return address_of(domain, pair.home) if domain else None

    async def _ask(self, url: str, grant: dict[str, str]) -> TokenAnswer:
        app = self._application
        told = {
            "client_id": app.client_id,
            "client_secret": app.client_secret,
            "redirect_uri": app.redirect_uri,
            **grant,
        }
        heard = await self._exchange("POST", url + TOKEN_PATH, {"Content-Type": "application/json"}, orjson.dumps(told))
        if isinstance(heard, NoVerdict):
            return heard
        return _without((app.client_secret, *grant.values()), read_token_answer(*heard))

    async def _exchange(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes] | NoVerdict:
        try:
            async with self._session.request(
                method, url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_chunked(8_192):
                    content += chunk
                    if len(content) > MAX_ANSWER:
                        response.close()
                        break
                return response.status, bytes(content)
        except aiohttp.ClientConnectorError as error:
            return NoVerdict(type(error).__name__, lost=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return NoVerdict(type(error).__name__, lost=True)


def _without(secrets: Collection[str], answer: TokenAnswer) -> TokenAnswer:
    """A server that quotes what it was sent must not make us write it down."""
    if isinstance(answer, Granted):
        return answer
    return replace(answer, detail=without(tuple(secrets), answer.detail))
