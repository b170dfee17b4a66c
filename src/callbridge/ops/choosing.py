"""Which calls a job is about: asked of the ledger, in parts to all calls of which the same happens.

Counting and choosing take the same parts, so that what a preview counts is what a job gets. A part is a filter that an index
serves; nothing here reads a list of calls to count it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, assert_never

from callbridge.ledger.views import CallFilter, CallRow, Counted, ErrorGroup, Page
from callbridge.ops.job_plan import (
    DEADLY,
    MOST_CALLS,
    SAMPLE,
    ByFilter,
    ByIds,
    Group,
    JobAction,
    JobPreview,
    Lane,
    Selection,
    fate,
    fate_by_reason,
    is_possible,
    is_sent,
    narrowed,
    preview_of,
)


class Rows(Protocol):
    """The ledger's calls. All raise `LedgerUnavailable`."""

    async def calls(self, wanted: CallFilter, *, after: str | None = None, limit: int = 50) -> Page[CallRow]: ...
    async def count(self, wanted: CallFilter, at_most: int = 10_000) -> Counted: ...
    async def ids(self, wanted: CallFilter, *, at_most: int) -> tuple[list[str], bool]: ...
    async def rows(self, ids: Sequence[str]) -> dict[str, CallRow]: ...
    async def groups(self, *, account: str | None = None) -> tuple[ErrorGroup, ...]: ...


class Choice:
    """`lanes` are the accounts of the settings. Both methods raise `LedgerUnavailable`."""

    def __init__(self, rows: Rows, lanes: Mapping[str, Lane]) -> None:
        self._rows = rows
        self._lanes = lanes

    async def preview(self, action: JobAction, selection: Selection) -> JobPreview:
        match selection:
            case ByIds(ids):
                known = await self._rows.rows(ids)
                rows = [known.get(call_id) for call_id in dict.fromkeys(ids)]
                groups = [_alone(action, row) for row in rows]
                fit = [row for row, group in zip(rows, groups, strict=True) if row and is_possible(group.fate)]
                sent = (row.account for row in fit if is_sent(fate(action, row)))
                return preview_of(groups, fit, Counter(sent), self._lanes, more=False)
            case ByFilter(wanted):
                groups, more = await self._groups(action, wanted)
                sample, loads = await self._sample(groups), await self._loads(groups)
                return preview_of(groups, sample, loads, self._lanes, more=more)
            case _:
                assert_never(selection)

    async def ids(self, action: JobAction, selection: Selection) -> Sequence[str]:
        """The calls that a job of this kind touches now."""
        match selection:
            case ByIds(ids):
                known = await self._rows.rows(ids)
                rows = (known[call_id] for call_id in dict.fromkeys(ids) if call_id in known)
                return [row.id for row in rows if is_possible(fate(action, row))]
            case ByFilter(wanted):
                found: list[str] = []
                for part in await self._parts(action, wanted):
                    if is_possible(part.fate) and len(found) < MOST_CALLS:
                        found += (await self._rows.ids(part.wanted, at_most=MOST_CALLS - len(found)))[0]
                return list(dict.fromkeys(found))
            case _:
                assert_never(selection)

    async def _parts(self, action: JobAction, wanted: CallFilter) -> list[Group]:
        """The filter cut into parts to all calls of which the same happens; their counts are left open."""
        parts: list[Group] = []
        for part in narrowed(action, wanted):
            apart = part.reason is None and part.states == ("dead",)
            for reason in await self._reasons(part) if apart else [part.reason]:
                group = Group(replace(part, reason=reason), reason, 0, fate_by_reason(action, reason))
                parts += _by_direction(action, group)
        return parts

    async def _reasons(self, wanted: CallFilter) -> list[str | None]:
        """What calls died of, also in ways that this version does not know."""
        groups = await self._rows.groups(account=wanted.account)
        return list(dict.fromkeys((*(reason.value for reason in DEADLY), *(group.reason for group in groups))))

    async def _groups(self, action: JobAction, wanted: CallFilter) -> tuple[list[Group], bool]:
        groups: list[Group] = []
        more = False
        for part in await self._parts(action, wanted):
            calls, beyond = await self._count(part.wanted)
            more = more or beyond
            groups.append(replace(part, calls=calls))
        return groups, more

    async def _count(self, wanted: CallFilter) -> tuple[int, bool]:
        counted = await self._rows.count(wanted, at_most=MOST_CALLS)
        if counted.calls or not counted.more:
            return counted.calls, counted.more
        ids, more = await self._rows.ids(wanted, at_most=MOST_CALLS)  # there was no time to count them
        return len(ids), more

    async def _loads(self, groups: Sequence[Group]) -> Mapping[str, int]:
        """How many calls each account would have to take; the first of them, where there are more than a job has."""
        loads: Counter[str] = Counter()
        for group in groups:
            if not group.calls or not is_sent(group.fate):
                continue
            account = group.wanted.account or (next(iter(self._lanes)) if len(self._lanes) == 1 else None)
            if account is not None:
                loads[account] += group.calls
                continue
            for name in self._lanes:
                loads[name] += (await self._count(replace(group.wanted, account=name)))[0]
        return loads

    async def _sample(self, groups: Sequence[Group]) -> Sequence[CallRow]:
        found: list[CallRow] = []
        for group in groups:
            if group.calls and is_possible(group.fate) and len(found) < SAMPLE:
                found += (await self._rows.calls(group.wanted, limit=SAMPLE)).rows
        return found[:SAMPLE]


def _by_direction(action: JobAction, group: Group) -> list[Group]:
    """An incoming lead is made of calls that came in; the others are told apart, to be told of."""
    if action is not JobAction.LEAD:
        return [group]
    wanted = group.wanted
    parts: list[Group] = []
    for direction in (wanted.direction,) if wanted.direction else ("inbound", "outbound", "internal"):
        what = group.fate if direction == "inbound" else "not_inbound"
        parts.append(replace(group, wanted=replace(wanted, direction=direction), fate=what))
    return parts


def _alone(action: JobAction, row: CallRow | None) -> Group:
    if row is None:
        return Group(CallFilter(), None, 1, "no_such_call")
    return Group(CallFilter(), row.reason, 1, fate(action, row))
