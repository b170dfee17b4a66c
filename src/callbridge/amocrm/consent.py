"""How a person lets the integration into an account [pure]: the address to open, and what comes back from there.

The vendor's page asks the person, then sends the browser to the integration's `redirect_uri` with a code that is good for
twenty minutes and once. `state` proves that the answer belongs to an address which we made: it is signed with the client
secret, so that nothing has to be kept, and whoever pastes the answer may do so in another process than the one that asked.
`referer` is the account that the person chose; a code for another account than the configured one is refused, and a host
that is not the vendor's gets no secret of ours.

Source: https://www.amocrm.ru/developers/content/oauth/step-by-step (parameters, `referer`, `error=access_denied`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from callbridge.amocrm.tokens import address_of
from callbridge.values import is_loopback

STATE_LIFE: Final = 3600.0
"""Seconds for which the answer to a consent address is taken: a code itself lives for twenty minutes."""

_KOMMO: Final = "https://www.kommo.com/oauth"
_AMOCRM: Final = "https://www.amocrm.ru/oauth"
_CODE: Final = re.compile(r"[!-~]{1,4096}")


@dataclass(frozen=True, slots=True)
class Application:
    """The integration as it is registered with the vendor."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Consent:
    """A person agreed: `code` can be exchanged at `url`."""

    code: str = field(repr=False)
    url: str


@dataclass(frozen=True, slots=True)
class NoConsent:
    """What was pasted is no consent for this account; `problem` is for people."""

    problem: str


def consent_url(home: str, application: Application, account: str, now: float) -> str:
    """Where a person lets the integration into the account at `home`."""
    host = urlsplit(home).hostname or ""
    page = _KOMMO if host.endswith("kommo.com") else f"{home}/oauth" if is_loopback(host) else _AMOCRM
    asked = {"client_id": application.client_id, "state": _state(application, account, int(now)), "mode": "popup"}
    return f"{page}?{urlencode(asked)}"


def read_consent(pasted: str, home: str, application: Application, account: str, now: float) -> Consent | NoConsent:
    """`pasted` is the address to which the browser was sent, or the bare code, whose origin the person answers for."""
    pasted = pasted.strip()
    if "?" not in pasted and "&" not in pasted and "://" not in pasted:
        return Consent(pasted, home) if _CODE.fullmatch(pasted) else NoConsent("that is no code")
    told = parse_qs(urlsplit(pasted).query or pasted)
    code, state, referer, error = (told.get(name, [""])[0] for name in ("code", "state", "referer", "error"))
    if error:
        return NoConsent(
            "the consent was refused" if error == "access_denied" else "the CRM reports an error instead of a code"
        )
    if not _CODE.fullmatch(code):
        return NoConsent("there is no code in that address")
    if (problem := _state_problem(state, application, account, now)) is not None:
        return NoConsent(problem)
    url = address_of(referer, home)
    if url is None:
        return NoConsent("the address does not come from an account of amoCRM or Kommo (referer)")
    if url.lower() != home.lower():
        return NoConsent(f"the consent was given for {url}, and the settings name {home}")
    return Consent(code, home)


def _state(application: Application, account: str, at: int) -> str:
    words = f"callbridge consent\n{application.client_id}\n{account}\n{at}"
    return f"{at}.{hmac.new(application.client_secret.encode(), words.encode(), hashlib.sha256).hexdigest()[:40]}"


def _state_problem(state: str, application: Application, account: str, now: float) -> str | None:
    at, _, _ = state.partition(".")
    if not re.fullmatch(r"[0-9]{1,12}", at) or not hmac.compare_digest(
        state.encode(), _state(application, account, int(at)).encode()
    ):
        return "the address does not answer a consent page that was made for this account (state)"
    if not -300 <= now - int(at) <= STATE_LIFE:
        return "the consent page is too old: begin again"
    return None
