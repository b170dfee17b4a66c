"""The database's errors in our words: away, too slow, there already, or never to be taken.

Apart from `database` because both dialects meet here. What is told of an error never holds a statement's values: they are
phone numbers and names.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from alembic.util import CommandError
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from callbridge.errors import LedgerUnavailable

_MAX_TEXT: Final = 300
_CANCELLED: Final = "57014"
"""PostgreSQL's code for a statement that ran out of its time."""

_TRY_AGAIN: Final = frozenset({"40001", "40P01"})
"""PostgreSQL: a concurrent writer was there first, or each waited for the other."""

_VALUE: Final = "22"
"""PostgreSQL: how codes about a value begin."""


class TooSlow(LedgerUnavailable):
    """A statement was ended at its time limit. A narrower question may be answered."""


class Clash(LedgerUnavailable):
    """Somebody else wrote the same row first: read again, then try again."""


class Unwritable(LedgerUnavailable):
    """The database is there and will never take one of these values."""


@contextmanager
def our_words(doing: str) -> Iterator[None]:
    """Turns whatever SQLAlchemy, a driver or the system raises within into `LedgerUnavailable` or one of its kinds."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (SQLAlchemyError, CommandError, sqlite3.Error, OSError, *_VALUES, *_driver_errors())):
            raise
        original = _original(error)
        if _is_about_a_value(original) or isinstance(error, DataError):
            # The original quotes the value, so neither its sentence nor itself is handed on.
            raise Unwritable(f"{doing}: a value that the database does not take ({type(original).__name__})") from None
        # That of a row that is there already quotes the row.
        raise _translated(doing, error, original) from (None if isinstance(error, IntegrityError) else error)


_VALUES: Final = (UnicodeEncodeError, OverflowError)
"""What sqlite3 raises for text that is no Unicode, and for integers beyond 64 bits."""


def _driver_errors() -> tuple[type[Exception], ...]:
    """What asyncpg raises past SQLAlchemy while it connects. An extra: where it was never loaded, nobody raises it."""
    asyncpg = sys.modules.get("asyncpg")
    return (asyncpg.PostgresError, asyncpg.InterfaceError) if asyncpg else ()


def _original(error: Exception) -> BaseException:
    """The driver's own error. SQLAlchemy puts one of its making around that of asyncpg, and its own around both."""
    found: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig else error
    return found.__cause__ if found is not error and found.__cause__ else found


def _code(error: BaseException) -> str:
    code = getattr(error, "sqlstate", None)
    return code if isinstance(code, str) else ""


def _is_about_a_value(error: BaseException) -> bool:
    return isinstance(error, (ValueError, *_VALUES)) or _code(error).startswith(_VALUE)


def _translated(doing: str, error: Exception, original: BaseException) -> LedgerUnavailable:
    lines = str(original).splitlines()  # the second one quotes a row
    said = lines[0][:_MAX_TEXT] if lines else type(original).__name__
    code = _code(original)
    if code == _CANCELLED or (isinstance(original, sqlite3.OperationalError) and said == "interrupted"):
        return TooSlow(f"{doing}: ended at its time limit")
    if isinstance(error, IntegrityError) or code in _TRY_AGAIN:
        return Clash(f"{doing}: {said}")
    return LedgerUnavailable(f"{doing}: {said}")
