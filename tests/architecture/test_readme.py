"""What the README says can be done can be done."""

from __future__ import annotations

import re
from pathlib import Path

import typer.main

from callbridge.cli import app
from callbridge.commands.providers import markdown
from callbridge.ops import metrics
from callbridge.outcome import PauseReason, PublicState, Reason
from callbridge.sim.faults import FAULTS

README = (Path(__file__).parents[2] / "README.md").read_text()


def test_every_command_is_named_and_every_named_command_exists() -> None:
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined] # a group
    used = set(re.findall(r"(?:^    |`)callbridge ([a-z]+)", README, re.MULTILINE))
    assert used <= commands
    assert {name for name in commands if re.search(rf"\b{name}\b", README)} == commands


def test_every_provider_and_preset_has_its_row_with_what_to_enter_where() -> None:
    """To renew the table: callbridge providers list --markdown"""
    rows = markdown().splitlines()
    assert len(rows) > 10
    missing = [row for row in rows if f"\n{row}\n" not in README]
    assert missing == []
    assert README.count("\n| PBX |") == 1
    table = README[README.index(rows[0]) :].partition("\n\n")[0]
    assert table.splitlines() == rows


def test_every_metric_has_its_row() -> None:
    """To renew the table: python -c 'from callbridge.ops.metrics import markdown; print(markdown())'"""
    assert f"\n\n{metrics.markdown()}\n\n" in README


def test_every_fault_of_the_simulator_is_described() -> None:
    described = set(re.findall(r"^\| `([a-z0-9-]+)` \|", README, re.MULTILINE))
    assert set(FAULTS) <= described


def test_every_public_state_is_explained() -> None:
    for state in PublicState.__args__:  # type: ignore[attr-defined] # a Literal
        assert state == "erased" or f"`{state}`" in README, state


def test_every_reason_a_call_can_end_with_is_named() -> None:
    passing = {
        Reason.NOT_IN_ANSWER, Reason.NO_ANSWER, Reason.LEASE_LAPSED, Reason.BATCH_REFUSED, Reason.ABSENT_IN_CRM,
        Reason.NO_MATCHING_ENTITY,
    }  # fmt: skip
    for reason in set(Reason) - passing:
        assert reason.value in README, reason
    assert len(PauseReason) == 8


def test_links_within_the_repository_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (Path(__file__).parents[2] / target).exists(), target


def test_nothing_is_left_to_be_filled_in() -> None:
    assert not re.search(r"\(figures\)|TODO|FIXME|\?\?\?", README)


def test_the_worked_example_of_a_preset_is_the_one_that_the_tests_run() -> None:
    shown = README[README.index('```toml\nname = "acme"') :].removeprefix("```toml\n").partition("```")[0]
    assert shown == (Path(__file__).parents[1] / "fixtures" / "own_presets" / "acme.toml").read_text()
