"""Answers of the CRM [pure]: problem+json, hal+json and the HTML pages of the gateway in front of it.

Apart from the endpoints because every refusal looks the same wherever it happens. It knows bodies, not when to send them.

The bodies follow the vendor's page of HTTP codes (developers.kommo.com, "HTTP codes"); gateway refusals (403 ban, 413, 429,
502-504) are HTML, as client authors have reported since 2020. Texts are English or Russian, depending on the account.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import orjson

HAL, PROBLEM, HTML = "application/hal+json", "application/problem+json", "text/html"

_RUSSIAN = {
    "Bad Request": "Некорректный запрос",
    "Entity not found": "Сущность не найдена",
    "Invalid user name or password": "Неверный логин или пароль",
    "Payment required": "Требуется оплата",
    "Request data can not be empty": "Данные запроса не могут быть пустыми",
    "Request validation failed": "Запрос не прошёл проверку",
    "Unauthorized": "Доступ закрыт",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, before anything on the wire happens to it."""

    status: int
    body: bytes = b""
    content_type: str = HAL
    headers: tuple[tuple[str, str], ...] = ()


def text(english: str, *, russian: bool) -> str:
    return _RUSSIAN.get(english, english) if russian else english


def hal(payload: object, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(payload))


def no_content() -> Answer:
    """An empty list is 204 without a body, never `[]`."""
    return Answer(204)


def problem(status: int, detail: str, *, russian: bool = False, extra: Mapping[str, Any] | None = None) -> Answer:
    title = text(HTTPStatus(status).phrase, russian=russian)
    body = dict(extra or {}) | {
        "title": title,
        "type": f"https://httpstatus.es/{status}",
        "status": status,
        "detail": text(detail, russian=russian),
    }
    return Answer(status, orjson.dumps(body), PROBLEM)


def gateway_page(status: int, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """What the proxy in front of the CRM says when it answers itself."""
    heading = f"{status} {HTTPStatus(status).phrase}"
    page = (
        f"<html>\n<head><title>{heading}</title></head>\n<body>\n"
        f"<center><h1>{heading}</h1></center>\n<hr><center>nginx</center>\n</body>\n</html>\n"
    )
    return Answer(status, page.encode(), HTML, headers)


def maintenance_page() -> Answer:
    return Answer(200, b"<!doctype html>\n<title>Maintenance</title>\n<p>The service will be back soon.</p>\n", HTML)


def unauthorized(*, russian: bool = False) -> Answer:
    return problem(401, "Invalid user name or password", russian=russian)


def payment_required(*, russian: bool = False) -> Answer:
    return problem(402, "Payment required", russian=russian)


def missing_scope() -> Answer:
    return problem(403, "Client doesn't have the required scope")


def not_found(method: str, url: str) -> Answer:
    return problem(404, f"Cannot {method} {url}")


def server_error(trace_id: str) -> Answer:
    body = {"title": "ErrInternalServer", "status": 500, "detail": "We know of the problem.", "trace_id": trace_id}
    return Answer(500, orjson.dumps(body), PROBLEM)


def broken(status: int, trace_id: str) -> Answer:
    """500 comes from the application as JSON, 502-504 from the proxy as HTML."""
    return server_error(trace_id) if status == 500 else gateway_page(status)


def redirect(location: str) -> Answer:
    return Answer(302, b"", HTML, (("Location", location),))


def too_many(variant: str, seconds: float, now: float) -> Answer:
    """The shapes in which a 429 has been met: amoCRM's page without a header, Kommo's JSON, and header variants."""
    match variant:
        case "429-json" | "429-json-after":
            detail = "Too many requests have been sent in a short time. Please try again later."
            return problem(429, detail, extra={"retry_after": int(seconds)})
        case "429-retry-after":
            return gateway_page(429, (("Retry-After", str(int(seconds))),))
        case "429-http-date":
            return gateway_page(429, (("Retry-After", formatdate(now + seconds, usegmt=True)),))
        case "429-malformed":
            return gateway_page(429, (("Retry-After", "in a while"),))
        case _:
            return gateway_page(429)
