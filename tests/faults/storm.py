"""`python -m faults.storm`: every promise under every fault, as a table. Exits 1 if one does not hold.

python -m faults.storm                          all of it in full; some twenty minutes on two cores
python -m faults.storm --only N1,N5             these alone
python -m faults.storm --scale small            as the tests run it
python -m faults.storm --only N1 --seed 1790    the dice of that run again
python -m faults.storm --minutes 120            a longer soak; 0: none
python -m faults.storm --keep /some/where       files and logs of each scenario stay there
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from faults.report import Report
from faults.scenarios import FULL, SMALL, Parts, Scenario, soak_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults.storm", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", default="", help="scenarios, such as N1,N5; soak is N18")
    parser.add_argument("--scale", choices=("full", "small"), default="full")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--minutes", type=float, default=None, help="length of the soak; 10, or 0.5 with --scale small")
    parser.add_argument("--keep", type=Path, default=None, help="directory for files and logs; else they are removed")
    asked = parser.parse_args()
    minutes = asked.minutes if asked.minutes is not None else {"full": 10.0, "small": 0.5}[asked.scale]
    everything: dict[str, Parts] = {**(FULL if asked.scale == "full" else SMALL)}
    if minutes:
        everything["N18"] = {"": soak_of(minutes)}
    chosen = [name.strip().upper() for name in asked.only.split(",") if name.strip()] or sorted(everything, key=_number)
    if unknown := set(chosen) - everything.keys():
        parser.error(
            f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(sorted(everything, key=_number))}"
        )
    # What parts of the bridge that run in this very process have to say is no news here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="callbridge-storm-") as scratch:
        runs = [(name, part, run) for name in chosen for part, run in everything[name].items()]
        reports = [_run(name, part, run, asked.seed, asked.keep or Path(scratch)) for name, part, run in runs]
    _show(reports)
    return 0 if all(report.holds for report, _ in reports) else 1


def _run(name: str, part: str, run: Scenario, seed: int, where: Path) -> tuple[Report, float]:
    print(f"{name} {part} (seed {seed}) ...", flush=True)  # noqa: T201 - it is a command
    began = time.monotonic()
    try:
        report = asyncio.run(_whole(run(where / f"{name}{part}-{seed}", seed)))
    except Exception as error:  # noqa: BLE001 - one broken scenario must not keep the others from being run
        report = Report(name, f"{part} came to an end", seed, {}, (f"{type(error).__name__}: {error}"[:2000],))
    seconds = time.monotonic() - began
    for violation in report.violations:
        print(f"   ! {violation}", flush=True)  # noqa: T201 - it is a command
    return report, seconds


async def _whole(running: object) -> Report:
    return await running  # type: ignore[misc,no-any-return] # a scenario is awaitable


def _number(name: str) -> int:
    return int(name[1:])


def _show(reports: list[tuple[Report, float]]) -> None:
    table = Table("scenario", "promise", "figures", "verdict", "seconds", "seed", show_lines=True)
    for report, seconds in reports:
        figures = ", ".join(f"{name} {value}" for name, value in report.figures.items())
        holds = "holds" if report.holds else "DOES NOT HOLD"
        table.add_row(report.name, report.promise, figures, holds, f"{seconds:.0f}", str(report.seed))
    Console(width=None if sys.stdout.isatty() else 160, markup=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
