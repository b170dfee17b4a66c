"""Sources: what to paste into the PBX, what it sent, and what to do about what was turned away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from callbridge.errors import StoreUnavailable
from callbridge.ops.answers import SourceTest
from callbridge.ops.dashboard.words import LANGUAGES, words_of
from callbridge.ops.who import Role
from callbridge.store.refusals import SourceRefusals
from callbridge.store.tally import SourceTally
from support.callpages import Browse
from support.markup import PAYLOADS, links, shape
from support.mendpages import MendDesk, a_mend_desk
from support.overviews import NOW

CODES = (
    "bad_bearer_token", "bad_path_token", "bad_signature", "bad_token", "body_broken_off", "body_too_large", "body_too_slow",
    "method", "network_not_allowed", "no_credential_configured", "no_secret_given", "no_signature", "no_token",
    "stale_timestamp", "unknown_source",
)  # fmt: skip


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[MendDesk]:
    async with a_mend_desk(tmp_path) as desk:
        yield desk


def refused(code: str = "bad_signature", agent: str = "PBX/1.0") -> SourceRefusals:
    sample = {"at": NOW, "code": code, "method": "POST", "bytes": 412, "ip": "198.51.100.0/24", "agent": agent}
    return SourceRefusals({code: 9}, (sample,), NOW)


async def test_the_address_to_paste_is_there_and_its_secret_part_is_not(desk: MendDesk, browse: Browse) -> None:
    page = await (await (await browse(desk.console)).get("/sources")).text()
    assert 'data-copy="https://pbx.example.com/hooks/office"' in page
    assert "path token" in page
    assert "a-hidden-word" not in page
    assert "sample-secret" not in page


async def test_a_rotated_secret_is_told_with_what_to_do(desk: MendDesk, browse: Browse) -> None:
    desk.refusals.found = {"office": refused()}
    page = await (await (await browse(desk.console)).get("/sources")).text()
    assert "The PBX signs with another secret: set SECRET" in page
    assert "PREVIOUS_SECRET" in page
    assert "198.51.100.0/24" in page


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", CODES)
def test_every_code_of_the_receiver_has_its_advice(code: str, language: str) -> None:
    assert f"refused.{code}.what" in words_of(language)
    assert f"refused.{code}.next" in words_of(language)


async def test_a_code_of_another_version_is_shown_as_it_is(desk: MendDesk, browse: Browse) -> None:
    desk.refusals.found = {"office": refused("too_funny"), "unknown": refused("unknown_source")}
    page = await (await (await browse(desk.console)).get("/sources")).text()
    assert "Turned away: too_funny" in page
    assert "To no source of ours" in page


async def test_a_source_that_sent_nothing_is_told_apart_from_one_that_did(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console)
    assert "connected" in await (await client.get("/sources")).text()
    desk.figures(sources=())
    page = await (await client.get("/sources")).text()
    assert "nothing came yet" in page
    assert "callbridge providers show mango" in page
    desk.figures(sources=(SourceTally("old", 5.0, {"stored": 1}),))
    page = await (await client.get("/sources")).text()
    assert "not in the settings" in page
    assert "/sources/old/test" not in page


async def test_redis_away_leaves_the_addresses(desk: MendDesk, browse: Browse) -> None:
    class Away:
        async def read(self) -> None:
            raise StoreUnavailable("away")

    desk.console.refusals = Away()  # type: ignore[misc, assignment] # the console of a test is no frozen one
    desk.overviews.overview = SimpleNamespace(status=None, stale_since=None, verdict="unknown", at=NOW)
    page = await (await (await browse(desk.console)).get("/sources")).text()
    assert "Redis does not answer" in page
    assert "https://pbx.example.com/hooks/office" in page


async def test_a_test_tells_its_steps_and_where_it_ended(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console)
    good = await (await client.post("/sources/office/test")).text()
    assert "Such a webhook is taken" in good
    desk.actions.answers["test"] = SourceTest(ok=False, steps=(("signature", "wrong"),), problem="the secret is none")
    bad = await (await client.post("/sources/office/test")).text()
    assert "the secret is none" in bad
    assert "signature" in bad
    assert (await client.post("/sources/other/test")).status == 404


async def test_a_viewer_tests_nothing(desk: MendDesk, browse: Browse) -> None:
    page = await (await (await browse(desk.console, Role.VIEWER)).get("/sources")).text()
    assert "needs the role operator" in page
    assert "/sources/office/test" not in page


async def test_what_others_wrote_stays_text(desk: MendDesk, browse: Browse) -> None:
    client = await browse(desk.console)
    shapes = set()
    for text in ("plain", *PAYLOADS):
        desk.refusals.found = {"office": refused(agent=text), "unknown": refused(text, text)}
        desk.actions.answers["test"] = SourceTest(ok=False, steps=((text, text),), problem=text)
        page = await (await client.get("/sources")).text()
        tested = await (await client.post("/sources/office/test")).text()
        shapes.add((*shape(page), *shape(tested)))
        assert "__pwn" not in "".join(links(page))
    assert len(shapes) == 1
