"""Refusals as RFC 9457 problems: one table of codes, and how one is written.

`code` is what programs branch on and never changes; `type` is the place in the documentation that explains it. A problem
names fields of ours and says what may stand there; it never quotes what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import hdrs, web

MEDIA_TYPE: Final = "application/problem+json"

CODES: Final[Mapping[str, tuple[int, str]]] = {
    "bad_request": (400, "A parameter or a field of the body is not as documented; `errors` names each."),
    "bad_json": (400, "The body is not valid JSON."),
    "unauthenticated": (401, "There is no valid token or session."),
    "forbidden": (403, "The role of this token or session does not allow it."),
    "proof_needed": (403, "The password was given too long ago for this: give it again."),
    "other_origin": (403, "The request comes from another origin."),
    "not_found": (404, "There is nothing by this name."),
    "no_such_page": (404, "The cursor opens no page of this list: begin again without it."),
    "method_not_allowed": (405, "This method is not used here."),
    "not_acceptable": (406, "Answers are application/json."),
    "refused": (409, "It is not possible as things stand; `reason` says why by a code, `detail` in words."),
    "confirmation_needed": (
        409,
        "`confirmed` has to be the number of calls, which is `total`: above 100, and wherever it is given.",
    ),
    "body_too_large": (413, "The body is larger than 256 KiB."),
    "unsupported_media_type": (415, "Bodies are application/json."),
    "unknown_host": (421, "The console does not go by this name: set console.public_url, or use its address."),
    "internal": (500, "Something went wrong here. It has been logged."),
    "store_unavailable": (503, "Redis does not answer now. Ask again later."),
    "ledger_unavailable": (503, "The call history does not answer now, or not in time. Ask again later."),
}
"""Every code there is, its status, and its words."""

RETRY_AFTER: Final = 5
"""Seconds after which asking again may help."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """`field` is a name of ours with dots and positions, or empty where a name is not one of ours."""

    field: str
    code: str
    detail: str


@dataclass(slots=True)
class ProblemError(Exception):
    """Raised anywhere below an endpoint, answered as a problem. `more` are further members of the answer, ours alone."""

    code: str
    detail: str | None = None
    errors: tuple[FieldError, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.code


def body_of(code: str, detail: str | None = None, more: Mapping[str, Any] | None = None) -> bytes:
    status, words = CODES[code]
    title = HTTPStatus(status).phrase
    told = {"type": f"/api/docs#{code}", "title": title, "status": status, "code": code, "detail": detail or words}
    return orjson.dumps(told | dict(more or {}))


def problem(
    code: str,
    detail: str | None = None,
    *,
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The answer that says so."""
    status, _ = CODES[code]
    added = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        added.setdefault(hdrs.RETRY_AFTER, str(RETRY_AFTER))
    if status == HTTPStatus.UNAUTHORIZED:
        added.setdefault(hdrs.WWW_AUTHENTICATE, "Bearer")
    return web.Response(
        status=status, body=body_of(code, detail, more), headers={hdrs.CONTENT_TYPE: MEDIA_TYPE, **added}
    )


def answered(error: ProblemError) -> web.Response:
    errors = [{"field": each.field, "code": each.code, "detail": each.detail} for each in error.errors]
    return problem(error.code, error.detail, more=dict(error.more) | ({"errors": errors} if errors else {}))


def of_status(status: int) -> str:
    """The code of a refusal that was made below us: an unknown path, a method that is not used."""
    return next(
        (code for code, (its, _) in CODES.items() if its == status), "internal" if status >= 500 else "bad_request"
    )
