"""Every endpoint of the real console under every check of schemathesis, as nobody and as each role: nothing undocumented,
nothing broken, no number for a viewer. Every run sends the same.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.generation import GenerationMode

from callbridge.ops.api.endpoint import PREFIX
from callbridge.ops.api.openapi import document
from callbridge.ops.api.table import ENDPOINTS
from callbridge.ops.who import Role
from support.rehearsal import LEAVES, NUMBER, Rehearsal

pytestmark = LEAVES

EXAMPLES = 12
"""For each operation and role; seeded, so that more would be the same for longer."""

SCHEMA = schemathesis.openapi.from_dict(document(ENDPOINTS))
NEEDED = {(endpoint.method, f"{PREFIX}{endpoint.path}"): endpoint.role for endpoint in ENDPOINTS}


@pytest.fixture(scope="module")
def known(day: Rehearsal) -> dict[str, Any]:
    """Ids of what there is, in turn: chance alone would never find one."""

    def ids(path: str) -> Any:
        answer = requests.get(f"{day.url}{PREFIX}{path}", headers=day.headers(Role.VIEWER), timeout=10)
        return cycle([row["id"] for row in answer.json()["items"]])

    return {"calls": ids("/calls?limit=200"), "batches": ids("/batches"), "name": cycle(day.stage.settings.accounts)}


def real(case: Any, known: dict[str, Any]) -> dict[str, str]:
    """The varying parts of the path by names of what there is."""
    kind = case.operation.path.removeprefix(PREFIX).split("/")[1]
    found = {"id": known.get(kind), "name": known["name"], "account": known["name"]}
    return {part: next(found[part]) if found.get(part) else value for part, value in case.path_parameters.items()}


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role.value if role else "nobody")
@SCHEMA.parametrize()
@hypothesis.seed(7)
@hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_the_endpoint_keeps_to_its_document(
    case: Any, day: Rehearsal, known: dict[str, Any], role: Role | None
) -> None:
    _keeps(case, day, role)
    if case.path_parameters and case.meta.generation.mode is GenerationMode.POSITIVE:
        case.path_parameters = real(case, known)
        _keeps(case, day, role)


def _keeps(case: Any, day: Rehearsal, role: Role | None) -> None:
    answer = case.call(base_url=day.url, headers=day.headers(role))
    case.validate_response(answer, headers=day.headers(role))
    assert answer.status_code < 500
    needed = NEEDED.get((case.method, case.operation.path))
    if role in {None, Role.VIEWER}:
        assert not NUMBER.search(answer.text)
    if role is None:
        # Whatever changes something is asked first whether it was sent from here.
        assert answer.status_code in {401, 403, 405}
    elif needed and not role.covers(needed):
        assert answer.status_code == 403
