"""Statements that neither SQLAlchemy nor SQL has one text for: insert or, where the row is there already, change it.

Apart so that the rest of the ledger, and those who use its tables, write one text for both dialects. Rows go by
`execute(statement, rows)`; each row names the same columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Integer, String, Table
from sqlalchemy.dialects import postgresql, sqlite

from callbridge.ledger.database import Dialect

Insert = postgresql.Insert | sqlite.Insert


def put(dialect: Dialect, table: Table, columns: Iterable[str], *, unless_same: str | None = None) -> Insert:
    """Rows as they are given, in place of those with the same key. `unless_same` names a column: where it does not differ,
    nothing is written.
    """
    insert, key = _insert(dialect, table)
    new = insert.excluded
    changed = {name: new[name] for name in columns if name not in key}
    if not changed:
        return insert.on_conflict_do_nothing(index_elements=key)
    where = None if unless_same is None else table.c[unless_same].is_distinct_from(new[unless_same])
    return insert.on_conflict_do_update(index_elements=key, set_=changed, where=where)


def put_new(dialect: Dialect, table: Table) -> Insert:
    """Rows whose key is not there yet; the others stay as they are."""
    insert, key = _insert(dialect, table)
    return insert.on_conflict_do_nothing(index_elements=key)


def add(dialect: Dialect, table: Table, column: str) -> Insert:
    """Adds to a counter, which begins at zero."""
    insert, key = _insert(dialect, table)
    total: ColumnElement[Any] = table.c[column] + insert.excluded[column]
    return insert.on_conflict_do_update(index_elements=key, set_={column: total})


def _insert(dialect: Dialect, table: Table) -> tuple[Insert, list[str]]:
    insert = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
    return insert, [column.name for column in table.primary_key.columns]


_BIG: Final = (1 << 63) - 1
_SMALL: Final = (1 << 31) - 1


def fitted(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as any of the databases takes it: texts cut to their column, without what is no Unicode or a NUL; numbers
    beyond their column left out. One hostile value must not hold up the rows that come after it.
    """
    return {name: _fitted(table.c[name].type, value) for name, value in row.items()}


def _fitted(kind: Any, value: Any) -> Any:
    match value:
        case str():
            if not (value.isascii() and "\x00" not in value):
                value = value.encode("utf-8", "replace").decode()
            value = value.replace("\x00", "\ufffd")
            return value[: kind.length] if isinstance(kind, String) and kind.length else value
        case bool():
            return value
        case int() if isinstance(kind, Integer):
            limit = _BIG if isinstance(kind, BigInteger) else _SMALL
            return value if -limit <= value <= limit else None
        case _:
            return value
