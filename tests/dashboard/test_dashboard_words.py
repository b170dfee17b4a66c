"""The texts of the interface: complete in every language, and every one that is asked for is there."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.ops import dashboard
from callbridge.ops.dashboard.words import LANGUAGES, chosen, form, words_of
from callbridge.ops.verdict import CODES
from callbridge.ops.who import Role
from callbridge.outcome import PauseReason, PublicState, Reason

HERE = Path(dashboard.__path__[0])
FORMS = {"en": {"one", "other"}, "ru": {"one", "few", "many"}}
ENGLISH, RUSSIAN = words_of("en"), words_of("ru")


def values_of(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_text_is_there_in_both_languages() -> None:
    assert ENGLISH.texts.keys() == RUSSIAN.texts.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_with_forms_has_all_that_its_language_needs(language: str) -> None:
    wrong = {
        key: set(text)
        for key, text in words_of(language).texts.items()
        if not isinstance(text, str) and set(text) != FORMS[language]
    }
    assert not wrong


def test_a_text_puts_the_same_values_in_in_both_languages() -> None:
    def all_values(text: object) -> set[str]:
        forms = [text] if isinstance(text, str) else list(text.values())  # type: ignore[attr-defined] # a table of forms
        return set().union(*(values_of(each) for each in forms)) - {"count"}

    wrong = [key for key in ENGLISH.texts if all_values(ENGLISH.texts[key]) != all_values(RUSSIAN.texts[key])]
    assert not wrong


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_russian_text_is_russian_and_none_is_empty(language: str) -> None:
    for key, text in words_of(language).texts.items():
        forms = [text] if isinstance(text, str) else list(text.values())
        assert all(each.strip() for each in forms), key


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", CODES)
def test_every_trouble_is_told_with_its_values(language: str, code: str) -> None:
    values = {
        name: 7 if name not in {"detail", "host", "account", "owner", "reason"} else "banned" for name in CODES[code]
    }
    assert "{" not in words_of(language)(f"verdict.{code}", **values)


def test_whoever_has_a_trouble_is_told_what_to_do() -> None:
    at_ease = {"all_well", "on_the_way", "parked_only", "no_calls", "starting", "stopped"}
    assert all(f"todo.{code}" in ENGLISH for code in CODES if code not in at_ease)
    assert all(f"pause_next.{reason}" in ENGLISH and f"pause.{reason}" in ENGLISH for reason in PauseReason)


def test_every_code_of_the_contract_has_its_word() -> None:
    assert all(f"state.{state}" in ENGLISH for state in PublicState.__args__)  # type: ignore[attr-defined] # a Literal
    assert all(f"reason.{reason}" in ENGLISH for reason in Reason)
    assert all(f"role.{role}" in ENGLISH for role in Role)
    assert all(f"next.{state}" in ENGLISH or f"next.{state}.none" in ENGLISH for state in PublicState.__args__)  # type: ignore[attr-defined] # as above


def test_every_text_that_is_asked_for_by_name_exists() -> None:
    asked = re.compile(
        r"""\bt\(\s*["']([a-z_]+(?:\.[a-z0-9_]+)+)["']\s*[,)]|\bwords\(\s*"([a-z_]+(?:\.[a-z0-9_]+)+)"\s*[,)]"""
    )
    missing = [
        f"{file.name}: {key}"
        for file in [*HERE.rglob("*.html"), *HERE.glob("*.py")]
        for found in asked.findall(file.read_text("utf-8"))
        for key in found
        if key and key not in ENGLISH
    ]
    assert not missing


@pytest.mark.parametrize(
    ("count", "wanted"),
    [(0, "many"), (1, "one"), (2, "few"), (4, "few"), (5, "many"), (11, "many"), (12, "many"), (14, "many"), (21, "one"),
     (22, "few"), (25, "many"), (101, "one"), (111, "many"), (112, "many"), (1001, "one"), (1.5, "few")],
)  # fmt: skip
def test_russian_counts_as_russians_do(count: float, wanted: str) -> None:
    assert form("ru", count) == wanted


@pytest.mark.parametrize(
    ("count", "told"), [(1, "1 звонок"), (3, "3 звонка"), (12, "12 звонков"), (1002, "1\u00a0002 звонка")]
)
def test_calls_are_counted(count: int, told: str) -> None:
    assert RUSSIAN("unit.calls", count=count) == told


def test_values_are_text_and_never_a_format() -> None:
    assert RUSSIAN("shell.type_in", text="{0.__class__}") == "Введите {0.__class__} для подтверждения"


def test_an_unknown_code_is_shown_as_it_is() -> None:
    assert ENGLISH.code("reason", "of_tomorrow") == "of_tomorrow"
    assert ENGLISH.code("next", "dead") == "dead"
    assert not ENGLISH.code("reason", None)


def test_a_text_that_does_not_exist_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        ENGLISH("shell.nothing_of_the_kind")


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(None, "—"), (0, "0 ms"), (0.0421, "42 ms"), (1.44, "1.4 s"), (59, "59 s"), (119, "119 s"), (600, "10 min"),
     (7200, "2 h"), (90_000, "25 h"), (172_800, "2 days"), (1e9, "11,574 days")],
)  # fmt: skip
def test_a_stretch_of_time_is_told_in_a_unit_that_makes_sense(seconds: float | None, told: str) -> None:
    assert ENGLISH.span(seconds) == told


@pytest.mark.parametrize(
    ("cookie", "accepted", "wanted"),
    [("ru", "en", "ru"), ("xx", "ru-RU,ru;q=0.9,en;q=0.8", "ru"), (None, "en-GB,ru;q=0.5", "en"), (None, "de,ru;q=0.1", "ru"),
     (None, "ru;q=0,en", "en"), (None, "", "en"), (None, ";q=;;,=", "en"), (None, "ru;q=nan", "en")],
)  # fmt: skip
def test_a_viewer_reads_his_language(cookie: str | None, accepted: str, wanted: str) -> None:
    assert chosen(cookie, accepted) == wanted


@given(st.text(max_size=300), st.text(max_size=300))
@settings(max_examples=100)
def test_no_header_is_too_odd_for_a_language(cookie: str, accepted: str) -> None:
    assert chosen(cookie, accepted) in LANGUAGES
