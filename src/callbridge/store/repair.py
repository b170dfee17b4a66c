"""What an operator's hand does to dead calls: let them be sent again, or close them for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from callbridge.call import CallId
from callbridge.store.scripts import Scripts, Verb

MAX_MOVED: Final = 200
"""Calls in one script, so that a bulk repair never keeps a webhook waiting."""


class RedisRepair:
    """Both methods take at most `MAX_MOVED` ids, return those that were moved, may be repeated, and raise
    `StoreUnavailable`. What is not dead any more stays as it is. `by` and `why` are told in the calls' stories.
    """

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def replay(self, ids: Sequence[CallId], by: str = "", why: str = "") -> frozenset[CallId]:
        """Dead calls wait for sending again; those whose outcome is unknown are looked for first; undecodable ones stay."""
        return await self._move("replay", ids, by, why)

    async def discard(self, ids: Sequence[CallId], by: str = "", why: str = "") -> frozenset[CallId]:
        """Dead calls become ignored."""
        return await self._move("discard", ids, by, why)

    async def _move(self, verb: Verb, ids: Sequence[CallId], by: str, why: str) -> frozenset[CallId]:
        reply = await self._scripts.run(verb, by, why, *ids) if ids else ()
        return frozenset(CallId(call_id.decode()) for call_id in reply)
