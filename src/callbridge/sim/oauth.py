"""OAuth 2.0 of the CRM [pure]: consent, codes, pairs of tokens that replace each other, and the address of a moved account.

A code is good for twenty minutes and once, an access token for a day, a refresh token for three months, and each refresh
replaces both. Strict: a used refresh token is dead at once, as the field reports. Grace: it is good until the new access
token is first used, as the vendor's page says. Apart from the endpoints of the API because none of them takes part.

Sources: the vendor's page "OAuth, step by step"; issues 123, 238, 269 and 315 of its PHP client (what a dead token is told).
"""

from __future__ import annotations

import base64
import hmac
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import orjson

from callbridge.sim.answers import PROBLEM, Answer, hal, not_found, redirect

TOKEN_PATH: Final = "/oauth2/access_token"  # noqa: S105 - a path
SUBDOMAIN_PATH: Final = "/oauth2/account/current/subdomain"
CONSENT_PATH: Final = "/oauth"
CODE_LIFE: Final = 1_200.0


@dataclass(frozen=True, slots=True)
class Integration:
    """What is registered; "" is not compared. With a client id only tokens that were issued here are accepted."""

    client_id: str = ""
    client_secret: str = ""
    redirect_uri: str = ""


@dataclass(slots=True)
class _Pair:
    """`before` is the refresh token that it replaced and that grace keeps alive until the pair is used."""

    grant: int
    access: str
    refresh: str
    access_until: float
    refresh_until: float
    before: str | None = None
    dead: bool = False


