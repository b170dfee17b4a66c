"""What opens an account: the seam between its client and the two ways of being let in.

A long-lived token is what it is. A pair of OAuth (`auth.Bearer`) is replaced in time, by one worker for all, and moves the
account's address along. The client asks for what is in hand, and tells what became of it; it never sees a refresh token.
"""

from __future__ import annotations

from typing import Protocol

from yarl import URL

from callbridge.amocrm.notes import Permit
from callbridge.amocrm.tokens import Access
from callbridge.errors import Misconfigured
from callbridge.outcome import AccountStopped, NotSent


class Credential(Protocol):
    """One account's."""

    @property
    def in_hand(self) -> Access | None:
        """What requests go out with now; None while nothing is known to be good."""

    async def current(self, permit: Permit) -> Access | AccountStopped | NotSent:
        """Sees to it that there is something in hand; `permit` is awaited before each request that takes. Raises
        `StoreUnavailable`, and whatever `permit` raises.
        """

    def refused(self, access: Access) -> bool:
        """The CRM said that it is not good. True where another one can be had: `current` will see to it."""

    def worked(self, access: Access) -> None:
        """The CRM took it."""

    async def close(self) -> None:
        """Waits for a refresh under way: its answer is the only copy of a pair."""


class Fixed:
    """What nothing here can replace: a long-lived token, or a pair that is only looked at."""

    def __init__(self, access: Access) -> None:
        self._access = access

    @property
    def in_hand(self) -> Access:
        return self._access

    async def current(self, permit: Permit) -> Access:  # noqa: ARG002 - no request is needed
        return self._access

    def refused(self, access: Access) -> bool:  # noqa: ARG002 - it is the only one
        return False

    def worked(self, access: Access) -> None:
        pass

    async def close(self) -> None:
        pass


def long_lived(account: str, url: str, token: str) -> Fixed:
    """A token that a person made and that ends one day. Raises `Misconfigured`."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Misconfigured(f"accounts.{account}.token is not a token: it has spaces or other unusual characters")
    try:
        return Fixed(Access(token, str(URL(url)).rstrip("/")))
    except ValueError as error:
        raise Misconfigured(f"accounts.{account}.url is not an address") from error
