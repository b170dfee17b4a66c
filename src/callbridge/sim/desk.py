"""Where a request is decided [pure]: the limits, then the faults at the door, then the token, then its endpoint.

What the calls leave behind and what the sender is told about it are decided apart from each other, so that the two can
differ, as in life. Apart from `crm`, which knows HTTP; here a request is a value, and the answer a `Reply`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from callbridge.sim import answers, leads, oauth
from callbridge.sim.answers import Answer
from callbridge.sim.arsenal import Arsenal
from callbridge.sim.calls import invalid_items, poisonous, read_batch, store
from callbridge.sim.config import SimConfig
from callbridge.sim.endpoints import ROOT, Account, ApiRequest, respond
from callbridge.sim.entities import World
from callbridge.sim.faults import ArmedFault, Scope, Stage, parse_fault
from callbridge.sim.journal import Journal, Seen
from callbridge.sim.limits import Gate, Passage
from callbridge.sim.notes import NoteBook
from callbridge.sim.oauth import Integration, TokenDesk
from callbridge.sim.replies import Reply, Reset, Silence, Whole, end
from callbridge.sim.results import invalid, poisoned, tell

CALLS = f"{ROOT}/calls"

KOMMO_RETRY_AFTER = 300.0
"""Seconds, the `retry_after` of Kommo's documented 429."""


class Dice(Protocol):
    """Where the lots of shares and shuffles come from."""

    def random(self) -> float: ...

    def shuffle(self, x: list[Any], /) -> None: ...


API_ONLY = frozenset({"401", "403", "404"})
"""What the API says of a token or of the account: the token endpoint says it only where it is asked to (`401@tokens`)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A reply and how long it is held back; `grant` is the refresh that it ends."""

    reply: Reply
    delay: float = 0.0
    grant: int | None = None


class Desk:
    """One account with everything that answers for it. `clock` is read only where something is stored."""

    def __init__(self, config: SimConfig, clock: Callable[[], float], dice: Dice) -> None:
        self.account = Account(
            config,
            World(contacts=config.contacts, match_all=config.match_all),
            NoteBook(config.max_notes),
        )
        self.arsenal = Arsenal(dice.random)
        self.journal = Journal(config.max_requests)
        self.tokens = TokenDesk(
            Integration(config.client_id, config.client_secret, config.redirect_uri),
            config.token_life,
            config.refresh_life,
            config.grace_refresh,
        )
        self._config, self._clock, self._dice = config, clock, dice
        self._gate = Gate(
            rate=config.rate,
            account_rate=config.account_limit(),
            ban_after=config.ban_after,
            ban_for=config.ban_for,
        )
        self._over_limit = parse_fault(config.limit_answer)
        for fault in config.armed_faults():
            self.arsenal.arm(fault, clock())

    def decide(self, request: ApiRequest, token: str, seen: Seen) -> Decision:
        kind = _kind(request)
        batch = read_batch(request.body) if kind in {Scope.CALLS, Scope.LEADS} else []
        size = 0
        if isinstance(batch, list):
            size = len(batch)
            told = (item.get("metadata") if kind is Scope.LEADS else item for item in batch if isinstance(item, dict))
            uniqs = tuple(str(item["uniq"]) for item in told if isinstance(item, dict) and "uniq" in item)
            self.journal.carried(seen, size, uniqs)
        if refusal := self._limit(seen, kind, request.now):
            return Decision(Whole(refusal))
        slow = self._every(Stage.DELAY, kind, seen)
        delay = self._config.latency + sum(fault.number for fault in slow.values())
        russian = bool(self._every(Stage.VOICE, kind, seen))
        if door := self._first(Stage.DOOR, kind, seen, _stands_at_the_door(request, kind, size)):
            return Decision(_refusal(door, request, russian=russian), delay)
        if kind is Scope.TOKENS:
            return self._token(request, seen, delay)
        if not self._admits(token, request.now):
            return Decision(Whole(answers.unauthorized(russian=russian)), delay)
        if kind not in {Scope.CALLS, Scope.LEADS}:
            answer = respond(self.account, request)
            return Decision(end(answer, self._first(Stage.ENDING, kind, seen), _trace_id(request)), delay)
        if isinstance(batch, Answer):
            return Decision(Whole(batch), delay)
        decided = self._calls if kind is Scope.CALLS else self._leads
        return Decision(decided(batch, request, seen, russian=russian), delay)

    def _limit(self, seen: Seen, kind: Scope, now: float) -> Answer | None:
        if self._first(Stage.BAN, kind, seen):
            return answers.gateway_page(403)
        match self._gate.enter(seen.token, now):
            case Passage.FREE:
                return None
            case Passage.BANNED:
                return answers.gateway_page(403)
            case Passage.TOO_MANY:
                return _too_many(self._over_limit, now)

    def identity(self, token: str, path: str) -> str:
        """Whose request it is, for the limits: an integration stays the same when its tokens change."""
        return f"integration {self._config.client_id}" if self.tokens.issued(token) or _is_oauth(path) else token

    def _admits(self, token: str, now: float) -> bool:
        if self.tokens.admits(token, now):
            return True
        config = self._config
        if self.tokens.issued(token):
            return False
        return bool(token) and (token in config.tokens or not (config.tokens or config.client_id))

    def _token(self, request: ApiRequest, seen: Seen, delay: float) -> Decision:
        match request.method, request.path:
            case "POST", oauth.TOKEN_PATH:
                grant = self.tokens.begin(request.body)
                ending = self._first(Stage.ENDING, Scope.TOKENS, seen)
                if ending is not None and ending.name == "late-commit":
                    late = Silence(ending.number, lambda: self.tokens.exchange(request.body, self._clock()))
                    return Decision(late, delay, grant)
                answer = self.tokens.exchange(request.body, request.now)
                return Decision(end(answer, ending, _trace_id(request)), delay, grant)
            case "GET", oauth.SUBDOMAIN_PATH:
                moved, host = self.arsenal.held("moved"), request.base.partition("://")[2]
                told = self.tokens.subdomain(
                    request.refresh_token, self._config.account_id, moved.text if moved else host
                )
                return Decision(Whole(told), delay)
            case "GET", oauth.CONSENT_PATH:
                return Decision(Whole(self.tokens.page(request.query, request.base, request.now)), delay)
            case _:
                return Decision(Whole(answers.not_found(request.method, request.base + request.path)), delay)

    def _calls(self, batch: list[Any], request: ApiRequest, seen: Seen, *, russian: bool) -> Reply:
        if errors := invalid_items(batch):
            return Whole(invalid(errors, russian=russian))
        if check := self._first(Stage.CHECK, Scope.CALLS, seen, _batch_holds_poison(batch)):
            return Whole(poisoned(poisonous(batch, check.text), check.name, russian=russian))
        twists = self._every(Stage.RESULT, Scope.CALLS, seen)
        ending = self._first(Stage.ENDING, Scope.CALLS, seen, _batch_is_over(len(batch)))

        def commit(items: list[Any]) -> Answer:
            unknown = twists.get("unknown-error")
            results = store(
                items,
                self.account.world,
                self.account.book,
                request=seen.number,
                now=self._clock(),
                dedup="dedup" in twists,
                first_refused_with=int(unknown.number) if unknown else None,
                drop_uniq="drop-uniq" in twists,
            )
            account_id, shuffle = self._config.account_id, self._dice.shuffle
            return tell(results, twists, account_id=account_id, base=request.base, russian=russian, shuffle=shuffle)

        return _ended(commit, batch, ending, request)

    def _leads(self, batch: list[Any], request: ApiRequest, seen: Seen, *, russian: bool) -> Reply:
        if refusal := leads.refusal(self.account, batch, russian=russian):
            return Whole(refusal)
        twists = self._every(Stage.RESULT, Scope.LEADS, seen)
        ending = self._first(Stage.ENDING, Scope.LEADS, seen, _batch_is_over(len(batch)))
        return _ended(
            lambda items: leads.accept(self.account, request, items, twists, self._clock()), batch, ending, request
        )

    def _first(
        self, stage: Stage, kind: Scope, seen: Seen, applies: Callable[[ArmedFault], bool] = lambda _: True
    ) -> ArmedFault | None:
        fault = self.arsenal.first(stage, kind, seen.at, applies)
        if fault is not None:
            seen.faults.append(fault.name)
        return fault

    def _every(self, stage: Stage, kind: Scope, seen: Seen) -> dict[str, ArmedFault]:
        faults = self.arsenal.every(stage, kind, seen.at)
        seen.faults.extend(faults)
        return faults


