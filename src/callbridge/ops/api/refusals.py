"""From what an action or a job refused to the problem that says so: nobody is told that something was done that was not."""

from __future__ import annotations

from callbridge.ops.actions import Refused
from callbridge.ops.api.problems import ProblemError
from callbridge.ops.jobs import Refusal


def refused(answer: Refused | Refusal) -> ProblemError:
    match answer:
        case Refusal(code="unconfirmed" | "changed"):
            return ProblemError("confirmation_needed", answer.detail, more={"total": answer.facts["now"]})
        case Refusal(code="forbidden") | Refused(code="forbidden"):
            return ProblemError("forbidden")
        case Refused(code="no_such_account" | "no_such_source" | "no_such_call"):
            return ProblemError("not_found")
        case _:
            return ProblemError("refused", answer.detail, more={"reason": answer.code})
