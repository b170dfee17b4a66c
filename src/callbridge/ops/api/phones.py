"""Who reads phone numbers through the API: viewers never, others whole, and each such request is in the audit.

What cannot be written down is not shown: without the ledger, numbers stay masked.
"""

from __future__ import annotations

from typing import Any

from callbridge.errors import LedgerUnavailable
from callbridge.ops.api.endpoint import Asked
from callbridge.ops.who import Role


async def hidden(asked: Asked[Any, Any], count: int, **target: Any) -> bool:
    """Whether the `count` numbers of this answer are to be masked; where not, that they are read is written down."""
    if not asked.who.role.covers(Role.OPERATOR):
        return True
    if not count:
        return False
    try:
        await asked.console.audit.add(asked.who, "api.read_phones", target, count=count)
    except LedgerUnavailable:
        return True
    return False