@dataclass(slots=True)
class TokenDesk:
    """Everything that was granted, told apart by tokens. `clock` times come with each question."""

    integration: Integration
    token_life: float
    refresh_life: float
    grace: bool
    _codes: dict[str, float] = field(default_factory=dict)
    _by_access: dict[str, _Pair] = field(default_factory=dict)
    _by_refresh: dict[str, _Pair] = field(default_factory=dict)
    _grants: dict[str, int] = field(default_factory=dict)
    _issued: int = 0
    _flying: Counter[int] = field(default_factory=Counter)
    asked: Counter[int] = field(default_factory=Counter)
    """How often each grant was to be refreshed."""
    peak: int = 0
    """Most refreshes of one grant that were ever under way at once."""
    refreshed: int = 0
    rejected: int = 0

    def consent(self, now: float) -> str:
        """A person agreed: the code."""
        self._issued += 1
        code = f"def5020{self._issued:08x}{hmac.digest(b'sim', str(self._issued).encode(), 'sha256').hex()[:24]}"
        self._codes[code] = now + CODE_LIFE
        return code

    def revoke(self) -> None:
        """The integration was uninstalled, or its secret was changed: every pair is dead."""
        for pair in self._by_refresh.values():
            pair.dead = True

    def expire_access(self) -> None:
        """Every access token has ended; the refresh tokens are good."""
        for pair in self._by_access.values():
            pair.access_until = 0.0

    def admits(self, access: str, now: float) -> bool:
        """Whether a request may come in with this token. Its first use ends the grace of the token before it."""
        pair = self._by_access.get(access)
        if pair is None or pair.dead or pair.access_until <= now:
            return False
        if pair.before is not None:
            self._by_refresh.pop(pair.before, None)
            pair.before = None
        return True

    def issued(self, access: str) -> bool:
        return access in self._by_access

    def grant_of(self, refresh: str) -> int | None:
        """Pairs that replaced each other are of one grant."""
        return self._grants.get(refresh)

    def begin(self, body: bytes) -> int | None:
        """A refresh arrives; what `end` is told when it is answered."""
        grant = self.grant_of(str(_fields(body).get("refresh_token")))
        if grant is not None:
            self.asked[grant] += 1
            self._flying[grant] += 1
            self.peak = max(self.peak, self._flying[grant])
        return grant

    def end(self, grant: int | None) -> None:
        if grant is not None:
            self._flying[grant] -= 1

    def exchange(self, body: bytes, now: float) -> Answer:
        """`POST /oauth2/access_token`."""
        asked, mine = _fields(body), self.integration
        for name in ("client_id", "client_secret", "redirect_uri"):
            if (registered := getattr(mine, name)) and asked.get(name) != registered:
                return self._no(f"The {name} does not match the integration", 400)
        match asked.get("grant_type"):
            case "authorization_code":
                until = self._codes.pop(str(asked.get("code")), 0.0)
                if until <= now:
                    return self._no("Authorization code has expired", 400)
                self._issued += 1
                return self._grant(self._issued, None, now)
            case "refresh_token":
                return self._refresh(str(asked.get("refresh_token")), now)
            case _:
                return self._no("Check the grant_type parameter", 400)

    def _refresh(self, token: str, now: float) -> Answer:
        pair = self._by_refresh.get(token)
        if pair is None or pair.dead:
            return self._no("Token has been revoked", 401)
        if pair.refresh_until <= now:
            return self._no("Refresh token has expired", 401)
        if not self.grace:
            del self._by_refresh[token]
        self.refreshed += 1
        return self._grant(pair.grant, token if self.grace else None, now)

    def _grant(self, grant: int, before: str | None, now: float) -> Answer:
        self._issued += 1
        access, refresh = _jwt(self._issued, now + self.token_life), f"def5021{self._issued:08x}{'a5' * 16}"
        pair = _Pair(grant, access, refresh, now + self.token_life, now + self.refresh_life, before)
        self._by_access[access] = self._by_refresh[refresh] = pair
        self._grants[refresh] = grant
        told = {"token_type": "Bearer", "expires_in": int(self.token_life) or 1, "server_time": int(now)}
        return hal(told | {"access_token": access, "refresh_token": refresh})

    def _no(self, hint: str, status: int) -> Answer:
        self.rejected += 1
        return refused(hint, status)

    def subdomain(self, refresh: str, account_id: int, host: str) -> Answer:
        """`GET /oauth2/account/current/subdomain`: where the account of this refresh token is now."""
        pair = self._by_refresh.get(refresh)
        if pair is None or pair.dead:
            return refused("Token has been revoked", 401)
        name, _, rest = host.partition(".")
        return hal({"id": account_id, "subdomain": name, "domain": host, "top_level_domain": rest.rpartition(".")[2]})

    def page(self, query: dict[str, list[str]], base: str, now: float) -> Answer:
        """`GET /oauth`: a person who always agrees, and is sent on at once."""
        asked = {name: values[0] for name, values in query.items()}
        back = self.integration.redirect_uri
        if not back or (self.integration.client_id and asked.get("client_id") != self.integration.client_id):
            return not_found("GET", f"{base}{CONSENT_PATH}")
        told = {"code": self.consent(now), "state": asked.get("state", ""), "referer": base.partition("://")[2]}
        return redirect(f"{back}?{urlencode(told | {'client_id': asked.get('client_id', '')})}")


def refused(hint: str, status: int) -> Answer:
    body = {
        "hint": hint,
        "title": "Bad request",
        "type": "https://developers.amocrm.ru/v3/errors/OAuthProblemJson",
        "status": status,
        "detail": "A parameter is missing, or not valid",
    }
    return Answer(status, orjson.dumps(body), PROBLEM)


def _fields(body: bytes) -> dict[str, Any]:
    """JSON, or a form."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    return told if isinstance(told, dict) else {}


def _jwt(number: int, until: float) -> str:
    """In the shape of the vendor's; nobody verifies the signature of a simulation."""
    parts = ({"typ": "JWT", "alg": "RS256"}, {"jti": f"{number:032x}", "exp": int(until), "scopes": ["crm"]})
    head, claims = (base64.urlsafe_b64encode(orjson.dumps(part)).rstrip(b"=").decode() for part in parts)
    return f"{head}.{claims}.{hmac.digest(b'sim', claims.encode(), 'sha256').hex()}"
