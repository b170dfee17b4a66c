"""Operators besides the single admin of the settings: added, given a role or a password, disabled; each of it audited.

What is decided about an operator ends his sessions, whichever console they are of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from callbridge.errors import CallbridgeError
from callbridge.ledger.access import Operator
from callbridge.ops.access import passwords, totp
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.passwords import Hashes
from callbridge.ops.access.sessions import SINGLE
from callbridge.ops.access.totp import Seal
from callbridge.ops.who import Role, Who

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._@-]{0,62}[a-z0-9])?", re.ASCII)


class Book(Protocol):
    async def operator(self, name: str) -> Operator | None: ...
    async def operators(self) -> tuple[Operator, ...]: ...
    async def add_operator(self, operator: Operator) -> bool: ...
    async def change_operator(self, name: str, changes: Mapping[str, Any], *, end_sessions: bool) -> bool: ...
    async def use_totp(self, name: str, old: str, new: str) -> bool: ...


class NotPossible(CallbridgeError):
    """What was asked cannot be done; the message says why. `code` is stable: bad_name, name_taken, unknown_operator,
    wrong_code, no_sealing_key.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Known:
    """An operator as he is shown: no hash, no secret."""

    name: str
    role: Role
    created_at: float
    disabled_at: float | None
    has_totp: bool


class Operators:
    """`who` is who decides. All methods raise `LedgerUnavailable`; those that change, `NotPossible` and `WeakPassword`."""

    def __init__(
        self,
        book: Book,
        audit: Audit,
        now: Callable[[], float],
        *,
        hashes: Hashes | None = None,
        seal: Seal | None = None,
    ) -> None:
        self._book = book
        self._audit = audit
        self._now = now
        self._hashes = hashes or Hashes()
        self._seal = seal or Seal(())
        self.on_change: Callable[[str], None] = lambda _name: None
        """Called with the name of an operator about whom something was decided."""

    async def listed(self) -> tuple[Known, ...]:
        return tuple(
            Known(each.name, Role(each.role), each.created_at, each.disabled_at, each.totp is not None)
            for each in await self._book.operators()
        )

    async def add(self, who: Who, name: str, role: Role, password: str) -> None:
        if not _NAME.fullmatch(name) or name == SINGLE:
            raise NotPossible(
                "bad_name", f"a name is 1 to 64 small letters, digits and . _ @ - between them, and not {SINGLE}"
            )
        passwords.check(password, name)
        hashed = await self._hashes.of(password)
        if not await self._book.add_operator(Operator(name, role.value, hashed, None, self._now())):
            raise NotPossible("name_taken", "there is an operator of that name; a disabled one can be enabled again")
        await self._audit.add(who, "operator.add", {"operator": name}, outcome={"role": role})

    async def disable(self, who: Who, name: str) -> None:
        await self._change(who, name, "operator.disable", {"disabled_at": self._now()})

    async def enable(self, who: Who, name: str) -> None:
        await self._change(who, name, "operator.enable", {"disabled_at": None})

    async def set_role(self, who: Who, name: str, role: Role) -> None:
        before = await self._book.operator(name)
        told = {"before": before.role if before else None, "after": role.value}
        await self._change(who, name, "operator.set_role", {"role": role.value}, told)

    async def set_password(self, who: Who, name: str, password: str) -> None:
        passwords.check(password, name)
        await self._change(who, name, "operator.set_password", {"password": await self._hashes.of(password)})

    async def set_totp(self, who: Who, name: str, secret: str, code: str) -> None:
        """`secret` is that of an `enrolment`, `code` what the app shows: one that was entered wrongly locks nobody out."""
        if not self._seal.is_there:
            raise NotPossible("no_sealing_key", "second factors are stored sealed: set sealing.key first")
        try:
            step = totp.step_of(secret, code, self._now())
        except ValueError:
            step = None
        if step is None:
            raise NotPossible("wrong_code", "that is not the code of now: is the clock of the phone right?")
        await self._change(who, name, "operator.set_totp", {"totp": self._seal.pack(secret, step)})

    async def drop_totp(self, who: Who, name: str) -> None:
        await self._change(who, name, "operator.drop_totp", {"totp": None})

    async def _change(
        self, who: Who, name: str, action: str, changes: Mapping[str, Any], outcome: Mapping[str, Any] | None = None
    ) -> None:
        if not await self._book.change_operator(name, changes, end_sessions=True):
            raise NotPossible("unknown_operator", "there is no operator of that name")
        self.on_change(name)
        await self._audit.add(who, action, {"operator": name}, outcome=outcome)

    # --- at a login

    async def let_in(self, name: str, password: str, code: str) -> Role | None:
        """The role of an operator who knows his password and has his second factor, None for everybody else alike."""
        operator = await self._book.operator(name) if _NAME.fullmatch(name) else None
        stored = operator.password if operator else None
        if not await self._hashes.fits(stored, password) or operator is None or operator.disabled_at is not None:
            return None
        if operator.totp is not None and not await self._used(operator.name, operator.totp, code):
            return None
        if stored and self._hashes.is_outdated(stored):
            again = {"password": await self._hashes.of(password)}
            await self._book.change_operator(name, again, end_sessions=False)
        return Role(operator.role)

    async def knows(self, name: str, password: str) -> bool:
        """Whether that is his password, for one who is in already."""
        operator = await self._book.operator(name)
        return await self._hashes.fits(operator.password if operator else None, password)

    async def _used(self, name: str, stored: str, code: str) -> bool:
        opened = self._seal.unpack(stored)
        if opened is None:
            return False
        secret, last = opened
        step = totp.step_of(secret, code, self._now(), after=last)
        return step is not None and await self._book.use_totp(name, stored, self._seal.pack(secret, step))
