"""The read-back: which calls does amoCRM hold, when an answer was lost.

A stored call is a note on a card, with our `uniq` in its `params`; there is no search by `uniq`, so the fresh call notes
of every kind of card are read to the end. "Absent" is only said when all of that was read: a page that cannot be read
ends in `Unreadable`, with whatever was found before it. How a page is fetched, and how fast, is told by the caller.

An end is an empty page (204 in the vendor's API) or a page with nothing new. A short page or a missing `next` link is
not one: the server filters by rights after it has cut the page.

Should the CRM have dropped the `uniq` of a note, that note is told apart by number, direction, start and length; it is
reported as alike, never as found.

Sources: the vendor's page "Events and notes"; `NotesFilter` of its PHP client (filters and order).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from callbridge.amocrm.schema import ACCOUNT_PATH, CALL_NOTES, CUSTOMERS_OFF, ENTITY_OF, MAX_PAGE, json_object, positive
from callbridge.amocrm.translate import dialable
from callbridge.call import Call, Direction, phone_tail
from callbridge.found import ReadBack, Unreadable
from callbridge.outcome import Delivered, NoAnswer, NotSent

MAX_PAGES: Final = 400
"""Pages of one read-back, 100,000 notes: a server that ignores the filters must not keep us for an hour."""

EARLIER: Final = 60
"""Seconds by which the CRM's clock may be behind ours."""


@dataclass(frozen=True, slots=True)
class Page:
    status: int
    body: bytes


Get = Callable[[str], Awaitable[Page | NotSent | NoAnswer]]
"""Fetches a path with query from the account's host."""

Permit = Callable[[], Awaitable[object]]
"""Returns when the account's shared rate allows one more request."""


class CannotReadError(Exception):
    """Ends a read-back; its text becomes the detail. Never leaves this folder."""


class Likeness(NamedTuple):
    """What a call and a note of it have in common without a `uniq`."""

    note_type: str
    phone_tail: str
    started_at: int
    duration: int


def likeness_of(call: Call) -> Likeness:
    kind = "call_in" if call.direction is Direction.INBOUND else "call_out"
    return Likeness(kind, phone_tail(dialable(call.phone)), call.started_at, call.duration)


async def read_back(
    get: Get, wanted: Mapping[str, Likeness | None], since: int, permit: Permit
) -> ReadBack | Unreadable:
    """Look for the `uniq`s that are `wanted` among the notes written since `since` (Unix seconds)."""
    likenesses = {likeness: uniq for uniq, likeness in wanted.items() if likeness is not None}
    reading = _Reading(get, permit, frozenset(wanted), since - EARLIER, likenesses)
    try:
        for plural in ENTITY_OF:
            await reading.read(plural)
    except CannotReadError as problem:
        return Unreadable(str(problem), reading.found)
    return ReadBack(reading.found, {uniq: note for uniq, note in reading.alike.items() if uniq not in reading.found})


@dataclass(slots=True)
class _Reading:
    get: Get
    permit: Permit
    wanted: frozenset[str]
    since: int
    likenesses: Mapping[Likeness, str]
    found: dict[str, Delivered] = field(default_factory=dict)
    alike: dict[str, Delivered] = field(default_factory=dict)
    pages: int = 0

    @property
    def missing(self) -> bool:
        return len(self.found) < len(self.wanted)

    async def read(self, plural: str) -> None:
        seen: set[int] = set()
        number = 0
        while self.missing:
            number += 1
            page = await self._fetch(_notes_path(plural, self.since, number))
            if page.status == 204 or (plural == "customers" and await self._has_no_customers(page)):
                return
            if page.status != 200:
                raise CannotReadError(f"{plural}: HTTP {page.status}")
            new = {note: item for note, item in notes_on(plural, page.body) if note not in seen}
            if not new:
                return
            seen.update(new)
            for note, item in new.items():
                self._take(plural, note, item)

    def _take(self, plural: str, note: int, item: dict[str, Any]) -> None:
        params = item.get("params")
        uniq = params.get("uniq") if isinstance(params, dict) else None
        card = Delivered(note, ENTITY_OF[plural], positive(item.get("entity_id")) or 0)
        if isinstance(uniq, str) and uniq in self.wanted:
            self.found.setdefault(uniq, card)
        elif not uniq and isinstance(params, dict) and (mine := self.likenesses.get(_likeness(item, params))):
            self.alike.setdefault(mine, card)

    async def _has_no_customers(self, page: Page) -> bool:
        """An account without the customers module answers their notes with a 4xx, which one is not documented. The account
        itself says whether that was the reason; 401 and 429 are about us."""
        if not 400 <= page.status < 500 or page.status in {401, 429}:
            return False
        account = await self._fetch(ACCOUNT_PATH)
        facts = json_object(account.body) if account.status == 200 else None
        return facts is not None and facts.get("customers_mode") in CUSTOMERS_OFF

    async def _fetch(self, path: str) -> Page:
        if self.pages >= MAX_PAGES:
            raise CannotReadError(f"more than {MAX_PAGES} pages")
        self.pages += 1
        await self.permit()
        page = await self.get(path)
        if not isinstance(page, Page):
            raise CannotReadError(page.detail)
        return page


def _likeness(item: dict[str, Any], params: dict[str, Any]) -> Likeness:
    created_at, duration = positive(item.get("created_at")) or 0, positive(params.get("duration")) or 0
    return Likeness(str(item.get("note_type")), phone_tail(str(params.get("phone"))), created_at, duration)


def _notes_path(plural: str, since: int, number: int) -> str:
    """Ordered by id, so that notes written while we read come last and shift nothing."""
    query = [
        *(("filter[note_type][]", kind) for kind in CALL_NOTES),
        ("filter[updated_at][from]", since),
        ("order[id]", "asc"),
        ("limit", MAX_PAGE),
        ("page", number),
    ]
    return f"/api/v4/{plural}/notes?{urlencode(query)}"


def notes_on(plural: str, body: bytes) -> list[tuple[int, dict[str, Any]]]:
    """The notes of a page with their ids. One that cannot be read may be ours: then nothing can be concluded."""
    embedded = (json_object(body) or {}).get("_embedded")
    items = embedded.get("notes") if isinstance(embedded, dict) else None
    if not isinstance(items, list):
        raise CannotReadError(f"{plural}: a page without a list of notes")
    notes = [(positive(item.get("id")), item) for item in items if isinstance(item, dict)]
    readable = [(note, item) for note, item in notes if note is not None]
    if len(readable) < len(items):
        raise CannotReadError(f"{plural}: a note without an id")
    return readable
