"""The OpenAPI 3.1 document, made from the table and the models [pure]: what is documented is what is checked.

pydantic writes JSON Schema with definitions inside each model; here they become one set of components, and fields that are
left out rather than null lose the default that says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel

from callbridge import __version__
from callbridge.ops.access.headers import COOKIE, PLAIN_COOKIE
from callbridge.ops.api import shown
from callbridge.ops.api.endpoint import PATH_PARTS, PREFIX, Endpoint, Given, Nothing
from callbridge.ops.api.problems import CODES, MEDIA_TYPE

REFERENCE: Final = "#/components/schemas/{model}"

_ALWAYS: Final = (
    "bad_request", "unauthenticated", "forbidden", "other_origin", "not_found", "not_acceptable", "unknown_host",
    "internal",
)  # fmt: skip
_UNAVAILABLE: Final = ("store_unavailable", "ledger_unavailable")
_OF_BODIES: Final = ("bad_json", "body_too_large", "unsupported_media_type")

_TAGS: Final = {
    "status": "How everything stands.",
    "calls": "Calls and their stories.",
    "batches": "Requests to the CRM.",
    "dead": "Dead calls, grouped by cause.",
    "replay": "Moving many calls with one decision.",
    "accounts": "Accounts of the CRM.",
    "sources": "PBXs.",
    "audit": "Who did what.",
}

_SECURITY: Final[Mapping[str, Mapping[str, str]]] = {
    "token": {"type": "http", "scheme": "bearer", "description": "An API token with its role."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "A login of a person."},
    "plain_session": {
        "type": "apiKey", "in": "cookie", "name": PLAIN_COOKIE, "description": "Likewise, where there is no TLS.",
    },
}  # fmt: skip

_ABOUT: Final = (
    "Everything that the console shows and does. Times are Unix seconds, lists are `items` and `next`, refusals are "
    "problem+json with a stable `code`. Phone numbers are masked for viewers; for operators and admins they are whole, "
    "and who read them is written to the audit."
)


def document(endpoints: Sequence[Endpoint[Any, Any]]) -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(PREFIX + endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    _ref(shown.Problem, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "callbridge", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": words} for name, words in _TAGS.items()],
        "security": [{name: []} for name in _SECURITY],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": dict(_SECURITY),
        },
    }


def _operation(endpoint: Endpoint[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.operation,
        "tags": [endpoint.tag],
        "summary": endpoint.summary,
        "description": f"Needs the role {endpoint.role.value}.",
        "x-role": endpoint.role.value,
        "responses": _responses(endpoint, schemas),
    }
    if parameters := [*_path_parameters(endpoint.path), *_query_parameters(endpoint.query, schemas)]:
        operation["parameters"] = parameters
    if endpoint.has_body:
        content = {"application/json": {"schema": _ref(endpoint.body, schemas)}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_PARTS[name][1],
            "schema": {"type": "string", "pattern": PATH_PARTS[name][0]},
        }
        for name in names
    ]


def _query_parameters(query: type[Given], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    if query is Nothing:
        return []
    properties: Mapping[str, Any] = _schema(query, schemas)["properties"]
    return [
        {"name": name, "in": "query", "required": False, "description": schema.pop("description", ""), "schema": schema}
        for name, schema in properties.items()
    ]


def _responses(endpoint: Endpoint[Any, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    answer = _ref(endpoint.answer, schemas) if endpoint.answer else {"type": "object"}
    good: dict[str, Any] = {"description": "So it is.", "content": {"application/json": {"schema": answer}}}
    if endpoint.pages:
        told = "The next page, `rel=next`; absent on the last."
        good["headers"] = {"Link": {"description": told, "schema": {"type": "string"}}}
    responses = {"200": good} | ({"201": good | {"description": "It was made."}} if endpoint.made else {})
    told_codes: dict[str, list[str]] = {}
    for code in codes_of(endpoint):
        told_codes.setdefault(str(CODES[code][0]), []).append(code)
    for status, codes in sorted(told_codes.items()):
        responses[status] = _problem(int(status), codes, schemas)
    return responses


def codes_of(endpoint: Endpoint[Any, Any]) -> tuple[str, ...]:
    """Every refusal that the endpoint may answer with."""
    found = [*_ALWAYS, *_UNAVAILABLE, *endpoint.refusals]
    if endpoint.pages:
        found.append("no_such_page")
    if endpoint.has_body:
        found += _OF_BODIES
    return tuple(found)


def _problem(status: int, codes: Sequence[str], schemas: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "description": " ".join(f"`{code}`: {CODES[code][1]}" for code in codes),
        "content": {MEDIA_TYPE: {"schema": _ref(shown.Problem, schemas)}},
    }
    if status == HTTPStatus.UNAUTHORIZED:
        told["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}}}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        told["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return told


def _ref(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    if model.__name__ not in schemas:
        schemas[model.__name__] = {}
        schemas[model.__name__] = _schema(model, schemas)
    return {"$ref": REFERENCE.format(model=model.__name__)}


def _schema(model: type[BaseModel], schemas: dict[str, Any]) -> dict[str, Any]:
    mode: Any = "validation" if issubclass(model, Given) or model is shown.Problem else "serialization"
    schema = model.model_json_schema(ref_template=REFERENCE, mode=mode)
    given = issubclass(model, Given)
    for name, inner in schema.pop("$defs", {}).items():
        schemas.setdefault(name, _tidy(inner, given=given))
    tidied: dict[str, Any] = _tidy(schema, given=given)
    return tidied


def _tidy(schema: Any, *, given: bool) -> Any:
    """Without the titles, which repeat the names; what is `given` also without null, which nobody may write."""
    if isinstance(schema, list):
        return [_tidy(each, given=given) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if given and {"type": "null"} in schema.get("anyOf", ()):
        (meant,) = (each for each in schema["anyOf"] if each != {"type": "null"})
        schema = meant | {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}
    tidied: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "title" if isinstance(value, str):
                continue
            case "properties":
                tidied[name] = {each: _tidy(inner, given=given) for each, inner in value.items()}
            case _:
                tidied[name] = _tidy(value, given=given)
    return tidied
