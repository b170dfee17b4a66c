"""N11 to N14: floods, repetitions, hostile bodies and slow connections at the receiver's door."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from urllib.parse import quote, urlsplit

import aiohttp
import structlog
from yarl import URL

from callbridge.errors import Misconfigured
from callbridge.intake.accept import Acceptor
from callbridge.intake.http import Readiness, build_app, serve
from callbridge.intake.providers import check_source
from callbridge.intake.providers.base import WebhookRequest
from callbridge.store.connect import connected
from callbridge.store.inbox import RedisInbox
from callbridge.store.scripts import Scripts
from faults.checker import Verdict
from faults.consistency import inconsistencies
from faults.outage_storms import ROOT, MovedClock
from faults.report import Report, reported
from faults.town import Town, a_body, town
from support.mutations import mutated
from support.redis_server import RedisServer
from support.webhooks import FIXTURES, SECRET, Fixture, fixtures, signed

FINE = frozenset({200, 201, 202, 204, 400, 401, 405, 413})
MEGABYTE = 1 << 20


async def n11_flood(
    directory: Path, seed: int, *, seconds: float, connections: int, within: float = 1.0, most: int = 300, **env: str
) -> Report:
    """Far more at once than the receiver can take, each connection sending as fast as it is answered: it answers in time or
    says 503, stays within its memory, and keeps what it took.
    """
    async with town(directory, seed, **env) as place:
        url = await place.receiver()
        pid = place.roles["receiver"].pid
        ready = [_prepared(f"n11-{seed}-{n}") for n in range(int(seconds * 4_000))]
        stop, peak = time.monotonic() + seconds, 0
        flooding = [asyncio.create_task(_flood(place, url, ready, stop)) for _ in range(connections)]
        while not all(task.done() for task in flooding):
            peak = max(peak, resident(pid))
            await asyncio.sleep(0.2)
        await asyncio.gather(*flooding)
        stored = {str(row["ref"]) for row in await place.rows()}
        lost = place.acknowledged - stored
        waits = sorted(place.waits)
        p99 = waits[int(len(waits) * 0.99)]
        problems = [f"{len(lost)} acknowledged calls are lost"] if lost else []
        if p99 > within:
            problems.append(f"p99 is {p99:.2f} s")
        if peak > most * MEGABYTE:
            problems.append(f"{peak / MEGABYTE:.0f} MB resident")
        if strange := place.answers.keys() - {"200", "503"}:
            problems.append(f"senders heard {strange}")
        return reported(
            "N11", "flood: p99 <= 1 s or 503, memory bounded, 0 acked lost", seed, Verdict(len(lost), 0, 0, ()), *problems,
            connections=connections, answered=len(waits), per_second=round(len(waits) / seconds), p99=f"{p99 * 1000:.0f} ms",
            resident=f"{peak / MEGABYTE:.0f} MB", answers=dict(place.answers),
        )  # fmt: skip


def _prepared(ref: str) -> tuple[str, bytes]:
    body = a_body(ref)
    headers = {"Host": "pbx", "Content-Type": "application/json", "Content-Length": str(len(body))}
    headers |= signed(body, SECRET, at=time.time(), name=f"msg_{ref}")
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return ref, f"POST /hooks/office HTTP/1.1\r\n{lines}\r\n".encode() + body


async def _flood(place: Town, url: str, ready: list[tuple[str, bytes]], stop: float) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        while ready and time.monotonic() < stop:
            ref, request = ready.pop()
            place.sent.add(ref)
            began = time.monotonic()
            writer.write(request)
            status = await _status(reader)
            place.waits.append(time.monotonic() - began)
            place.answers[status] += 1
            if status == "200":
                place.acknowledged.add(ref)
            else:
                writer.close()
                reader, writer = await asyncio.open_connection(address.hostname, address.port)
    except (OSError, asyncio.IncompleteReadError) as error:
        place.answers[type(error).__name__] += 1
    finally:
        writer.close()


async def _status(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    await reader.readexactly(length)
    return head[9:12].decode()


def resident(pid: int) -> int:
    """Bytes that a process holds in memory."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


async def n12_repetitions(directory: Path, seed: int, *, parallel: int = 200, **env: str) -> Report:
    """One call told again and again: by many at once, six times within 270 ms, and once more 27 hours later."""
    clock = MovedClock()
    async with town(directory, seed, MOVABLE_CLOCK="1", **env) as place, connected(place.redis.url) as redis:
        url = await place.receiver("one")
        other = await place.receiver("other")
        await place.start("worker-0", "worker")
        ref = f"n12-{seed}"
        place.sent.add(ref)
        body = a_body(ref)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            tell = [place.tell(session, (url, other)[n % 2], ref, body) for n in range(parallel)]
            await asyncio.gather(*tell)
            for _ in range(6):
                await place.tell(session, url, ref, body)
                await asyncio.sleep(0.045)
            await place.drained(30)
            await clock.move(redis, 27 * 3600)
            await place.tell(session, other, ref, body)
        await asyncio.sleep(1.5)
        await place.drained(30)
        rows = await place.rows()
        told = parallel + 7
        problems = [] if len(rows) == 1 else [f"{len(rows)} calls are stored"]
        if place.answers != Counter({"200": told}):
            problems.append(f"senders heard {dict(place.answers)}")
        return reported(
            "N12", "repetitions: stored once, delivered once, every one answered 200", seed, await place.verdict(), *problems,
            told=told, stored=len(rows), notes=len(place.crm.notes),
        )  # fmt: skip


