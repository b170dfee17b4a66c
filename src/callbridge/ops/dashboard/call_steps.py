"""The buttons of a call, and where each leads [pure]: lists and stories offer the same, and say why not.

Which buttons belong to a state is decided in `fates`; here each gets its page. Nothing happens by going there: a job asks
first, with what it would do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

from callbridge.ledger.views import CallFilter, CallRow
from callbridge.ops.dashboard.call_query import pairs
from callbridge.ops.fates import WhyNot, card_link, moves
from callbridge.ops.who import Role
from callbridge.outcome import PublicState

Tone = Literal["", "primary", "danger"]

_TONES: Final[Mapping[str, Tone]] = {"discard": "danger", "give_up": "danger", "resend": "danger"}
_BULK: Final[Mapping[PublicState, tuple[str, ...]]] = {
    "dead": ("replay", "discard"),
    "parked": ("retry", "lead", "give_up"),
    "uncertain": ("mark_delivered", "resend"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """`code` is the action of a job, or `edit`. `why_not` is a code, None where it is allowed."""

    code: str
    path: str
    tone: Tone = ""
    why_not: WhyNot | None = None


def steps(row: CallRow, role: Role, back: str) -> tuple[Step, ...]:
    """In order of how likely they help; `back` is the page they are on. To show a number is no step."""
    found = [
        Step(move.name, _path(row, move.name, back), _TONES.get(move.name, ""), move.why_not)
        for move in moves(row, role)
        if move.name != "reveal"
    ]
    first = next((each for each in found if each.why_not is None and not each.tone), None)
    return tuple(replace(each, tone="primary") if each is first else each for each in found)


def _path(row: CallRow, name: str, back: str) -> str:
    if name == "edit":
        return f"/calls/{quote(row.id, safe='')}/edit"
    return f"/jobs/new?{urlencode({'action': name, 'id': row.id, 'back': back})}"


def offered(found: tuple[Step, ...], most: int) -> tuple[Step, ...]:
    """What a row has room for: what can be done, or could by somebody else."""
    return tuple(each for each in found if each.why_not in {None, "needs_operator"})[:most]


def bulk(wanted: CallFilter, back: str) -> tuple[Step, ...]:
    """What can be done with all calls that match; where no state is asked for, with those of the states that it fits."""
    fit = [(state, action) for state, actions in _BULK.items() for action in actions if state in wanted.states]
    if not wanted.states:
        fit = [("dead", "replay"), ("parked", "retry")]
    return tuple(
        Step(action, f"/jobs/new?{urlencode([('action', action), *pairs(_of(wanted, state)), ('back', back)])}")
        for state, action in fit
    )


def _of(wanted: CallFilter, state: PublicState) -> CallFilter:
    return wanted if wanted.states else replace(wanted, states=(state,))


def card_url(accounts: Mapping[str, Any], row: CallRow) -> str | None:
    """The card in the CRM on which the call lies; None where it is on none, or the account is configured no more."""
    configured = accounts.get(row.account)
    return card_link(configured.url, row.entity_type, row.entity_id) if configured else None
