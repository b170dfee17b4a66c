"""The audit around what is done: an entry before it, a second one if it did not come to pass.

So nothing is done that is not written down, and where the ledger cannot be written nothing is done. Numbers and words of
people stand in the audit masked or not at all, because nothing is ever taken out of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from callbridge.errors import LedgerUnavailable, Unavailable
from callbridge.ops.masking import masked
from callbridge.ops.who import Who
from callbridge.store.tally import Pause


class Audit(Protocol):
    async def add(
        self,
        who: Who,
        action: str,
        target: Mapping[str, Any],
        *,
        reason: str | None = None,
        count: int | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> int: ...


@dataclass(frozen=True, slots=True)
class Log:
    audit: Audit

    @contextlib.asynccontextmanager
    async def doing(
        self,
        who: Who,
        action: str,
        target: Mapping[str, Any],
        *,
        reason: str | None = None,
        outcome: Mapping[str, Any] | None = None,
    ) -> AsyncIterator[list[str]]:
        """Writes it down, lets it be done, and writes down that it was not: what is put into the list says why."""
        entry = await self.audit.add(who, action, target, reason=reason, outcome=outcome)
        missed: list[str] = []
        try:
            yield missed
        except Unavailable as error:
            missed.append(str(error))
            with contextlib.suppress(LedgerUnavailable):  # the first error is the one to tell
                await self._undone(who, action, target, entry, missed)
            raise
        if missed:
            await self._undone(who, action, target, entry, missed)

    async def _undone(
        self, who: Who, action: str, target: Mapping[str, Any], entry: int, missed: Sequence[str]
    ) -> None:
        await self.audit.add(who, f"{action}.failed", target, outcome={"entry": entry, "problem": missed[0][:300]})


def pause_told(pause: Pause | None) -> Mapping[str, Any] | None:
    if pause is None:
        return None
    return {"reason": pause.reason.value, "since": pause.since, "owner": pause.owner, "detail": pause.detail}


def fields_told(holder: Any, fields: Sequence[str]) -> dict[str, Any]:
    """What is told of the fields: of those that hold words of people, that they are there."""
    told: dict[str, Any] = {}
    for name in fields:
        value = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        match name:
            case "phone":
                told[name] = masked(value)
            case "result" | "link" | "extension":
                told[name] = value is not None
            case _:
                told[name] = value
    return told


def one_line(text: str) -> str:
    return " ".join(text.split())
