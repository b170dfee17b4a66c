"""Operators, their sessions, tokens of programs, failed logins, and the audit's rows: in and out, nothing decided.

Apart from the calls: these few rows are read at nearly every request of the console. Secrets come here as digests only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import Row, Table, delete, insert, or_, select, update

from callbridge.ledger.database import Clash, Ledger
from callbridge.ledger.tables import AUDIT, MARKS, OPERATORS, SESSIONS, THROTTLES, TOKENS
from callbridge.ledger.upsert import fitted, put, put_new

TIP: Final = "audit.tip"
"""The mark that holds number and hash of the audit's last entry, and whose row is locked by whoever adds one."""


@dataclass(frozen=True, slots=True)
class Operator:
    """`password` is a hash, `totp` the sealed secret of a second factor with the step that was used last."""

    name: str
    role: str
    password: str | None
    totp: str | None
    created_at: float
    disabled_at: float | None = None


@dataclass(frozen=True, slots=True)
class Session:
    digest: str
    operator: str
    role: str
    created_at: float
    seen_at: float
    proved_at: float
    ip: str | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Token:
    id: str
    name: str
    role: str
    created_at: float
    created_by: str
    used_at: float | None = None
    expires_at: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Strikes:
    """Logins of one origin that failed, or have not succeeded yet."""

    failures: int
    blocked_until: float
    changed_at: float


class AccessBook:
    """All methods raise `LedgerUnavailable`. `single` is the operator who has no row: he comes with the settings."""

    def __init__(self, ledger: Ledger, single: str = "admin") -> None:
        self._ledger = ledger
        self._single = single

    # --- operators

    async def operator(self, name: str) -> Operator | None:
        async with self._ledger.read() as connection:
            row = (await connection.execute(select(OPERATORS).where(OPERATORS.c.name == name))).first()
        return None if row is None else _operator(row)

    async def operators(self) -> tuple[Operator, ...]:
        async with self._ledger.read() as connection:
            rows = (await connection.execute(select(OPERATORS).order_by(OPERATORS.c.name))).all()
        return tuple(map(_operator, rows))

    async def add_operator(self, operator: Operator) -> bool:
        """False where there is one of that name."""
        try:
            async with self._ledger.begin() as connection:
                await connection.execute(insert(OPERATORS).values(_stored(OPERATORS, asdict(operator))))
        except Clash:
            return False
        return True

    async def change_operator(self, name: str, changes: Mapping[str, Any], *, end_sessions: bool) -> bool:
        """False where there is none. The sessions end in the same transaction."""
        async with self._ledger.begin() as connection:
            wanted = update(OPERATORS).where(OPERATORS.c.name == name)
            done = await connection.execute(wanted.values(_stored(OPERATORS, changes)))
            if end_sessions:
                await connection.execute(delete(SESSIONS).where(SESSIONS.c.operator == name))
            return done.rowcount == 1

    async def use_totp(self, name: str, old: str, new: str) -> bool:
        """Writes down that a code was used; False where somebody else did in between."""
        same = OPERATORS.c.name == name, OPERATORS.c.totp == old
        async with self._ledger.begin() as connection:
            return (await connection.execute(update(OPERATORS).where(*same).values(totp=new))).rowcount == 1

    # --- sessions

    async def add_session(self, session: Session, *, idle_since: float, begun_since: float) -> None:
        """Takes those out that have ended by themselves, too."""
        over = or_(SESSIONS.c.seen_at < _ms(idle_since), SESSIONS.c.created_at < _ms(begun_since))
        row = _stored(SESSIONS, asdict(session))
        async with self._ledger.begin() as connection:
            await connection.execute(delete(SESSIONS).where(over))
            await connection.execute(put_new(self._ledger.dialect, SESSIONS), [row])

    async def session(self, digests: Sequence[str]) -> Session | None:
        """One of an operator who is still there, not disabled, and still has the role with which it began."""
        joined = SESSIONS.outerjoin(OPERATORS, OPERATORS.c.name == SESSIONS.c.operator)
        stands = (OPERATORS.c.role == SESSIONS.c.role) & OPERATORS.c.disabled_at.is_(None)
        found = (
            select(SESSIONS)
            .select_from(joined)
            .where(SESSIONS.c.digest.in_(digests), or_(SESSIONS.c.operator == self._single, stands))
        )
        async with self._ledger.read() as connection:
            row = (await connection.execute(found)).first()
        return None if row is None else _session(row)

    async def sessions(self) -> tuple[Session, ...]:
        async with self._ledger.read() as connection:
            rows = (await connection.execute(select(SESSIONS).order_by(SESSIONS.c.seen_at.desc()).limit(200))).all()
        return tuple(map(_session, rows))

    async def change_session(self, digest: str, changes: Mapping[str, float]) -> None:
        async with self._ledger.begin() as connection:
            wanted = update(SESSIONS).where(SESSIONS.c.digest == digest)
            await connection.execute(wanted.values(_stored(SESSIONS, changes)))

    async def end_session(self, digest: str) -> bool:
        async with self._ledger.begin() as connection:
            return (await connection.execute(delete(SESSIONS).where(SESSIONS.c.digest == digest))).rowcount == 1

    # --- tokens

    async def add_token(self, token: Token, digest: str) -> None:
        async with self._ledger.begin() as connection:
            row = _stored(TOKENS, asdict(token)) | {"digest": digest}
            await connection.execute(insert(TOKENS).values(row))

    async def token(self, digest: str) -> Token | None:
        async with self._ledger.read() as connection:
            row = (await connection.execute(select(TOKENS).where(TOKENS.c.digest == digest))).first()
        return None if row is None else _token(row)

    async def tokens(self) -> tuple[Token, ...]:
        async with self._ledger.read() as connection:
            rows = (await connection.execute(select(TOKENS).order_by(TOKENS.c.created_at.desc()).limit(200))).all()
        return tuple(map(_token, rows))

    async def use_token(self, token_id: str, at: float) -> None:
        async with self._ledger.begin() as connection:
            await connection.execute(update(TOKENS).where(TOKENS.c.id == token_id).values(used_at=_ms(at)))

    async def revoke_token(self, token_id: str, at: float) -> bool:
        live = TOKENS.c.id == token_id, TOKENS.c.revoked_at.is_(None)
        async with self._ledger.begin() as connection:
            return (await connection.execute(update(TOKENS).where(*live).values(revoked_at=_ms(at)))).rowcount == 1

    # --- failed logins

    async def strike(
        self,
        keys: Sequence[str],
        decide: Callable[[Mapping[str, Strikes]], Mapping[str, Strikes]],
        *,
        forget_before: float,
    ) -> None:
        """Hands `decide` what is known of `keys` and stores what it answers; one after the other, whoever tries."""
        async with self._ledger.begin() as connection:
            empty = [{"who": key, "failures": 0, "blocked_until": 0, "changed_at": 0} for key in sorted(keys)]
            await connection.execute(delete(THROTTLES).where(THROTTLES.c.changed_at < _ms(forget_before)))
            await connection.execute(put_new(self._ledger.dialect, THROTTLES), empty)
            locked = select(THROTTLES).where(THROTTLES.c.who.in_(keys)).order_by(THROTTLES.c.who).with_for_update()
            rows = (await connection.execute(locked)).all()
            known = {
                row.who: Strikes(row.failures, row.blocked_until / 1000, row.changed_at / 1000)
                for row in rows
                if row.changed_at
            }
            if then := decide(known):
                stored = [{"who": key, **_stored(THROTTLES, asdict(each))} for key, each in sorted(then.items())]
                await connection.execute(put(self._ledger.dialect, THROTTLES, stored[0]), stored)


