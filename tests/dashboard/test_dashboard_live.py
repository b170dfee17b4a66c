"""Live figures: only what changed, rendered once for all, for as long as the session and the process last."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from callbridge.ops.dashboard import live
from callbridge.ops.dashboard.live import LIVE, STREAMS_EACH
from conftest import Browse
from support.overviews import an_overview
from support.pages import Gate, Overviews, a_console


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PERIOD", 0.02)


async def event(answer: Any) -> tuple[str, str]:
    """The next event's name and data."""
    name, data = "", []
    while line := (await asyncio.wait_for(answer.content.readline(), 5)).decode():
        match line.rstrip("\n").partition(": "):
            case ("", _, _):
                return name, "\n".join(data)
            case ("event", _, told):
                name = told
            case ("data", _, told):
                data.append(told)
            case _:
                continue
    return "closed", ""


async def test_all_is_told_at_first_and_then_what_changed(browse: Browse) -> None:
    overviews = Overviews(an_overview())
    client = await browse(a_console(overviews=overviews))
    async with client.get("/live?show=overview") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["Cache-Control"] == "no-store"
        name, data = await event(answer)
        assert name == "overview"
        assert all(
            f'id="live-{part}"' in data
            for part in ("banner", "figures", "chart", "accounts", "verdict", "count-parked")
        )
        assert await event(answer) == ("still", "")
        overviews.overview = replace(overviews.overview, speed=None)
        while (name := (await event(answer))) == ("still", ""):
            continue
        assert 'id="live-speed"' in name[1]
        assert 'id="live-accounts"' not in name[1]


async def test_time_alone_is_no_change(browse: Browse) -> None:
    overviews = Overviews(an_overview())
    client = await browse(a_console(overviews=overviews))
    async with client.get("/live?show=nav") as answer:
        await event(answer)
        overviews.overview = replace(overviews.overview, at=overviews.overview.at + 5)
        assert await event(answer) == ("still", "")


async def test_a_part_is_rendered_once_for_all_who_see_the_same(
    browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    rendered = live.rendered

    def counting(*given: Any, **values: Any) -> str:
        nonlocal count
        count += 1
        return rendered(*given, **values)

    monkeypatch.setattr(live, "rendered", counting)
    client = await browse(a_console(overviews=Overviews(an_overview())))
    answers = [await client.get("/live?show=tv") for _ in range(STREAMS_EACH)]
    for answer in answers:
        for _ in range(3):
            await event(answer)
        answer.close()
    assert count == 1


async def test_viewers_of_two_languages_read_their_own(browse: Browse) -> None:
    client = await browse(a_console(overviews=Overviews(an_overview())))
    async with (
        client.get("/live?show=tv", headers={"Accept-Language": "ru"}) as russian,
        client.get("/live?show=tv", headers={"Accept-Language": "en"}) as english,
    ):
        assert "Всё хорошо" in (await event(russian))[1]
        assert "All is well" in (await event(english))[1]


async def test_it_ends_with_the_session_and_says_so(browse: Browse) -> None:
    gate = Gate()
    client = await browse(a_console(overviews=Overviews(an_overview()), gate=gate))
    async with client.get("/live") as answer:
        await event(answer)
        gate.over = True
        names = [(await event(answer))[0] for _ in range(3)]
        assert names[-2:] == ["end", "closed"] or names[:2] == ["end", "closed"]


async def test_it_ends_with_the_process_without_a_word(browse: Browse) -> None:
    client = await browse(a_console(overviews=Overviews(an_overview())))
    async with client.get("/live") as answer:
        await event(answer)
        client.server.app[LIVE].ending.set()  # type: ignore[union-attr] # the server runs
        names = {(await event(answer))[0] for _ in range(3)}
        assert "closed" in names
        assert "end" not in names


async def test_one_session_has_so_many_streams_and_no_more(browse: Browse) -> None:
    client = await browse(a_console(overviews=Overviews(an_overview())))
    answers = [await client.get("/live") for _ in range(STREAMS_EACH)]
    assert (await client.get("/live")).status == 429
    for answer in answers:
        answer.close()
    async with asyncio.timeout(5):
        while (await client.get("/live")).status == 429:  # noqa: ASYNC110 - nothing in the server tells of it
            await asyncio.sleep(0.01)


async def test_there_is_no_stream_of_another_name(browse: Browse) -> None:
    client = await browse(a_console(overviews=Overviews(an_overview())))
    assert (await client.get("/live?show=../etc")).status == 404
