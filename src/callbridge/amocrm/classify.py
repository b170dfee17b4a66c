"""What an answer of amoCRM says about the calls of a batch [pure].

The whole verdict stands here. It is read from the body's structure and from numbers: a status alone says little (an
unmatched call is 200 beside a stored one and 400 without), and texts follow the account's language. Calls are told apart
by the `request_id` we sent, never by position. It knows nothing of retries, pauses or splitting: `delivery` decides those.

    2xx with lists          each call by its list; in both: delivered; in neither: unanswered
    2xx otherwise, 1xx      no answer: a proxy's page, half a body, 204
    3xx 404 405             account stopped: this is not the account's host
    400 with our calls      each call by its list (all unmatched), or named by `validation-errors`: those refused, the
                            others stored nothing and can go again
    400 otherwise           refused as a whole
    401 402 403             account stopped; 403 without JSON is the gateway's ban
    408 5xx                 no answer: the batch may be stored wholly, partly, or not
    425 429                 slow down: turned away unread
    other 4xx               refused as a whole

Sources: the vendor's pages on errors and limits; issues 52, 383, 434, 517, 526, 563, 570 of its PHP client.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from callbridge.amocrm.schema import ENTITY_NOT_FOUND, json_object, positive
from callbridge.call import CallId, plain_text
from callbridge.outcome import (
    AccountStopped,
    Answer,
    Delivered,
    NoAnswer,
    Outcome,
    PauseReason,
    PerCall,
    Reason,
    Refused,
    Resend,
    SlowDown,
    Unanswered,
    Unmatched,
    WholeRefused,
)

MAX_DETAIL: Final = 500
"""Characters of the CRM's own words kept for a person."""

_LONG_NUMBER: Final = re.compile(r"\d(?:[ ().\-]{0,2}\d){6,}")


def classify(status: int, headers: Mapping[str, str], body: bytes, ids: Mapping[str, CallId], *, now: float) -> Answer:
    """`ids` maps the `request_id` of every call sent to our id of it; `now` (Unix seconds) is for HTTP dates."""
    if 200 <= status < 300:
        answer = json_object(body)
        return NoAnswer(f"HTTP {status} without a JSON object") if answer is None else _per_call(answer, ids)
    if (reason := _stopped(status, body)) is not None:
        return AccountStopped(reason, _told(status, body))
    if status == 400:
        return _bad_request(body, ids)
    if status in {425, 429}:
        return SlowDown(_retry_after(headers, body, now))
    if 400 <= status < 500 and status != 408:
        return WholeRefused(_told(status, body))
    return NoAnswer(_told(status, body), too_heavy=status == 504)


def bounded(text: str) -> str:
    """Foreign text made fit to keep: one line, at most 500 characters, of long numbers only the last four digits."""
    return _LONG_NUMBER.sub(_tail, plain_text(" ".join(text[: 8 * MAX_DETAIL].split())))[:MAX_DETAIL]


def _stopped(status: int, body: bytes) -> PauseReason | None:
    match status:
        case 401:
            return PauseReason.UNAUTHORISED
        case 402:
            return PauseReason.PAYMENT_REQUIRED
        case 403:
            # The gateway's page is a ban of address or account; the application's own refusal is a missing right.
            return PauseReason.BANNED if json_object(body) is None else PauseReason.FORBIDDEN
        case 404 | 405:
            return PauseReason.WRONG_HOST
        case _:
            return PauseReason.WRONG_HOST if 300 <= status < 400 else None


def _bad_request(body: bytes, ids: Mapping[str, CallId]) -> Answer:
    answer = json_object(body) or {}
    invalid = {ids[key]: item for key, item in named(answer.get("validation-errors")) if key in ids}
    speaks_of_ours = any(key in ids for key, _ in named(answer.get("errors"))) or bool(_calls(answer))
    if speaks_of_ours:
        outcomes = dict(_per_call(answer, ids).outcomes)
        for id_, item in invalid.items():
            if isinstance(outcomes[id_], Unanswered):
                outcomes[id_] = Refused(shown(item))
        return PerCall(outcomes)
    if invalid:
        # One invalid item fails the request and nothing of it is stored, so its neighbours can go again at once.
        return PerCall({i: Refused(shown(invalid[i])) if i in invalid else Resend() for i in ids.values()})
    return WholeRefused(_told(400, body))


def _per_call(answer: dict[str, Any], ids: Mapping[str, CallId]) -> PerCall:
    outcomes: dict[CallId, Outcome] = {}
    calls = list(named(_calls(answer)))
    listed = {ids[key] for key, _ in calls if key in ids}
    for key, item in calls:
        if key in ids and (note := positive(item.get("id"))) is not None:
            outcomes.setdefault(ids[key], _delivered(note, item))
    for key, item in named(answer.get("errors")):
        if key in ids and ids[key] not in listed:  # listed as stored but without a note's id: asked again, not refused
            outcomes.setdefault(ids[key], _error(item))
    return PerCall({id_: outcomes.get(id_, Unanswered(Reason.NOT_IN_ANSWER)) for id_ in ids.values()})


def _delivered(note: int, item: dict[str, Any]) -> Delivered:
    """The note's id is the proof. A card that cannot be read does not undo it: `unknown`, 0."""
    kind = item.get("entity_type")
    return Delivered(
        note_id=note,
        entity_type=bounded(kind)[:32] if isinstance(kind, str) and kind else "unknown",
        entity_id=positive(item.get("entity_id")) or 0,
    )


def _error(item: dict[str, Any]) -> Outcome:
    return Unmatched() if positive(item.get("status")) == ENTITY_NOT_FOUND else Refused(shown(item))


def _calls(answer: dict[str, Any]) -> object:
    embedded = answer.get("_embedded")
    return embedded.get("calls") if isinstance(embedded, dict) else None


def named(items: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list that carry a `request_id`, which comes back as text or, from some paths, as a number."""
    candidates: Iterable[object] = items if isinstance(items, list) else ()
    for item in candidates:
        if isinstance(item, dict):
            key = item.get("request_id")
            if isinstance(key, str | int):
                yield str(key), item


def _retry_after(headers: Mapping[str, str], body: bytes, now: float) -> float | None:
    """amoCRM documents no header and Kommo a number in the body; gateways send seconds or a date."""
    header = next((value.strip() for name, value in headers.items() if name.lower() == "retry-after"), None)
    if header is not None:
        if (seconds := _seconds(header)) is not None:
            return seconds
        try:
            at = parsedate_to_datetime(header)
            wait = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            pass  # malformed: the body may still tell
        else:
            return wait if wait >= 0 else None
    return _seconds((json_object(body) or {}).get("retry_after"))


def _seconds(value: object) -> float | None:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,3})?", value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0:
        return float(value)
    return None


def _told(status: int, body: bytes) -> str:
    answer = json_object(body)
    said = shown(answer) if answer is not None else body[: 16 * MAX_DETAIL].decode("utf-8", "replace")
    return bounded(f"HTTP {status}: {said}" if said.strip() else f"HTTP {status}")


def shown(value: dict[str, Any]) -> str:
    try:
        return bounded(orjson.dumps(value).decode())
    except TypeError:  # orjson reads deeper nesting than it writes
        return "(an error nested too deeply to show)"


def _tail(number: re.Match[str]) -> str:
    return f"***{''.join(c for c in number[0] if c.isdigit())[-4:]}"
