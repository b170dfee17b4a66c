"""The loop that tells: once per transition over restarts and several consoles, until each message has arrived."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from callbridge.errors import LedgerUnavailable
from callbridge.ledger.alerting import LedgerAlerts
from callbridge.ledger.database import open_ledger
from callbridge.ledger.views import KnownProblem
from callbridge.ops.alerting import Began, Ended, Trouble
from callbridge.ops.telling import Message
from callbridge.ops.watch import GIVE_UP_AFTER, Look, Memory, Watch

BANNED = Look({"banned:main": Trouble("banned:main", "account main is banned", "/accounts#main")}, alive=False)
WELL = Look({}, alive=True)


class Heard:
    name = "heard"

    def __init__(self) -> None:
        self.told: list[Message] = []
        self.deaf = False

    async def tell(self, told: Message) -> str | None:
        if self.deaf:
            return "HTTP 500"
        self.told.append(told)
        return None


class Scene:
    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.now = 1_790_000_000.0
        self.shown = WELL
        self.channel = Heard()
        self.pings = 0
        self.watch = self.begin("one")

    def begin(self, runner: str) -> Watch:
        async def look() -> Look:
            return self.shown

        async def ping() -> str | None:
            self.pings += 1
            return None

        return Watch(look, [self.channel], self.memory, lambda: self.now, 30, runner, lambda: "https://c.example", ping)

    async def pass_time(self, seconds: float, *watches: Watch, shown: Look | None = None) -> None:
        self.shown = shown or self.shown
        for _ in range(round(seconds / 5)):
            self.now += 5
            for watch in watches or (self.watch,):
                await watch.step()

    @property
    def kinds(self) -> list[type]:
        return [type(told.news) for told in self.channel.told]


@pytest.fixture
async def scene(tmp_path: Path):
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield Scene(LedgerAlerts(ledger))


async def test_a_beginning_and_an_end_are_told_once_each(scene: Scene) -> None:
    await scene.pass_time(120, shown=BANNED)
    await scene.pass_time(120, shown=WELL)
    assert scene.kinds == [Began, Ended]


async def test_a_restart_tells_nothing_twice(scene: Scene) -> None:
    await scene.pass_time(60, shown=BANNED)
    again = scene.begin("two")
    await scene.pass_time(120, again)
    await scene.pass_time(120, again, shown=WELL)
    assert scene.kinds == [Began, Ended]


async def test_of_several_consoles_one_tells(scene: Scene) -> None:
    other = scene.begin("two")
    await scene.pass_time(120, scene.watch, other, shown=BANNED)
    assert scene.kinds == [Began]


async def test_another_console_takes_over_from_one_that_is_gone(scene: Scene) -> None:
    await scene.pass_time(20)
    other = scene.begin("two")
    await scene.pass_time(120, other, shown=BANNED)
    assert scene.kinds == [Began]


async def test_what_did_not_arrive_is_sent_again_under_the_same_id(scene: Scene) -> None:
    scene.channel.deaf = True
    await scene.pass_time(60, shown=BANNED)
    scene.channel.deaf = False
    await scene.pass_time(300)
    assert scene.kinds == [Began]
    assert scene.channel.told[0].id.startswith("msg_")


async def test_what_never_arrives_is_given_up(scene: Scene) -> None:
    scene.channel.deaf = True
    await scene.pass_time(GIVE_UP_AFTER + 700, shown=BANNED)
    scene.channel.deaf = False
    await scene.pass_time(600)
    assert scene.kinds == []


async def test_without_its_ledger_it_tells_all_the_same() -> None:
    class Away:
        async def hold(self, runner: str, seconds: float, now: float) -> bool:
            raise LedgerUnavailable("away")

        async def load(self) -> Mapping[str, KnownProblem]:
            raise LedgerUnavailable("away")

        async def save(self, known: Mapping[str, KnownProblem]) -> None:
            raise LedgerUnavailable("away")

    scene = Scene(Away())
    await scene.pass_time(120, shown=BANNED)
    await scene.pass_time(120, shown=WELL)
    assert scene.kinds == [Began, Ended]


async def test_the_monitor_outside_is_pinged_only_while_calls_flow(scene: Scene) -> None:
    await scene.pass_time(180)
    assert scene.pings == 3
    await scene.pass_time(600, shown=BANNED)
    assert scene.pings == 3
