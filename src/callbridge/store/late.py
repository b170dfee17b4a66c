"""The queue of late recordings: notes that wait to be added to the cards of delivered calls.

Filled by the scripts that join a recording to its call and that settle a call; here a note is taken, marked before it is
sent, and ended. Apart from `queue` because a note is no call: it has no state of its own to show, only its call's story.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from callbridge.call import CallId
from callbridge.note import LateNote
from callbridge.store.envelope import call_in
from callbridge.store.scripts import Scripts


class RedisLateNotes:
    """One account's notes. All methods raise `StoreUnavailable`; `lease` is seconds."""

    def __init__(self, scripts: Scripts, account: str, *, lease: float) -> None:
        self._scripts = scripts
        self._account = account
        self._lease = round(lease * 1000)

    async def take(self) -> LateNote | None:
        """The oldest due note, ours until the lease ends; None where there is none, or the account is slowed or paused."""
        reply = await self._scripts.run("late", self._account, self._lease)
        return _late_note(reply) if reply else None

    async def mark(self, note: LateNote) -> bool:
        """From now on the note may be on its card. False when somebody else has it."""
        return bool(await self._scripts.run("noting", self._account, note.name, note.fence, self._lease))

    async def end(self, note: LateNote, told: Mapping[str, Any]) -> bool:
        """Nothing more is done for it; `told` joins the story of its call. False when somebody else has it."""
        return bool(await self._noted(note, -1, posted=False, looks=0, told=orjson.dumps(told)))

    async def put_back(self, note: LateNote, delay: float, *, posted: bool, looks: int) -> bool:
        """It is due again in `delay` seconds; `posted` says that it may be on its card. False when somebody else has it."""
        return bool(await self._noted(note, max(0, round(delay * 1000)), posted=posted, looks=looks))

    async def _noted(self, note: LateNote, delay: int, *, posted: bool, looks: int, told: bytes = b"") -> Any:
        return await self._scripts.run("noted", self._account, note.name, note.fence, delay, int(posted), looks, told)


def _late_note(reply: Sequence[Any]) -> LateNote:
    now, fence, failures, name, call_id, link, postponed, looks, queued, posted, entity_type, entity_id, sealed = reply
    return LateNote(
        name=name.decode(),
        id=CallId(call_id.decode()),
        call=call_in(sealed),
        link=link.decode(),
        entity_type=entity_type.decode(),
        entity_id=int(entity_id),
        fence=fence,
        now=now / 1000,
        queued_at=int(queued) / 1000,
        posted_at=int(posted) / 1000 if posted else None,
        postponed=int(postponed),
        looks=int(looks),
        failures=failures,
    )
