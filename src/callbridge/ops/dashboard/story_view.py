"""A call's story as a line of time [pure]: what the queue and the history tell of it, put together and in order.

Apart from the page because here it is decided what is told: an entry of either side once, and a request that only the history
knows, as of a batch that was halved, in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from callbridge.ledger.views import Attempt, BatchXray
from callbridge.ops.dashboard.shown_text import Veil, inflated, part_about, readable
from callbridge.redaction import clean
from callbridge.store.envelope import EnvelopeError, unseal

Tone = Literal["ok", "warning", "problem", "info", "quiet"]

_TONES: Final[Mapping[str, Tone]] = {
    "received": "info",
    "delivered": "ok",
    "noted": "ok",
    "uncertain": "warning",
    "parked": "warning",
    "waiting": "warning",
    "note_failed": "warning",
    "halved": "warning",
    "dead": "problem",
}
_OF_THE_REQUEST: Final = frozenset({"batch", "answer", "status", "seconds", "size"})
_TOLD: Final = frozenset({"at", "what", "reason", "detail", "by", "why", "leg"})


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that carried the call."""

    batch: str
    answer: str | None
    status: int | None
    seconds: float | None
    size: int | None


@dataclass(frozen=True, slots=True)
class Happening:
    """One entry. Texts are as they may be seen; `facts` are what else is known, by name."""

    at: float
    what: str
    tone: Tone
    reason: str | None = None
    detail: str | None = None
    by: str | None = None
    why: str | None = None
    sent: Sent | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What went over the wire for one call: its part of the request, and what of the answer is about it, else all of it; then
    with numbers masked in any case, since they may be those of others.
    """

    batch: str
    posted: str | None
    answered: str | None
    whole: bool


def timeline(
    story: Sequence[Mapping[str, Any]], attempts: Sequence[Attempt], veil: Veil, *, bare: bool = False
) -> tuple[Happening, ...]:
    """In order of time. `bare` leaves out whatever somebody wrote."""
    by_batch = {attempt.batch_id: attempt for attempt in attempts}
    told = [_happening(entry, by_batch, veil) for entry in story]
    known = {each.sent.batch for each in told if each.sent}
    told += [_of_attempt(attempt, veil) for attempt in attempts if attempt.batch_id not in known]
    if bare:
        told = [replace(each, detail=None, why=None, facts={}) for each in told]
    return tuple(sorted(told, key=lambda each: each.at))


def merged(live: Iterable[Mapping[str, Any]], kept: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The queue keeps the latest entries of a story, the history all that reached it."""
    found = list(live)
    known = {_mark(entry) for entry in found}
    return sorted(
        [*found, *(entry for entry in kept if _mark(entry) not in known)], key=lambda entry: float(entry["at"])
    )


def _mark(entry: Mapping[str, Any]) -> tuple[int, str]:
    """Which entry it is; of a webhook both sides tell, each in its way."""
    what = str(entry.get("what", ""))
    return (0 if what == "received" else round(float(entry["at"]) * 1000), what)


def _happening(entry: Mapping[str, Any], attempts: Mapping[str, Attempt], veil: Veil) -> Happening:
    what = str(entry.get("what", ""))
    rest = {name: value for name, value in entry.items() if name not in _TOLD}
    sent = None
    if batch := rest.get("batch"):
        known = attempts.get(str(batch))
        sent = Sent(
            str(batch),
            rest.get("answer") or (known.answer if known else None),
            rest.get("status") or (known.status if known else None),
            rest.get("seconds") if "seconds" in rest else (known.seconds if known else None),
            rest.get("size") or (known.size if known else None),
        )
        rest = {name: value for name, value in rest.items() if name not in _OF_THE_REQUEST}
    return Happening(
        at=float(entry["at"]),
        what=what,
        tone=_TONES.get(what, "quiet"),
        reason=_text(entry.get("reason")),
        detail=veil.line(_text(entry.get("detail"))),
        by=veil.line(_text(entry.get("by"))),
        why=veil.line(_text(entry.get("why"))),
        sent=sent,
        facts={name: _fact(veil, name, value) for name, value in rest.items() if value is not None},
    )


def _of_attempt(attempt: Attempt, veil: Veil) -> Happening:
    sent = Sent(attempt.batch_id, attempt.answer, attempt.status, attempt.seconds, attempt.size)
    tone = _TONES.get(attempt.became, "quiet")
    return Happening(attempt.at, attempt.became, tone, attempt.reason, veil.line(attempt.detail), sent=sent)


def evidence(xray: BatchXray | None, uniq: str | None, veil: Veil) -> Evidence | None:
    """None where nothing is kept of that request any more."""
    if xray is None or (xray.request is None and xray.response is None):
        return None
    posted, answered = _part(xray.request, uniq), _part(xray.response, uniq)
    whole = answered is None and xray.response is not None
    return Evidence(
        xray.row.id,
        None if posted is None else veil.shown(posted),
        Veil().packed(xray.response) if whole else None if answered is None else veil.shown(answered),
        whole,
    )


def _part(kept: bytes | None, uniq: str | None) -> Any:
    return None if kept is None or not uniq else part_about(readable(inflated(kept)), uniq)


def webhook_in(envelope: bytes | None) -> tuple[str, bytes] | None:
    """Event and body of a stored webhook; None once it is too old."""
    try:
        found = unseal(envelope).webhook if envelope else None
    except EnvelopeError:
        return None
    return (found.event, found.body) if found else None


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _fact(veil: Veil, name: str, value: Any) -> Any:
    if name in {"started_at", "bytes", "duration"} and isinstance(value, int):
        return value
    return veil.value(value, name) if veil.lifted else clean(value, name)
