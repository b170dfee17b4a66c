"""Who asks, and what each role may do [pure]."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class Role(StrEnum):
    """Each may do what the one before may. A viewer reads with numbers masked, an operator moves calls and sees a number when
    he says so, an admin decides about accounts, access, erasure and exports.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        return _RANK[self] >= _RANK[needed]


_RANK: Final = {Role.VIEWER: 0, Role.OPERATOR: 1, Role.ADMIN: 2}


@dataclass(frozen=True, slots=True)
class Who:
    """One who is logged in, a token, or the command line. `proved_at` (Unix seconds) is when a password was last given, 0.0
    where there is none; `session` is the digest of a session, or of a token.
    """

    name: str
    role: Role
    by: Literal["session", "token", "shell"]
    ip: str | None = None
    session: str | None = None
    proved_at: float = 0.0
