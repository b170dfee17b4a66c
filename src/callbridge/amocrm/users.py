"""The users of an account: who can be shown as having talked.

Read by people who set up a map of extensions, never on the way of a call. The list is for administrators: the token of
anybody else is answered 403. A user who has left the company stays listed as not active. There is no field for an
extension, so whoever matches has to go by e-mail and name.

Source: the vendor's page "Users" of the API v4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from callbridge.amocrm.notes import Get, Page
from callbridge.amocrm.schema import MAX_PAGE, USERS_PATH, json_object, positive
from callbridge.call import plain_text

MAX_PAGES: Final = 40
"""Ten thousand users: more is a server that never ends."""

_REASONS: Final = {
    401: "the token is not valid",
    402: "the account is not paid",
    403: "the list of users needs the token of an administrator",
    404: "there is no account at this address",
    429: "too many requests: try again in a minute",
}


@dataclass(frozen=True, slots=True)
class User:
    """One user of the CRM; `email` and `name` are "" where the CRM tells none."""

    id: int
    name: str
    email: str
    active: bool


@dataclass(frozen=True, slots=True)
class Users:
    """All of them."""

    all: tuple[User, ...]


@dataclass(frozen=True, slots=True)
class UsersUnreadable:
    """The list could not be read to its end; `detail` is for people."""

    detail: str


async def read_users(get: Get) -> Users | UsersUnreadable:
    found: dict[int, User] = {}
    for number in range(1, MAX_PAGES + 1):
        page = await get(f"{USERS_PATH}?{urlencode({'limit': MAX_PAGE, 'page': number})}")
        if not isinstance(page, Page):
            return UsersUnreadable(page.detail)
        if page.status == 204:
            return Users(tuple(found.values()))
        if page.status != 200:
            return UsersUnreadable(
                f"HTTP {page.status}: {_REASONS.get(page.status, 'the CRM does not tell its users')}"
            )
        told = json_object(page.body) or {}
        listed = _listed(told)
        if listed is None:
            return UsersUnreadable("something answers, but not with a list of users")
        new = {user.id: user for user in listed if user.id not in found}
        found |= new
        if not new or not _goes_on(told):
            return Users(tuple(found.values()))
    return UsersUnreadable(f"more than {MAX_PAGES} pages of users")


def _listed(told: dict[str, Any]) -> list[User] | None:
    embedded = told.get("_embedded")
    items = embedded.get("users") if isinstance(embedded, dict) else None
    if not isinstance(items, list):
        return None
    return [user for item in items if isinstance(item, dict) and (user := _user(item))]


def _user(item: dict[str, Any]) -> User | None:
    number, rights = positive(item.get("id")), item.get("rights")
    if number is None:
        return None
    name, email = (plain_text(value) if isinstance(value := item.get(key), str) else "" for key in ("name", "email"))
    return User(number, name, email, not (isinstance(rights, dict) and rights.get("is_active") is False))


def _goes_on(told: dict[str, Any]) -> bool:
    """The link itself is not followed: where it leads is the server's word, and the token goes to the account's host only."""
    links = told.get("_links")
    return isinstance(links, dict) and isinstance(links.get("next"), dict)
