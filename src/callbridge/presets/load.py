"""Finding and reading preset files: those that are shipped, by name, and a user's own, by path.

Apart from `model` because this touches files. Whatever is wrong with one is a `Misconfigured` that names file and place.
"""

from __future__ import annotations

import tomllib
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from callbridge.errors import Misconfigured
from callbridge.presets.complaints import complaints
from callbridge.presets.model import Preset

PREFIX, SUFFIX = "preset:", ".toml"
MAX_FILE, MAX_ENTRIES, MAX_LEVELS, MAX_TOTAL = 65_536, 200, 12, 4_000
"""Bytes of a file; entries of one list or table; levels; entries of all."""


def is_preset(provider: str) -> bool:
    """Whether a source's `provider` names a preset."""
    return provider.startswith(PREFIX) or provider.endswith(SUFFIX)


@lru_cache(maxsize=1)
def shipped() -> tuple[str, ...]:
    """The names of the presets that come with the package."""
    return tuple(
        sorted(
            entry.name.removesuffix(SUFFIX)
            for entry in files("callbridge.presets").joinpath("data").iterdir()
            if entry.name.endswith(SUFFIX)
        )
    )


def load(provider: str) -> Preset:
    """`preset:NAME`, or the path of a file, relative to the working directory. Raises `Misconfigured`."""
    if not provider.startswith(PREFIX):
        return read(_bytes_of(Path(provider)), provider)
    name = provider.removeprefix(PREFIX)
    if name not in shipped():
        raise Misconfigured(f"there is no preset {name}; there are {', '.join(shipped())}")
    return read(files("callbridge.presets").joinpath("data", name + SUFFIX).read_bytes(), provider)


def read(written: bytes, where: str) -> Preset:
    """The preset that a file says. Raises `Misconfigured`; `where` names the file."""
    if len(written) > MAX_FILE:
        raise Misconfigured(f"{where}: is larger than {MAX_FILE // 1024} KiB")
    try:
        told = tomllib.loads(written.decode())
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{where}: is not UTF-8, at byte {error.start}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Misconfigured(f"{where}: is not TOML: {error}") from None
    _measure(told, where, "", 1)
    try:
        return Preset.model_validate(told)
    except ValidationError as error:
        raise Misconfigured(f"{where}: {complaints(error)}") from None


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read: {error.strerror}") from error


def _measure(told: Any, where: str, place: str, level: int) -> int:
    """Entries in all. Raises `Misconfigured` where it is too much."""
    if not isinstance(told, dict | list):
        return 1
    if len(told) > MAX_ENTRIES or level > MAX_LEVELS:
        limit = f"has more than {MAX_ENTRIES} entries" if len(told) > MAX_ENTRIES else "is nested too deep"
        raise Misconfigured(f"{where}: {place or 'the file'}: {limit}")
    named = told.items() if isinstance(told, dict) else enumerate(told)
    total = 1 + sum(
        _measure(value, where, f"{place}.{name}" if place else str(name), level + 1) for name, value in named
    )
    if total > MAX_TOTAL:
        raise Misconfigured(f"{where}: {place or 'the file'}: has more than {MAX_TOTAL} entries in all")
    return total
