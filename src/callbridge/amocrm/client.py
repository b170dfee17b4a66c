"""One amoCRM account: its calls, notes and users as requests, and what the answers mean.

How a request is made is in `exchange`, what opens the account in `credential`, what an answer says in the pure modules. Here
they meet. It knows nothing of rates, retries and pauses: whoever asks brings a permit for each request.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

from callbridge.amocrm import recordings
from callbridge.amocrm.classify import bounded, classify
from callbridge.amocrm.credential import Credential
from callbridge.amocrm.exchange import Exchange, Heard, Trace
from callbridge.amocrm.notes import Page, Permit, likeness_of, read_back
from callbridge.amocrm.schema import ACCOUNT_PATH, CALLS_PATH, MAX_BATCH, json_object, positive
from callbridge.amocrm.tokens import Access
from callbridge.amocrm.translate import by_extension, translate
from callbridge.amocrm.unsorted import (
    SWITCHED_OFF,
    UNSORTED_PATH,
    LeadWords,
    classify_leads,
    lead_item,
    takes_none,
)
from callbridge.amocrm.users import Users, UsersUnreadable, read_users
from callbridge.call import Call, CallId
from callbridge.errors import Unavailable
from callbridge.found import ReadBack, Unreadable
from callbridge.note import LateNote, NoteAnswer, Noted, NoteLook, NoteRefused
from callbridge.outcome import (
    AccountStopped,
    Answer,
    NoAnswer,
    NoLead,
    NotSent,
    PauseReason,
    PerCall,
    Ready,
    SlowDown,
    TokenRefused,
    Translation,
    WholeRefused,
)
from callbridge.posted import Evidence, Posted

A = TypeVar("A", Answer, NoteAnswer)

DEFAULT_WORDS: Final = LeadWords()

NO_TOKEN: Final = NotSent("there is no valid token for the account")


@dataclass(frozen=True, slots=True)
class AccountFound:
    """The address and the token belong to this account. `clock_ahead`: seconds the CRM's clock is ahead of ours;
    `takes_leads`: whether incoming leads are switched on.
    """

    id: int
    name: str
    subdomain: str
    clock_ahead: float | None
    takes_leads: bool | None = None


@dataclass(frozen=True, slots=True)
class AccountProblem:
    """The account cannot be used now; `reason` where a pause has one, `detail` for people."""

    reason: PauseReason | None
    detail: str


AccountCheck = AccountFound | AccountProblem


class Classify(Protocol):
    """What an answer says about the calls of a batch."""

    def __call__(
        self, status: int, headers: Mapping[str, str], body: bytes, ids: Mapping[str, CallId], *, now: float
    ) -> Answer: ...


class AmoAccount:
    """Translates calls into the account's words, posts them, reads them back."""

    def __init__(
        self,
        name: str,
        credential: Credential,
        exchange: Exchange,
        *,
        users: Mapping[str, Mapping[str, int]],
        now: Callable[[], float],
        leads: LeadWords = DEFAULT_WORDS,
    ) -> None:
        """`users` maps source names to their extensions' user ids; `leads` is how incoming leads are told."""
        self.name = name
        self._credential = credential
        self._exchange = exchange
        self._users = {source: by_extension(extensions) for source, extensions in users.items()}
        self._now = now
        self._leads = leads

    def translate(self, call: Call) -> Translation:
        return translate(call, self._users.get(call.source, {}))

    def as_lead(self, call: Call) -> Ready:
        """The call as an incoming lead, for `post_leads`."""
        return Ready(call.uniq, lead_item(call, self._users.get(call.source, {}), self._leads))

    async def authorise(self, permit: Permit) -> AccountStopped | NotSent | None:
        """Sees to a token for the next request, which may take requests of its own. None: go on. Raises `StoreUnavailable`,
        and what `permit` raises.
        """
        found = await self._credential.current(permit)
        return None if isinstance(found, Access) else found

    async def post(self, items: Mapping[CallId, Ready]) -> Posted:
        """One request with all of `items`; exactly one answer, never an exception but cancellation."""
        return await self._post(CALLS_PATH, items, classify)

    async def post_leads(self, items: Mapping[CallId, Ready], permit: Permit) -> Posted:
        """As `post`, with what `as_lead` made. After a refusal the account is asked whether it has incoming leads at all, for
        which `permit` is awaited; where nobody can tell, the refusal stands.
        """
        posted = await self._post(UNSORTED_PATH, items, classify_leads)
        answer = posted.answer
        refused = isinstance(answer, WholeRefused) or (
            isinstance(answer, PerCall) and any(isinstance(outcome, NoLead) for outcome in answer.outcomes.values())
        )
        if refused:
            with contextlib.suppress(Unavailable):
                reader = _Reader(self._credential, self._exchange, permit)
                await reader.permit()
                page = await reader.get(ACCOUNT_PATH)
                facts = json_object(page.body) if isinstance(page, Page) and page.status == 200 else None
                if facts is not None and facts.get("is_unsorted_on") is False:
                    return replace(posted, answer=takes_none(items, SWITCHED_OFF))
        return posted

    async def _post(self, path: str, items: Mapping[CallId, Ready], reads: Classify) -> Posted:
        ids = {ready.uniq: id_ for id_, ready in items.items()}
        if not 0 < len(ids) == len(items) <= MAX_BATCH:
            raise ValueError(f"a batch holds 1 to {MAX_BATCH} calls with a uniq each")
        access = self._credential.in_hand
        if access is None:
            return Posted(NO_TOKEN)
        body, trace = b"[" + b",".join(ready.item for ready in items.values()) + b"]", Trace()
        heard = await self._exchange.request(access, "POST", path, body, trace=trace)
        if not isinstance(heard, Heard):
            return Posted(heard, Evidence(body, None, trace.status, trace.request_id))
        answer = self._judged(access, reads(heard.status, heard.headers, heard.body, ids, now=self._now()))
        # What answers in the CRM's place may quote our headers.
        told = heard.body.replace(access.token.encode(), b"***")
        return Posted(answer, Evidence(body, told, trace.status, trace.request_id))

    def _judged(self, access: Access, answer: A) -> A | TokenRefused:
        """A refused token that can be replaced is no verdict about the account; nor is an address: it may have moved."""
        match answer:
            case AccountStopped(PauseReason.UNAUTHORISED | PauseReason.WRONG_HOST as reason, detail):
                if self._credential.refused(access):
                    return TokenRefused(detail)
                if access.generation and reason is PauseReason.UNAUTHORISED:
                    return replace(answer, reason=PauseReason.REAUTHORISE, detail=f"a fresh token is refused: {detail}")
            case PerCall() | WholeRefused() | Noted() | NoteRefused():
                self._credential.worked(access)
            case _:
                pass
        return answer

    async def read_back(self, calls: Collection[Call], age: float, permit: Permit) -> ReadBack | Unreadable:
        """Which of `calls` have notes written in the last `age` seconds; every request first awaits `permit`.

        The CRM compares with its own clock. Where that is behind ours we look as much further back; where we do not know it
        yet, because nothing was heard since the start, one request asks.
        """
        reader = _Reader(self._credential, self._exchange, permit)
        wanted = {call.uniq: likeness_of(call) for call in calls}
        return await read_back(reader.get, wanted, await self._since(age, reader), reader.permit)

    async def add_note(self, note: LateNote, permit: Permit) -> NoteAnswer:
        """One request with the note, its slot already taken, and after a 404 another, for which `permit` is awaited."""
        path = recordings.path_of(note)
        if path is None:
            return recordings.NO_CARD
        access = self._credential.in_hand
        if access is None:
            return NO_TOKEN
        heard = await self._exchange.request(access, "POST", path, recordings.body_of(note))
        if not isinstance(heard, Heard):
            return heard
        if heard.status == 404:
            reader = _Reader(self._credential, self._exchange, permit)
            return await recordings.why_not_found(reader.get, reader.permit)
        return self._judged(access, recordings.read_answer(heard.status, heard.headers, heard.body, now=self._now()))

    async def find_note(self, note: LateNote, age: float, permit: Permit) -> NoteLook:
        """Whether the note was written on its card in the last `age` seconds; as `read_back`."""
        reader = _Reader(self._credential, self._exchange, permit)
        return await recordings.find(reader.get, note, await self._since(age, reader), reader.permit)

    async def _since(self, age: float, reader: _Reader) -> int:
        """`age` seconds ago by the CRM's clock, or earlier."""
        if self._exchange.ahead is None:
            await reader.permit()
            await reader.get(ACCOUNT_PATH)
        return int(self._now() + min(0.0, self._exchange.ahead or 0.0) - age)

    async def check(self) -> AccountCheck:
        """Does this token open this account? One request, nothing written, and no token is replaced for it."""
        access = self._credential.in_hand
        if access is None:
            return AccountProblem(PauseReason.REAUTHORISE, NO_TOKEN.detail)
        heard = await self._exchange.request(access, "GET", ACCOUNT_PATH)
        if not isinstance(heard, Heard):
            return AccountProblem(None, heard.detail)
        facts = json_object(heard.body) if heard.status == 200 else None
        if facts is not None and (number := positive(facts.get("id"))) is not None:
            name, subdomain = (bounded(str(facts.get(key) or "")) for key in ("name", "subdomain"))
            on = facts.get("is_unsorted_on")
            clock_ahead, takes_leads = self._exchange.clock_ahead(heard.headers), on if isinstance(on, bool) else None
            return AccountFound(number, name, subdomain, clock_ahead, takes_leads)
        answer = classify(heard.status, heard.headers, heard.body, {}, now=self._now())
        match answer:
            case AccountStopped(reason, detail):
                return AccountProblem(reason, detail)
            case NotSent(detail) | NoAnswer(detail) | WholeRefused(detail) | TokenRefused(detail):
                return AccountProblem(None, detail)
            case SlowDown():
                return AccountProblem(None, f"HTTP {heard.status}: too many requests")
            case PerCall():
                return AccountProblem(PauseReason.WRONG_HOST, "something answers, but not as an amoCRM account")

    async def users(self) -> Users | UsersUnreadable:
        """Who works in this account. Unpaced, for a person at a terminal; the pages are bounded."""
        reader = _Reader(self._credential, self._exchange, _at_once)
        await reader.permit()
        return await read_users(reader.get)


class _Reader:
    """Requests that only read: a refused token is replaced, and the same is asked once more, at its own permit."""

    def __init__(self, credential: Credential, exchange: Exchange, permit: Permit) -> None:
        self._credential = credential
        self._exchange = exchange
        self._permit = permit

    async def permit(self) -> None:
        """First the token, which may take a while, then the slot."""
        await self._credential.current(self._permit)
        await self._permit()

    async def get(self, path: str) -> Page | NotSent | NoAnswer:
        access, heard = await self._ask(path)
        if access and isinstance(heard, Heard) and heard.status == 401 and self._credential.refused(access):
            await self.permit()
            access, heard = await self._ask(path)
        if not isinstance(heard, Heard):
            return heard
        if access and heard.status in {200, 204}:
            self._credential.worked(access)
        return Page(heard.status, heard.body)

    async def _ask(self, path: str) -> tuple[Access | None, Heard | NotSent | NoAnswer]:
        access = self._credential.in_hand
        return access, NO_TOKEN if access is None else await self._exchange.request(access, "GET", path)


async def _at_once() -> None:
    """The permit of a person at a terminal."""
