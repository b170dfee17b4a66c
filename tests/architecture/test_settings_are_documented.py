"""`.env.example` is what the settings model says."""

from __future__ import annotations

from pathlib import Path

from callbridge.guide import env_example, example
from callbridge.settings import every_setting

ROOT = Path(__file__).parents[2]
NAMES = {"accounts": ("main",), "sources": ("office",)}


def test_the_file_in_the_repository_is_the_one_made_from_the_model() -> None:
    """To renew it: python -c "from callbridge.guide import env_example as e; print(e(), end='')" > .env.example"""
    assert (ROOT / ".env.example").read_text() == env_example()


def test_every_setting_is_in_both_examples_with_its_description() -> None:
    for path, field in every_setting(NAMES):
        assert f"# {field.description}\n#CALLBRIDGE_{'__'.join(path).upper()}=" in env_example()
        assert f"# {field.description}\n#{path[-1]} = " in example()
