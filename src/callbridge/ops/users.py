"""Who of the PBX is who in the CRM [pure]: extensions seen on calls, beside the users that the CRM lists.

The CRM knows no extensions, so a proposal goes by what people write into both: an e-mail address, its part before the @, a
name, an extension as a word of the name. Where two users fit equally well none is proposed: a call on the wrong desk is
worse than one on nobody's. Nothing is decided for good here; a person pastes the proposal into the settings.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from callbridge.amocrm.translate import by_extension, extension_key
from callbridge.amocrm.users import User
from callbridge.store.records import Record

_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Seen:
    """An extension, login or e-mail as it stood on the latest of so many calls; `last_seen` is when that was received."""

    source: str
    extension: str
    calls: int
    last_seen: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Sightings:
    """What was seen so far, one entry however it was spelled."""

    _found: dict[tuple[str, str], Seen] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        call = record.call
        if call is None or call.extension is None:
            return
        key = (call.source, extension_key(call.extension))
        before = self._found.get(key)
        if before is None:
            self._found[key] = Seen(call.source, call.extension, 1, record.received_at)
            return
        latest = record.received_at >= before.last_seen
        self._found[key] = Seen(
            call.source,
            call.extension if latest else before.extension,
            before.calls + 1,
            max(record.received_at, before.last_seen),
        )

    def of(self, source: str) -> list[Seen]:
        return [seen for seen in self.most_frequent() if seen.source == source]

    def most_frequent(self) -> list[Seen]:
        """Most calls first; of equals in the order of names."""
        return sorted(self._found.values(), key=lambda seen: (-seen.calls, seen.source, extension_key(seen.extension)))

    def unmapped(self, maps: Mapping[str, Mapping[str, int]]) -> list[Seen]:
        """Those for which the map of their source has no user; `maps` by source, as people wrote them."""
        known = {source: by_extension(users) for source, users in maps.items()}
        return [
            seen for seen in self.most_frequent() if extension_key(seen.extension) not in known.get(seen.source, {})
        ]


@dataclass(frozen=True, slots=True)
class Match:
    """This extension is proposed to be this user's, because of `by`."""

    seen: Seen
    user: User
    by: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """This extension fits nobody, or several equally well."""

    seen: Seen
    users: tuple[User, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """For one source. `extensions` is its map as it would be: what is set now, and the matches. `stale` are entries of now
    whose user the CRM does not list, or lists as not active. `free` are active users without an extension.
    """

    source: str
    extensions: dict[str, int]
    matches: tuple[Match, ...]
    doubts: tuple[Doubt, ...]
    stale: dict[str, int]
    free: tuple[User, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def propose(source: str, configured: Mapping[str, int], seen: Collection[Seen], users: Collection[User]) -> Proposal:
    """`seen` are the sightings of this source; what `configured` knows already stays as it is."""
    active = [user for user in users if user.active]
    ids = {user.id for user in active}
    matches: list[Match] = []
    doubts: list[Doubt] = []
    known = by_extension(configured)
    for each in (each for each in seen if extension_key(each.extension) not in known):
        fitting, by = _fitting(extension_key(each.extension), active)
        if len(fitting) == 1:
            matches.append(Match(each, fitting[0], by))
        else:
            doubts.append(Doubt(each, tuple(fitting)))
    extensions = {**configured, **{match.seen.extension: match.user.id for match in matches}}
    return Proposal(
        source,
        extensions,
        tuple(matches),
        tuple(doubts),
        {extension: user for extension, user in configured.items() if user not in ids},
        tuple(user for user in active if user.id not in set(extensions.values())),
    )


def _fitting(extension: str, users: Collection[User]) -> tuple[list[User], str]:
    """Users whom the strongest likeness names; the ways are tried from the surest down."""
    login = extension.partition("@")[0]
    for by, told in (("e-mail", extension), ("e-mail before the @", login), ("name", extension), ("number", extension)):
        if told and (found := [user for user in users if told in _names(user, by)]):
            return found, by
    return [], ""


def _names(user: User, by: str) -> Iterator[str]:
    """The user's names of one kind, as keys of extensions."""
    match by:
        case "e-mail":
            yield extension_key(user.email)
        case "e-mail before the @":
            yield extension_key(user.email.partition("@")[0])
        case "name":
            yield extension_key(user.name)
        case _:  # `Anna Petrova (104)`; any other word of a name would fit too many
            yield from (word for word in _WORD.findall(user.name) if word.isdigit())
