"""What an operator's actions answer: closed, so that every page says each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from callbridge.ledger.marking import Status
from callbridge.ops.editing import FieldProblem

RefusedCode = Literal[
    "forbidden", "no_reason", "no_such_account", "no_such_source", "no_such_call", "no_oauth", "not_begun", "bad_pause",
    "bad_number", "not_dead", "unknown_outcome", "changed", "same_call", "nothing_changed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was done. `detail` is for people, in English."""

    code: RefusedCode
    detail: str


@dataclass(frozen=True, slots=True)
class Paused:
    until: float | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """`lasted` in seconds; None where there was no pause."""

    lasted: float | None


@dataclass(frozen=True, slots=True)
class Revealed:
    phone: str | None
    extension: str | None
    link: str | None


@dataclass(frozen=True, slots=True)
class Marked:
    before: str
    status: Status


@dataclass(frozen=True, slots=True)
class Amended:
    """The call waits for sending. `ignored` is why it will not go to the CRM all the same, if it will not."""

    fields: tuple[str, ...]
    ignored: str | None


@dataclass(frozen=True, slots=True)
class NotFit:
    problems: tuple[FieldProblem, ...]


@dataclass(frozen=True, slots=True)
class Erased:
    calls: int


@dataclass(frozen=True, slots=True)
class SourceTest:
    """`steps` are what was tried and what came of it, in order; `problem` is why it ended."""

    ok: bool
    steps: tuple[tuple[str, str], ...]
    problem: str | None
