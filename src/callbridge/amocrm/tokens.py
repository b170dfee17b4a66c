"""Token pairs of amoCRM's OAuth 2.0, and what the token endpoint's answers mean [pure].

An access token lives a day, a refresh token three months, and every refresh replaces both. The vendor says that the old
refresh token stays good until the new pair is used; in the field the loser of a race, or of a lost answer, is told "revoked".
So a pair is saved before it is used, and a lost answer is followed by one more try with the old token.

Sources: https://www.amocrm.ru/developers/content/oauth/step-by-step (lifetimes, fields), the vendor's PHP client (moved
accounts), its issues 76, 123, 238, 269, 315, 563 (what reuse and bans look like).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from callbridge.amocrm.classify import bounded
from callbridge.amocrm.schema import json_object
from callbridge.values import is_loopback

REFRESH_AT: Final = 0.8
"""Share of its life after which an access token is replaced: there is time left for an outage."""

REFRESH_LIFE: Final = 90 * 86_400
"""Seconds for which a refresh token is good if nobody uses it."""

EXPIRY_WARNING: Final = 14 * 86_400
"""Seconds before its end at which a long-lived token is worth a warning."""

ACCOUNT_HOSTS: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\.(?:amocrm\.ru|amocrm\.com|kommo\.com)", re.IGNORECASE)
"""The only hosts that get a token, a code or a secret by what a redirect or an answer says."""

_TOKEN: Final = re.compile(r"[!-~]{1,8192}")
_REHEARSAL: Final = re.compile(r"([a-z0-9.-]{1,100}|\[[0-9a-f:]{2,40}\])(?::[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Access:
    """What a request goes out with: a token, and the address of the account it opens. A long-lived one is generation 0."""

    token: str = field(repr=False)
    url: str
    generation: int = 0


@dataclass(frozen=True, slots=True)
class TokenPair:
    """`generation` grows with every refresh: an older pair never replaces a newer one. Times are Unix seconds of our clock;
    the server's word is how long from now. `home` is the address in the settings for which a person consented, `url` the
    account's address now: it may have moved.
    """

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    issued_at: float
    expires_at: float
    generation: int
    url: str
    home: str

    def is_for(self, configured: str) -> bool:
        """Whether it belongs to the account that the settings name now, by its first address or by the one it moved to."""
        return configured in {self.home, self.url}

    def is_due(self, now: float) -> bool:
        """Whether it is time to refresh. A clock that jumped back before the issue is no reason to trust the token longer."""
        return now < self.issued_at - 300 or now >= self.issued_at + REFRESH_AT * (self.expires_at - self.issued_at)

    def packed(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @property
    def in_use(self) -> Access:
        return Access(self.access, self.url, self.generation)


def unpacked(packed: bytes) -> TokenPair:
    """Raises `ValueError` for bytes that `packed` did not write."""
    told = json.loads(packed)
    if not isinstance(told, dict):
        raise ValueError("not a token pair")  # noqa: TRY004 - one kind of error for all stored bytes
    try:
        pair = TokenPair(**told)
    except TypeError as error:
        raise ValueError("not a token pair") from error
    texts, numbers = (
        (pair.access, pair.refresh, pair.url, pair.home),
        (pair.issued_at, pair.expires_at, pair.generation),
    )
    if not (
        all(isinstance(text, str) for text in texts) and all(isinstance(number, int | float) for number in numbers)
    ):
        raise ValueError("not a token pair")
    return pair


@dataclass(frozen=True, slots=True)
class Granted:
    """A new pair: `expires_in` seconds from its receipt."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: float

    def pair(self, *, now: float, generation: int, url: str, home: str) -> TokenPair:
        return TokenPair(self.access, self.refresh, now, now + self.expires_in, generation, url, home)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The code or refresh token is not good (any more), or the client is not known: a person has to authorise anew."""

    detail: str


@dataclass(frozen=True, slots=True)
class NotHere:
    """There is no such account at this address: it may have moved."""

    detail: str


@dataclass(frozen=True, slots=True)
class NoVerdict:
    """Nothing can be concluded about the token. `lost`: the request may have been carried out all the same."""

    detail: str
    lost: bool


TokenAnswer = Granted | Rejected | NotHere | NoVerdict


def read_token_answer(status: int, body: bytes) -> TokenAnswer:
    """What the token endpoint said. A 403 page is the gateway's ban, not a word about the token."""
    answer = json_object(body)
    if status == 200:
        granted = _granted(answer or {})
        return granted or NoVerdict("HTTP 200 without a token pair", lost=True)
    if status in {400, 401} and answer is not None:
        return Rejected(_hint(status, answer))
    if status == 403 and answer is None:
        return NoVerdict("HTTP 403: the CRM's gateway blocks our address or the account", lost=False)
    if status == 404:
        return NotHere(_hint(status, answer or {}))
    return NoVerdict(_hint(status, answer or {}), lost=status >= 500)


def read_domain(status: int, body: bytes) -> str | None:
    """The host to which an account moved, as `/oauth2/account/current/subdomain` tells it; `address_of` judges it."""
    domain = (json_object(body) or {}).get("domain") if status == 200 else None
    return domain.lower() if isinstance(domain, str) else None


def address_of(host: str, home: str) -> str | None:
    """The address at `host` to which an account of `home` may move or whose consent may come from there; None for a host that
    gets no secret of ours. An account on loopback is a rehearsal and stays on loopback.
    """
    parts = urlsplit(home)
    if is_loopback(parts.hostname or ""):
        named = _REHEARSAL.fullmatch(host)
        return f"{parts.scheme}://{host}" if named and is_loopback(named[1].strip("[]")) else None
    return f"https://{host.lower()}" if ACCOUNT_HOSTS.fullmatch(host) else None


def expiry_of(token: str) -> float | None:
    """The `exp` that a token says of itself (RFC 7519); it is not verified, only used to warn. None for other tokens."""
    claims = _claims(token)
    told = claims.get("exp")
    return float(told) if isinstance(told, int | float) and not isinstance(told, bool) and 0 < told < 1e11 else None


def api_domain_of(token: str) -> str | None:
    """The host that answers for the account wherever it moves, as the token itself tells it."""
    told = _claims(token).get("api_domain")
    return told.lower() if isinstance(told, str) and ACCOUNT_HOSTS.fullmatch(told) else None


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        return json_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))) or {}
    except (binascii.Error, ValueError):
        return {}


def _granted(answer: dict[str, Any]) -> Granted | None:
    access, refresh, life = answer.get("access_token"), answer.get("refresh_token"), answer.get("expires_in")
    if not (
        isinstance(access, str) and isinstance(refresh, str) and _TOKEN.fullmatch(access) and _TOKEN.fullmatch(refresh)
    ):
        return None
    if isinstance(life, bool) or not isinstance(life, int | float) or not 0 < life < 1e9:
        return None
    return Granted(access, refresh, float(life))


def _hint(status: int, answer: dict[str, Any]) -> str:
    told = next((answer[name] for name in ("hint", "detail", "title") if isinstance(answer.get(name), str)), "")
    return bounded(f"HTTP {status}: {told}" if told else f"HTTP {status}")
