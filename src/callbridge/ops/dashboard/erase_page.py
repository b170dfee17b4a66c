"""Erasure by phone number, for somebody who asks to be forgotten: how many calls that is, then their end.

The number goes from page to page in bodies of requests only: it stands in no address, no log and no history of a browser.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from callbridge.call import phone_tail
from callbridge.ledger.views import CallFilter
from callbridge.ops.actions import Refused
from callbridge.ops.dashboard.render import done, render
from callbridge.ops.dashboard.selecting import line, texts_of
from callbridge.ops.dashboard.viewing import words
from callbridge.ops.masking import masked
from callbridge.ops.web import CONSOLE, WHO, Route
from callbridge.ops.who import Role

SHORTEST: Final = 5
"""Digits below which it is an extension, or a typing error."""

_LONGEST: Final = 64
_LONGEST_REASON: Final = 200


async def ask_number(request: web.Request) -> web.StreamResponse:
    return _form(request)


def _form(request: web.Request, problem: str | None = None) -> web.Response:
    return render(request, "erase.html", status=400 if problem else 200, problem=problem)


async def preview_erasure(request: web.Request) -> web.StreamResponse:
    form = await texts_of(request)
    phone = _number(form.get("phone", ""))
    if phone is None:
        return _form(request, words(request)("erase.no_number"))
    return await _confirm(request, phone)


async def _confirm(request: web.Request, phone: str, problem: str | None = None, reason: str = "") -> web.Response:
    t = words(request)
    counted = await request.app[CONSOLE].ledger.count(CallFilter(phone=phone_tail(phone)))
    told = t("erase.at_least", count=counted.calls) if counted.more else t("unit.calls", count=counted.calls)
    return render(
        request,
        "confirm.html",
        status=409 if problem else 200,
        title=t("erase.confirm", phone=masked(phone)),
        text=t("erase.text", told=told),
        action="/erase",
        label=t("erase.do"),
        back="/erase",
        fields=[("phone", phone)],
        tone="danger",
        wants_reason=True,
        reason=reason,
        type_in=_last(phone),
        problem=problem,
    )


async def erase(request: web.Request) -> web.StreamResponse:
    form = await texts_of(request)
    phone = _number(form.get("phone", ""))
    try:
        reason = line(form, "reason", _LONGEST_REASON)
    except ValueError:
        raise web.HTTPBadRequest from None
    if phone is None:
        raise web.HTTPBadRequest
    if reason is None:
        return await _confirm(request, phone, words(request)("desk.say_why"))
    if form.get("typed", "").strip() != _last(phone):
        return await _confirm(request, phone, words(request)("erase.not_typed"), reason)
    answer = await request.app[CONSOLE].actions.erase(request[WHO], phone, reason)
    if isinstance(answer, Refused):
        return await _confirm(request, phone, words(request)("erase.refused"), reason)
    raise done("/erase", "erased", answer.calls)


def _number(written: str) -> str | None:
    """None for what is no whole phone number."""
    written = written.strip()
    digits = phone_tail(written)
    return written if len(digits) >= SHORTEST and len(written) <= _LONGEST and written.isprintable() else None


def _last(phone: str) -> str:
    return phone_tail(phone)[-4:]


ROUTES: Final = (
    Route("GET", "/erase", ask_number, Role.ADMIN),
    Route("POST", "/erase/preview", preview_erasure, Role.ADMIN, proof=True),
    Route("POST", "/erase", erase, Role.ADMIN, proof=True),
)
