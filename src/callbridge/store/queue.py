"""The queue: claim, mark sending, settle, release, reclaim, look, revive. One method a Lua verb, values in and out.

Every move is one script, carried out only under the fence that the claim gave. All methods raise `StoreUnavailable`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from callbridge.breaker import TRIAL_CALLS
from callbridge.call import CallId
from callbridge.claim import Agenda, Claim, Claimed, Looked, Nothing, Paused, Reclaimed, Uncertain
from callbridge.errors import StoreUnavailable
from callbridge.outcome import PauseReason, Settlement
from callbridge.store.envelope import call_in
from callbridge.store.scripts import Scripts

MAX_TAKEN = 250
SUSPECT_DEATHS = 3
"""A call that was claimed by three workers, each of which died before sending it, is claimed alone."""

FATAL_DEATHS = 5
"""And after five it is not given to a sixth."""


class RedisQueue:
    """The calls of all accounts. `lease` and `look_in` are seconds. While they are not `allowed`, no calls are given out;
    `replicas` have to confirm that a call is marked before it is sent.
    """

    def __init__(
        self,
        scripts: Scripts,
        *,
        lease: float,
        look_in: float,
        allowed: Callable[[], bool] = lambda: True,
        replicas: int = 0,
    ) -> None:
        self._scripts = scripts
        self._allowed = allowed
        self._replicas = replicas
        self._lease = _ms(lease)
        self._look_in = _ms(look_in)

    async def claim(self, account: str, size: int) -> Claim | Paused | Nothing:
        """Up to `size` due calls, the oldest of each lane, ours until the lease ends."""
        if not self._allowed():
            return Nothing(next_due=None)
        reply = await self._scripts.run("claim", account, min(size, MAX_TAKEN), self._lease, TRIAL_CALLS)
        match reply[0]:
            case b"none":
                return Nothing(next_due=None if reply[2] < 0 else reply[2] / 1000)
            case b"paused" | b"slowed":
                return Paused(ask_in=reply[2] / 1000)
            case b"calls" | b"probe":
                calls = tuple(_claimed(*reply[at : at + 8]) for at in range(7, len(reply), 8))
                probe = PauseReason(reply[4].decode()) if reply[0] == b"probe" else None
                trial, troubled = bool(reply[5]), bool(reply[6])
                return Claim(account, reply[2], reply[1] / 1000, calls, reply[3], probe, trial=trial, troubled=troubled)
            case other:
                raise StoreUnavailable(f"claim: unexpected reply {other!r}")

    async def mark_sending(self, fence: int, ids: Sequence[CallId], *, batch: str, lease: float) -> set[CallId]:
        """Those of `ids` that are still ours, now counted as one attempt each; `lease` in seconds from now."""
        reply = await self._scripts.run("sending", fence, _ms(lease), batch, *ids, replicas=self._replicas)
        return {CallId(call_id.decode()) for call_id in reply}

    async def settle(
        self, fence: int, settlements: Sequence[Settlement], facts: Mapping[str, Any], *, batch: bytes | None = None
    ) -> set[CallId]:
        """Carries the settlements out; `facts` about the request join each call's story, `batch` is its record for the
        ledger, a JSON object. Returns what was stale.
        """
        if not settlements:
            if batch is not None:
                await self.tell(batch)
            return set()
        rows = [orjson.dumps(_row(settlement)) for settlement in settlements]
        reply = await self._scripts.run("settle", fence, orjson.dumps(facts), batch or b"", *rows)
        return {CallId(call_id.decode()) for call_id in reply}

    async def tell(self, batch: bytes) -> None:
        """The record of a request, for the ledger; told twice it is the same."""
        await self._scripts.run("tell", batch)

    async def release(self, fence: int, ids: Sequence[CallId], batch: str | None = None) -> int:
        """Puts calls back. Those marked for `batch` were not sent with it, or were turned away unread: they get the attempt
        back that they were marked with.
        """
        return int(await self._scripts.run("release", fence, batch or "", *ids)) if ids else 0

    async def reclaim(self, limit: int = 200) -> Reclaimed:
        waiting, uncertain, dead = await self._scripts.run(
            "reclaim", limit, self._look_in, FATAL_DEATHS, SUSPECT_DEATHS
        )
        return Reclaimed(waiting, uncertain, dead)

    async def look(self, account: str, size: int, lease: float) -> Looked | None:
        """Uncertain calls whose look is due, ours alone for `lease` seconds; None when there are none."""
        reply = await self._scripts.run("look", account, min(size, MAX_TAKEN), _ms(lease))
        if not reply[1]:
            return None
        calls = tuple(_uncertain(*reply[at : at + 8]) for at in range(2, len(reply), 8))
        return Looked(account, reply[1], reply[0] / 1000, calls)

    async def revive(self, account: str, limit: int = 200) -> int:
        return int(await self._scripts.run("revive", account, limit))

    async def renew(self, fence: int, ids: Sequence[CallId], lease: float) -> None:
        """Keeps calls that we hold under `fence` ours for `lease` seconds from now."""
        if ids:
            await self._scripts.run("renew", fence, _ms(lease), *ids)

    async def reprobe(self, account: str) -> None:
        """The probe tried nothing: the next call may try at once."""
        await self._scripts.run("reprobe", account)

    async def pause(self, account: str, reason: PauseReason, detail: str, first: float, at_most: float) -> bool:
        """True if the account was not paused for this reason before."""
        waits = max(1, _ms(first)), max(1, _ms(first), _ms(at_most))
        return bool(await self._scripts.run("pause", account, reason.value, detail[:300], *waits))

    async def hold(self, account: str, detail: str, owner: str, seconds: float | None) -> bool:
        """A person pauses the account, for `seconds` or until it is resumed; True if nobody held it before."""
        length = 0 if seconds is None else max(1, _ms(seconds))
        return bool(await self._scripts.run("hold", account, PauseReason.MANUAL, detail[:300], owner[:100], length))

    async def resume(self, account: str, of: PauseReason | None = None) -> float | None:
        """How many seconds the pause had lasted; None if there was none, or none of this kind."""
        lasted = int(await self._scripts.run("resume", account, of or ""))
        return None if lasted < 0 else lasted / 1000

    async def leads_closed(self, account: str, why: str) -> None:
        """For `status`: why the account takes no incoming leads; "": it does."""
        await self._scripts.run("leads", account, why[:300])

    async def agenda(self) -> Agenda:
        reply = await self._scripts.run("agenda")
        rows = [(reply[at].decode(), *reply[at + 1 : at + 5]) for at in range(0, len(reply), 5)]
        due, looks, tries, notes = (frozenset(row[0] for row in rows if row[column]) for column in range(1, 5))
        return Agenda(due, looks, tries, notes)


def _claimed(
    call_id: bytes, attempts: Any, parks: Any, since: Any, first_sent: bytes, link: bytes, lead: int, envelope: bytes
) -> Claimed:
    return Claimed(
        CallId(call_id.decode()),
        call_in(envelope, link),
        attempts=int(attempts),
        parks=int(parks),
        waiting_since=int(since) / 1000,
        first_sent_at=int(first_sent) / 1000 if first_sent else None,
        lead=bool(lead),
    )


def _uncertain(
    call_id: bytes, attempts: Any, looks: Any, received: Any, first: Any, retried: Any, since: Any, envelope: bytes
) -> Uncertain:
    return Uncertain(
        CallId(call_id.decode()),
        call_in(envelope),
        attempts=int(attempts),
        looks=int(looks),
        received_at=int(received) / 1000,
        first_sent_at=int(first) / 1000,
        retried_since=int(retried) / 1000,
        uncertain_since=int(since) / 1000,
    )


def _row(settlement: Settlement) -> list[Any]:
    note = settlement.delivered
    place = (note.note_id or 0, note.entity_type, note.entity_id) if note else (0, "", 0)
    delay, detail = _ms(settlement.delay), settlement.detail or ""
    return [settlement.id, settlement.state, settlement.reason or "", delay, detail, *place, settlement.looks]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
