"""What every page and every endpoint of the console stands on: the table of routes, who asks, and the parts they use.

A route says which role it needs and whether it changes anything; the access layer enforces both for every route alike, and
the tests walk the same table. A handler takes a request and finds the console in `request.app[CONSOLE]` and who asks in
`request[WHO]`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web

from callbridge.ledger.queries import Queries
from callbridge.ops.access.audit import Audit
from callbridge.ops.access.gate import Gate
from callbridge.ops.actions import Actions
from callbridge.ops.inspect import Inspector
from callbridge.ops.jobs import Jobs
from callbridge.ops.overview import Overviews
from callbridge.ops.who import Role, Who
from callbridge.settings import Settings
from callbridge.store.refusals import RedisRefusals

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """`role` None: open to everybody (login, health, static files). `kind` decides how refusals look: a page, a problem in
    JSON, or bare text. A route that is not GET changes something: it is refused from another origin, and where `proof` is
    set also to sessions whose password was given too long ago.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    role: Role | None
    kind: Literal["page", "api", "plain"] = "page"
    proof: bool = False


@dataclass(frozen=True, slots=True)
class Console:
    """The parts that pages and endpoints use. Built once, by the console's entry point."""

    settings: Settings
    now: Callable[[], float]
    inspector: Inspector
    ledger: Queries
    overviews: Overviews
    actions: Actions
    jobs: Jobs
    gate: Gate
    audit: Audit
    refusals: RedisRefusals
    hooks: Callable[[], Mapping[str, str]]
    """The address of each source that is to be entered in the PBX, its path token left out."""


CONSOLE: Final = web.AppKey("console", Console)
WHO: Final = web.RequestKey("who", Who)
