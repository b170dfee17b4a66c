"""Who drains which account: one living worker at a time, and no wake-up is forgotten."""

from __future__ import annotations

import asyncio

from callbridge.delivery.drains import SHARE, Crowded, Drains
from callbridge.errors import StoreUnavailable


class Presence:
    def __init__(self) -> None:
        self.holder: dict[str, str] = {}
        self.ending = asyncio.Event()
        self.ending.set()

    async def begin_drain(self, account: str, worker: str) -> bool:
        return self.holder.setdefault(account, worker) == worker

    async def end_drain(self, account: str, worker: str) -> None:
        await self.ending.wait()
        self.holder.pop(account, None)


class Work:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, account: str, crowded: Crowded = lambda: False) -> int:
        self.done.append(account)
        await self.gate.wait()
        return 0


def some_drains(presence: Presence, work: Work, *, at_most: int = 10) -> Drains:
    return Drains("w1", drain=work, look=work, note=work, presence=presence, at_most=at_most)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_any_number_of_wake_ups_is_one_drain_at_a_time() -> None:
    presence, work = Presence(), Work()
    drains = some_drains(presence, work)
    work.gate.clear()
    for _ in range(5):
        await drains.wake("main")
        await settle()
    assert work.done == ["main"]
    work.gate.set()
    await drains.stop()


async def test_a_wake_up_during_a_drain_makes_it_look_once_more() -> None:
    presence, work = Presence(), Work()
    drains = some_drains(presence, work)
    work.gate.clear()
    await drains.wake("main")
    await settle()
    await drains.wake("main")
    work.gate.set()
    await settle()
    assert work.done == ["main", "main"]


async def test_a_wake_up_while_a_drain_ends_begins_another() -> None:
    presence, work = Presence(), Work()
    drains = some_drains(presence, work)
    presence.ending.clear()
    await drains.wake("main")
    await settle()
    await drains.wake("main")
    presence.ending.set()
    await settle()
    assert work.done == ["main", "main"]
    assert presence.holder == {}


async def test_an_account_of_another_worker_is_left_to_it() -> None:
    presence, work = Presence(), Work()
    presence.holder["main"] = "w2"
    drains = some_drains(presence, work)
    await drains.wake("main")
    await settle()
    assert work.done == []
    assert presence.holder == {"main": "w2"}


async def test_a_full_worker_takes_no_further_account_until_there_is_a_place() -> None:
    presence, work = Presence(), Work()
    drains = some_drains(presence, work, at_most=1)
    work.gate.clear()
    await drains.wake("a")
    await drains.wake("b")
    await settle()
    assert work.done == ["a"]
    work.gate.set()
    await settle()
    assert work.done == ["a", "b"]


async def test_a_drain_that_had_its_share_gives_its_place_to_the_next_and_queues_again() -> None:
    done: list[str] = []
    answered = asyncio.Event()

    async def endless(account: str, crowded: Crowded) -> None:
        done.append(account)
        while not crowded():  # noqa: ASYNC110 - it asks between two requests
            await asyncio.sleep(SHARE / 10)
        await answered.wait()  # its last request

    drains = Drains("w1", drain=endless, look=Work(), note=Work(), presence=Presence(), at_most=1)
    for account in ("huge", "b", "c"):
        await drains.wake(account)
    while done != ["huge", "b", "c"]:  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(SHARE / 10)
    assert drains.running() == {"huge", "b", "c"}, "who waits for its last answer holds no place"
    answered.set()
    while done[:4] != ["huge", "b", "c", "huge"]:  # noqa: ASYNC110 - as above
        await asyncio.sleep(SHARE / 10)
    for task in drains._running.values():
        task.cancel()
    await drains.stop()


async def test_a_failing_account_harms_no_other() -> None:
    class Failing(Work):
        async def __call__(self, account: str, crowded: Crowded = lambda: False) -> int:
            self.done.append(account)
            if account == "bad":
                raise StoreUnavailable("gone")
            if account == "worse":
                raise RuntimeError("a bug")
            return 0

    failing = Failing()
    drains = some_drains(Presence(), failing)
    for account in ("bad", "worse", "good"):
        await drains.wake(account)
    await settle()
    assert sorted(failing.done) == ["bad", "good", "worse"]
    await drains.wake("bad")
    await settle()
    assert failing.done.count("bad") == 2


async def test_after_a_stop_nothing_begins() -> None:
    presence, work = Presence(), Work()
    drains = some_drains(presence, work)
    await drains.stop()
    await drains.wake("main")
    await drains.look("main")
    await settle()
    assert work.done == []
