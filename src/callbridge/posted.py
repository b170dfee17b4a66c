"""A request that was made, told for people [pure]: what it got, and what went over the wire for it.

Apart from `outcome`, which is what the work is decided by: of the evidence nothing is decided, it is kept and shown.
"""

from __future__ import annotations

from dataclasses import dataclass

from callbridge.outcome import Answer


@dataclass(frozen=True, slots=True)
class Evidence:
    """Bodies as they were sent and came, without any credential; HTTP status and the CRM's own name for the request, as far
    as they were heard.
    """

    request: bytes
    response: bytes | None = None
    status: int | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Posted:
    """`evidence` is None where there was no request, for want of a token."""

    answer: Answer
    evidence: Evidence | None = None
