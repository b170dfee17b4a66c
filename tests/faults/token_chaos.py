"""N16: workers die around the refresh of a token, again and again.

Each lane is an account of its own with its own grant, so that lanes run side by side. In a lane worker after worker dies: at
a named point, or while the token endpoint is answering; others want to refresh at the same moment. Whatever dies where, what
is left is a usable pair or an account that says that it has to be authorised anew, and the latter only where the CRM had
replaced the pair and nobody has the new one.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from cryptography.fernet import Fernet

from callbridge import configuration
from callbridge.amocrm.consent import Consent
from callbridge.amocrm.exchange import build_session
from callbridge.amocrm.tokens import TokenPair
from callbridge.credentials import application, token_endpoint, token_vault
from callbridge.ops import accounts
from callbridge.outcome import PauseReason
from callbridge.settings import Settings
from callbridge.sim.config import SimConfig
from callbridge.wiring import Store, open_store
from faults.report import Report, reported
from faults.town import TOKEN, Town, town

LANES = 8
LIFE = 1.0
"""Seconds for which an access token lives: by the next round it has ended."""

LOST = "while the CRM answers"
POINTS = ("token.before_backup", "token.before_save", "token.after_save", LOST)
LOSES = {"token.before_backup", LOST}
"""Deaths after which nobody has the new pair: with a strict CRM the old one is worth nothing any more."""


@dataclass
class Lane:
    name: str
    settings: Settings
    env: dict[str, str]
    deaths: Counter[str] = field(default_factory=Counter)
    authorised: int = 0
    latest: int = 0
    losses: int = 0
    """Losses since the last authorisation."""
    grant: int | None = None
    wrong: list[str] = field(default_factory=list)


async def n16_token_chaos(directory: Path, seed: int, *, crashes: int, strict: bool, **env: str) -> Report:
    crm = SimConfig(
        contacts=0, rate=0, match_all=True, seed=seed, tokens=(TOKEN,), client_id="storm", token_life=LIFE,
        grace_refresh=not strict,
    )  # fmt: skip
    sealing = {"CALLBRIDGE_SEALING__KEY": Fernet.generate_key().decode()}
    async with town(directory, seed, crm=crm, **sealing | env) as place:
        place.crm.arm("slow@tokens=300ms")
        lanes = [_lane(place, number, directory) for number in range(min(LANES, max(1, crashes // 2)))]
        async with open_store(lanes[0].settings, place.redis.url) as store:
            shares = [crashes // len(lanes) + (number < crashes % len(lanes)) for number in range(len(lanes))]
            await asyncio.gather(
                *(_run(place, lane, store, share, strict=strict) for lane, share in zip(lanes, shares, strict=True))
            )
            place.crm.disarm()
            await _deliver(place, lanes[0], store)
            usable = sum(await asyncio.gather(*(_is_usable(place, lane, store) for lane in lanes)))
            for lane in lanes:
                if await _stopped(lane, store):
                    _judge_stop(lane, strict=strict)
        wrong = [f"{lane.name}: {problem}" for lane in lanes for problem in lane.wrong]
        if place.crm.desk.tokens.peak > 1:
            wrong.append(f"{place.crm.desk.tokens.peak} refreshes of one grant were under way at once")
        if usable < len(lanes):
            wrong.append(f"{len(lanes) - usable} accounts have neither a usable pair nor a state that says so")
        deaths = sum((lane.deaths for lane in lanes), Counter[str]())
        return reported(
            "N16 token chaos", "a usable pair or a clear state, one refresh at a time", seed, await place.verdict(),
            *wrong, calls=len(place.acknowledged), deaths=dict(deaths), mode="strict" if strict else "grace",
            refreshed=place.crm.desk.tokens.refreshed, at_once=place.crm.desk.tokens.peak,
            authorised_anew=sum(lane.authorised for lane in lanes) - len(lanes),
        )  # fmt: skip


def _lane(place: Town, number: int, directory: Path) -> Lane:
    name = f"lane{number}"
    prefix = f"CALLBRIDGE_ACCOUNTS__{name.upper()}__"
    env = {
        f"{prefix}URL": place.crm.url,
        f"{prefix}CLIENT_ID": "storm",
        f"{prefix}CLIENT_SECRET": "secret-of-the-storm",
        f"{prefix}REDIRECT_URI": "https://bridge.example.com/oauth",
        f"{prefix}REQUESTS_PER_SECOND": "50",
        f"{prefix}NO_MATCH__POLICY": "record",
        "CALLBRIDGE_SOURCES__OFFICE__ACCOUNT": name,
    }
    return Lane(name, configuration.load({**place.env, **env}, directory), env)


async def _run(place: Town, lane: Lane, store: Store, deaths: int, *, strict: bool) -> None:
    dice = Random(f"{place.seed} {lane.name}")
    await _authorise(place, lane, store)
    number = 0
    while lane.deaths.total() < deaths and not lane.wrong:
        number += 1
        await asyncio.sleep(LIFE)
        if await _stopped(lane, store):
            _judge_stop(lane, strict=strict)
            await _authorise(place, lane, store)
            await asyncio.sleep(LIFE)
        await _die(place, lane, store, dice.choice(POINTS), number, rivals=dice.randrange(3))
        await _look_back(lane, store)


async def _die(place: Town, lane: Lane, store: Store, point: str, number: int, *, rivals: int) -> None:
    """A worker dies there; others start beside it. Whoever is alive afterwards is killed too."""
    victim = f"{lane.name}-{number}"
    # Together: whichever comes first refreshes, and all of them die at that point.
    crash = {} if point == LOST else {"CRASH_AT": point}
    names = [victim, *(f"{victim}-rival{rival}" for rival in range(rivals))]
    before = place.crm.desk.tokens.asked[lane.grant or 0]
    for name in names:
        await place.start(name, "worker", **lane.env, **crash)
    deadline = time.monotonic() + 25
    while time.monotonic() < deadline and not await _stopped(lane, store):
        if point == LOST and place.crm.desk.tokens.asked[lane.grant or 0] > before:
            await asyncio.sleep(0.15)
            lane.losses += 1
            lane.deaths[point] += 1
            break
        if point != LOST and not all(place.roles[name].alive for name in names):
            lane.deaths[point] += 1
            lane.losses += point in LOSES
            break
        await asyncio.sleep(0.02)
    else:
        if not await _stopped(lane, store):
            lane.wrong.append(f"nobody came to {point}")
    for name in names:
        place.kill(name, signal.SIGKILL)
    for name in names:
        await place.ended(name)


async def _authorise(place: Town, lane: Lane, store: Store) -> None:
    """What an operator does: `accounts authorise`."""
    app = application(lane.settings.accounts[lane.name])
    assert app

    async def at_once() -> None:
        pass

    async with build_session() as session:
        done = await accounts.authorise(
            lane.name,
            Consent(place.crm.consent(), place.crm.url),
            endpoint=token_endpoint(app, lane.settings, session),
            vault=token_vault(lane.name, lane.settings, store.scripts),
            queue=store.queue,
            pause=await store.tally.pause_of(lane.name),
            owner="operator",
            now=time.time,
            permit=at_once,
        )
    assert isinstance(done, accounts.Authorised), done
    lane.authorised += 1
    lane.losses = 0
    lane.latest = done.pair.generation
    lane.grant = place.crm.desk.tokens.grant_of(done.pair.refresh)


async def _stopped(lane: Lane, store: Store) -> bool:
    pause = await store.tally.pause_of(lane.name)
    return pause is not None and pause.reason is PauseReason.REAUTHORISE


def _judge_stop(lane: Lane, *, strict: bool) -> None:
    if not lane.losses:
        lane.wrong.append("it asks to be authorised anew though no pair was lost")
    if not strict:
        lane.wrong.append("it asks to be authorised anew though the old token was still good")


async def _kept(lane: Lane, store: Store) -> TokenPair | None:
    return await token_vault(lane.name, lane.settings, store.scripts).load()


async def _look_back(lane: Lane, store: Store) -> None:
    pair = await _kept(lane, store)
    if pair is None:
        lane.wrong.append("there is no pair any more")
    elif pair.generation < lane.latest:
        lane.wrong.append(f"generation {pair.generation} stands where {lane.latest} stood")
    else:
        lane.latest = pair.generation


async def _is_usable(place: Town, lane: Lane, store: Store) -> bool:
    """A healthy worker gets a good token, or the account says what it needs."""
    await asyncio.sleep(LIFE)
    worker = f"{lane.name}-healthy"
    before = await _kept(lane, store)
    if not await _stopped(lane, store):
        await place.start(worker, "worker", **lane.env)
    deadline = time.monotonic() + 15
    try:
        while time.monotonic() < deadline:
            pair = await _kept(lane, store)
            if await _stopped(lane, store):
                return True
            if pair and before and pair.generation > before.generation:
                return place.crm.desk.tokens.admits(pair.access, place.crm.clock())
            await asyncio.sleep(0.05)
        return False
    finally:
        if worker in place.roles:
            place.kill(worker)


async def _deliver(place: Town, lane: Lane, store: Store) -> None:
    """Calls go out through an account that has been through all of it, as soon as a person has let us in where it asks."""
    url = await place.receiver("receiver", **lane.env)
    await place.start("courier", "worker", **lane.env)
    sending = asyncio.create_task(
        place.send(url, [f"n16-{place.seed}-{number}" for number in range(20)], senders=3, pause=0.1)
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (not sending.done() or await place.under_way()):
        if await _stopped(lane, store):
            _judge_stop(lane, strict=not place.crm.config.grace_refresh)
            await _authorise(place, lane, store)
        await asyncio.sleep(0.2)
    await sending
    place.kill("courier")
