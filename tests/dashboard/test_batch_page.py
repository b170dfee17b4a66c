"""Batch X-ray: what went together, what came of it, and the way to the call that was refused."""

from __future__ import annotations

import zlib

import pytest

from callbridge.ledger.views import BatchXray
from callbridge.ops.dashboard.batch_page import MOST_BRANCHES, tree
from callbridge.ops.dashboard.shown_text import MOST_INFLATED, inflated
from support.callpages import PHONE, Browse, CallDesk, a_batch, a_desk, an_attempt, dead, packed

HOSTILE = """"><img src=x onerror=alert(1)>"""


def refused(desk: CallDesk) -> None:
    """40 calls, refused whole; their culprit stands alone in the third batch."""
    whole = {"answer": "WholeRefused", "status": 400}
    culprit = (dead(1), an_attempt("b3", became="dead", reason="refused_by_crm", detail=f"bad {PHONE}"))
    b1, b2 = a_batch("b1", size=40, **whole), a_batch("b2", size=20, parent="b1", why="half", **whole)
    b3, b4 = a_batch("b3", size=1, parent="b2", why="half", **whole), a_batch("b4", size=19, parent="b2", why="half")
    request, response = packed([{"phone": PHONE}]), packed({"detail": f"bad {PHONE}", "hint": HOSTILE})
    desk.ledger.batches_known = {
        "b1": BatchXray(b1, ((dead(1), an_attempt("b1", became="halved")),), (b2,), request, response),
        "b2": BatchXray(b2, ((dead(1), an_attempt("b2", became="halved")),), (b3, b4), request, response),
        "b3": BatchXray(b3, (culprit,), (), request, response),
        "b4": BatchXray(b4, (), (), None, None),
    }


@pytest.mark.parametrize("batch", ["b1", "b2", "b3", "b4"])
async def test_from_every_batch_the_whole_way_to_the_culprit_is_seen(browse: Browse, batch: str) -> None:
    desk = a_desk()
    refused(desk)
    page = await (await (await browse(desk.console)).get(f"/batches/{batch}")).text()
    places = [page.rindex(f">{each}<") for each in ("b1", "b2", "b3", "b4")]
    assert places == sorted(places)
    assert 'href="/calls/1k00001abcdefghj"' in page
    assert "How the refused call was found" in page


async def test_a_batch_tells_what_each_call_got_without_numbers_or_markup(browse: Browse) -> None:
    desk = a_desk()
    refused(desk)
    page = await (await (await browse(desk.console)).get("/batches/b3")).text()
    assert "Refused by the CRM" in page
    assert "bad ***4567" in page
    assert PHONE not in page
    assert "<img" not in page
    assert "half of a refused one" in page


async def test_batches_are_listed_by_answer_and_an_unknown_one_is_a_page(browse: Browse) -> None:
    desk = a_desk()
    refused(desk)
    client = await browse(desk.console)
    page = await (await client.get("/batches?answer=PerCall")).text()
    assert "/batches/b4" in page
    assert "/batches/b1" not in page
    assert (await client.get("/batches/b9")).status == 404
    assert (await client.get("/batches?account=%3Cb%3E&answer=%3Cb%3E")).status == 200
    assert (await client.get("/batches?after=zzz", allow_redirects=False)).status == 303


async def test_a_hostile_row_of_a_batch_stays_text(browse: Browse) -> None:
    desk = a_desk()
    row = a_batch("b1", why=HOSTILE, answer=HOSTILE, request_id=HOSTILE, account=HOSTILE, parent=HOSTILE)
    desk.ledger.batches_known = {
        "b1": BatchXray(row, ((dead(1, detail=HOSTILE), an_attempt(detail=HOSTILE)),), (), None, None)
    }
    client = await browse(desk.console)
    for path in ("/batches", "/batches/b1"):
        assert "<img" not in await (await client.get(path)).text()


async def test_a_tree_of_any_shape_costs_a_bounded_number_of_queries() -> None:
    asked: list[str] = []

    async def endless(batch: str) -> BatchXray:
        asked.append(batch)
        halves = tuple(a_batch(f"{batch}{n}", answer="WholeRefused", status=400) for n in (0, 1))
        return BatchXray(a_batch(batch, answer="WholeRefused", status=400), (), halves, None, None)

    grown = await tree(await endless("b"), endless)
    assert len(asked) <= MOST_BRANCHES + 1
    assert len(grown) <= 2 * MOST_BRANCHES + 1


def test_a_body_is_unpacked_to_a_bound_only() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    kept = bomb.compress(b"0" * (MOST_INFLATED * 8)) + bomb.flush()
    assert len(inflated(kept)) == MOST_INFLATED
    assert inflated(b"\xff\xff no deflate") == b"\xff\xff no deflate"
