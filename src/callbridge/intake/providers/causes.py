"""Why a call without a talk ended, as telephone switches say it [pure]: ITU-T Q.850, by number and in FreeSWITCH's words.

Asterisk tells numbers; FreeSWITCH and what is built on it (onlinePBX) names, and among them one of its own. It knows no
records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from callbridge.call import CallStatus

STATUS_OF_CAUSE: Final[Mapping[str, CallStatus]] = {
    cause: status
    for status, causes in {
        CallStatus.BUSY: ("17", "USER_BUSY"),
        CallStatus.UNAVAILABLE: (
            *("20", "SUBSCRIBER_ABSENT"),
            *("27", "DESTINATION_OUT_OF_ORDER"),
            "USER_NOT_REGISTERED",
        ),
        CallStatus.WRONG_NUMBER: (
            *("1", "UNALLOCATED_NUMBER"),
            *("3", "NO_ROUTE_DESTINATION"),
            *("22", "NUMBER_CHANGED"),
            *("28", "INVALID_NUMBER_FORMAT"),
        ),
    }.items()
    for cause in causes
}
"""All others (16 NORMAL_CLEARING, 19 NO_ANSWER, 21 CALL_REJECTED, ORIGINATOR_CANCEL, ...) are calls that nobody answered."""
