"""Strangers as incoming leads [pure]: who of them goes now, and whether the account takes leads at all.

A stranger is told apart by `/calls`, in the same breath, so that what is posted here was unmatched a moment ago. Each post
makes a new lead with a new contact, whatever was there before; hence one lead a number at a time: whoever else called from
it goes back to `/calls`, where the new contact takes the call. An account that refuses leads refuses no calls: it is never
paused for that, the strangers wait as they would without this policy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from callbridge.call import phone_tail
from callbridge.claim import Claimed
from callbridge.outcome import Answer, BecameLead, NoLead, PerCall, WholeRefused

MAX_LEADS = 50
"""Leads in one request. The vendor allows 250 entities and advises 50; each of these is a lead, a contact and a note."""

CLOSED_FOR = 600.0
"""Seconds until an account that takes no leads is asked again, by the next stranger."""

REFUSED_IN_A_ROW = 3
"""Leads refused one after the other, with none accepted between them, after which it is the account, not the calls."""


def one_a_number(calls: Sequence[Claimed], busy: Collection[str]) -> tuple[list[Claimed], list[Claimed]]:
    """Those who become leads now, and those who wait for the lead of their number. `busy` numbers (last ten digits) have
    one on its way.
    """
    now: dict[str, Claimed] = {}
    later: list[Claimed] = []
    for call in calls:
        number = number_of(call)
        if number in busy or number in now:
            later.append(call)
        else:
            now[number] = call
    return list(now.values()), later


def number_of(call: Claimed) -> str:
    return phone_tail(call.call.phone) if call.call else ""


def about_one(answer: Answer, calls: Sequence[Claimed]) -> Answer:
    """A refusal of a single lead is about that call."""
    if isinstance(answer, WholeRefused) and len(calls) == 1:
        return PerCall({calls[0].id: NoLead(answer.detail)})
    return answer


class Door:
    """Whether the account takes incoming leads, as far as its answers told. Times are those of any steady clock."""

    def __init__(self) -> None:
        self.why: str | None = None
        self._until = 0.0
        self._refused = 0
        self._is_known = False

    def closed(self, now: float) -> str | None:
        """Why no lead is to be posted now."""
        return self.why if now < self._until else None

    def heard(self, answer: Answer, now: float) -> bool:
        """Takes an answer in; True where something else is known of the account than before. Before the first lead nothing
        is: another drain may have found it closed.
        """
        outcomes = tuple(answer.outcomes.values()) if isinstance(answer, PerCall) else ()
        if any(isinstance(outcome, BecameLead) for outcome in outcomes):
            news = self.why is not None or not self._is_known
            self.why, self._until, self._refused, self._is_known = None, 0.0, 0, True
            return news
        refusals = [outcome for outcome in outcomes if isinstance(outcome, NoLead)]
        self._refused += len(refusals)
        if not refusals or not (self._refused >= REFUSED_IN_A_ROW or any(each.everyone for each in refusals)):
            return False
        was, self.why, self._until, self._is_known = self.why, refusals[-1].detail, now + CLOSED_FOR, True
        return self.why != was
