"""What an operator does to one thing at a time: an account, a call, a group of errors, a number that has to be forgotten.

Each is written into the audit before it is done, with what it was and what it becomes: so nothing happens that is not there,
and where the ledger cannot be written nothing happens. What was written and did not come to pass is told by a second entry.
Numbers stand in the audit masked, because nothing is ever taken out of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from callbridge.amocrm.consent import NoConsent
from callbridge.call import CallId
from callbridge.ledger.marking import Status
from callbridge.ledger.views import Told
from callbridge.ops import accounts as desk
from callbridge.ops.accounts import Authorised, NotAuthorised
from callbridge.ops.answers import (
    Amended,
    Erased,
    Marked,
    NotFit,
    Paused,
    Refused,
    RefusedCode,
    Resumed,
    Revealed,
    SourceTest,
)
from callbridge.ops.doing import Log, fields_told, one_line, pause_told
from callbridge.ops.editing import NotEdited, edited
from callbridge.ops.letting_in import Consents, Door
from callbridge.ops.masking import masked
from callbridge.ops.who import Role, Who
from callbridge.outcome import Reason
from callbridge.store.mending import amended, sealed
from callbridge.store.records import Record
from callbridge.store.tally import Pause

__all__ = [
    "Actions", "Amended", "Erased", "Marked", "NotFit", "Paused", "Refused", "RefusedCode", "Resumed", "Revealed",
    "SourceTest",
]  # fmt: skip

LONGEST_REASON: Final = 500
LONGEST_PAUSE: Final = 366 * 86_400.0


class Rows(Protocol):
    async def call(self, call_id: str) -> Told | None: ...


class Records(Protocol):
    async def get(self, call_id: CallId) -> Record | None: ...


class Pauses(Protocol):
    async def pause_of(self, account: str) -> Pause | None: ...


class Mending(Protocol):
    async def amend(self, call_id: CallId, envelope: bytes, expected_updated_ms: int, by: str, why: str) -> bool: ...


class Marks(Protocol):
    async def status(self, account: str, reason: str, cause: str) -> tuple[str, str | None]: ...
    async def mark(
        self, account: str, reason: str, cause: str, status: Status, *, by: str, note: str | None, now: float
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Actions:
    """All methods raise `StoreUnavailable` and `LedgerUnavailable`. `accounts` and `sources` are those of the settings;
    `door` is None for an account that OAuth does not open; `wipe` takes a number out of Redis and the ledger and returns
    which calls had it; `tester` tries a source.
    """

    rows: Rows
    records: Records
    queue: desk.Queue
    pauses: Pauses
    mending: Mending
    marks: Marks
    log: Log
    consents: Consents
    accounts: Collection[str]
    sources: Collection[str]
    door: Callable[[str], Door | None]
    wipe: Callable[[str], Awaitable[Sequence[str]]]
    tester: Callable[[str], Awaitable[SourceTest]]
    now: Callable[[], float]

    async def pause_account(
        self, who: Who, account: str, reason: str, seconds: float | None = None
    ) -> Paused | Refused:
        """Nothing is sent to it until it is resumed, or for `seconds`. Receiving goes on."""
        if refused := self._unfit(who, Role.ADMIN, reason) or self._no_account(account):
            return refused
        if seconds is not None and not 0 < seconds <= LONGEST_PAUSE:
            return Refused("bad_pause", "a pause lasts more than nothing, and a year at most")
        before = await self.pauses.pause_of(account)
        outcome = {"before": pause_told(before), "after": {"reason": "manual", "seconds": seconds}}
        async with self.log.doing(who, "account.paused", {"account": account}, reason=reason, outcome=outcome):
            await desk.pause(self.queue, account, one_line(reason), who.name, seconds)
        return Paused(self.now() + seconds if seconds else None)

    async def resume_account(self, who: Who, account: str, reason: str = "") -> Resumed | Refused:
        """Ends any pause, whatever it is for."""
        if refused := self._unfit(who, Role.ADMIN, reason or "resumed") or self._no_account(account):
            return refused
        outcome = {"before": pause_told(await self.pauses.pause_of(account)), "after": None}
        async with self.log.doing(who, "account.resumed", {"account": account}, reason=reason, outcome=outcome):
            return Resumed(await desk.resume(self.queue, account, who.name))

    async def begin_authorising(self, who: Who, account: str) -> str | Refused:
        """The CRM's page where a person allows it; the browser comes back from there."""
        if refused := self._unfit(who, Role.ADMIN, "-") or self._no_account(account):
            return refused
        door = self.door(account)
        if door is None:
            return Refused("no_oauth", f"account {account} has a long-lived token, which is set in the settings")
        await self.log.audit.add(who, "account.authorising", {"account": account})
        return self.consents.begin(who, account, door)

    async def finish_authorising(self, who: Who, query: Mapping[str, str]) -> Authorised | NotAuthorised | Refused:
        """`query` is what the browser brought back."""
        if refused := self._unfit(who, Role.ADMIN, "-"):
            return refused
        account = self.consents.account_of(who, query)
        door = self.door(account) if account else None
        if account is None or door is None:
            return Refused("not_begun", "that was not begun here, or more than ten minutes ago: begin again")
        consent = self.consents.read(query, account, door)
        if isinstance(consent, NoConsent):
            return NotAuthorised(consent.problem)
        pause = await self.pauses.pause_of(account)
        target, outcome = {"account": account}, {"before": pause_told(pause), "after": {"url": consent.url}}
        async with self.log.doing(who, "account.authorised", target, outcome=outcome) as missed:
            done = await desk.authorise(
                account,
                consent,
                endpoint=door.endpoint,
                vault=door.vault,
                queue=self.queue,
                pause=pause,
                owner=who.name,
                now=self.now,
                permit=door.permit,
            )
            if isinstance(done, NotAuthorised):
                missed.append(done.problem)
        return done

    async def reveal(self, who: Who, call_id: str, reason: str | None = None) -> Revealed | None:
        """What is masked of a call. None where there is no such call, or who asks may not see it."""
        if not who.role.covers(Role.OPERATOR):
            return None
        found = await self.rows.call(call_id)
        if found is None:
            return await self._reveal_stored(who, call_id, reason)
        await self.log.audit.add(who, "call.revealed", {"call": call_id}, reason=reason)
        return Revealed(found.row.phone, found.row.extension, found.row.link)

    async def _reveal_stored(self, who: Who, call_id: str, reason: str | None) -> Revealed | None:
        """A call that the ledger has not heard of yet."""
        record = await self.records.get(CallId(call_id))
        if record is None:
            return None
        await self.log.audit.add(who, "call.revealed", {"call": call_id}, reason=reason)
        call = record.call
        return Revealed(call.phone if call else None, call.extension if call else None, record.link)

    async def mark_group(
        self, who: Who, account: str, reason: str, cause: str, status: Status, note: str | None = None
    ) -> Marked | Refused:
        """Says of a group of dead calls where it stands."""
        if refused := self._unfit(who, Role.OPERATOR, "-"):
            return refused
        was, noted = await self.marks.status(account, reason, cause)
        told = one_line(note)[:LONGEST_REASON] if note else None
        target = {"account": account, "reason": reason, "cause": cause}
        outcome = {"before": {"status": was, "note": noted}, "after": {"status": status, "note": told}}
        async with self.log.doing(who, "group.marked", target, reason=told, outcome=outcome):
            await self.marks.mark(account, reason, cause, status, by=who.name, note=told, now=self.now())
        return Marked(was, status)

    async def edit_and_replay(
        self, who: Who, call_id: str, changes: Mapping[str, Any], expected_updated_at: float, reason: str
    ) -> Amended | NotFit | Refused:
        """Corrects a dead call and lets it be sent; what the PBX told is kept. `expected_updated_at` is the call's
        `updated_at` as it was shown.
        """
        if refused := self._unfit(who, Role.OPERATOR, reason):
            return refused
        record = await self.records.get(CallId(call_id))
        if refused := _uneditable(record, expected_updated_at):
            return refused
        if record is None or record.envelope is None:
            return Refused("no_such_call", "there is no such call, or nothing is left of it")
        envelope, call = record.envelope, record.call
        shown = replace(call, link=record.link) if call else None
        found = edited(shown, changes, source=envelope.source, provider=envelope.provider)
        if isinstance(found, NotEdited):
            return NotFit(found.problems)
        if not found.changes:
            return Refused("nothing_changed", "nothing was changed: replay it as it is")
        fields = tuple(sorted(found.changes))
        outcome = {
            "fields": list(fields),
            "before": fields_told(call, fields),
            "after": fields_told(found.changes, fields),
        }
        async with self.log.doing(who, "call.edited", {"call": call_id}, reason=reason, outcome=outcome) as missed:
            try:
                after = sealed(amended(envelope, found.changes))
                seen = round(expected_updated_at * 1000)
                done = await self.mending.amend(CallId(call_id), after, seen, who.name, one_line(reason))
            except ValueError as error:
                missed.append(str(error))
                return Refused("same_call", str(error))
            if not done:
                missed.append("changed")
                return _CHANGED
        return Amended(fields, found.ignored)

    async def erase(self, who: Who, phone: str, reason: str) -> Erased | Refused:
        """Takes out every call with that number: here, and from Redis. What is on its way goes as soon as it ends."""
        if refused := self._unfit(who, Role.ADMIN, reason):
            return refused
        if not any(character.isdecimal() for character in phone) or len(phone) > 64:
            return Refused("bad_number", "that is no phone number")
        target = {"phone": masked(phone)}
        async with self.log.doing(who, "number.erasing", target, reason=reason):
            calls = len(await self.wipe(phone))
        await self.log.audit.add(who, "number.erased", target, reason=reason, count=calls)
        return Erased(calls)

    async def test_source(self, who: Who, source: str) -> SourceTest | Refused:
        """Sends the source a call of our own making, and looks whether it is taken."""
        if refused := self._unfit(who, Role.OPERATOR, "-"):
            return refused
        if source not in self.sources:
            return Refused("no_such_source", "there is no such source")
        async with self.log.doing(who, "source.tested", {"source": source}) as missed:
            tested = await self.tester(source)
            if not tested.ok:
                missed.append(tested.problem or "failed")
        return tested

    # --- what they share ---------------------------------------------------------------------------------------------

    def _unfit(self, who: Who, needed: Role, reason: str) -> Refused | None:
        if not who.role.covers(needed):
            return Refused("forbidden", f"that needs the role {needed}")
        if not reason.strip() or len(reason) > LONGEST_REASON:
            return Refused("no_reason", f"say why, in {LONGEST_REASON} characters at most")
        return None

    def _no_account(self, account: str) -> Refused | None:
        return None if account in self.accounts else Refused("no_such_account", "there is no such account")


_CHANGED: Final = Refused("changed", "somebody, or a repeated webhook, changed the call meanwhile: look again")


def _uneditable(record: Record | None, expected_updated_at: float) -> Refused | None:
    if record is None or record.envelope is None:
        return Refused("no_such_call", "there is no such call, or nothing is left of it")
    if record.state != "dead":
        return Refused("not_dead", f"only dead calls are corrected, and this one is {record.state}")
    if record.reason == Reason.UNKNOWN_OUTCOME:
        return Refused("unknown_outcome", "it may be in the CRM as it is: decide about that first")
    return None if round(record.updated_at * 1000) == round(expected_updated_at * 1000) else _CHANGED