async def n13_hostile_bodies(directory: Path, seed: int, *, bodies: int) -> Report:
    """Recorded webhooks of every provider, broken in every way, at a receiver with a real store."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nothing runs yet
    server = await asyncio.to_thread(RedisServer, directory)
    cases = [case for path in sorted(FIXTURES.iterdir()) for case in fixtures(path.name) if _can_start(case)]
    requests = [case.request for case in cases]
    dice, statuses = Random(seed), Counter[int]()
    try:
        async with connected(server.url) as redis:
            inbox = RedisInbox(Scripts(redis, ROOT), time.time, lambda _: None)
            sources = {f"f{n}": replace(case.source, name=f"f{n}") for n, case in enumerate(cases)}
            clock = {"now": 0.0}
            app = build_app(
                Acceptor(sources, inbox, lambda: clock["now"]),
                ready=lambda: Readiness(ok=True, durability="always", problems=()),
            )
            running = await serve(app, "127.0.0.1", 0, farewell=0.0)
            with structlog.testing.capture_logs() as logged:
                async with aiohttp.ClientSession() as session:
                    for _ in range(bodies):
                        number = dice.randrange(len(cases))
                        clock["now"] = cases[number].now
                        request = mutated(cases[number].request, requests, dice)
                        statuses[await _sent(session, running.url, number, cases[number], request)] += 1
            await running.stop()
            problems = await inconsistencies(redis, ROOT)
            stored = await redis.zcard(f"{ROOT}index")
    finally:
        await asyncio.to_thread(server.stop)
    traces = [line for line in logged if line["event"] == "webhook.failed"]
    if traces:
        problems.append(f"{len(traces)} tracebacks, the first: {traces[0]}")
    if bad := {status: n for status, n in statuses.items() if status not in FINE}:
        problems.append(f"answers were {bad}")
    return reported(
        "N13", "hostile bodies: no 5xx, no traceback", seed, Verdict(0, 0, 0, ()), *problems[:10],
        bodies=bodies, recorded=len(cases), stored=stored, answers=dict(sorted(statuses.items())),
    )  # fmt: skip


async def _sent(session: aiohttp.ClientSession, url: str, number: int, case: Fixture, request: WebhookRequest) -> int:
    token = (case.source.path_token,) if case.source.path_token else ()
    below = "".join(f"/{quote(segment, safe='')}" for segment in (*token, *request.path))
    query = request.target.partition("?")[2]
    address = URL(f"{url}/hooks/f{number}{below}" + (f"?{query}" if query else ""), encoded=True)
    headers = {name: v for name, v in request.headers.items() if v and v.isprintable() and v.isascii()}
    async with session.request(
        request.method, address, data=request.body or None, headers=headers, skip_auto_headers=["content-type"]
    ) as answer:
        await answer.read()
        return answer.status


def _can_start(case: Fixture) -> bool:
    try:
        check_source(case.source)
    except Misconfigured:
        return False
    return True


SLOW = ("silent", "headers", "body", "half a body")


async def n14_slow_connections(
    directory: Path, seed: int, *, connections: int, closed_in: float = 10.0, calls: int = 200, **env: str
) -> Report:
    """Connections that never finish what they began: all are closed in time, and honest senders do not notice them."""
    async with town(directory, seed, **env) as place:
        url = await place.receiver()
        await place.start("worker-0", "worker")
        dripping = [asyncio.create_task(_drip(url, SLOW[n % len(SLOW)], 6 * closed_in)) for n in range(connections)]
        await asyncio.sleep(0.5)
        await place.send(url, [f"n14-{seed}-{n}" for n in range(calls)], senders=5, pause=0.05)
        lasted = await asyncio.gather(*dripping)
        await place.drained(30)
        longest = {kind: round(max(lasted[n :: len(SLOW)]), 1) for n, kind in enumerate(SLOW)}
        problems = [f"{kind}: open for {seconds} s" for kind, seconds in longest.items() if seconds > closed_in]
        if place.answers != Counter({"200": calls}):
            problems.append(f"honest senders heard {dict(place.answers)}")
        return reported(
            "N14", "slow connections: all closed in 10 s, others unharmed", seed, await place.verdict(), *problems,
            connections=connections, closed_after=longest, slowest_honest=f"{place.slowest} s",
        )  # fmt: skip


async def _drip(url: str, kind: str, at_most: float) -> float:
    """How many seconds the connection was kept open."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    began = time.monotonic()
    head = b"POST /hooks/office HTTP/1.1\r\nHost: pbx\r\n"
    if "body" in kind:
        head += b"Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
    if kind != "silent":
        writer.write(head)
    drop = {"headers": b"X-A: b\r\n", "body": b" "}.get(kind, b"")
    gone = asyncio.create_task(reader.read())
    with suppress(OSError):
        while not gone.done() and time.monotonic() - began < at_most:
            if drop:
                writer.write(drop)
            await asyncio.wait([gone], timeout=0.4)
    with suppress(OSError):
        if gone.done():
            gone.result()
    gone.cancel()
    lasted = time.monotonic() - began
    writer.close()
    return lasted
