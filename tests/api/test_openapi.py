"""The document tells what is served: valid OpenAPI 3.1, every route, every refusal, every role."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import schemathesis
from pydantic import BaseModel

from callbridge.ops.api.endpoint import PATH_PARTS, PREFIX, Given
from callbridge.ops.api.openapi import codes_of, document
from callbridge.ops.api.problems import CODES
from callbridge.ops.api.routes import ROUTES
from callbridge.ops.api.table import ENDPOINTS
from callbridge.ops.who import Role


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return document(ENDPOINTS)


def test_the_document_is_valid_openapi(told: dict[str, Any]) -> None:
    assert told["openapi"] == "3.1.0"
    schema = schemathesis.openapi.from_dict(told)
    schema.validate()
    assert len(list(schema.get_all_operations())) == len(ENDPOINTS)


def test_every_reference_leads_somewhere_and_nothing_is_left_of_models_of_their_own(told: dict[str, Any]) -> None:
    text = json.dumps(told)
    known = set(told["components"]["schemas"])
    assert set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', text)) <= known
    assert "$defs" not in text


def test_every_route_is_documented_with_its_role(told: dict[str, Any]) -> None:
    served = {
        (route.method, re.sub(r":[^}]+}", "}", route.path), route.role)
        for route in ROUTES
        if route.path.startswith(PREFIX)
    }
    documented = {
        (method.upper(), path, Role(operation["x-role"]))
        for path, operations in told["paths"].items()
        for method, operation in operations.items()
    }
    assert served == documented
    assert all(route.role is not None for route in ROUTES)


def test_no_get_changes_anything_and_whatever_changes_needs_more_than_a_viewer() -> None:
    for endpoint in ENDPOINTS:
        assert (endpoint.role is Role.VIEWER) <= (endpoint.method == "GET")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.operation)
def test_every_refusal_is_documented(told: dict[str, Any], endpoint: Any) -> None:
    responses = told["paths"][PREFIX + endpoint.path][endpoint.method.lower()]["responses"]
    for code in codes_of(endpoint):
        assert f"`{code}`" in responses[str(CODES[code][0])]["description"]
    assert {"200", "400", "401", "403"} <= set(responses)


def test_names_of_models_and_operations_are_not_used_twice() -> None:
    operations = [endpoint.operation for endpoint in ENDPOINTS]
    assert len(set(operations)) == len(operations)
    models: dict[str, type[BaseModel]] = {}
    for endpoint in ENDPOINTS:
        for model in (endpoint.query, endpoint.body, *([endpoint.answer] if endpoint.answer else [])):
            assert models.setdefault(model.__name__, model) is model


def test_every_input_is_strict_and_bounded(told: dict[str, Any]) -> None:
    for endpoint in ENDPOINTS:
        for model in (endpoint.query, endpoint.body):
            assert issubclass(model, Given) and model.model_config["extra"] == "forbid" and model.model_config["strict"]
        for parameter in told["paths"][PREFIX + endpoint.path][endpoint.method.lower()].get("parameters", ()):
            assert _is_bounded(parameter["schema"], told), parameter
    for name in ("JobBody", "PreviewBody", "PauseBody", "GroupBody", "Wanted"):
        schema = told["components"]["schemas"][name]
        assert schema["additionalProperties"] is False
        assert all(_is_bounded(field, told) for field in schema["properties"].values()), schema


def _is_bounded(schema: dict[str, Any], told: dict[str, Any]) -> bool:
    match schema:
        case {"$ref": reference}:
            return reference.rpartition("/")[2] in told["components"]["schemas"]
        case {"enum": _}:
            return True
        case {"type": "string", "pattern": pattern}:
            return "maxLength" in schema or bool(re.search(r"[}\w)]\$$", pattern))
        case {"type": "integer" | "number"}:
            return {"minimum", "exclusiveMinimum"} & set(schema) != set() and (
                {"maximum", "exclusiveMaximum"} & set(schema) != set()
            )
        case {"type": "array", "items": items}:
            return "maxItems" in schema and _is_bounded(items, told)
        case _:
            return False


def test_parts_of_paths_are_those_that_are_described() -> None:
    used = {part[1:-1] for endpoint in ENDPOINTS for part in endpoint.path.split("/") if part.startswith("{")}
    assert used == set(PATH_PARTS)
    assert all(pattern.startswith("^") and pattern.endswith("$") for pattern, _ in PATH_PARTS.values())