class AuditBook:
    """The audit's rows, as they are stored. All methods raise `LedgerUnavailable`."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def append(self, made: Callable[[int, str], Mapping[str, Any]]) -> int:
        """Adds the row that `made` makes of its number and of the hash before it. Writers wait for each other here."""
        async with self._ledger.begin() as connection:
            nothing = {"name": TIP, "value": json.dumps([0, ""]), "changed_at": 0}
            await connection.execute(put_new(self._ledger.dialect, MARKS), [nothing])
            mark = MARKS.c.name == TIP
            last, previous = _tip(
                (await connection.execute(select(MARKS.c.value).where(mark).with_for_update())).scalar_one()
            )
            row = made(last + 1, previous)
            await connection.execute(insert(AUDIT).values(**row))
            tip = json.dumps([row["seq"], row["hash"]])
            await connection.execute(update(MARKS).where(mark).values(value=tip, changed_at=row["at"]))
        return last + 1

    async def tip(self) -> tuple[int, str]:
        async with self._ledger.read() as connection:
            value = (await connection.execute(select(MARKS.c.value).where(MARKS.c.name == TIP))).scalar()
        return _tip(value) if value else (0, "")

    async def after(self, seq: int, limit: int) -> list[Mapping[str, Any]]:
        """The rows that follow `seq`, in order."""
        found = select(AUDIT).where(AUDIT.c.seq > seq).order_by(AUDIT.c.seq).limit(limit)
        async with self._ledger.connect() as connection:
            return [dict(row) for row in (await connection.execute(found)).mappings()]

    async def latest(
        self, *, actor: str | None, action: str | None, before: int | None, limit: int
    ) -> list[Mapping[str, Any]]:
        found = select(AUDIT).order_by(AUDIT.c.seq.desc()).limit(limit)
        for column, wanted in ((AUDIT.c.actor, actor), (AUDIT.c.action, action)):
            found = found if wanted is None else found.where(column == wanted)
        found = found if before is None else found.where(AUDIT.c.seq < before)
        async with self._ledger.read() as connection:
            return [dict(row) for row in (await connection.execute(found)).mappings()]


def _stored(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """As the table has it: times in milliseconds."""
    is_time = {name for name in values if name.endswith(("_at", "_until"))}
    return fitted(table, {name: _ms(value) if name in is_time else value for name, value in values.items()})


def _tip(value: str) -> tuple[int, str]:
    seq, digest = json.loads(value)
    return int(seq), str(digest)


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _operator(row: Row[Any]) -> Operator:
    return Operator(row.name, row.role, row.password, row.totp, row.created_at / 1000, _seconds(row.disabled_at))


def _session(row: Row[Any]) -> Session:
    times = row.created_at / 1000, row.seen_at / 1000, row.proved_at / 1000
    return Session(row.digest, row.operator, row.role, *times, row.ip, row.agent)


def _token(row: Row[Any]) -> Token:
    ends = _seconds(row.used_at), _seconds(row.expires_at), _seconds(row.revoked_at)
    return Token(row.id, row.name, row.role, row.created_at / 1000, row.created_by, *ends)
