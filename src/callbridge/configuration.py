"""Builds the `Settings` of a process from a TOML file, secret files and the environment.

Later wins: the file (`CALLBRIDGE_CONFIG`, else `./callbridge.toml` if present), then the files of `CALLBRIDGE_SECRETS_DIR`,
then `CALLBRIDGE_*` with `__` for nesting, where `CALLBRIDGE_..._FILE` names a file that holds the value. The three are merged
leaf by leaf and remember where each leaf was written, so that a refusal names what the operator has to edit. A refusal
never shows a value: it may be a secret.

It is merged here, not by a settings library, because those pass over a variable that matches nothing, and that is the
mistake people make. Nothing here reads the process environment itself, and no instance is kept.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from callbridge.errors import Misconfigured
from callbridge.settings import Settings, every_setting, group_of

PREFIX: Final = "CALLBRIDGE_"
CONFIG, SECRETS_DIR = PREFIX + "CONFIG", PREFIX + "SECRETS_DIR"
_MAX_FILE: Final = 1024 * 1024

_SERVICE_LINK: Final = re.compile(r"CALLBRIDGE_(SERVICE_(HOST|PORT)|PORT_\d+_(TCP|UDP))(_\w+)?")
"""What Kubernetes puts into every container beside a Service called `callbridge`: nobody wrote it, so it is no mistake."""

_Keys = tuple[str, ...]


class _Leaf(NamedTuple):
    """A value and where it was written: `label` is for people, `file` is the TOML file, or None for a variable."""

    value: Any
    label: str
    file: str | None


_Leaves = dict[_Keys, _Leaf]


class _Variable(NamedTuple):
    """`name` in upper case, `label` as it was written."""

    name: str
    label: str
    value: str


def load(environ: Mapping[str, str], cwd: Path) -> Settings:
    """Raises `Misconfigured` with one line for each problem."""
    problems: list[str] = []
    upper = {name.upper(): value for name, value in environ.items() if name.upper() in {CONFIG, SECRETS_DIR} and value}
    leaves: _Leaves = {}
    for layer in (
        _from_toml(upper.get(CONFIG), cwd, problems),
        *_from_variables(_secret_files(upper.get(SECRETS_DIR), cwd, problems), cwd, problems),
        *_from_variables(_variables(environ), cwd, problems),
    ):
        _lay_over(leaves, layer)
    try:
        settings = Settings.model_validate(_tree(leaves))
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            problems.extend(_explained(detail, leaves))
        raise Misconfigured("\n".join(dict.fromkeys(problems))) from None
    if problems:
        raise Misconfigured("\n".join(dict.fromkeys(problems)))
    return settings


def _lay_over(leaves: _Leaves, layer: _Leaves) -> None:
    """A leaf takes the place of what stood at its path, of a value above it, and of everything below it."""
    branches = {path[:depth] for path in leaves for depth in range(1, len(path))}
    for path in layer:
        for depth in range(1, len(path)):
            leaves.pop(path[:depth], None)
        if path in branches:
            for other in [other for other in leaves if other[: len(path)] == path]:
                del leaves[other]
    leaves |= layer


# --- where values come from ------------------------------------------------------------------------------------------


def _from_toml(named: str | None, cwd: Path, problems: list[str]) -> _Leaves:
    shown = named or "callbridge.toml"
    where = f"{CONFIG}={shown}" if named else shown
    file = cwd / shown
    if not named and not file.exists():
        return {}
    try:
        table = dict(_flat(tomllib.loads(_read(file))))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"{where}: {_file_problem(error)}")
        return {}
    return {path: _Leaf(value, f"{'.'.join(path)} in {shown}", shown) for path, value in table.items()}


def _secret_files(named: str | None, cwd: Path, problems: list[str]) -> Iterator[_Variable]:
    """One variable a file; hidden files and folders are the orchestrator's own."""
    if not named:
        return
    try:
        files = sorted(f for f in (cwd / named).iterdir() if f.is_file() and not f.name.startswith("."))
    except OSError as error:
        problems.append(f"{SECRETS_DIR}={named}: {_file_problem(error)}")
        return
    for file in files:
        label = f"{named.rstrip('/')}/{file.name}"
        try:
            value = _one_line_less(_read(file))
        except (OSError, ValueError) as error:
            problems.append(f"{label}: {_file_problem(error)}")
        else:
            yield _Variable(PREFIX + file.name.upper().removeprefix(PREFIX), label, value)


def _variables(environ: Mapping[str, str]) -> Iterator[_Variable]:
    for label, value in environ.items():
        name = label.upper()
        if not name.startswith(PREFIX) or name in {CONFIG, SECRETS_DIR} or _SERVICE_LINK.fullmatch(name):
            continue
        if name == PREFIX + "PORT" and value.startswith(("tcp://", "udp://")):
            continue
        yield _Variable(name, label, value)


