"""What the receiver says: its answers, and the problem bodies of its refusals.

Apart from the socket that they go out by: they are all that a sender ever reads of us, and none of it is an echo.
"""

from __future__ import annotations

import random
from http import HTTPStatus
from typing import Final

import orjson
from aiohttp import hdrs, web

RETRY_AFTER: Final = (5, 15)
"""Seconds, drawn at random, so that senders that were refused together do not come back together."""

PROBLEM: Final = "application/problem+json"
DETAILS: Final = {
    400: "The request could not be read.",
    401: "The credential is missing or not valid.",
    404: "There is nothing at this address.",
    405: "This method is not used here.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    417: "Only 100-continue can be expected.",
    500: "Something went wrong here. It has been logged.",
    503: "Nothing can be stored now. Send it again later.",
}


class Answer(web.Response):
    """A response that does not say which software made it."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        del self._headers[hdrs.SERVER]


def busy() -> web.Response:
    wait = random.randint(*RETRY_AFTER)  # noqa: S311 - spreads retries, keeps no secret
    return problem(503, {hdrs.RETRY_AFTER: str(wait)}, close=True)


def problem_body(status: int, more: dict[str, object] | None = None) -> bytes:
    """What a refused sender reads."""
    title = HTTPStatus(status).phrase
    told = {"type": "about:blank", "title": title, "status": status, "detail": DETAILS[status]}
    return orjson.dumps(told | (more or {}))


def problem(
    status: int, headers: dict[str, str] | None = None, *, close: bool = False, more: dict[str, object] | None = None
) -> web.Response:
    answer = Answer(
        status=status, body=problem_body(status, more), headers={hdrs.CONTENT_TYPE: PROBLEM, **(headers or {})}
    )
    if close:
        answer.force_close()
    return answer
