"""The judge [pure]: what the senders were told, what the store says, what the CRM has. It lists what does not add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FINAL = frozenset({"delivered", "unmatched", "dead", "ignored", "erased"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """`acknowledged` are the PBX's ids answered 2xx; `sent` all that were ever sent; `rows` the listed calls; `notes` the
    CRM's notes with `uniq` and `id`; `request_times` seconds at which the CRM heard a request.
    """

    sent: frozenset[str]
    acknowledged: frozenset[str]
    rows: Sequence[Mapping[str, Any]]
    notes: Sequence[Mapping[str, Any]]
    request_times: Sequence[Sequence[float]] = ()
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    lost: int
    doubled: int
    stuck: int
    violations: tuple[str, ...]


def judge(evidence: Evidence, *, drained: bool = True) -> Verdict:
    """`drained`: nothing may be on its way any more."""
    found: list[str] = []
    refs = Counter(str(row["ref"]) for row in evidence.rows)
    lost = evidence.acknowledged - refs.keys()
    if lost:
        found.append(f"{len(lost)} acknowledged calls are nowhere: {_some(lost)}")
    if twice := [ref for ref, times in refs.items() if times > 1]:
        found.append(f"{len(twice)} calls are stored more than once: {_some(twice)}")
    if strange := refs.keys() - evidence.sent:
        found.append(f"{len(strange)} calls were never sent: {_some(strange)}")
    stuck = [row for row in evidence.rows if row["state"] not in FINAL and row["state"] != "parked"]
    if drained and stuck:
        found.append(f"{len(stuck)} calls are stuck: {Counter(row['state'] for row in stuck)}")
    notes = Counter(str(note["uniq"]) for note in evidence.notes)
    doubled = sum(times - 1 for times in notes.values())
    if doubled:
        found.append(f"{doubled} notes too many: {_some([uniq for uniq, times in notes.items() if times > 1])}")
    by_uniq = {str(note["uniq"]): note for note in evidence.notes}
    for row in evidence.rows:
        note = by_uniq.get(str(row["uniq"]))
        if row["state"] == "delivered" and note is None:
            found.append(f"{row['id']} is delivered, and the CRM has no note")
        elif row["state"] == "delivered" and notes[str(row["uniq"])] == 1 and row["note_id"] != note["id"]:
            found.append(f"{row['id']} names note {row['note_id']}, the CRM has {note['id']}")
        elif row["state"] in {"dead", "unmatched", "ignored"} and note is not None:
            found.append(f"{row['id']} is {row['state']}, and the CRM has note {note['id']}")
    if foreign := by_uniq.keys() - {str(row["uniq"]) for row in evidence.rows}:
        found.append(f"{len(foreign)} notes belong to no call: {_some(foreign)}")
    if (
        evidence.rate is not None
        and (peak := max(map(busiest_second, evidence.request_times), default=0)) > evidence.rate
    ):
        found.append(f"{peak} requests in one second, {evidence.rate} are allowed")
    return Verdict(len(lost), doubled, len(stuck), tuple(found[:20]))


def busiest_second(times: Sequence[float]) -> int:
    """Most requests in any sliding second."""
    ordered, first, most = sorted(times), 0, 0
    for last, time in enumerate(ordered):
        while time - ordered[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def _some(things: Any) -> str:
    return ", ".join(sorted(map(str, things))[:5])
