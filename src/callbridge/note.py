"""A late recording as a note [pure]: what the queue hands out, what the CRM answers to it, and what a look at the card shows.

Apart from `claim` and `outcome`, which are about calls: a note has no state that people see, it is told in its call's story.
"""

from __future__ import annotations

from dataclasses import dataclass

from callbridge.call import Call, CallId
from callbridge.found import Unreadable
from callbridge.outcome import AccountStopped, NoAnswer, NotSent, SlowDown, TokenRefused


@dataclass(frozen=True, slots=True)
class LateNote:
    """A recording whose call is in the CRM already, ours to add to its card under `fence`. `posted_at`: it may be there since
    then. `postponed` counts how often it was put back, `looks` the complete looks that did not find it, `failures` the
    account's slow-downs in a row.
    """

    name: str
    id: CallId
    call: Call | None
    link: str
    entity_type: str
    entity_id: int
    fence: int
    now: float
    queued_at: float
    posted_at: float | None
    postponed: int = 0
    looks: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Noted:
    """It is on the card, as `note_id`."""

    note_id: int


@dataclass(frozen=True, slots=True)
class CardGone:
    """There is no such card, or none any more."""

    detail: str


@dataclass(frozen=True, slots=True)
class NoteRefused:
    """The CRM will never take this note; `detail` is its error, bounded."""

    detail: str


@dataclass(frozen=True, slots=True)
class NoteAbsent:
    """The card was read to its end, and the note is not there."""


NoteAnswer = Noted | CardGone | NoteRefused | SlowDown | AccountStopped | TokenRefused | NotSent | NoAnswer
NoteLook = Noted | NoteAbsent | CardGone | Unreadable
