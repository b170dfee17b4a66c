"""Every endpoint under every check of schemathesis, as each role and as nobody: nothing undocumented, nothing broken.

The server is a real one in a thread of its own; every run is the same run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from aiohttp import web

from callbridge.ops.api.openapi import document
from callbridge.ops.api.routes import ROUTES
from callbridge.ops.api.table import ENDPOINTS
from callbridge.ops.who import Role
from support.apidesk import PHONE, Desk, bearer, make_app, make_desk

EXAMPLES = 12
"""For each operation and role; seeded, so that more would be the same for longer."""


class _Served:
    """The API on loopback, until closed."""

    def __init__(self) -> None:
        self.desk: Desk = make_desk()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self.url = ""
        self._thread.start()
        assert self._started.wait(10)

    async def _serve(self) -> None:
        runner = web.AppRunner(make_app(self.desk, ROUTES), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = site.name if site.name.startswith("http://127") else ""
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._started.set()
        await self._stop.wait()
        await runner.cleanup()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="module")
def served() -> Iterator[_Served]:
    server = _Served()
    yield server
    server.close()


SCHEMA = schemathesis.openapi.from_dict(document(ENDPOINTS))
NEEDED = {(endpoint.method, f"/api/v1{endpoint.path}"): endpoint.role for endpoint in ENDPOINTS}


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role.value if role else "nobody")
@SCHEMA.parametrize()
@hypothesis.seed(7)
@hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_the_endpoint_keeps_to_its_document(case: Any, served: _Served, role: Role | None) -> None:
    answer = case.call(base_url=served.url, headers=bearer(role) if role else {})
    case.validate_response(answer)
    if role in {None, Role.VIEWER}:
        assert PHONE not in answer.text
    needed = NEEDED.get((case.method, case.operation.path))
    if role is None:
        assert answer.status_code in {401, 405}
    elif needed and not role.covers(needed):
        assert answer.status_code == 403
