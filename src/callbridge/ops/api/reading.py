"""From bytes to what a handler is given: parameters, body, path, and which representation is wanted.

Everything is bounded and strict, and what is refused is told by the names of our own fields only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar, get_origin

from aiohttp import ClientPayloadError, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import MultiMapping
from pydantic import ValidationError, ValidationInfo

from callbridge.ops.api.endpoint import PATH_PARTS, Given
from callbridge.ops.api.problems import FieldError, ProblemError

MAX_BODY: Final = 256 * 1024

_FROM_QUERY: Final = object()
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
"""As JSON writes it."""
_MOST_ERRORS: Final = 20

G = TypeVar("G", bound=Given)


def number(value: Any, info: ValidationInfo) -> Any:
    """A number in a query is text; in a body it has to be a number."""
    if info.context is _FROM_QUERY and isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    return value


def whole(value: Any, info: ValidationInfo) -> Any:
    """Likewise; `5.0` is a whole number in JSON."""
    value = number(value, info)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def query_of(model: type[G], given: MultiMapping[str]) -> G:
    """Raises `ProblemError`."""
    several = {name for name, field in model.model_fields.items() if get_origin(field.annotation) is list}
    values: dict[str, Any] = {}
    for name in set(given.keys()):
        found = given.getall(name)
        if name in several:
            values[name] = list(found)
        elif len(found) > 1 and name in model.model_fields:
            raise ProblemError("bad_request", errors=(FieldError(name, "given_twice", "is given once at most"),))
        else:
            values[name] = found[0]
    try:
        return model.model_validate(values, context=_FROM_QUERY)
    except ValidationError as error:
        raise _refusal(error, model) from None


async def body_of(model: type[G], request: web.Request) -> G:
    """Raises `ProblemError`."""
    if request.content_type != "application/json" or hdrs.CONTENT_ENCODING in request.headers:
        raise ProblemError("unsupported_media_type")
    raw = await _bytes(request)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise _refusal(error, model) from None


async def _bytes(request: web.Request) -> bytes:
    if (request.content_length or 0) > MAX_BODY:
        raise ProblemError("body_too_large")
    gathered = bytearray()
    try:
        while chunk := await request.content.readany():
            gathered += chunk
            if len(gathered) > MAX_BODY:
                raise ProblemError("body_too_large")
    except (web.RequestPayloadError, ClientPayloadError, HttpProcessingError, ConnectionError):
        raise ProblemError("bad_json", "The body broke off.") from None
    return bytes(gathered)


def path_of(given: Mapping[str, str]) -> dict[str, str]:
    """The varying parts. What no name of ours looks like names nothing: raises `ProblemError`."""
    if any(not re.fullmatch(PATH_PARTS[name][0], value, re.ASCII) for name, value in given.items()):
        raise ProblemError("not_found")
    return dict(given)


def takes_json(accept: str) -> bool:
    """Whether one who sends this `Accept` reads JSON."""
    if not accept.strip():
        return True
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        refused = any(re.fullmatch(r"q\s*=\s*0(\.0{0,3})?", parameter) for parameter in parameters)
        if kind in {"*/*", "application/*", "application/json"} and not refused:
            return True
    return False


def _refusal(error: ValidationError, model: type[Given]) -> ProblemError:
    errors: list[FieldError] = []
    for each in error.errors(include_input=False, include_url=False, include_context=False)[:_MOST_ERRORS]:
        match each["type"]:
            case "json_invalid":
                return ProblemError("bad_json")
            case "extra_forbidden":
                known = ", ".join(sorted(model.model_fields)) or "none"
                inner = _named(each["loc"][:-1])
                told = "there is no such field here" if inner else f"there is no such field; known: {known}"
                errors.append(FieldError(inner, "unknown", told))
            case kind:
                errors.append(FieldError(_named(each["loc"]), kind, each["msg"].removeprefix("Value error, ")))
    return ProblemError("bad_request", errors=tuple(errors))


def _named(location: tuple[int | str, ...]) -> str:
    """Positions count; names reach this far only where they are ours."""
    return ".".join(str(part) for part in location)
