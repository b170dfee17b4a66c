"""Every dependency has a reason, and what is installed is not older than what is safe."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2] / "pyproject.toml"

FLOORS = {"aiohttp": (3, 14, 3), "redis": (5, 2), "arq": (0, 28), "pydantic": (2, 10), "orjson": (3, 10)}
"""The oldest versions without a known hole in what we use of them; aiohttp's is the parser's of 2026."""


def blocks() -> list[str]:
    """The lists of dependencies as they are written, comments included."""
    text = PROJECT.read_text()
    return re.findall(r"(?ms)^(?:dependencies|embedded|test|lint) = \[\n(.*?)^\]", text)


def test_every_dependency_says_why_it_is_here() -> None:
    obvious = {"pytest", "pytest-asyncio"}
    unexplained = []
    for block in blocks():
        before = ""
        for line in block.splitlines():
            required = re.match(r'\s*"([A-Za-z0-9_.-]+)', line)
            if required and required[1] not in obvious and "#" not in line and not before.startswith("#"):
                unexplained.append(required[1])
            before = line.strip()
    assert unexplained == []
    assert sum(len(re.findall(r'(?m)^\s*"', block)) for block in blocks()) > 10


@pytest.mark.parametrize("package", FLOORS)
def test_what_is_installed_is_not_older_than_what_is_safe(package: str) -> None:
    installed = tuple(int(part) for part in re.findall(r"\d+", importlib.metadata.version(package)))
    assert installed >= FLOORS[package]


@pytest.mark.parametrize("package", FLOORS)
def test_no_older_version_can_be_installed(package: str) -> None:
    required = tomllib.loads(PROJECT.read_text())["project"]["dependencies"]
    (line,) = (line for line in required if re.match(rf"{package}[\[><=]", line))
    floor = re.search(r">=([\d.]+)", line)
    assert floor is not None
    assert tuple(map(int, floor[1].split("."))) >= FLOORS[package]
