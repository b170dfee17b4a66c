"""A figure, what it should be, and the table of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    name: str
    value: float
    target: float | None
    sense: str
    unit: str

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.sense == "at least" else self.value < self.target


def show(figures: Iterable[Figure]) -> None:
    table = Table("figure", "measured", "target", "")
    for figure in figures:
        target = "" if figure.target is None else f"{figure.sense} {figure.target:g} {figure.unit}"
        mark = {None: "", True: "[green]met[/]", False: "[red]missed[/]"}[figure.met]
        table.add_row(figure.name, f"{figure.value:,.4g} {figure.unit}", target, mark)
    Console(width=110).print(table)
