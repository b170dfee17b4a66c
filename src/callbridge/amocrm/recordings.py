"""A late recording as a note on the card of its call: its words, what the CRM answers, and whether it is there.

amoCRM has no update of a stored call, so a link that comes later can only stand beside it. The note is a `common` one, a
line of text with the link in it: that type takes plain text on every kind of card, shows addresses as links, and is one that
people may edit or delete. `extended_service_message` would be shown folded up, under the name of a service; a link that
nobody sees helps nobody. A note is recognised by its link, because it has no field for a key of ours.

Not verified against a live account: what a card that was deleted answers. 404 counts as that only where the account itself
still answers, else it is the wrong host; 400 is final in any case.

Sources: the vendor's page "Events and notes" (types, filters, `is_need_to_trigger_digital_pipeline`), its page of HTTP codes.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

import orjson

from callbridge.amocrm.classify import classify
from callbridge.amocrm.notes import CannotReadError, Get, Page, Permit, notes_on
from callbridge.amocrm.schema import ACCOUNT_PATH, ENTITY_OF, MAX_PAGE, json_object, positive
from callbridge.found import Unreadable
from callbridge.note import CardGone, LateNote, NoteAbsent, NoteAnswer, Noted, NoteLook, NoteRefused
from callbridge.outcome import (
    AccountStopped,
    NoAnswer,
    NotSent,
    PauseReason,
    PerCall,
    SlowDown,
    TokenRefused,
    WholeRefused,
)

NOTE_TYPE: Final = "common"

MAX_PAGES: Final = 20
"""Pages of one card's fresh notes, 5,000: a server that ignores the filters must not keep us."""

NO_CARD: Final = CardGone("the CRM did not say on which card the call is")

_PLURAL: Final[Mapping[str, str]] = {singular: plural for plural, singular in ENTITY_OF.items()}


def path_of(note: LateNote) -> str | None:
    """Where the card's notes are; None where the card is not known."""
    plural = _PLURAL.get(note.entity_type)
    return f"/api/v4/{plural}/{note.entity_id}/notes" if plural and note.entity_id else None


def body_of(note: LateNote) -> bytes:
    return orjson.dumps(
        [
            {
                "note_type": NOTE_TYPE,
                "params": {"text": _text(note)},
                "request_id": note.name,
                "is_need_to_trigger_digital_pipeline": False,
            }
        ]
    )


def _text(note: LateNote) -> str:
    """Which of the card's calls it was, and on a line of its own the link."""
    call = note.call
    about = f"Call recording: {call.phone}, {call.duration // 60}:{call.duration % 60:02}" if call else "Call recording"
    return f"{about}\n{note.link}"


def read_answer(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> NoteAnswer:
    """Any answer but 404, which takes another question."""
    if 200 <= status < 300:
        embedded = (json_object(body) or {}).get("_embedded")
        notes = embedded.get("notes") if isinstance(embedded, dict) else None
        first = notes[0] if isinstance(notes, list) and notes else None
        number = positive(first.get("id")) if isinstance(first, dict) else None
        return NoAnswer(f"HTTP {status} without the note") if number is None else Noted(number)
    match classify(status, headers, body, {}, now=now):
        case WholeRefused(detail):
            return NoteRefused(detail)
        case PerCall():
            return NoteRefused(f"HTTP {status}")
        case SlowDown() | AccountStopped() | TokenRefused() | NotSent() | NoAnswer() as answer:
            return answer


async def why_not_found(get: Get, permit: Permit) -> CardGone | AccountStopped | NotSent:
    """After a 404, which stores nothing: is it the card that is not there, or the account?"""
    await permit()
    page = await get(ACCOUNT_PATH)
    if not isinstance(page, Page):
        return NotSent(page.detail)
    if page.status == 200 and positive((json_object(page.body) or {}).get("id")):
        return CardGone("HTTP 404")
    return AccountStopped(PauseReason.WRONG_HOST, f"HTTP 404, and HTTP {page.status} for the account")


async def find(get: Get, note: LateNote, since: int, permit: Permit) -> NoteLook:
    """Looks for the note among those written on its card since `since` (Unix seconds)."""
    path = path_of(note)
    if path is None:
        return NO_CARD
    seen: set[int] = set()
    for number in range(1, MAX_PAGES + 1):
        await permit()
        page = await get(f"{path}?{_query(since, number)}")
        if not isinstance(page, Page):
            return Unreadable(page.detail)
        if page.status == 404:
            found = await why_not_found(get, permit)
            return found if isinstance(found, CardGone) else Unreadable(found.detail)
        look = _on_page(page, note.link, seen)
        if look is not None:
            return look
    return Unreadable(f"more than {MAX_PAGES} pages of notes on the card")


def _on_page(page: Page, link: str, seen: set[int]) -> Noted | NoteAbsent | Unreadable | None:
    """What one page says; None: read on. An end is an empty page, or one with nothing new."""
    if page.status == 204:
        return NoteAbsent()
    if page.status != 200:
        return Unreadable(f"HTTP {page.status}")
    try:
        fresh = {note: item for note, item in notes_on("the card", page.body) if note not in seen}
    except CannotReadError as problem:
        return Unreadable(str(problem))
    seen.update(fresh)
    found = next((Noted(note) for note, item in fresh.items() if _holds(item.get("params"), link)), None)
    return found or (None if fresh else NoteAbsent())


def _holds(params: object, link: str) -> bool:
    """As a word of its own: one link may begin another. The text may come back escaped for HTML."""
    text = params.get("text") if isinstance(params, dict) else None
    return isinstance(text, str) and link in {*text.split(), *html.unescape(text).split()}


def _query(since: int, number: int) -> str:
    return urlencode(
        [
            ("filter[note_type][]", NOTE_TYPE),
            ("filter[updated_at][from]", since),
            ("order[id]", "asc"),
            ("limit", MAX_PAGE),
            ("page", number),
        ]
    )