def _is_oauth(path: str) -> bool:
    return path == oauth.CONSENT_PATH or path.startswith("/oauth2/")


def _ended(
    commit: Callable[[list[Any]], Answer], batch: list[Any], ending: ArmedFault | None, request: ApiRequest
) -> Reply:
    if ending is None:
        return Whole(commit(batch))
    if ending.name == "late-commit":
        return Silence(ending.number, lambda: commit(batch))
    kept = batch[: len(batch) // 2] if ending.name.endswith("-half") else batch
    return end(commit(kept), ending, _trace_id(request))


def _kind(request: ApiRequest) -> Scope:
    if _is_oauth(request.path):
        return Scope.TOKENS
    if request.method in {"GET", "HEAD", "OPTIONS"}:
        return Scope.READS
    if request.method != "POST":
        return Scope.WRITES
    return {CALLS: Scope.CALLS, leads.PATH: Scope.LEADS}.get(request.path, Scope.WRITES)


def _batch_is_over(size: int) -> Callable[[ArmedFault], bool]:
    return lambda fault: not fault.name.startswith("504-over") or size > fault.number


def _stands_at_the_door(request: ApiRequest, kind: Scope, size: int) -> Callable[[ArmedFault], bool]:
    is_over = _batch_is_over(size)

    def applies(fault: ArmedFault) -> bool:
        if fault.name == "moved":
            return request.base.partition("://")[2] != fault.text and request.path != oauth.SUBDOMAIN_PATH
        if kind is Scope.TOKENS and fault.name in API_ONLY:
            return fault.scope is Scope.TOKENS
        return is_over(fault)

    return applies


def _batch_holds_poison(batch: list[Any]) -> Callable[[ArmedFault], bool]:
    return lambda fault: not fault.text or bool(poisonous(batch, fault.text))


def _refusal(fault: ArmedFault, request: ApiRequest, *, russian: bool) -> Reply:
    """What stands behind each fault at the door."""
    match fault.name:
        case "401":
            return Whole(answers.unauthorized(russian=russian))
        case "402":
            return Whole(answers.payment_required(russian=russian))
        case "403":
            return Whole(answers.missing_scope())
        case "revoked":
            return Whole(oauth.refused("Token has been revoked", 401))
        case "404" | "moved":
            return Whole(answers.not_found(request.method, request.base + request.path))
        case "redirect":
            return Whole(answers.redirect(fault.text))
        case "reset-before":
            return Reset()
        case "html-200-before":
            return Whole(answers.maintenance_page())
        case name if name.startswith("429"):
            return Whole(_too_many(fault, request.now))
        case name:
            return Whole(answers.broken(int(name[:3]), _trace_id(request)))


def _too_many(fault: ArmedFault, now: float) -> Answer:
    return answers.too_many(fault.name, fault.number or KOMMO_RETRY_AFTER, now)


def _trace_id(request: ApiRequest) -> str:
    return f"{request.number:032x}"
