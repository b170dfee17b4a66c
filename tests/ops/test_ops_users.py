"""Extensions seen on calls, and whose they are proposed to be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callbridge.amocrm.translate import by_extension, extension_key, translate
from callbridge.amocrm.users import User
from callbridge.call import CallId
from callbridge.ops.users import Seen, Sightings, propose
from callbridge.outcome import Ready
from callbridge.store.envelope import Envelope
from callbridge.store.records import Record
from support.builders import a_finished_call

ANNA = User(501, "Anna Petrova", "anna.petrova@fabrika.example", active=True)
BORIS = User(502, "Boris Orlov", "102@fabrika.example", active=True)
GALINA = User(504, "Galina Kuznetsova (104)", "galina@fabrika.example", active=True)
GONE = User(509, "Dmitry Volkov", "109@fabrika.example", active=False)
USERS = (ANNA, BORIS, GALINA, GONE)


def a_record(extension: str | None, received_at: float = 1_790_000_100.0, **changes: Any) -> Record:
    finished = a_finished_call(extension=extension, **changes)
    envelope = Envelope(finished.call.source, finished.call.provider, finished.webhook, finished.call, None)
    return Record(
        id=CallId("1ngc9ejwfeqs9y9m"),
        state="delivered",
        account="main",
        source=finished.call.source,
        attempts=1,
        received_at=received_at,
        updated_at=received_at,
        reason=None,
        detail=None,
        note_id=None,
        entity_type=None,
        entity_id=None,
        link=None,
        duplicates=0,
        variants=0,
        envelope=envelope,
    )


def seen(extension: str, calls: int = 3) -> Seen:
    return Seen("office", extension, calls, 1_790_000_100.0)


def sightings(*records: Record) -> Sightings:
    found = Sightings()
    for record in records:
        found.add(record)
    return found


@pytest.mark.parametrize(
    ("extension", "user", "by"),
    [
        ("anna.petrova@fabrika.example", ANNA, "e-mail"),
        ("  ANNA.Petrova@Fabrika.example ", ANNA, "e-mail"),
        ("anna.petrova", ANNA, "e-mail before the @"),
        ("anna.petrova@pbx.example", ANNA, "e-mail before the @"),
        ("102", BORIS, "e-mail before the @"),
        ("boris  orlov", BORIS, "name"),
        ("104", GALINA, "number"),
    ],
)
def test_an_extension_is_known_by_what_people_write_into_both(extension: str, user: User, by: str) -> None:
    proposal = propose("office", {}, [seen(extension)], USERS)
    (match,) = proposal.matches
    assert (match.user, match.by) == (user, by)
    assert proposal.extensions == {extension: user.id}


@pytest.mark.parametrize("extension", ["103", "10", "anna", "109", "fabrika.example", "@", "orlov", "04"])
def test_what_fits_nobody_who_works_here_is_left_open(extension: str) -> None:
    proposal = propose("office", {}, [seen(extension)], USERS)
    assert (proposal.matches, proposal.extensions) == ((), {})
    assert [doubt.users for doubt in proposal.doubts] == [()]


def test_two_who_fit_equally_well_are_a_question_and_no_answer() -> None:
    other = User(503, "Anna Petrova", "anna@fabrika.example", active=True)
    proposal = propose("office", {}, [seen("Anna Petrova")], (*USERS, other))
    assert proposal.matches == ()
    assert [doubt.users for doubt in proposal.doubts] == [(ANNA, other)]


def test_a_surer_likeness_beats_a_weaker_one_of_somebody_else() -> None:
    proposal = propose("office", {}, [seen("102")], (*USERS, User(505, "Vera (102)", "vera@x.example", active=True)))
    assert [match.user for match in proposal.matches] == [BORIS]


def test_what_is_set_stays_in_the_line_to_paste_and_is_not_asked_again() -> None:
    proposal = propose("office", {"Boris@Old.example": 502, "7": 999}, [seen("boris@old.example"), seen("104")], USERS)
    assert proposal.extensions == {"Boris@Old.example": 502, "7": 999, "104": 504}
    assert [match.seen.extension for match in proposal.matches] == ["104"]
    assert proposal.doubts == ()


def test_an_entry_whose_user_has_left_or_never_was_is_told() -> None:
    proposal = propose("office", {"7": 999, "9": GONE.id, "2": BORIS.id}, [], USERS)
    assert proposal.stale == {"7": 999, "9": GONE.id}
    assert proposal.free == (ANNA, GALINA)


def test_sightings_are_counted_however_they_are_spelled_and_the_latest_spelling_is_shown() -> None:
    found = sightings(
        a_record("Anna@X.example", 200.0), a_record("anna@x.EXAMPLE", 300.0), a_record("ANNA@x.example", 100.0)
    )
    assert found.most_frequent() == [Seen("office", "anna@x.EXAMPLE", 3, 300.0)]


def test_sightings_of_two_sources_stay_apart_and_the_most_frequent_comes_first() -> None:
    found = sightings(a_record("101"), a_record("102"), a_record("102"), a_record("102", source="city"), a_record(None))
    assert [(s.source, s.extension, s.calls) for s in found.most_frequent()] == [
        ("office", "102", 2), ("city", "102", 1), ("office", "101", 1),
    ]  # fmt: skip
    assert [s.extension for s in found.of("city")] == ["102"]


def test_unmapped_are_those_that_no_map_of_their_own_source_knows() -> None:
    found = sightings(a_record("Anna"), a_record("102"), a_record("102", source="city"))
    assert [(s.source, s.extension) for s in found.unmapped({"office": {" anna ": 1, "102": 2}})] == [("city", "102")]
    assert len(found.unmapped({})) == 3


@given(st.text(max_size=30), st.sampled_from([str.upper, str.lower, str.title, "  {} ".format]))
@settings(deadline=None)
def test_keys_do_not_depend_on_capitals_of_ascii_and_on_spaces_around(written: str, spelled: Any) -> None:
    ascii_only = written.encode("ascii", "ignore").decode()
    assert extension_key(spelled(ascii_only)) == extension_key(ascii_only)
    assert extension_key(extension_key(written)) == extension_key(written)


@given(st.lists(st.text(max_size=12), max_size=6), st.dictionaries(st.text(max_size=12), st.integers(1, 600)))
@settings(deadline=None, max_examples=100)
def test_a_proposal_never_loses_or_changes_what_is_set(extensions: list[str], configured: dict[str, int]) -> None:
    proposal = propose("office", configured, [seen(extension) for extension in extensions], USERS)
    assert configured.items() <= proposal.extensions.items()
    assert GONE.id not in {match.user.id for match in proposal.matches}


@pytest.mark.parametrize("extension", ["anna@x.example", " Anna@X.EXAMPLE", "ANNA@x.example"])
def test_what_was_proposed_is_found_when_the_call_is_translated(extension: str) -> None:
    translation = translate(a_finished_call(extension=extension.strip()).call, by_extension({"Anna@x.Example ": 501}))
    assert isinstance(translation, Ready)
    assert b'"responsible_user_id":501' in translation.item
