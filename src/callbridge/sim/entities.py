"""The CRM's cards [pure]: contacts and companies with phones, their leads and customers, and where a call goes.

Routing is the vendor's rule for `POST /api/v4/calls`: the card is found by the last ten digits of the number; one active
lead and no customers takes the call, one customer and no active leads takes it, in every other case the card itself does.
What the vendor leaves open is decided once here: of several cards with one number the lowest id wins, and a number shorter
than ten digits matches only a number with the very same digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

TAIL = 10
MIN_DIGITS_ON_THE_FLY = 5
"""Shorter numbers are extensions: `match_all` makes no contact of them."""

MAX_SEEDED = 4_000_000
FIRST_ID = 11_000_001

_NOT_DIGITS = re.compile(r"[^0-9]+")
_PLURALS = {"contact": "contacts", "company": "companies", "lead": "leads", "customer": "customers"}


class Target(NamedTuple):
    """The entity that takes the call."""

    entity_type: str
    entity_id: int


@dataclass(frozen=True, slots=True)
class Lead:
    id: int
    active: bool = True


@dataclass(slots=True)
class Card:
    """A contact or a company. `kind` is "contact" or "company", as in the answers."""

    id: int
    kind: str
    name: str
    phones: tuple[str, ...]
    leads: list[Lead] = field(default_factory=list)
    customers: list[int] = field(default_factory=list)

    def target(self) -> Target:
        if not self.leads and not self.customers:
            return Target(self.kind, self.id)
        active = [lead for lead in self.leads if lead.active]
        if len(active) == 1 and not self.customers:
            return Target("lead", active[0].id)
        if len(self.customers) == 1 and not active:
            return Target("customer", self.customers[0])
        return Target(self.kind, self.id)


def plural(entity_type: str) -> str:
    """`contact` in a body is `contacts` in a path."""
    return _PLURALS[entity_type]


def digits(phone: str) -> str:
    return _NOT_DIGITS.sub("", phone)


def seeded_number(index: int) -> str:
    """The number of the seeded contact `index`, in the form in which a PBX would write it."""
    if not 0 <= index < MAX_SEEDED:
        raise ValueError(f"a seeded contact has an index from 0 to {MAX_SEEDED - 1}")
    return f"+7900{5_000_000 + index:07d}"


class World:
    """All cards of one account, found by number."""

    def __init__(self, *, contacts: int = 0, match_all: bool = False) -> None:
        self.match_all = match_all
        self._by_tail: dict[str, list[Card]] = {}
        self._cards: dict[int, Card] = {}
        self._next_id = FIRST_ID
        for index in range(contacts):
            self._seed(index)

    def __len__(self) -> int:
        return len(self._cards)

    def __iter__(self) -> Iterator[Card]:
        return iter(self._cards.values())

    def add(
        self, *phones: str, name: str = "", kind: str = "contact", leads: tuple[bool, ...] = (), customers: int = 0
    ) -> Card:
        """A new card; `leads` says for each of its leads whether it is active. Numbers need not be unique."""
        card = Card(self._take_id(), kind, name or (phones[0] if phones else ""), phones)
        card.leads.extend(Lead(self._take_id(), active) for active in leads)
        card.customers.extend(self._take_id() for _ in range(customers))
        self._cards[card.id] = card
        for tail in {digits(phone)[-TAIL:] for phone in phones} - {""}:
            self._by_tail.setdefault(tail, []).append(card)
        return card

    def remove(self, card: Card) -> None:
        """Somebody deletes the card, its leads and customers."""
        del self._cards[card.id]
        for cards in self._by_tail.values():
            if card in cards:
                cards.remove(card)

    def holds(self, target: Target) -> bool:
        match target.entity_type:
            case "lead":
                return any(lead.id == target.entity_id for card in self for lead in card.leads)
            case "customer":
                return any(target.entity_id in card.customers for card in self)
            case kind:
                card = self._cards.get(target.entity_id)
                return card is not None and card.kind == kind

    def find(self, phone: str) -> Card | None:
        tail = digits(phone)[-TAIL:]
        if not tail:
            return None
        if found := self._by_tail.get(tail):
            return found[0]
        if self.match_all and len(tail) >= MIN_DIGITS_ON_THE_FLY:
            return self.add(phone)
        return None

    def search(self, query: str) -> list[Card]:
        """Full-text, so with false positives: any contact whose name or whose numbers contain the query."""
        wanted, number = query.casefold().strip(), digits(query)
        return [
            card
            for card in self
            if card.kind == "contact"
            and (wanted in card.name.casefold() or (number and any(number in digits(phone) for phone in card.phones)))
        ]

    def _take_id(self) -> int:
        self._next_id += 2
        return self._next_id

    def _seed(self, index: int) -> None:
        """Every tenth contact is of the same make, so that all routes of the rule see traffic."""
        number = seeded_number(index)
        national = number[2:]
        written = (
            number,
            f"8{national}",
            f"+7 ({national[:3]}) {national[3:6]}-{national[6:8]}-{national[8:]}",
            national,
        )
        phone, name = written[index % len(written)], f"Contact {index + 1}"
        match index % 10:
            case 1:
                self.add(phone, name=name, leads=(True,))
            case 2:
                self.add(phone, name=name, customers=1)
            case 3:
                self.add(phone, name=f"Company {index + 1}", kind="company")
            case 4:
                self.add(phone, name=name, leads=(True, True))
            case 5:
                self.add(phone, name=name, leads=(False,))
            case 6:
                self.add(phone, name=name, leads=(True,), customers=1)
            case 7:
                self.add(phone, name=name, leads=(False, True))
            case _:
                self.add(phone, name=name)
