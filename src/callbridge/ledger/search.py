"""Which rows a filter means, and along which index they are found [pure].

Apart from `finding`, which only asks. No database finds the best way by itself for every combination that people make, least
of all for those that match nothing, so the way is chosen here. The rarest thing asked for leads: an id, digits that few
numbers end in, a cause, a reason; each has an index that holds all else that may be asked. Without one of those the calls
stand in places (an account, a source, a state, a direction), which `tallies` names: each place is walked by itself, latest
first, and the walks are merged. So a page costs what it shows, and nothing that is not there is looked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

from sqlalchemy import ColumnElement, Select, func, select, tuple_, union, union_all
from sqlalchemy.sql.selectable import CompoundSelect

from callbridge.call import Direction
from callbridge.ledger.cursor import Key
from callbridge.ledger.figures import range_of, tail_of
from callbridge.ledger.tables import CALLS
from callbridge.ledger.views import CallFilter
from callbridge.outcome import FINAL, PublicState

Order = Literal["received", "settled"]
Condition = ColumnElement[bool]

MOST_STREAMS: Final = 160
"""Walks merged into one list; SQLite takes 500, and each has a price."""

FEW: Final = 10_000
"""Calls that may be read and sorted for one page. Where more match, a walk through any list meets them soon."""

_DIRECTIONS: Final = (*(direction.value for direction in Direction), None)
_ENDED: Final = frozenset(state.value for state in FINAL)
_C: Final = CALLS.c


@dataclass(frozen=True, slots=True)
class Place:
    """One row of `tallies` that counts something."""

    account: str
    source: str
    state: str
    calls: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A walk along one index. `along` is what the index leads to, `rest` what is asked of each row there; `by` is the time by
    which the index has them ordered.
    """

    along: tuple[Condition, ...]
    rest: tuple[Condition, ...] = ()
    by: Order | None = "received"


@dataclass(frozen=True, slots=True)
class Plan:
    """`streams` together hold each call that is meant, once unless `repeated`; none: nothing can match. `broad`: nothing rare
    leads, so there may be any number of them.
    """

    streams: tuple[Stream, ...]
    since: int | None
    until: int | None
    repeated: bool = False
    broad: bool = False


NOTHING: Final = Plan((), None, None)


def plan(wanted: CallFilter, places: Sequence[Place], *, rare_tail: bool) -> Plan:
    """How to find the calls by their receipt. `rare_tail`: few numbers end in the digits wanted."""
    since, until = ms(wanted.since), ms(wanted.until)
    there = _meant(wanted, places)
    if not there or not _can_match(wanted):
        return NOTHING
    if wanted.text is not None:
        rest = _rest(wanted, ())
        streams = tuple(Stream((column == wanted.text,), rest) for column in (_C.id, _C.uniq, _C.ref))
        return Plan(streams, since, until, repeated=True)
    if leading := _leading(wanted, rare_tail=rare_tail):
        return Plan((leading,), since, until)
    return Plan(tuple(_by_place(wanted, there)), since, until, broad=True)


def by_end(wanted: CallFilter, places: Sequence[Place]) -> Plan:
    """Along the list of what ended: for more calls than can be sorted."""
    states = sorted({place.state for place in _meant(wanted, places) if place.state in _ENDED})
    streams = tuple(Stream((_C.state == state,), _rest(wanted, ("states",)), "settled") for state in states)
    return Plan(streams, ms(wanted.since), ms(wanted.until))


def ended(wanted: CallFilter) -> CallFilter:
    """The same of what has ended: of the states wanted those in which a call stays."""
    return replace(wanted, states=tuple(state for state in wanted.states or get_args(PublicState) if state in _ENDED))


def tail_alone(tail: str) -> Plan:
    return Plan((Stream(_tail_within(_C.tail, tail), (), None),), None, None)


def is_tallied(wanted: CallFilter) -> bool:
    """Whether nothing is asked for but what `tallies` counts by."""
    return wanted == CallFilter(states=wanted.states, account=wanted.account, source=wanted.source)


