"""Cards, routing and hostile batches of the simulator, without HTTP."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import callbridge.sim
from callbridge.sim.config import SimConfig
from callbridge.sim.desk import CALLS, Desk
from callbridge.sim.endpoints import ApiRequest
from callbridge.sim.entities import World, digits, seeded_number
from callbridge.sim.replies import status_of

ACTIVE, CLOSED = True, False


@pytest.mark.parametrize(
    ("leads", "customers", "kind"),
    [
        ((), 0, "contact"),
        ((ACTIVE,), 0, "lead"),
        ((), 1, "customer"),
        ((ACTIVE, ACTIVE), 0, "contact"),
        ((ACTIVE,), 1, "contact"),
        ((), 2, "contact"),
        ((CLOSED,), 0, "contact"),
        ((CLOSED, ACTIVE), 0, "lead"),
        ((CLOSED,), 1, "customer"),
    ],
)
def test_a_call_goes_where_the_vendor_says(leads, customers, kind):
    card = World().add("+79005550101", leads=leads, customers=customers)
    target = card.target()
    active = [lead.id for lead in card.leads if lead.active]
    expected = {"contact": [card.id], "lead": active, "customer": card.customers}[kind]
    assert (target.entity_type, target.entity_id) == (kind, expected[0])


@pytest.mark.parametrize(
    "written", ["+7 900 555-01-01", "89005550101", "9005550101", "+7(900)5550101", "8-900-555-01-01"]
)
def test_the_last_ten_digits_decide(written):
    world = World()
    card = world.add("+79005550101")
    assert world.find(written) is card


def test_a_foreign_number_with_the_same_ten_digits_collides():
    world = World()
    card = world.add("+79005550101")
    assert world.find("+449005550101") is card


@pytest.mark.parametrize("phone", ["", "anonymous", "5550101", "900555010", "+79005550102"])
def test_other_numbers_find_nobody(phone):
    world = World()
    world.add("+79005550101")
    assert world.find(phone) is None


def test_a_short_number_matches_itself_only():
    world = World()
    card = world.add("123-123")
    assert world.find("123123") is card
    assert world.find("9123123") is None


def test_of_several_cards_with_a_number_the_oldest_wins_whatever_its_kind():
    world = World()
    company = world.add("+79005550101", kind="company")
    contact = world.add("89005550101", "+79005550102")
    assert world.find("9005550101") is company
    assert world.find("9005550102") is contact
    assert company.target().entity_type == "company"


def test_match_all_makes_contacts_of_five_digits_and_more_and_keeps_them():
    world = World(match_all=True)
    made = world.find("12345")
    assert made is not None
    assert made.target().entity_type == "contact"
    assert world.find("12345") is made
    assert world.find("1234") is None
    assert world.find("anonymous") is None


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_looked_up_and_searched(text):
    world = World(contacts=10, match_all=True)
    found = world.find(text)
    assert (found is not None) == (len(digits(text)[-10:]) >= 5)
    assert isinstance(world.search(text), list)


def test_seeded_numbers_are_stable_distinct_and_found():
    world = World(contacts=40)
    numbers = [seeded_number(n) for n in range(40)]
    assert len(set(numbers)) == len(world) == 40
    assert numbers[0] == "+79005000000"
    cards = [world.find(number) for number in numbers]
    assert len({card.id for card in cards if card}) == 40
    assert {card.target().entity_type for card in cards if card} == {"contact", "lead", "customer", "company"}
    with pytest.raises(ValueError):
        seeded_number(-1)


@pytest.mark.parametrize(
    "options",
    [
        {"contacts": -1},
        {"rate": -1},
        {"latency": -0.1},
        {"max_body": 0},
        {"account_rate": -1},
        {"limit_answer": "503-before"},
    ],
)
def test_a_wrong_option_is_refused(options):
    with pytest.raises(ValueError):
        SimConfig(**options)


def test_the_simulator_knows_nothing_of_what_it_tests():
    allowed = {"callbridge.sim", "callbridge.values", "callbridge.errors", "callbridge.observe"}
    for module in Path(callbridge.sim.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if name.startswith("callbridge"):
                    assert ".".join(name.split(".")[:2]) in allowed, f"{module.name} imports {name}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["direction", "duration", "source", "phone", "uniq", "request_id", "call_status", "call_responsible"]
)
SOUND = {"direction": "inbound", "duration": 5, "source": "office", "phone": "89005550101", "uniq": "u-1"}
CHANGED = st.dictionaries(FIELDS, JSON, max_size=2).map(lambda changes: SOUND | changes)
ITEMS = st.lists(st.just(SOUND) | CHANGED | JSON, max_size=4)


@given(st.binary(max_size=40) | ITEMS.map(lambda items: json.dumps(items).encode()))
@settings(max_examples=200, deadline=None)
def test_any_body_is_answered_and_only_200_leaves_notes(body):
    config = SimConfig(contacts=0, rate=0, match_all=True, faults=("validation-empty=poison",))
    desk = Desk(config, lambda: 1.0, Random(1))
    seen = desk.journal.arrive(1.0, 1.0, "POST", CALLS, "", "t")
    decision = desk.decide(ApiRequest(seen.number, "POST", CALLS, {}, "http://x", body, 1.0), "t", seen)
    status = status_of(decision.reply)
    assert status in {200, 400}
    assert (status == 200) == (len(desk.account.book) > 0)
