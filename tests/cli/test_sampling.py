"""The test of a source tells what its settings make of a call, for every simulated PBX, and stores nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from callbridge.commands.rehearsal import PBXS, made_up_keys, made_up_settings
from callbridge.commands.sampling import sampled
from callbridge.settings import Settings


def settings(tmp_path: Path, **changes: object) -> Settings:
    made = made_up_settings(made_up_keys(), crm="http://127.0.0.1:1", data_dir=tmp_path)
    sources = {name: source.model_copy(update=changes) for name, source in made.sources.items()}
    return made.model_copy(update={"sources": sources})


@pytest.mark.parametrize("source", PBXS)
def test_a_configured_source_takes_the_sample_of_its_pbx(tmp_path: Path, source: str) -> None:
    found = sampled(settings(tmp_path), source)
    assert found.problem is None
    assert found.trial
    assert found.trial.ok
    assert any(fate.item for fate in found.trial.fates)


def test_a_setting_that_drops_every_call_shows(tmp_path: Path) -> None:
    found = sampled(settings(tmp_path, min_duration=86_000, post_missed=False), "shop")
    assert found.trial
    assert all(fate.item is None for fate in found.trial.fates)
    assert any("ignored" in fate.intake for fate in found.trial.fates)


def test_a_source_whose_pbx_signs_with_a_private_key_says_why_there_is_no_sample(tmp_path: Path) -> None:
    made = settings(tmp_path)
    source = made.sources["shop"].model_copy(update={"provider": "telnyx"})
    found = sampled(made.model_copy(update={"sources": {"shop": source}}), "shop")
    assert found.trial is None
    assert "private key" in (found.problem or "")
