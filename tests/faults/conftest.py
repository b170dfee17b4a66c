"""Scenarios are begun together, for the tests that were chosen."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def chosen(request: pytest.FixtureRequest) -> list[str]:
    """The `name`s for which a test of this module is going to run."""
    mine = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    params = [item.callspec.params for item in mine if hasattr(item, "callspec")]
    return list(dict.fromkeys(str(given["name"]) for given in params if "name" in given))
