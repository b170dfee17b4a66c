"""Alerts come on transitions: a problem once, its end once, whatever it does in between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callbridge.ledger.views import KnownProblem
from callbridge.ops.alerting import Began, Ended, News, Trouble, step

BANNED = {"banned:main": Trouble("banned:main", "account main is banned", "/accounts#main")}


def played(*looks: tuple[float, dict[str, Trouble]], after: float = 30) -> list[News]:
    known: dict[str, KnownProblem] = {}
    told: list[News] = []
    for now, troubles in looks:
        known, news = step(known, troubles, now=now, after=after)
        told += news
    return told


def test_a_problem_is_told_once_after_it_has_lasted() -> None:
    (began,) = played((100, BANNED), (129, BANNED), (130, BANNED), (200, BANNED))
    assert isinstance(began, Began)
    assert (began.known.since, began.known.told_at) == (100, 130)


def test_a_blip_is_never_told() -> None:
    assert played((100, BANNED), (120, {}), (150, BANNED), (170, {}), (300, {})) == []


def test_the_end_is_told_once_it_has_lasted_too() -> None:
    began, ended = played((100, BANNED), (130, BANNED), (160, {}), (189, {}), (190, {}), (400, {}))
    assert isinstance(began, Began)
    assert isinstance(ended, Ended)
    assert ended.lasted == 60


def test_a_relapse_within_the_time_is_the_same_problem() -> None:
    told = played((100, BANNED), (130, BANNED), (160, {}), (180, BANNED), (220, BANNED), (230, {}), (261, {}))
    assert [type(news) for news in told] == [Began, Ended]


def test_the_words_of_a_problem_may_change_without_news() -> None:
    other = {"banned:main": Trouble("banned:main", "account main is banned, 12 calls wait")}
    assert len(played((100, BANNED), (130, BANNED), (160, other), (200, BANNED))) == 1


@given(
    looks=st.lists(st.tuples(st.floats(0.1, 60), st.sets(st.sampled_from("abc"))), max_size=40),
    after=st.floats(0, 60),
)
def test_beginnings_and_ends_of_a_cause_take_turns(looks: list[tuple[float, set[str]]], after: float) -> None:
    now, known = 0.0, dict[str, KnownProblem]()
    open_now: set[str] = set()
    for wait, causes in looks:
        now += wait
        known, news = step(known, {cause: Trouble(cause, cause) for cause in causes}, now=now, after=after)
        for item in news:
            if isinstance(item, Began):
                assert item.known.cause not in open_now
                open_now.add(item.known.cause)
            else:
                open_now.remove(item.known.cause)
    for cause in {c for c, k in known.items() if k.told_at is not None}:
        assert cause in open_now
