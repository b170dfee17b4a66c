"""From rows of the ledger and the queue to what is answered, with numbers whole or masked [pure].

Masked means every text that others wrote, not only the number's own field: a CRM's error quotes numbers, a webhook is full
of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from callbridge.ledger.views import Attempt, BatchRow, BatchXray, CallRow, ErrorGroup, Told
from callbridge.ops.advice import advice
from callbridge.ops.api import shown
from callbridge.ops.inspect import Story
from callbridge.ops.masking import masked, without_phones
from callbridge.redaction import clean
from callbridge.store.envelope import Envelope, EnvelopeError, unseal

_MOST_INFLATED: Final = 4 * 1024 * 1024
_OURS: Final = frozenset({"at", "what"})


def call(row: CallRow, *, hidden: bool) -> shown.Call:
    return shown.Call(**_fields(row, hidden=hidden))


def _fields(row: CallRow, *, hidden: bool) -> dict[str, Any]:
    names = shown.Call.model_fields
    return _hidden({name: getattr(row, name) for name in names}) if hidden else {n: getattr(row, n) for n in names}


def _hidden(fields: dict[str, Any]) -> dict[str, Any]:
    texts = {name: without_phones(fields[name]) for name in ("link", "detail", "result", "ref", "uniq", "extension")}
    return fields | texts | {"phone": masked(fields["phone"])}


def live_story(
    story: Story, requests: Sequence[Attempt] | None, row: CallRow | None, *, hidden: bool
) -> shown.CallStory:
    """As the queue tells it; `row` and `requests` are what the history adds, where it answers."""
    listed = story.listed.as_json() | {
        "extension": story.extension,
        "result": story.result,
        "cause": row.cause if row else None,
        "settled_at": row.settled_at if row else None,
        "replayed": row.replayed if row else any(entry.get("what") == "replayed" for entry in story.happened),
    }
    webhook = shown.Webhook(event=story.event, size=len(story.body), body=_body(story.body, hidden=hidden))
    return shown.CallStory(
        **(_hidden(listed) if hidden else listed),
        webhook=webhook,
        story=_happened(story.happened, hidden=hidden),
        requests=None if requests is None else [attempt(each, hidden=hidden) for each in requests],
        advice=story.advice,
        live=True,
        masked=hidden,
    )


def kept_story(told: Told, *, hidden: bool) -> shown.CallStory:
    """As the history alone tells it."""
    row, webhook = told.row, None
    if envelope := _opened(told.envelope):
        body = envelope.webhook.body
        webhook = shown.Webhook(event=envelope.webhook.event, size=len(body), body=_body(body, hidden=hidden))
    return shown.CallStory(
        **_fields(row, hidden=hidden),
        webhook=webhook,
        story=_happened(told.story, hidden=hidden),
        requests=[attempt(each, hidden=hidden) for each in told.attempts],
        advice=advice(row.state, row.reason),
        live=False,
        masked=hidden,
    )


def _opened(envelope: bytes | None) -> Envelope | None:
    try:
        return unseal(envelope) if envelope else None
    except EnvelopeError:
        return None


def _body(body: bytes, *, hidden: bool) -> str | None:
    return None if hidden else body.decode("utf-8", "replace")


def _happened(entries: Sequence[Mapping[str, Any]], *, hidden: bool) -> list[dict[str, Any]]:
    if not hidden:
        return [dict(entry) for entry in entries]
    return [{name: v if name in _OURS else clean(v, name) for name, v in entry.items()} for entry in entries]


def attempt(row: Attempt, *, hidden: bool) -> shown.Attempt:
    fields = {name: getattr(row, name) for name in shown.Attempt.model_fields}
    return shown.Attempt(**(fields | {"detail": without_phones(row.detail)} if hidden else fields))


def batch(row: BatchRow) -> shown.Batch:
    return shown.Batch(**{name: getattr(row, name) for name in shown.Batch.model_fields})


def xray(found: BatchXray, *, hidden: bool) -> shown.BatchXray:
    carried = [
        shown.Carried(
            call=call(row, hidden=hidden),
            became=got.became,
            reason=got.reason,
            detail=without_phones(got.detail) if hidden else got.detail,
        )
        for row, got in found.calls
    ]
    return shown.BatchXray(
        **batch(found.row).model_dump(),
        calls=carried,
        halves=[batch(row) for row in found.halves],
        request=_inflated(found.request, hidden=hidden),
        response=_inflated(found.response, hidden=hidden),
        masked=hidden,
    )


def _inflated(body: bytes | None, *, hidden: bool) -> str | None:
    """A body is kept deflated; one that is not is shown as it is."""
    if body is None or hidden:
        return None
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(body, _MOST_INFLATED)
    except zlib.error:
        plain = body
    whole = inflater.eof or inflater.unconsumed_tail
    return (plain if whole else body).decode("utf-8", "replace")


def group(row: ErrorGroup) -> shown.Group:
    """Its sample is always masked: a cause is told by the words around the number."""
    fields = {name: getattr(row, name) for name in shown.Group.model_fields}
    return shown.Group(**(fields | {"sample": without_phones(row.sample)}))


def phones_in(rows: Sequence[CallRow]) -> int:
    """How many numbers a list shows."""
    return sum(row.phone is not None for row in rows)
