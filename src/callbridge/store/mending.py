"""What an operator's hand does to calls one at a time: parked ones before their next try, dead ones whose content is wrong.

Apart from `repair`, which moves dead calls as they are, by thousands: here what a call says can change, and so what it is
has to be kept. Its identity never changes: the same key, the same id, the same `uniq`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Final, Literal

from redis.exceptions import RedisError

from callbridge.call import Call, CallId, Direction, key_digest
from callbridge.errors import StoreUnavailable
from callbridge.store.envelope import Envelope, EnvelopeError, call_in, content_digest, link_digest, seal, unseal
from callbridge.store.repair import MAX_MOVED
from callbridge.store.scripts import Scripts

How = Literal["retry", "lead", "give_up"]

AMENDABLE: Final = ("direction", "phone", "duration", "started_at", "status", "result", "link", "extension")
"""What of a call a person may correct: everything but who sent it, and its name there."""

UNTOUCHED: Final = "-"


class RedisMending:
    """Both methods raise `StoreUnavailable`; `by` and `why` join the story."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis: Any = scripts.redis  # typed for both worlds, sync and async
        self._root = scripts.root

    async def unpark(self, ids: Sequence[CallId], how: How, by: str, why: str) -> frozenset[CallId]:
        """At most `MAX_MOVED` ids; returns those that were moved. What is not parked any more stays as it is; and of a call
        that did not come in no incoming lead is made.
        """
        if len(ids) > MAX_MOVED:
            raise ValueError(f"at most {MAX_MOVED} calls go at once")
        fit = await self._inbound(ids) if how == "lead" else ids
        if not fit:
            return frozenset()
        reply = await self._scripts.run("unpark", how, by[:100], why[:300], *fit)
        return frozenset(CallId(call_id.decode()) for call_id in reply)

    async def amend(self, call_id: CallId, envelope: bytes, expected_updated_ms: int, by: str, why: str) -> bool:
        """The dead call says from now on what is in `envelope`, made by `amended`, and waits for sending. False where it is
        not dead any more, may be in the CRM, or was changed since `expected_updated_ms`. Raises `ValueError` where it
        would be another call than it was, or one that is here already.
        """
        after = unseal(envelope)
        before = await self._standing(call_id)
        if before is None:
            return False
        new = after.call
        if new is None:
            raise ValueError("the corrected webhook holds no call")
        _check_identity(before, after)
        old = before.call
        link = UNTOUCHED
        if old is None or new.link != old.link:
            link = link_digest(new.link) if new.link else ""
        changed = [name for name in AMENDABLE if old is None or getattr(old, name) != getattr(new, name)]
        done, holder = await self._scripts.run(
            "amend",
            call_id,
            expected_updated_ms,
            content_digest(new),
            link,
            "" if old else key_digest(new.key),
            " ".join(changed),
            by[:100],
            why[:300],
            envelope,
        )
        if done < 0:
            raise ValueError(f"this call is here already, as {holder.decode()}")
        return bool(done)

    async def _inbound(self, ids: Sequence[CallId]) -> list[CallId]:
        bodies = await self._bodies(ids)
        calls = [call_in(body) if body else None for body in bodies]
        return [i for i, call in zip(ids, calls, strict=True) if call and call.direction is Direction.INBOUND]

    async def _standing(self, call_id: CallId) -> Envelope | None:
        [body] = await self._bodies([call_id])
        try:
            return unseal(body) if body else None
        except EnvelopeError:
            return None

    async def _bodies(self, ids: Sequence[CallId]) -> list[bytes | None]:
        if not ids:
            return []
        try:
            return list(await self._redis.hmget(f"{self._root}bodies", list(ids)))
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"bodies: {error}") from error


def amended(envelope: Envelope, changes: Mapping[str, Any]) -> Envelope:
    """With the changes, by field of `Call`. What held no call becomes one: then `direction`, `phone`, `duration`,
    `started_at` and `status` are needed, and `ref` is the PBX's own id of the call, if anybody knows it. Raises `ValueError`.
    """
    if unknown := set(changes) - {*AMENDABLE, "ref"}:
        raise ValueError(f"{', '.join(sorted(unknown))} cannot be changed")
    if envelope.call is not None:
        if "ref" in changes:
            raise ValueError("ref cannot be changed")
        after = replace(envelope, call=replace(envelope.call, **changes), problem=None)
        _check_identity(envelope, after)
        return after
    needed = {field.name for field in fields(Call)} & {"direction", "phone", "duration", "started_at", "status"}
    if missing := needed - set(changes):
        raise ValueError(f"{', '.join(sorted(missing))} has to be told: nothing could be read from the webhook")
    ref = changes.get("ref") or _ref_of(envelope)
    # An id that we made up ourselves is good for any day.
    dated = bool(changes.get("ref"))
    facts = {name: changes[name] for name in AMENDABLE if name in changes}
    call = Call(source=envelope.source, provider=envelope.provider, ref=ref, dated=dated, **facts)
    return replace(envelope, call=call, problem=None)


def sealed(envelope: Envelope) -> bytes:
    """For `amend`."""
    return seal(envelope)


def _ref_of(envelope: Envelope) -> str:
    digest = hashlib.sha256(envelope.webhook.body).digest()[:15]
    return f"raw-{base64.b32encode(digest).decode().lower()}"


def _check_identity(before: Envelope, after: Envelope) -> None:
    old, new = before.call, after.call
    if (before.source, before.provider, before.webhook) != (after.source, after.provider, after.webhook):
        raise ValueError("where a call came from cannot be changed")
    if old is None or new is None:
        return
    if (old.source, old.ref, old.dated) != (new.source, new.ref, new.dated):
        raise ValueError("which call it is cannot be changed")
    if old.key != new.key:
        raise ValueError("started_at cannot be moved to another day (UTC): the day is part of the call's identity")
