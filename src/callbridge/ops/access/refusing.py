"""What is answered where nothing is shown: a page that says what to do, a problem in JSON, or one line of text.

In our own words throughout: nothing of a request comes back in a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Literal
from urllib.parse import quote, urlsplit

from aiohttp import hdrs, web

from callbridge.ops.access.origins import inner
from callbridge.ops.api import problems
from callbridge.ops.dashboard.render import render

Kind = Literal["page", "api", "plain"]

_PASSING: Final = frozenset({"store_unavailable", "ledger_unavailable", "internal"})
"""Where asking again may help."""


def refuse(
    request: web.Request, kind: Kind, code: str, *, headers: Mapping[str, str] | None = None, **texts: Any
) -> web.Response:
    """`code` is one of `problems.CODES`. `texts` are values of the page's words."""
    match kind:
        case "api":
            return problems.problem(code, headers=headers)
        case "plain":
            return _plain(code, headers)
        case "page":
            again = request.method == hdrs.METH_GET and code in _PASSING
            try:
                page = render(
                    request, "error.html", status=problems.CODES[code][0], code=code, texts=texts, again=again
                )
            except Exception:  # noqa: BLE001 - the page that says that something failed must not fail
                return _plain(code, headers)
            page.headers.update(headers or {})
            return page


def _plain(code: str, headers: Mapping[str, str] | None) -> web.Response:
    status, words = problems.CODES[code]
    answer = web.Response(status=status, text=f"{words}\n", headers=headers)
    if status == 401:
        answer.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    if status == 503:
        answer.headers[hdrs.RETRY_AFTER] = str(problems.RETRY_AFTER)
    return answer


def to_login(request: web.Request) -> web.StreamResponse:
    """The way of somebody who is not logged in, and wants a page. Whoever follows a link from another site comes without
    his cookie, which is strict: he is asked to come again from here, and then has it.
    """
    if request.headers.get("HX-Request") == "true":
        return web.Response(status=401, headers={"HX-Redirect": f"/login?next={_quoted(seen_page(request))}"})
    if request.method == hdrs.METH_GET:
        wanted = inner(request.raw_path)
        if request.headers.get("Sec-Fetch-Site") == "cross-site":
            with suppress(Exception):  # without that page there is the login
                return render(request, "again.html", wanted=wanted)
        return _see_other(f"/login?next={_quoted(wanted)}")
    return _see_other("/login")


def ask_proof(request: web.Request, back: str, *, by_link: bool) -> web.Response:
    """The password is needed once more, and what was wanted is to be done again after it."""
    if request.headers.get("HX-Request") == "true":
        return web.Response(status=403, headers={"HX-Redirect": f"/proof?next={_quoted(seen_page(request))}"})
    return render(request, "proof.html", status=403, next=back, by_link=by_link, problem=None, wait=0.0)


def seen_page(request: web.Request, default: str = "/") -> str:
    """Which page of ours a part was asked from, as htmx tells."""
    seen = urlsplit(request.headers.get("HX-Current-URL", ""))
    return inner(f"{seen.path}?{seen.query}" if seen.query else seen.path, default)


def _see_other(path: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: path})


def _quoted(path: str) -> str:
    return quote(path, safe="/")
