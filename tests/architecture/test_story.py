"""The package's docstring tells the way of a call by modules that exist."""

from __future__ import annotations

import importlib
import re

import callbridge


def test_every_step_of_the_story_names_modules_that_exist() -> None:
    steps = re.findall(r"^ +(\d+)  .+?  +([a-z_.]+(?:, [a-z_.]+)*)$", callbridge.__doc__ or "", re.MULTILINE)
    assert [int(number) for number, _ in steps] == list(range(1, 14))
    for _, modules in steps:
        for module in modules.split(", "):
            importlib.import_module(f"callbridge.{module}")