def _from_variables(variables: Iterable[_Variable], cwd: Path, problems: list[str]) -> tuple[_Leaves, _Leaves]:
    """Two layers: whole groups given as JSON, and above them the single values. An empty value is an unset one."""
    groups: _Leaves = {}
    single: _Leaves = {}
    for name, label, value in _files_read(variables, cwd, problems):
        path = tuple(part.lower() for part in name.removeprefix(PREFIX).split("__"))
        if path in single:
            problems.append(f"{label}: is set a second time, by {single[path].label}")
        elif _holds_groups(path):
            try:
                below = dict(_flat(json.loads(value)))
            except (ValueError, RecursionError, AttributeError):
                problems.append(f"{label}: holds several settings: set {variable_of(path)}__..., or give a JSON object")
            else:
                _lay_over(groups, {path + p: _Leaf(v, f"{label} ({'.'.join(p)})", None) for p, v in below.items()})
        else:
            single[path] = _Leaf(value, label, None)
    inside = {path: path[:depth] for path in single for depth in range(1, len(path)) if path[:depth] in single}
    problems.extend(f"{single[p].label}: is set a second time, by {single[above].label}" for p, above in inside.items())
    return groups, {path: leaf for path, leaf in single.items() if path not in inside}


def _files_read(variables: Iterable[_Variable], cwd: Path, problems: list[str]) -> Iterator[_Variable]:
    """Variables that name a file with `_FILE`, replaced by those that the file sets; empty ones left out."""
    for variable in variables:
        if variable.value and not variable.name.endswith("_FILE"):
            yield variable
        elif variable.value:
            try:
                value = _one_line_less(_read(cwd / variable.value))
            except (OSError, ValueError) as error:
                problems.append(f"{variable.label}: the file it names {_file_problem(error)}")
                continue
            if value:
                yield _Variable(variable.name.removesuffix("_FILE"), variable.label, value)


def _read(file: Path) -> str:
    with file.open("rb") as stream:
        content = stream.read(_MAX_FILE + 1)
    if len(content) > _MAX_FILE:
        raise ValueError("is larger than 1 MiB")
    return content.decode("utf-8-sig")


def _one_line_less(text: str) -> str:
    """Editors and `echo` end a secret's file with a line break that is not part of it."""
    return text.removesuffix("\n").removesuffix("\r")


def _file_problem(error: Exception) -> str:
    match error:
        case OSError():
            return f"cannot be read: {error.strerror or type(error).__name__}"
        case UnicodeDecodeError():
            return "is not UTF-8 text"
        case RecursionError():
            return "is nested too deeply"
        case _:
            return str(error)


# --- paths -----------------------------------------------------------------------------------------------------------


def _flat(table: Mapping[str, Any], path: _Keys = ()) -> Iterator[tuple[_Keys, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, (*path, key))
        else:
            yield (*path, key), value


def _tree(leaves: _Leaves) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for path, leaf in leaves.items():
        node = root
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = leaf.value
    return root


def _holds_groups(path: _Keys) -> bool:
    """Whether JSON at this path stands for settings below it, not for a value of its own."""
    group: type | None = Settings
    named = False
    for part in path:
        if named:
            named = False
            continue
        if group is None or (field := getattr(group, "model_fields", {}).get(part)) is None:
            return False
        group, named = group_of(field)
    return group is not None


# --- refusals, in words an operator can act on -----------------------------------------------------------------------


def _explained(detail: ErrorDetails, leaves: _Leaves) -> Iterator[str]:
    at = tuple(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        for path, leaf in leaves.items():
            if path[: len(at)] == at:
                yield f"{leaf.label}: there is no such setting{_did_you_mean(path, leaf, leaves)}"
    elif detail["type"] == "missing":
        about = next((f.description for path, f in every_setting(_names(leaves)) if path == at), None)
        yield f"{_label(at, leaves)}: is missing. {about or ''}".rstrip()
    elif detail["type"] == "settings":
        for name, what in detail["ctx"]["problems"]:
            yield f"{_label((*at, *name.split('.')), leaves)}: {what}"
    else:
        words = detail["msg"].removeprefix("Value error, ").replace("Input should", "should")
        yield f"{_label(at, leaves)}: {words}"


def _label(path: _Keys, leaves: _Leaves) -> str:
    """Where the value at `path` was written; for one that was not, where its neighbours were."""
    if path in leaves:
        return leaves[path].label
    for depth in range(len(path) - 1, -1, -1):
        if above := leaves.get(path[:depth]):
            in_table = above.file is not None and above.value == {}
            return _written(path, above.file) if in_table else f"{above.label} ({'.'.join(path[depth:])})"
        for other, leaf in leaves.items():
            if other[:depth] == path[:depth] and depth:
                return _written(path, leaf.file)
    return _written(path, None)


def _written(path: _Keys, file: str | None) -> str:
    return f"{'.'.join(path)} in {file}" if file else variable_of(path)


def _did_you_mean(path: _Keys, leaf: _Leaf, leaves: _Leaves) -> str:
    known = [path for path, _ in every_setting(_names(leaves))]
    if leaf.file:
        candidates = {".".join(other): ".".join(other) for other in known}
        written = ".".join(path)
    else:  # compared without what all variables begin with, which would make strangers look alike
        candidates = {name.removeprefix(PREFIX): name for name in (CONFIG, SECRETS_DIR, *map(variable_of, known))}
        written = variable_of(path).removeprefix(PREFIX)
    close = difflib.get_close_matches(written, candidates, 1)
    return f"; did you mean {candidates[close[0]]}?" if close else ""


def _names(leaves: _Leaves) -> dict[str, _Keys]:
    return {
        key: tuple({path[1]: None for path in leaves if path[0] == key and path[1:]}) for key in ("accounts", "sources")
    }


def variable_of(path: _Keys) -> str:
    """The environment variable that sets `path`."""
    return PREFIX + "__".join(path).upper()