def tallied(wanted: CallFilter, places: Iterable[Place]) -> int:
    """How many calls stand in the states, the account and the source wanted."""
    return sum(place.calls for place in _meant(wanted, places))


def totals(counted_by: Iterable[tuple[str, int]]) -> dict[str, int]:
    """What was counted by name, most first."""
    counts: Counter[str] = Counter()
    for name, calls in counted_by:
        counts[name] += calls
    return dict(counts.most_common())


def _meant(wanted: CallFilter, places: Iterable[Place]) -> list[Place]:
    return [
        place
        for place in places
        if place.calls > 0
        and (not wanted.states or place.state in wanted.states)
        and wanted.account in {None, place.account}
        and wanted.source in {None, place.source}
    ]


def _can_match(wanted: CallFilter) -> bool:
    """What is no text to a database is found nowhere, and digits are looked for by digits only."""
    texts = (wanted.account, wanted.source, wanted.direction, wanted.reason, wanted.cause, wanted.text)
    if any(text is not None and not is_storable(text) for text in texts):
        return False
    return (wanted.phone is None or tail_of(wanted.phone) is not None) and wanted.direction in _DIRECTIONS


def is_storable(text: str) -> bool:
    """Whether a database takes it for a text at all; no row holds what is none."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _leading(wanted: CallFilter, *, rare_tail: bool) -> Stream | None:
    tail = tail_of(wanted.phone)
    if tail is not None and rare_tail:
        return Stream(_tail_within(_C.tail, tail), _rest(wanted, ("phone",)), None)
    if wanted.cause is not None:
        return Stream((_C.cause == wanted.cause,), _rest(wanted, ("cause",)))
    if wanted.reason is not None:
        return Stream((_C.reason == wanted.reason,), _rest(wanted, ("reason",)))
    return None


def _by_place(wanted: CallFilter, there: Sequence[Place]) -> Iterator[Stream]:
    digits = _rest(wanted, ("states", "account", "source", "direction"))
    asked = (bool(wanted.states), wanted.account, wanted.source, wanted.direction)
    pairs = sorted({(place.account, place.source) for place in there})
    directions = _DIRECTIONS if wanted.direction is None else (wanted.direction,)
    match asked:
        case False, None, None, None:
            yield Stream((), digits)
        case False, str(account), None, None:
            yield Stream((_C.account == account,), digits)
        case False, None, str(source), None:
            yield Stream((_C.source == source,), digits)
        case True, None, None, None:
            yield from (Stream((_C.state == state,), digits) for state in sorted({place.state for place in there}))
        case False, _, _, _ if len(pairs) * len(directions) <= MOST_STREAMS:
            for account, source in pairs:
                at = (_C.account == account, _C.source == source)
                yield from (Stream((_is_towards(direction), *at), digits) for direction in directions)
        case True, _, _, _ if len(there) * len(directions) <= MOST_STREAMS:
            for place in there:
                where = (_C.account == place.account, _C.source == place.source, _C.state == place.state)
                yield from (Stream((*where, _is_towards(direction)), digits) for direction in directions)
        case _:
            yield _by_one(wanted)


def _by_one(wanted: CallFilter) -> Stream:
    """Too many places to walk each by itself: through all of a source, or of an account, or through all there are."""
    if wanted.source is not None:
        return Stream((_C.source == wanted.source,), _rest(wanted, ("source",)))
    if wanted.account is not None:
        return Stream((_C.account == wanted.account,), _rest(wanted, ("account",)))
    return Stream((), _rest(wanted, ()))


def _is_towards(direction: str | None) -> Condition:
    return _C.direction.is_(None) if direction is None else _C.direction == direction


def _rest(wanted: CallFilter, led: tuple[str, ...]) -> tuple[Condition, ...]:
    """What the leading index does not settle, told so that no database takes another index for it."""
    rest: list[Condition] = []
    for name in ("account", "source", "direction", "reason", "cause"):
        value = getattr(wanted, name)
        if value is not None and name not in led:
            rest.append(_aside(_C[name]) == value)
    if wanted.states and "states" not in led:
        rest.append(_aside(_C.state).in_(wanted.states))
    if (tail := tail_of(wanted.phone)) is not None and "phone" not in led:
        rest += _tail_within(_aside(_C.tail), tail)
    return tuple(rest)


def _tail_within(column: ColumnElement[Any], tail: str) -> tuple[Condition, ...]:
    first, end = range_of(tail)
    return (column >= first,) if end is None else (column >= first, column < end)


def _aside(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(column, "")


# --- the statements --------------------------------------------------------------------------------------------------


def keys(found: Plan, order: Order, *, below: Key | None, floor: int | None, limit: int) -> Select[Any]:
    """`at` and `id` of the first calls of the list, from behind `below` and not beyond the time `floor`."""
    parts = [
        _bounded(stream, found, order, below, floor)
        .order_by(*_latest(order, ordered=stream.by == order))
        .limit(limit)
        .subquery()
        for stream in found.streams
    ]
    merged = _merged([select(part.c.at, part.c.id) for part in parts], repeated=found.repeated).subquery()
    return select(merged.c.at, merged.c.id).order_by(merged.c.at.desc(), merged.c.id.desc()).limit(limit)


def counted(found: Plan, at_most: int) -> Select[Any]:
    """How many calls are meant, counted to one more than `at_most`."""
    parts = [_bounded(stream, found, "received", None, None).limit(at_most + 1).subquery() for stream in found.streams]
    merged = _merged([select(part.c.id) for part in parts], repeated=found.repeated).subquery()
    return select(func.count()).select_from(select(merged.c.id).limit(at_most + 1).subquery())


def _merged(parts: Sequence[Select[Any]], *, repeated: bool) -> Select[Any] | CompoundSelect[Any]:
    if len(parts) == 1:
        return parts[0]
    return union(*parts) if repeated else union_all(*parts)


def _bounded(stream: Stream, found: Plan, order: Order, below: Key | None, floor: int | None) -> Select[Any]:
    """A time by which the index is ordered bounds the walk; the other one is asked of each row."""
    received = _C.received_at if stream.by == "received" else func.coalesce(_C.received_at, 0)
    settled = _C.settled_at if stream.by == "settled" else func.coalesce(_C.settled_at, 0)
    if order == "received":
        column, within = _C.received_at, _received(found, received, below, floor)
    else:
        column, within = _C.settled_at, _settled(found, received, settled, below, floor)
    return select(column.label("at"), _C.id).where(*stream.along, *stream.rest, *within)


def _received(found: Plan, at: ColumnElement[Any], below: Key | None, floor: int | None) -> Iterator[Condition]:
    """One bound on either side, the narrower: of two, SQLite would let either lead."""
    if (since := max((bound for bound in (found.since, floor) if bound is not None), default=None)) is not None:
        yield at >= since
    if found.until is not None and (below is None or below.at >= found.until):
        yield at < found.until
    elif below is not None:
        yield tuple_(at, _C.id) < tuple_(below.at, below.id)


def _settled(
    found: Plan, received: ColumnElement[Any], at: ColumnElement[Any], below: Key | None, floor: int | None
) -> Iterator[Condition]:
    yield _C.settled_at.is_not(None)
    if found.since is not None:
        yield received >= found.since
    if found.until is not None:
        yield received < found.until
    if floor is not None:
        yield at >= floor
    if below is not None:
        yield tuple_(at, _C.id) < tuple_(below.at, below.id)


def _latest(order: Order, *, ordered: bool) -> tuple[ColumnElement[Any], ...]:
    at: ColumnElement[Any] = _C.received_at if order == "received" else _C.settled_at
    # Not ordered by the column itself where its own index would invite to a walk through all calls there are.
    return (at if ordered else at + 0).desc(), _C.id.desc()


def ms(seconds: float | None) -> int | None:
    """Beyond any time there is, rather than an error, for what no database could compare."""
    if seconds is None:
        return None
    return round(min(max(seconds, -1e12), 1e12) * 1000)
