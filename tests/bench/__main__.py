"""Runs the benchmarks: all of them, or those named on the command line; a wrong name lists them.

Exits 1 when a target was missed. Machines are noisy: read the ratios, and the medians.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.accept import accept
from bench.dashboards import dashboards, overview
from bench.deliver import accounts, backlog, claim_depth, cpu, lone_calls, memory
from bench.ledger import ledger
from bench.report import Figure, show

ALL = {
    f.__name__: f
    for f in (accept, backlog, accounts, lone_calls, cpu, claim_depth, memory, ledger, dashboards, overview)
}


def main() -> int:
    chosen = sys.argv[1:] or list(ALL)
    if unknown := set(chosen) - set(ALL):
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="callbridge-bench-") as directory:
        for name in chosen:
            print(f"{name} ...", flush=True)
            figures += ALL[name](Path(directory, name))
            show(figures)
    return 1 if any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
