"""What the commands about the ledger stand on: the open ledger, its audit, and who types."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from callbridge.commands.output import notes, plain
from callbridge.errors import LedgerUnavailable
from callbridge.inspecting import has_ledger, ledger_url
from callbridge.ledger.access import AuditBook
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ops.access.audit import Audit
from callbridge.ops.who import Role, Who
from callbridge.settings import Settings


def user() -> str:
    """Whoever types."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without names for its users
        return f"user {os.getuid()}"


def shell(name: str | None = None) -> Who:
    """Whoever types may do everything here, by name."""
    return Who(name=name or user(), role=Role.ADMIN, by="shell")


@asynccontextmanager
async def opened_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """The ledger in use, brought up to date. Raises `LedgerUnavailable`."""
    async with open_ledger(ledger_url(settings)) as ledger:
        yield ledger


def audit_of(ledger: Ledger) -> Audit:
    return Audit(AuditBook(ledger), time.time)


async def note_down(
    settings: Settings,
    action: str,
    target: Mapping[str, Any],
    *,
    by: str | None = None,
    reason: str | None = None,
    count: int | None = None,
) -> None:
    """Into the audit, where there is a ledger. What was done is done; that it could not be written down is said."""
    if not has_ledger(settings):
        return
    try:
        async with opened_ledger(settings) as ledger:
            await audit_of(ledger).add(shell(by), action, target, reason=reason, count=count)
    except LedgerUnavailable as error:
        notes().print(plain(f"Not in the audit, because the ledger does not answer: {error}"))
