"""Rules of the house that a reader would otherwise have to check by eye."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "callbridge"
MODULES = sorted(SOURCE.rglob("*.py"))
SCRIPTS = sorted((SOURCE / "store" / "lua").glob("*.lua"))
SHIPPED = sorted(
    file
    for file in SOURCE.rglob("*")
    if file.suffix in {".py", ".lua", ".html", ".j2", ".js", ".css"} and file.parent.name != "vendor"
)
"""Without the libraries that are shipped as their authors made them: their digests are checked instead."""
OURS = [*MODULES, *sorted((ROOT / "tests").rglob("*.py"))]

FORBIDDEN = ("pickle", "innerHTML", "|safe", "shell=True", "verify=False", "ssl=False", "verify_ssl")
"""Each has let somebody in somewhere: code from data, markup from data, a shell, a connection to anybody."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def comments(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def without_reason(comment: str) -> bool:
    """An exception to a rule says why, on its line: `noqa: CODE - why` or `noqa: CODE # why`, and so for types."""
    if "noqa" in comment:
        return not re.search(r"# noqa: [A-Z]+\d+(?:, ?[A-Z]+\d+)* +[-#] \w", comment)
    if "type: ignore" in comment:
        return not re.search(r"# type: ignore\[[a-z-]+(?:, ?[a-z-]+)*\] +[-#] \w", comment)
    return False


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 20
    assert len(SCRIPTS) > 5


@pytest.mark.parametrize("module", [m for m in MODULES if m.parent.name != "versions"], ids=name)
def test_a_module_is_short_enough_to_read_at_once(module: Path) -> None:
    assert len(module.read_text().splitlines()) < 300


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_says_what_it_is_for(module: Path) -> None:
    text = module.read_text()
    empty_package = module.name == "__init__.py" and not text.strip()
    assert empty_package or (ast.get_docstring(ast.parse(text)) or "").strip()


@pytest.mark.parametrize("file", SHIPPED, ids=name)
def test_nothing_forbidden_is_used(file: Path) -> None:
    text = file.read_bytes().decode("utf-8", "replace").replace(" = ", "=").replace("| safe", "|safe")
    assert [word for word in FORBIDDEN if word in text] == []


@pytest.mark.parametrize("file", OURS, ids=name)
def test_every_exception_to_a_rule_has_its_reason(file: Path) -> None:
    assert [f"line {line}: {comment}" for line, comment in comments(file) if without_reason(comment)] == []


@pytest.mark.parametrize("comment", ["# noqa", "# noqa: S101", "# type: ignore", "# type: ignore[attr-defined]"])
def test_an_exception_without_a_reason_is_seen(comment: str) -> None:
    found = [token.string for token in tokenize.generate_tokens(io.StringIO(f"x = 1  {comment}\n").readline)]
    assert without_reason(found[3])


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_a_script_says_what_it_takes_and_what_it_returns(script: Path) -> None:
    lines = script.read_text().splitlines()
    assert lines[0].startswith("#!lua")
    header = [line for line in lines[1:] if line.startswith("--")]
    assert lines[1].startswith(f"-- {script.stem}: ")
    for part in ("KEYS", "ARGV", "Returns"):
        assert any(line.startswith(f"-- {part}") for line in header), part
