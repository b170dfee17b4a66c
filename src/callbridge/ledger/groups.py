"""Calls by what they have in common: dead ones by the cause of their death, parked ones by their number.

Each grouping has an index of its own that holds those calls alone, in the order of the groups.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, RowMapping, ScalarSelect, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from callbridge.ledger.tables import CALLS, GROUPS
from callbridge.ledger.told import seconds, seconds_or_none
from callbridge.ledger.views import ErrorGroup, ParkedNumber

MOST_GROUPS: Final = 200

_C: Final = CALLS.c


def _stands(state: str) -> ColumnElement[bool]:
    """Written out in the statement: an index over some rows only is taken by a database that sees that it will do."""
    return _C.state == literal(state, literal_execute=True)


async def error_groups(
    connection: AsyncConnection, *, account: str | None, status: str | None
) -> tuple[ErrorGroup, ...]:
    dead = (
        select(
            _C.account,
            _C.reason,
            _C.cause,
            func.count().label("calls"),
            func.min(_C.settled_at).label("first_at"),
            func.max(_C.settled_at).label("last_at"),
        )
        .where(_stands("dead"))
        .group_by(_C.account, _C.reason, _C.cause)
    )
    if account is not None:
        dead = dead.where(_C.account == account)
    by_cause = dead.subquery()
    b = by_cause.c
    of_it = (
        (GROUPS.c.account == b.account)
        & (GROUPS.c.reason == func.coalesce(b.reason, ""))
        & (GROUPS.c.cause == func.coalesce(b.cause, ""))
    )
    said = func.coalesce(GROUPS.c.status, "open")
    found = (
        select(by_cause, said.label("status"), GROUPS.c.changed_at, GROUPS.c.changed_by, GROUPS.c.note)
        .select_from(by_cause.outerjoin(GROUPS, of_it))
        .order_by(b.calls.desc(), b.last_at.desc(), b.account, b.cause)
        .limit(MOST_GROUPS)
    )
    if status is not None:
        found = found.where(said == status)
    groups = (await connection.execute(found)).mappings().all()
    return tuple([_group(group, await _sample(connection, group)) for group in groups])


async def _sample(connection: AsyncConnection, group: RowMapping) -> str | None:
    """What was said of the latest call of the group."""
    latest = (
        select(_C.detail)
        .where(_stands("dead"), *(_is(_C[name], group[name]) for name in ("account", "reason", "cause")))
        .order_by(_C.settled_at.desc(), _C.id.desc())
        .limit(1)
    )
    return (await connection.execute(latest)).scalar()


def _is(column: ColumnElement[Any], value: str | None) -> ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _group(row: RowMapping, sample: str | None) -> ErrorGroup:
    return ErrorGroup(
        account=row["account"],
        reason=row["reason"] or "",
        cause=row["cause"] or "",
        calls=row["calls"],
        first_at=seconds(row["first_at"] or 0),
        last_at=seconds(row["last_at"] or 0),
        sample=sample,
        status=row["status"],
        changed_at=seconds_or_none(row["changed_at"]),
        changed_by=row["changed_by"],
        note=row["note"],
    )


async def parked_numbers(connection: AsyncConnection, limit: int, account: str | None) -> tuple[ParkedNumber, ...]:
    """Numbers with the most calls first."""
    parked = (
        select(
            _C.account,
            _C.phone,
            func.count().label("calls"),
            func.min(_C.received_at).label("oldest_at"),
            func.max(_C.received_at).label("newest_at"),
        )
        .where(_stands("parked"), _C.phone.is_not(None))
        .group_by(_C.account, _C.phone)
    )
    if account is not None:
        parked = parked.where(_C.account == account)
    by_number = parked.subquery()
    b = by_number.c
    most = select(by_number).order_by(b.calls.desc(), b.newest_at.desc(), b.account, b.phone).limit(limit).subquery()
    found = select(most, _newest(most.c.account, most.c.phone).label("newest_id")).order_by(
        most.c.calls.desc(), most.c.newest_at.desc(), most.c.account, most.c.phone
    )
    return tuple(
        ParkedNumber(
            account=row["account"],
            phone=row["phone"],
            calls=row["calls"],
            oldest_at=seconds(row["oldest_at"]),
            newest_at=seconds(row["newest_at"]),
            newest_id=row["newest_id"],
        )
        for row in (await connection.execute(found)).mappings()
    )


def _newest(account: ColumnElement[Any], phone: ColumnElement[Any]) -> ScalarSelect[Any]:
    return (
        select(_C.id)
        .where(_stands("parked"), _C.account == account, _C.phone == phone)
        .order_by(_C.received_at.desc(), _C.id.desc())
        .limit(1)
        .scalar_subquery()
    )
