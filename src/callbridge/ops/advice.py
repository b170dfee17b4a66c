"""What is next for a call, in words [pure]: one sentence for each place where a call can stand.

Apart from `inspect` because it is prose with a duty: the match is closed, so a new state or reason does not compile without
its sentence. Reasons come from the store as text; one that this version does not know gets the sentence of its state.
"""

from __future__ import annotations

from typing import Final, Literal, assert_never

from callbridge.outcome import PauseReason, PublicState, Reason

_REPLAY: Final = "`callbridge dead replay ID`"


def advice(  # noqa: C901, PLR0912 - one case a state, and nothing else
    state: PublicState, reason: str | None, pause: PauseReason | None = None, slowed: str | None = None
) -> str:
    """What happens next by itself, or what a person can do. `pause` is why the call's account stands still, `slowed` why it
    takes fewer requests now, if either is so.
    """
    match state:
        case "queued" | "retrying" if pause is not None:
            return f"Waits because its account is paused: {of_pause(pause)}"
        case "queued" | "retrying" if slowed is not None:
            return f"Waits because the CRM did not take the last request: {slowed}. It is tried again by itself."
        case "queued":
            return "Will be sent as soon as a worker gets to it."
        case "retrying":
            return "Will be sent again by itself; no action is needed."
        case "sending":
            return "A worker has it; look again in a moment."
        case "uncertain":
            return "It may be in the CRM: the CRM's notes are being searched before anybody sends it again."
        case "parked" if reason == Reason.LEAD_REFUSED:
            return "Nobody in the CRM has this number, and the CRM took no incoming lead: mend that, or create the contact."
        case "parked":
            return "Nobody in the CRM has this number yet: create the contact, and the call follows by itself."
        case "delivered" if reason == Reason.INCOMING_LEAD:
            return "Nobody in the CRM had this number: it became an incoming lead, which somebody there accepts or declines."
        case "delivered" if reason == Reason.MARKED_DELIVERED:
            return "An operator says that it is in the CRM; nothing is left to do."
        case "delivered":
            return "It is in the CRM; nothing is left to do."
        case "unmatched":
            return "Nobody in the CRM had this number in time. The call is kept here."
        case "ignored" | "dead":
            return _final(state, _known(reason))
        case "erased":
            return "Its content was erased; nothing can be done with it."
        case _:
            assert_never(state)


def of_pause(reason: PauseReason) -> str:
    match reason:
        case PauseReason.UNAUTHORISED:
            return "the CRM refuses the token. Set a valid one and restart the worker."
        case PauseReason.PAYMENT_REQUIRED:
            return "the CRM account is not paid for. It goes on by itself once it is."
        case PauseReason.FORBIDDEN:
            return "the token may not write calls. Give the integration the right; it goes on by itself."
        case PauseReason.BANNED:
            return "the CRM blocks our address. Ask its support to lift the block; it is tried once an hour."
        case PauseReason.WRONG_HOST:
            return "the address is not this account's. Set the right one and restart the worker."
        case PauseReason.REFUSES_ALL:
            return (
                "the CRM refuses every call as invalid, so it is no call's fault. Report it; one is tried now and then."
            )
        case PauseReason.REAUTHORISE:
            return "the CRM does not accept its authorisation any more. `callbridge accounts authorise NAME` gives a new one."
        case PauseReason.MANUAL:
            return "an operator paused it. `callbridge accounts resume NAME` lets it go on."
        case _:
            assert_never(reason)


def _known(reason: str | None) -> Reason | None:
    try:
        return Reason(reason) if reason else None
    except ValueError:
        return None


def _final(  # noqa: C901, PLR0912 - one case a reason, and nothing else
    state: Literal["ignored", "dead"], reason: Reason | None
) -> str:
    match reason:
        case Reason.INTERNAL_CALL:
            return "A call between two employees, which its source does not want in the CRM (`post_internal`)."
        case Reason.HIDDEN_NUMBER:
            return "The caller hid the number, so no contact can be found for it."
        case Reason.SHORT_NUMBER:
            return "The number is too short to be anybody's phone."
        case Reason.IGNORED_NUMBER:
            return "The number is on the ignore list of its source (`ignore_numbers`)."
        case Reason.MISSED_CALL:
            return "Nobody talked, and its source does not want such calls in the CRM (`post_missed`)."
        case Reason.TOO_SHORT:
            return "The talk was shorter than its source wants in the CRM (`min_duration`)."
        case Reason.DISCARDED:
            return "An operator discarded it."
        case Reason.REFUSED_BY_CRM:
            return f"The CRM refused it as it is. When the cause is gone: {_REPLAY}, else discard it."
        case Reason.UNDECODABLE:
            return (
                "No call can be read from the webhook. Correct it at the PBX and let it send again; then discard this."
            )
        case Reason.UNTRANSLATABLE:
            return f"It could not be put into the CRM's words. After an update: {_REPLAY}, else discard it."
        case Reason.EXPIRED:
            return f"The CRM gave no answer for too long. Once it answers again: {_REPLAY}."
        case Reason.UNKNOWN_OUTCOME:
            return f"It may be in the CRM. {_REPLAY} looks there before it sends; `callbridge uncertain resolve ID` decides."
        case Reason.KILLS_WORKER:
            return f"Several workers ended while they had it. Report it; after an update: {_REPLAY}."
        case (
            None  # written by another version
            | Reason.NO_MATCHING_ENTITY
            | Reason.INCOMING_LEAD
            | Reason.LEAD_REFUSED
            | Reason.MARKED_DELIVERED
            | Reason.NOT_IN_ANSWER
            | Reason.NO_ANSWER
            | Reason.LEASE_LAPSED
            | Reason.BATCH_REFUSED
            | Reason.ABSENT_IN_CRM
        ):
            return (
                "It does not belong into the CRM."
                if state == "ignored"
                else f"Find out why, then {_REPLAY} or discard it."
            )
        case _:
            assert_never(reason)
