"""What looking costs: the accept rate beside twenty open dashboards, and the first byte of the overview in a big office."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
import urllib.request
from pathlib import Path

from bench.accept import checked
from bench.ledger import fill
from bench.load import flood, signed_requests
from bench.parts import Process, Rig, free_port, rig, running
from bench.report import Figure
from callbridge.ledger.database import open_ledger
from callbridge.ledger.queries import Queries

PASSWORD = "the bench is made of old oak"
WATCHERS = 20
ROUNDS = 5
FLOOD = 20_000
WAITING = int(os.environ.get("BENCH_WAITING", "100000"))
CALLS = int(os.environ.get("BENCH_CALLS", "2000000"))
LOOKS = 30


def _console(parts: Rig) -> Process:
    port = free_port()
    env = parts.env | {"CALLBRIDGE_CONSOLE__PORT": str(port), "CALLBRIDGE_CONSOLE__PASSWORD": PASSWORD}
    ready = f"http://127.0.0.1:{port}/livez"
    return parts.stack.enter_context(running("-m", "callbridge", "console", env=env, port=port, ready=ready))


def _cookie(port: int) -> str:
    """A session of the admin."""
    body = f"password={PASSWORD.replace(' ', '+')}".encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/login",
        body,
        {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"},
    )
    opener = urllib.request.build_opener(_Stay)
    with opener.open(request, timeout=10) as answer:
        return str(answer.headers["Set-Cookie"]).split(";", 1)[0]


class _Stay(urllib.request.HTTPRedirectHandler):
    """The cookie comes with the redirect."""

    def http_error_303(self, req, fp, code, msg, headers):  # the interface of urllib
        return fp


async def _watch(port: int, cookie: str, enough: asyncio.Event) -> int:
    """One open dashboard: the page, then its stream of figures. Returns the bytes that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"Host: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n"
    writer.write(f"GET /live?show=overview HTTP/1.1\r\n{head}".encode())
    got = 0
    first = await reader.readline()
    if b" 200 " not in first:
        raise RuntimeError(f"a dashboard was answered {first!r}")
    while not enough.is_set():
        try:
            got += len(await asyncio.wait_for(reader.read(65_536), 0.5))
        except TimeoutError:
            continue
    writer.close()
    return got


async def _flooded(receiver: int, console: int, cookies: list[str], start: int) -> float:
    """Accepts a second while that many dashboards are open."""
    enough = asyncio.Event()
    watching = [asyncio.create_task(_watch(console, cookie, enough)) for cookie in cookies]
    await asyncio.sleep(1.0)
    result = await flood(receiver, list(signed_requests(FLOOD, start=start)))
    enough.set()
    for got in await asyncio.gather(*watching):
        if not got:
            raise RuntimeError("a dashboard was sent nothing")
    return checked(result).rate


def dashboards(directory: Path) -> list[Figure]:
    with rig(directory) as parts:
        receiver, console = parts.receiver(), _console(parts)
        cookies = [_cookie(console.port) for _ in range(WATCHERS // 10)]
        watchers = [cookies[number % len(cookies)] for number in range(WATCHERS)]
        asyncio.run(flood(receiver.port, list(signed_requests(2_000))))
        ratios, alone = [], []
        for number in range(1, ROUNDS + 1):
            rates = {}
            order = ([], watchers) if number % 2 else (watchers, [])  # neither always goes first
            for place, open_now in enumerate(order):
                _caught_up(parts)
                start = (2 * number + place) * FLOOD
                rates[bool(open_now)] = asyncio.run(_flooded(receiver.port, console.port, open_now, start))
            ratios.append(rates[True] / rates[False])
            alone.append(rates[False])
        return [
            Figure(f"accept beside {WATCHERS} dashboards, of without", statistics.median(ratios), 0.9, "at least", ""),
            Figure("  accepts a second without (median)", statistics.median(alone), None, "", "/s"),
        ]


def _caught_up(parts: Rig) -> None:
    """The ledger has what was accepted: its work is not what is measured."""
    import redis  # noqa: PLC0415 - only this one looks into Redis

    with redis.Redis.from_url(parts.redis.url) as client:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and client.xlen("{callbridge}:ledger"):
            time.sleep(0.1)


def overview(directory: Path) -> list[Figure]:
    """First byte of `/`, with many calls in the ledger and many waiting."""
    ledger = directory / "var" / "ledger.db"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    asyncio.run(_filled(ledger))
    with rig(directory) as parts:
        receiver, console = parts.receiver(), _console(parts)
        for start in range(0, WAITING, FLOOD):
            count = min(FLOOD, WAITING - start)
            checked(asyncio.run(flood(receiver.port, list(signed_requests(count, start=start)))))
        _caught_up(parts)
        cookie = _cookie(console.port)
        waits = []
        for _ in range(LOOKS):
            request = urllib.request.Request(f"http://127.0.0.1:{console.port}/", headers={"Cookie": cookie})
            began = time.perf_counter()
            with urllib.request.urlopen(request, timeout=10) as answer:
                answer.read(1)
                waits.append((time.perf_counter() - began) * 1000)
            time.sleep(0.3)
        told = f"overview, first byte ({CALLS:,} in the ledger, {WAITING:,} waiting), median"
        return [
            Figure(told, statistics.median(waits), 150, "below", "ms"),
            Figure("  slowest of 30", max(waits), None, "", "ms"),
        ]


async def _filled(path: Path) -> None:
    async with open_ledger(f"sqlite:///{path}") as opened:
        if (await Queries(opened).standing()).calls >= CALLS:
            return
    fill(path, CALLS)
