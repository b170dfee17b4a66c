"""The names of the log: every one that is used is registered, and every registered one is used."""

from __future__ import annotations

import ast
from pathlib import Path

from callbridge.observe import EVENTS

SOURCE = Path(__file__).parents[2] / "src" / "callbridge"


def names_used() -> dict[str, list[str]]:
    """Every text that stands first in a call of `event(...)` or `observe.event(...)`; "" where it is no plain text."""
    used: dict[str, list[str]] = {}
    for module in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = getattr(getattr(node.func, "value", None), "id", "")
            if (called == "event" and owner in {"", "observe"}) or called == "_stand_alone":
                for name in texts(node.args[0]):
                    used.setdefault(name, []).append(f"{module.name}:{node.lineno}")
    return used


def texts(node: ast.expr) -> list[str]:
    if isinstance(node, ast.IfExp):
        return [*texts(node.body), *texts(node.orelse)]
    return [node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""]


def test_every_name_in_the_code_is_plain_text_and_registered() -> None:
    assert {name: where for name, where in names_used().items() if name not in EVENTS} == {}


def test_every_registered_name_is_used() -> None:
    assert sorted(EVENTS - set(names_used())) == []
