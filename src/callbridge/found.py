"""What the CRM has, when it is asked afterwards [pure]: the result of a read-back.

Apart from `outcome`, which is about answers to what was sent: this is about what was found when an answer was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from callbridge.outcome import Delivered


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Every place was read to its end: these `uniq` have notes, the others have none yet. `alike` are notes without any
    `uniq` that tell of the same number, direction, start and length: probably the call, and for a person to say.
    """

    notes: Mapping[str, Delivered]
    alike: Mapping[str, Delivered] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The CRM could not be read to the end; nothing may be concluded about a call that was not seen."""

    detail: str
    notes: Mapping[str, Delivered] = field(default_factory=dict)
