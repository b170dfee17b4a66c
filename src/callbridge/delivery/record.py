"""What is kept of each request, for whoever asks later which calls went together, why, and what came back [pure].

One JSON object a request. The bodies are deflated and bounded: a level that costs about two microseconds a call, since
this is done for every request, and nearly none is ever looked at.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from callbridge.call import CallId
from callbridge.posted import Evidence, Posted

Why = Literal["full", "due", "half", "strangers", "probe", "trial"]
"""Why a request left with just these calls: as many as go together, or all that were due; half of a refused one, or those
of one whom the CRM does not know; the one call of a paused account, or the few of one that had stopped answering."""

MAX_REQUEST: Final = 65_536
"""Bytes, deflated. 250 calls of the usual size are 20 kB."""

MAX_RESPONSE: Final = 16_384
"""Bytes as they came; of a longer one the beginning. Errors stand there."""

_WINDOW: Final = -12
"""Raw deflate with a window of 4 KiB, as calls are stored with: cheap to set up for one call, and as small for many."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request. `at` is Unix seconds, `seconds` what its answer took. `parent` is the batch whose half it is, or whose
    strangers it holds.
    """

    batch: str
    account: str
    at: float
    leads: bool
    why: Why
    parent: str | None
    seconds: float
    calls: Sequence[CallId]


def record_of(sent: Sent, posted: Posted) -> bytes | None:
    """None where there was no request."""
    evidence = posted.evidence
    if evidence is None:
        return None
    told = {
        "id": sent.batch,
        "account": sent.account,
        "at": round(sent.at * 1000),
        "kind": "leads" if sent.leads else "calls",
        "size": len(sent.calls),
        "why": sent.why,
        "parent": sent.parent,
        "seconds": round(sent.seconds, 3),
        "answer": type(posted.answer).__name__,
        "detail": getattr(posted.answer, "detail", None),
        "status": evidence.status,
        "request_id": evidence.request_id,
        "calls": list(sent.calls),
        "request": _request(evidence),
        "response": None if evidence.response is None else _deflated(evidence.response[:MAX_RESPONSE]),
    }
    return orjson.dumps(told)


def _request(evidence: Evidence) -> str | None:
    deflated = _deflated(evidence.request)
    return deflated if len(deflated) * 3 // 4 <= MAX_REQUEST else None


def _deflated(body: bytes) -> str:
    deflate = zlib.compressobj(1, zlib.DEFLATED, _WINDOW, 4)
    return base64.b64encode(deflate.compress(body) + deflate.flush()).decode()
