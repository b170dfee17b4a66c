"""A call as the queue tells it, in the form in which the ledger lists calls [pure]: pages know one form only."""

from __future__ import annotations

from dataclasses import replace

from callbridge.ledger.views import CallRow
from callbridge.ops.inspect import Listed, Story


def row_of(listed: Listed) -> CallRow:
    return CallRow(**listed.as_json())


def row_of_story(story: Story, known: CallRow | None) -> CallRow:
    """`known` is what the ledger has of it, which knows a few things that the queue does not keep."""
    row = replace(
        row_of(story.listed),
        extension=story.extension,
        result=story.result,
        event=story.event,
        replayed=any(entry.get("what") == "replayed" for entry in story.happened),
    )
    if known is None:
        return row
    same = (known.state, known.reason) == (row.state, row.reason)
    return replace(
        row,
        cause=known.cause if same else None,
        settled_at=known.settled_at if same else None,
        replayed=row.replayed or known.replayed,
    )
