"""Builds what looks at the whole: an inspector over an open store, what Redis is worth now, what waits in the spools.

Apart from `wiring` because only those who show how things stand need it: the commands and the console. Nothing is changed.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import replace

from callbridge.credentials import expiries
from callbridge.ops.authorised import token_end
from callbridge.ops.inspect import History, Inspector
from callbridge.settings import Settings
from callbridge.store.durability import Standing, stands
from callbridge.store.spool import SPOOL_FILE
from callbridge.store.spools import SpoolReport, report_of
from callbridge.wiring import Store, asked


def inspector(store: Store, settings: Settings, history: History | None = None) -> Inspector:
    return Inspector(
        store.records,
        store.tally,
        store.presence,
        lambda: standing(store, settings),
        settings.accounts,
        lambda: {name: token_end(at, time.time()) for name, at in expiries(settings).items()},
        lambda: spools(store, settings),
        history,
    )


async def standing(store: Store, settings: Settings) -> Standing:
    """What Redis keeps, and whether it is the one that this host knows. Changes nothing."""
    found = await stands(store.scripts.redis, asked(settings))
    foreign = None if found.passing else await store.epoch.differs()
    problems = (*found.problems, foreign) if foreign else found.problems
    return replace(found, problems=problems, spools=bool(settings.receiver.spool_size))


async def spools(store: Store, settings: Settings) -> Mapping[str, SpoolReport]:
    """What every host last told, and what is in the file of this one."""
    return {**await store.spools.read(), **spool_here(settings)}


def spool_here(settings: Settings) -> Mapping[str, SpoolReport]:
    file = settings.data_dir / SPOOL_FILE
    return {socket.gethostname(): report_of(file, time.time())} if file.exists() else {}


LEDGER_FILE = "ledger.db"


def ledger_url(settings: Settings) -> str:
    """The SQL database in use: the configured one, else a file in the data directory."""
    if settings.ledger.url is not None:
        return settings.ledger.url.get_secret_value()
    return f"sqlite:///{(settings.data_dir / LEDGER_FILE).absolute()}"


def has_ledger(settings: Settings) -> bool:
    """Whether there is one to ask: SQLite makes a file of whatever is opened."""
    return settings.ledger.url is not None or (settings.data_dir / LEDGER_FILE).exists()
