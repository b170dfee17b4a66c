"""Accepting: requests a second beside a bare handler, and the wait of a sender at a steady rate."""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path

from bench.load import Result, flood, paced, signed_requests
from bench.parts import free_port, rig, running
from bench.report import Figure

ROUNDS = 3
FLOOD = 20_000
STEADY = 500


def checked(result: Result) -> Result:
    if set(result.statuses) != {200}:
        raise RuntimeError(f"not every request was answered 200: {dict(result.statuses)}")
    return result


def accept(directory: Path) -> list[Figure]:
    rates: list[float] = []
    bare_rates: list[float] = []
    port = free_port()
    with (
        rig(directory) as parts,
        running("-m", "bench.bare", str(port), port=port, ready=f"http://127.0.0.1:{port}/") as bare,
    ):
        receiver = parts.receiver()
        asyncio.run(flood(receiver.port, list(signed_requests(2_000))))
        for number in range(1, ROUNDS + 1):
            requests = list(signed_requests(FLOOD, start=number * FLOOD))
            bare_rates.append(checked(asyncio.run(flood(bare.port, requests))).rate)
            rates.append(checked(asyncio.run(flood(receiver.port, requests))).rate)
        steady = list(signed_requests(STEADY * 8, start=10_000_000))
        result = checked(asyncio.run(paced(receiver.port, steady, STEADY)))
    ratio = statistics.median(ours / base for ours, base in zip(rates, bare_rates, strict=True))
    return [
        Figure("accept, of a bare handler's requests/s", ratio, 0.4, "at least", ""),
        Figure("  accepts a second (median)", statistics.median(rates), None, "", "/s"),
        Figure("  bare handler (median)", statistics.median(bare_rates), None, "", "/s"),
        Figure(f"accept at {STEADY}/s, p99", result.quantile(0.99), 10, "below", "ms"),
        Figure("  median", result.median, None, "", "ms"),
    ]
