"""Why the CRM found nobody for a call [pure]: the number as it was compared, who could have it, where to mend that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from callbridge.ledger.views import CallRow
from callbridge.ops.fates import Match, match_explained, new_contact_link
from callbridge.ops.masking import STARS
from callbridge.ops.web import Console
from callbridge.outcome import Reason

_UNMATCHED: Final = frozenset(
    {
        Reason.NO_MATCHING_ENTITY.value,
        Reason.LEAD_REFUSED.value,
        Reason.HIDDEN_NUMBER.value,
        Reason.SHORT_NUMBER.value,
        Reason.INTERNAL_CALL.value,
    }
)


@dataclass(frozen=True, slots=True)
class Explained:
    """`match` has the number's digits, masked unless they may be seen. `contact` is the CRM's form for a new contact."""

    match: Match
    contact: str | None


def explained(console: Console, row: CallRow, *, lifted: bool) -> Explained | None:
    """None for calls of which this is not the question."""
    if row.state not in {"parked", "unmatched", "ignored"} or row.reason not in _UNMATCHED:
        return None
    source = console.settings.sources.get(row.source)
    match = match_explained(row.phone, source.internal_digits if source else 0)
    account = console.settings.accounts.get(row.account)
    contact = new_contact_link(account.url, row.phone if lifted else None) if account else None
    if lifted:
        return Explained(match, contact)
    return Explained(Match(_hidden(match.digits), _hidden(match.key), match.verdict), contact)


def _hidden(digits: str) -> str:
    """How many there are can be seen, and the last ones."""
    return digits if len(digits) <= 4 else f"{STARS}{digits[-4:]} ({len(digits)})"
