"""What is next for a call, which buttons it has, why no card was found, and where its card is [pure].

Codes with their values, so that pages say it in any language. `advice` says the same to those who work in a shell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, assert_never
from urllib.parse import urlencode, urlsplit

from callbridge.amocrm.translate import KEYPAD_WORDS, SHORTEST_NUMBER, dialable
from callbridge.call import phone_tail
from callbridge.ledger.views import CallRow
from callbridge.ops.job_plan import JobAction, fate, is_possible, places
from callbridge.ops.who import Role
from callbridge.outcome import PauseReason, Reason

_KNOWN: Final = frozenset(reason.value for reason in Reason)


@dataclass(frozen=True, slots=True)
class Step:
    """`code` is `queued`, `dead.expired` and the like: the state, where it matters with the reason, or what it waits for."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


def next_step(row: CallRow, pause: PauseReason | None = None, slowed: str | None = None) -> Step:
    """What happens by itself, or what a person can do. `pause` is why the call's account stands still, `slowed` why it takes
    fewer requests now, if either is so.
    """
    reason = row.reason if row.reason in _KNOWN else None
    match row.state:
        case "queued" | "retrying" if pause is not None:
            return Step("waits_for_account", {"account": row.account, "reason": pause.value})
        case "queued" | "retrying" if slowed is not None:
            return Step("waits_for_crm", {"account": row.account, "detail": slowed})
        case "parked" if reason == Reason.LEAD_REFUSED:
            return Step("parked.lead_refused")
        case "delivered" if reason in {Reason.INCOMING_LEAD, Reason.MARKED_DELIVERED}:
            return Step(f"delivered.{reason}")
        case "dead" | "ignored":
            return Step(f"{row.state}.{reason}" if reason else row.state)
        case "queued" | "retrying" | "sending" | "uncertain" | "parked" | "delivered" | "unmatched" | "erased":
            return Step(row.state)
        case _:
            assert_never(row.state)


# --- buttons ---------------------------------------------------------------------------------------------------------

MoveName = Literal[
    "replay", "discard", "edit", "resend", "mark_delivered", "retry", "lead", "give_up", "reveal"
]  # fmt: skip
WhyNot = Literal["needs_operator", "undecodable", "unknown_outcome", "not_inbound", "too_early", "forgotten"]


@dataclass(frozen=True, slots=True)
class Move:
    """A button that belongs to the state; where it is not `allowed`, it says why not."""

    name: MoveName
    allowed: bool
    why_not: WhyNot | None = None


_BUTTONS: Final[tuple[JobAction, ...]] = (
    JobAction.REPLAY, JobAction.RETRY, JobAction.LEAD, JobAction.MARK_DELIVERED, JobAction.RESEND, JobAction.GIVE_UP,
    JobAction.DISCARD,
)  # fmt: skip
"""In the order in which they are shown: what helps before what ends."""


def moves(row: CallRow, role: Role, *, decidable_in: float = 0.0) -> tuple[Move, ...]:
    """`decidable_in`: seconds until a person may say what became of an uncertain call."""
    found: list[Move] = []
    for action in _BUTTONS:
        if not any(row.state == state and reason in {None, row.reason} for state, reason in places(action)):
            continue
        found.append(_move(_NAMES[action], role, _obstacle(action, row, decidable_in)))
        if action is JobAction.REPLAY:
            doubtful = row.reason == Reason.UNKNOWN_OUTCOME
            found.append(_move("edit", role, "unknown_outcome" if doubtful else None))
    if row.phone:
        found.append(_move("reveal", role, None))
    return tuple(found)


_NAMES: Final[Mapping[JobAction, MoveName]] = {
    JobAction.REPLAY: "replay",
    JobAction.DISCARD: "discard",
    JobAction.RETRY: "retry",
    JobAction.LEAD: "lead",
    JobAction.GIVE_UP: "give_up",
    JobAction.RESEND: "resend",
    JobAction.MARK_DELIVERED: "mark_delivered",
}


def _move(name: MoveName, role: Role, why_not: WhyNot | None) -> Move:
    if not role.covers(Role.OPERATOR):
        why_not = "needs_operator"
    return Move(name, why_not is None, why_not)


def _obstacle(action: JobAction, row: CallRow, decidable_in: float) -> WhyNot | None:
    what = fate(action, row)
    if what in {"undecodable", "not_inbound", "forgotten"}:
        return what
    if row.state == "uncertain" and decidable_in > 0:
        return "too_early"
    return None if is_possible(what) else "forgotten"


# --- why no card was found -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Match:
    """`digits` are what is left of the number as it was written, `key` the last ten of them, by which the CRM compares.
    `verdict` says whether anybody can have it: `hidden` was no number, `short` has too few digits for a phone, `internal` is
    as long as the extensions of its source; `partial` has fewer digits than are compared.
    """

    digits: str
    key: str
    verdict: Literal["ok", "partial", "short", "internal", "hidden"]


def match_explained(phone: str | None, internal_digits: int) -> Match:
    """`internal_digits`: the most digits of an extension of its source."""
    number = dialable(phone or "")
    digits = number.removeprefix("+")
    key = phone_tail(digits)
    if not digits.strip("0") or number in KEYPAD_WORDS:
        return Match(digits, key, "hidden")
    if len(digits) < SHORTEST_NUMBER:
        return Match(digits, key, "short")
    if len(digits) <= internal_digits:
        return Match(digits, key, "internal")
    return Match(digits, key, "ok" if len(digits) >= 10 else "partial")


# --- into the CRM ----------------------------------------------------------------------------------------------------

_CARDS: Final = {"contact": "contacts", "company": "companies", "lead": "leads", "customer": "customers"}
_KINDS: Final = _CARDS | {kind: kind for kind in _CARDS.values()}


def card_link(url: str, entity_type: str | None, entity_id: int | None) -> str | None:
    """The card that has the call; None where there is none, or the CRM did not tell. `url` is the account's."""
    kind = _KINDS.get(entity_type or "")
    if kind is None or not entity_id or entity_id < 0 or not _is_web(url):
        return None
    return f"{url.rstrip('/')}/{kind}/detail/{entity_id}"


def new_contact_link(url: str, phone: str | None) -> str | None:
    """The CRM's own form for a new contact, with the number in it; without one where it is hidden, or not to be seen."""
    if not _is_web(url):
        return None
    number = dialable(phone or "")
    query = f"?{urlencode({'phone': number})}" if number else ""
    return f"{url.rstrip('/')}/contacts/add/{query}"


def _is_web(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
