"""The notes that calls leave on cards [pure]: kept in order, found by entity, by time and by `uniq`.

Apart from `calls` because notes outlive the request that made them and are read back through other endpoints. A note keeps
the call as it was sent; what a reader sees of it is derived.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from callbridge.sim.entities import Target, plural

FIRST_ID = 37_500_001
_IN_PARAMS = ("uniq", "duration", "source", "link", "phone", "call_result", "call_status", "call_responsible")


class Note(NamedTuple):
    """One call on one card. `request` is the number of the request that made it, `at` when that was.

    A tuple, because a benchmark makes thousands of them a second.
    """

    id: int
    target: Target
    call: dict[str, Any]
    request: int
    at: float

    @property
    def uniq(self) -> str | None:
        return self.call.get("uniq")

    @property
    def phone(self) -> str:
        return str(self.call["phone"])

    @property
    def note_type(self) -> str:
        return "call_in" if self.call["direction"] == "inbound" else "call_out"

    @property
    def params(self) -> dict[str, Any]:
        return {key: self.call[key] for key in _IN_PARAMS if key in self.call}

    @property
    def author(self) -> str:
        """Kommo shows a call without `created_by` as made by a robot; 0 stands for the system."""
        created_by = self.call.get("created_by")
        return "robot" if created_by is None else "system" if created_by == 0 else f"user {created_by}"

    @property
    def shown_responsible(self) -> str | None:
        """Only a JSON number is a user's id; text is shown as a person's name, even if it is made of digits."""
        who = self.call.get("call_responsible")
        return None if who is None else f"user {who}" if isinstance(who, int) else f"name {who}"

    def listed(self, account_id: int, base: str) -> dict[str, Any]:
        """The note as the notes endpoints list it: `created_at` as sent, `updated_at` the time of storing."""
        kind, entity_id = plural(self.target.entity_type), self.target.entity_id
        created_by = self.call.get("created_by", 0)
        return {
            "id": self.id,
            "entity_id": entity_id,
            "created_by": created_by,
            "updated_by": self.call.get("updated_by", created_by),
            "created_at": self.call.get("created_at", int(self.at)),
            "updated_at": int(self.at),
            "responsible_user_id": self.call.get("responsible_user_id", 0),
            "group_id": 0,
            "note_type": self.note_type,
            "params": self.params,
            "account_id": account_id,
            "_links": {"self": {"href": f"{base}/api/v4/{kind}/{entity_id}/notes/{self.id}"}},
        }

    def told(self) -> dict[str, Any]:
        """The note as the control endpoints tell it."""
        return {
            "id": self.id,
            "entity_type": self.target.entity_type,
            "entity_id": self.target.entity_id,
            "uniq": self.uniq,
            "phone": self.phone,
            "note_type": self.note_type,
            "request": self.request,
            "at": self.at,
            "author": self.author,
            "responsible": self.shown_responsible,
            "created_at": self.call.get("created_at"),
            "params": self.params,
        }


@dataclass(frozen=True, slots=True)
class TextNote:
    """One line of text on one card, written through the notes endpoints."""

    id: int
    target: Target
    text: str
    request: int
    at: float

    @property
    def note_type(self) -> str:
        return "common"

    def listed(self, account_id: int, base: str) -> dict[str, Any]:
        kind, entity_id = plural(self.target.entity_type), self.target.entity_id
        return {
            "id": self.id,
            "entity_id": entity_id,
            "created_by": 0,
            "updated_by": 0,
            "created_at": int(self.at),
            "updated_at": int(self.at),
            "responsible_user_id": 0,
            "group_id": 0,
            "note_type": self.note_type,
            "params": {"text": self.text},
            "account_id": account_id,
            "_links": {"self": {"href": f"{base}/api/v4/{kind}/{entity_id}/notes/{self.id}"}},
        }


class NoteBook:
    """All notes of one account, and apart from those of calls its `texts`. Beyond `limit` the oldest tenth is forgotten and
    counted in `dropped`.
    """

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self.texts: list[TextNote] = []
        self._limit = limit
        self._notes: list[Note] = []
        self._first_of: dict[str, Note] = {}
        self._repeats: dict[str, int] = {}
        self._next_id = FIRST_ID

    def __len__(self) -> int:
        return len(self._notes)

    def __iter__(self) -> Iterator[Note]:
        return iter(self._notes)

    @property
    def all(self) -> Sequence[Note]:
        return self._notes

    @property
    def repeats(self) -> dict[str, int]:
        """How many notes there are of each `uniq` that has more than one."""
        return {uniq: extra + 1 for uniq, extra in self._repeats.items()}

    def write(self, target: Target, call: dict[str, Any], request: int, at: float) -> Note:
        note = Note(self._next_id, target, call, request, at)
        self._next_id += 2
        self._notes.append(note)
        uniq = call.get("uniq")
        if uniq is not None:
            if uniq in self._first_of:
                self._repeats[uniq] = self._repeats.get(uniq, 0) + 1
            else:
                self._first_of[uniq] = note
        if len(self._notes) > self._limit:
            self._forget(max(1, self._limit // 10))
        return note

    def write_text(self, target: Target, text: str, request: int, at: float) -> TextNote:
        note = TextNote(self._next_id, target, text, request, at)
        self._next_id += 2
        self.texts.append(note)
        if len(self.texts) > self._limit:
            del self.texts[0]
        return note

    def first_with(self, uniq: str | None) -> Note | None:
        return None if uniq is None else self._first_of.get(uniq)

    def of_entity_type(self, entity_type: str, entity_id: int | None = None) -> list[Note | TextNote]:
        """In the order in which they were written."""
        both: list[Note | TextNote] = sorted([*self._notes, *self.texts], key=lambda note: note.id)
        return [
            note
            for note in both
            if note.target.entity_type == entity_type and (entity_id is None or note.target.entity_id == entity_id)
        ]

    def _forget(self, count: int) -> None:
        for note in self._notes[:count]:
            if note.uniq is not None and self._first_of.get(note.uniq) is note:
                del self._first_of[note.uniq]
                self._repeats.pop(note.uniq, None)
        del self._notes[:count]
        self.dropped += count
