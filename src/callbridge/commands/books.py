"""What the commands about the ledger stand on: the open ledger, its audit, and who types."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callbridge.inspecting import ledger_url
from callbridge.ledger.access import AuditBook
from callbridge.ledger.database import Ledger, open_ledger
from callbridge.ops.access.audit import Audit
from callbridge.ops.who import Role, Who
from callbridge.settings import Settings


def shell() -> Who:
    """Whoever types: may do everything here, by name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without names for its users
        name = f"user {os.getuid()}"
    return Who(name=name, role=Role.ADMIN, by="shell")


@asynccontextmanager
async def opened_ledger(settings: Settings) -> AsyncIterator[Ledger]:
    """The ledger in use, brought up to date. Raises `LedgerUnavailable`."""
    async with open_ledger(ledger_url(settings)) as ledger:
        yield ledger


def audit_of(ledger: Ledger) -> Audit:
    return Audit(AuditBook(ledger), time.time)
