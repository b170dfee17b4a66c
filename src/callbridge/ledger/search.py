"""Which rows a filter means, and along which index they are found [pure].

Apart from `queries`, which only asks. No database finds the best way by itself for every combination that people make,
least of all for those that match nothing, so the way is chosen here. The rarest thing asked for leads: an id, digits, a
cause, a reason; each has an index that holds all else that may be asked. Without one of those the calls stand in places (an
account, a source, a state, a direction), which `tallies` names: each place is walked by itself, latest first, and the walks
are merged. So a page costs what it shows, and nothing that is not there is looked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Select, func, select, tuple_, union, union_all
from sqlalchemy.sql.selectable import CompoundSelect

from callbridge.call import Direction
from callbridge.ledger.cursor import Key
from callbridge.ledger.figures import range_of, tail_of
from callbridge.ledger.tables import CALLS
from callbridge.ledger.views import CallFilter
from callbridge.outcome import FINAL

Order = Literal["received", "settled"]
Condition = ColumnElement[bool]

MOST_STREAMS: Final = 160
"""Walks merged into one list; SQLite takes 500, and each has a price."""

FEW: Final = 30_000
"""Calls that may be read and sorted for one page."""

_SHORT: Final = 3
"""Digits of which any three may be many calls: a cause or a reason is rarer."""

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
    """A walk along one index. `along` is what the index leads to, `rest` what is asked of each row there; `ordered` says
    that the index has them in the list's order.
    """

    along: tuple[Condition, ...]
    rest: tuple[Condition, ...] = ()
    ordered: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """`streams` together hold each call that is meant, once unless `repeated`; none: nothing can match."""

    streams: tuple[Stream, ...]
    since: int | None
    until: int | None
    repeated: bool = False


def plan(wanted: CallFilter, places: Sequence[Place], order: Order) -> Plan:
    since, until = ms(wanted.since), ms(wanted.until)
    there = [place for place in places if place.calls > 0 and _is_meant(place, wanted)]
    if not there or not _can_match(wanted):
        return Plan((), since, until)
    if wanted.text is not None:
        return Plan(_by_text(wanted.text, _rest(wanted, ()), order), since, until, repeated=True)
    return Plan(tuple(_streams(wanted, there, order)), since, until)


def tallied(wanted: CallFilter, places: Iterable[Place]) -> int:
    """How many calls stand in the states, the account and the source wanted."""
    return sum(place.calls for place in places if _is_meant(place, wanted))


def totals(counted_by: Iterable[tuple[str, int]]) -> dict[str, int]:
    """What was counted by name, most first."""
    counts: Counter[str] = Counter()
    for name, calls in counted_by:
        counts[name] += calls
    return dict(counts.most_common())


def _is_meant(place: Place, wanted: CallFilter) -> bool:
    return (
        (not wanted.states or place.state in wanted.states)
        and wanted.account in {None, place.account}
        and wanted.source in {None, place.source}
    )


def _can_match(wanted: CallFilter) -> bool:
    """What is no text to a database is found nowhere, and digits are looked for by digits only."""
    texts = (wanted.account, wanted.source, wanted.direction, wanted.reason, wanted.cause, wanted.text)
    if any(text is not None and not is_storable(text) for text in texts):
        return False
    return (wanted.phone is None or tail_of(wanted.phone) is not None) and wanted.direction in _DIRECTIONS


def is_storable(text: str) -> bool:
    """Whether a database takes it for a text at all; no row holds what is none."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _by_text(text: str, rest: tuple[Condition, ...], order: Order) -> tuple[Stream, ...]:
    ordered = order == "received"
    return tuple(Stream((column == text,), rest, ordered) for column in (_C.id, _C.uniq, _C.ref))


def _streams(wanted: CallFilter, there: Sequence[Place], order: Order) -> Iterator[Stream]:
    by_receipt = order == "received"
    tail = tail_of(wanted.phone)
    named = wanted.cause is not None or wanted.reason is not None
    if tail is not None and (len(tail) >= _SHORT or not named):
        yield Stream(_tail_within(_C.tail, tail), _rest(wanted, ("phone",)), ordered=False)
    elif wanted.cause is not None:
        yield Stream((_C.cause == wanted.cause,), _rest(wanted, ("cause",)), by_receipt)
    elif wanted.reason is not None:
        yield Stream((_C.reason == wanted.reason,), _rest(wanted, ("reason",)), by_receipt)
    elif by_receipt:
        yield from _by_receipt(wanted, there)
    else:
        yield from _by_end(wanted, [place for place in there if place.state in _ENDED])


def _by_receipt(wanted: CallFilter, there: Sequence[Place]) -> Iterator[Stream]:
    match bool(wanted.states), wanted.account, wanted.source, wanted.direction:
        case False, None, None, None:
            yield Stream(())
        case False, str(account), None, None:
            yield Stream((_C.account == account,))
        case False, None, str(source), None:
            yield Stream((_C.source == source,))
        case True, None, None, None:
            yield from (Stream((_C.state == state,)) for state in sorted({place.state for place in there}))
        case _ if len(there) * len(_directions(wanted)) <= MOST_STREAMS:
            yield from _by_place(wanted, there, ordered=True)
        case True, None, None, _:
            states = sorted({place.state for place in there})
            yield from (Stream((_C.state == state,), _rest(wanted, ("states",))) for state in states)
        case _, _, str(source), _:
            yield Stream((_C.source == source,), _rest(wanted, ("source",)))
        case _, str(account), _, _:
            yield Stream((_C.account == account,), _rest(wanted, ("account",)))
        case _:
            yield Stream((), _rest(wanted, ()))


def _by_end(wanted: CallFilter, there: Sequence[Place]) -> Iterator[Stream]:
    calls = sum(place.calls for place in there)
    if calls <= FEW and len(there) * len(_directions(wanted)) <= MOST_STREAMS:
        yield from _by_place(wanted, there, ordered=False)
    else:
        states = sorted({place.state for place in there})
        yield from (Stream((_C.state == state,), _rest(wanted, ("states",))) for state in states)


def _by_place(wanted: CallFilter, there: Iterable[Place], *, ordered: bool) -> Iterator[Stream]:
    for place in there:
        where = (_C.account == place.account, _C.source == place.source, _C.state == place.state)
        for direction in _directions(wanted):
            yield Stream(
                (*where, _C.direction.is_(None) if direction is None else _C.direction == direction), (), ordered
            )


def _directions(wanted: CallFilter) -> tuple[str | None, ...]:
    return _DIRECTIONS if wanted.direction is None else (wanted.direction,)


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
        .order_by(*_latest(order, ordered=stream.ordered))
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
    column: ColumnElement[Any] = _C.received_at if order == "received" else _C.settled_at
    at = column if stream.ordered else func.coalesce(column, 0)
    within = _received(found, at, below, floor) if order == "received" else _settled(found, at, below, floor)
    return select(column.label("at"), _C.id).where(*stream.along, *stream.rest, *within)


def _received(found: Plan, at: ColumnElement[Any], below: Key | None, floor: int | None) -> Iterator[Condition]:
    """One bound on either side, the narrower: of two, SQLite would lead the index to either."""
    if (since := max((bound for bound in (found.since, floor) if bound is not None), default=None)) is not None:
        yield at >= since
    if found.until is not None and (below is None or below.at >= found.until):
        yield at < found.until
    elif below is not None:
        yield tuple_(at, _C.id) < tuple_(below.at, below.id)


def _settled(found: Plan, at: ColumnElement[Any], below: Key | None, floor: int | None) -> Iterator[Condition]:
    received = func.coalesce(_C.received_at, 0)
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
