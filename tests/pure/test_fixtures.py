"""Every recorded request means what is written beside it, and every provider has the cases that matter."""

from __future__ import annotations

import pytest

from callbridge.intake.providers import PROVIDERS, provider_named
from support.webhooks import FIXTURES, fixtures, outcome_of

NAMES = sorted(path.name for path in FIXTURES.iterdir() if (next(path.glob("*.headers.json"), None)))
CASES = [case for name in NAMES for case in fixtures(name)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.provider}-{case.name}")
def test_fixture(case):
    expected = {name: value for name, value in case.expected.items() if name != "repeats"}
    assert outcome_of(case) == expected


@pytest.mark.parametrize("case", [c for c in CASES if "repeats" in c.expected], ids=lambda c: f"{c.provider}-{c.name}")
def test_a_repetition_in_other_bytes_is_the_same_call(case):
    (first,) = [other for other in fixtures(case.provider) if other.name == case.expected["repeats"]]
    assert (first.request.body, first.request.target) != (case.request.body, case.request.target)
    one, two = (
        provider_named(each.source.provider).parse(each.request, each.source, each.now)[0].call
        for each in (first, case)
    )
    assert one.key == two.key


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_has_a_refused_a_repeated_and_a_hostile_fixture(name):
    told = fixtures(name)
    assert any("refused" in case.expected for case in told)
    assert any("repeats" in case.expected for case in told)
    assert any(case.name.startswith("hostile") for case in told)
