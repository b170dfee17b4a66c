"""The CRM simulator: a faithful `POST /api/v4/calls` with its neighbours over real HTTP, which can be made to misbehave.

This module is the server and the handle by which tests and the command line hold it; what is right and wrong with a request
is decided by `desk`, what happens to its answer by `wire`. Meant for loopback: the control endpoints take no token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from urllib.parse import parse_qs

from aiohttp import web

from callbridge.sim import control
from callbridge.sim.answers import gateway_page
from callbridge.sim.config import SimConfig, steady_clock
from callbridge.sim.desk import Decision, Desk
from callbridge.sim.endpoints import ApiRequest
from callbridge.sim.entities import Card
from callbridge.sim.faults import ArmedFault, parse_fault
from callbridge.sim.journal import Seen
from callbridge.sim.notes import Note, TextNote
from callbridge.sim.replies import Whole, status_of
from callbridge.sim.wire import send

__all__ = ["CrmSim", "SimConfig", "parse_fault", "run"]


class CrmSim:
    """One account of the CRM. Tests may look inside (`notes`, `requests`) and change it while it runs."""

    def __init__(self, config: SimConfig | None = None) -> None:
        self.config = config or SimConfig()
        self.clock = self.config.clock or steady_clock()
        self.url = ""
        self.desk = self._new_desk()
        self._runner: web.AppRunner | None = None

    @property
    def notes(self) -> Sequence[Note]:
        return self.desk.account.book.all

    @property
    def texts(self) -> Sequence[TextNote]:
        """The notes that were written as such."""
        return self.desk.account.book.texts

    @property
    def requests(self) -> list[Seen]:
        return list(self.desk.journal)

    def reset(self) -> None:
        """Back to the start: seeded cards, no notes, empty log, limits forgotten, the faults of the configuration."""
        self.desk = self._new_desk()

    def arm(self, fault: str | ArmedFault, value: object = None, *, times: float | None = None) -> ArmedFault:
        """`arm("502-after", 1)`, `arm("slow", "2s", times=3)`, `arm("slow=2s*3")`; `ValueError` as `parse_fault`."""
        if isinstance(fault, str):
            written = fault if value is None else f"{fault}={value}"
            fault = parse_fault(written if times is None else f"{written}*{times}")
        self.desk.arsenal.arm(fault, self.clock())
        return fault

    def disarm(self, name: str | None = None) -> bool:
        """Clear one fault, or all of them."""
        return self.desk.arsenal.disarm(name)

    def consent(self) -> str:
        """A person lets the integration in: the code."""
        return self.desk.tokens.consent(self.clock())

    def add_contact(
        self, phone: str, *, name: str = "", kind: str = "contact", leads: int = 0, customers: int = 0
    ) -> Card:
        """A card with a number and with so many active leads and customers."""
        return self.desk.account.world.add(phone, name=name, kind=kind, leads=(True,) * leads, customers=customers)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; returns the URL, which is also kept in `url`."""
        app = web.Application(client_max_size=self.config.max_body)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # Requests that are kept waiting on purpose must not hold up the end of a rehearsal.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound_host, bound_port = self._runner.addresses[0][:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        self.url = f"http://{shown}:{bound_port}"
        return self.url

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _new_desk(self) -> Desk:
        dice = Random(self.config.seed)  # noqa: S311 - the lots of a simulation are no secrets
        return Desk(self.config, self.clock, dice)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == control.ROOT or request.path.startswith(control.ROOT + "/"):
            return await control.handle(self, request)
        token, desk = _bearer(request), self.desk
        path, query = request.path, request.query_string
        who = desk.identity(token, path)
        seen = desk.journal.arrive(self.clock(), time.monotonic(), request.method, path, query, who)
        decision = await self._decide(desk, request, token, seen)
        try:
            if decision.delay:
                await asyncio.sleep(decision.delay)
            desk.journal.answered(seen, status_of(decision.reply))
            return await send(request, decision.reply, f"{self.config.seed:08x}{seen.number:024x}")
        finally:
            desk.tokens.end(decision.grant)

    @staticmethod
    async def _decide(desk: Desk, request: web.Request, token: str, seen: Seen) -> Decision:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return Decision(Whole(gateway_page(413)))
        base = f"{request.scheme}://{request.host}"
        query = parse_qs(seen.query, keep_blank_values=True)
        refresh = request.headers.get("X-Refresh-Token", "")
        return desk.decide(
            ApiRequest(seen.number, seen.method, seen.path, query, base, body, seen.at, token, refresh), token, seen
        )


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def run(config: SimConfig, host: str, port: int, *, ready: Callable[[CrmSim], None] | None = None) -> None:
    """Serve until cancelled; `ready` is called once the port is open."""
    sim = CrmSim(config)
    await sim.start(host, port)
    try:
        if ready is not None:
            ready(sim)
        await asyncio.Event().wait()
    finally:
        await sim.stop()
