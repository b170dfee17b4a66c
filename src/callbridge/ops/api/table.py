"""Every endpoint there is. The routes, the OpenAPI document, the page that explores it and the tests are made from this."""

from __future__ import annotations

from typing import Any, Final

from callbridge.ops.api import calls, given, jobs, shown, standing
from callbridge.ops.api.endpoint import Asked, Endpoint, Nothing
from callbridge.ops.api.openapi import document
from callbridge.ops.who import Role

_VIEWER, _OPERATOR, _ADMIN = Role.VIEWER, Role.OPERATOR, Role.ADMIN


async def show_openapi(_asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
    return document(ENDPOINTS)


ENDPOINTS: Final[tuple[Endpoint[Any, Any], ...]] = (
    Endpoint(
        "GET", "/status", _VIEWER, "status", "Whether calls are lost or late right now, and the figures",
        Nothing, Nothing, shown.Status, standing.show_status,
    ),
    Endpoint(
        "GET", "/calls", _VIEWER, "calls", "Calls that match, newest first",
        given.CallsQuery, Nothing, shown.Calls, calls.list_calls, pages=True,
    ),
    Endpoint(
        "GET", "/calls/{id}", _VIEWER, "calls", "A call's story",
        Nothing, Nothing, shown.CallStory, calls.show_call,
    ),
    Endpoint(
        "POST", "/calls/{id}/reveal", _OPERATOR, "calls", "The whole phone number of a call; written to the audit",
        Nothing, Nothing, shown.Revealed, calls.reveal_call,
    ),
    Endpoint(
        "GET", "/batches", _VIEWER, "batches", "Requests to the CRM, newest first",
        given.BatchesQuery, Nothing, shown.Batches, calls.list_batches, pages=True,
    ),
    Endpoint(
        "GET", "/batches/{id}", _VIEWER, "batches", "One request, and what each of its calls got",
        Nothing, Nothing, shown.BatchXray, calls.show_batch,
    ),
    Endpoint(
        "GET", "/dead", _VIEWER, "dead", "Dead calls by cause, most calls first",
        given.DeadQuery, Nothing, shown.Groups, calls.list_dead,
    ),
    Endpoint(
        "PUT", "/dead/groups/{account}/{reason}/{cause}", _OPERATOR, "dead", "Say where a cause stands",
        Nothing, given.GroupBody, shown.Group, calls.mark_group, refusals=("refused",),
    ),
    Endpoint(
        "POST", "/replay-jobs/preview", _OPERATOR, "replay", "What a job would do; nothing happens",
        Nothing, given.PreviewBody, shown.Preview, jobs.preview_job,
    ),
    Endpoint(
        "POST", "/replay-jobs", _OPERATOR, "replay", "Begin a job; the same id again is the same job",
        Nothing, given.JobBody, shown.Job, jobs.start_job, made=True, refusals=("refused", "confirmation_needed"),
    ),
    Endpoint(
        "GET", "/replay-jobs", _VIEWER, "replay", "Jobs, newest first",
        given.JobsQuery, Nothing, shown.Jobs, jobs.list_jobs, pages=True,
    ),
    Endpoint(
        "GET", "/replay-jobs/{id}", _VIEWER, "replay", "A job and how far it is",
        Nothing, Nothing, shown.Job, jobs.show_job,
    ),
    Endpoint(
        "POST", "/replay-jobs/{id}/pause", _OPERATOR, "replay", "Hold a job",
        Nothing, Nothing, shown.Job, jobs.pause_job,
    ),
    Endpoint(
        "POST", "/replay-jobs/{id}/resume", _OPERATOR, "replay", "Let a job go on",
        Nothing, Nothing, shown.Job, jobs.resume_job,
    ),
    Endpoint(
        "POST", "/replay-jobs/{id}/cancel", _OPERATOR, "replay", "End a job; what it has moved stays moved",
        Nothing, Nothing, shown.Job, jobs.cancel_job,
    ),
    Endpoint(
        "GET", "/accounts", _VIEWER, "accounts", "The accounts of the CRM, and whether they are sent to",
        Nothing, Nothing, shown.Accounts, standing.list_accounts,
    ),
    Endpoint(
        "POST", "/accounts/{name}/pause", _ADMIN, "accounts", "Send nothing to an account",
        Nothing, given.PauseBody, shown.Account, standing.pause_account, refusals=("refused",),
    ),
    Endpoint(
        "POST", "/accounts/{name}/resume", _ADMIN, "accounts", "Send to an account again",
        Nothing, Nothing, shown.Account, standing.resume_account, refusals=("refused",),
    ),
    Endpoint(
        "GET", "/sources", _VIEWER, "sources", "The PBXs, what they sent, and what was refused",
        Nothing, Nothing, shown.Sources, standing.list_sources,
    ),
    Endpoint(
        "GET", "/audit", _OPERATOR, "audit", "Who did what, newest first",
        given.AuditQuery, Nothing, shown.Entries, standing.list_audit, pages=True,
    ),
    Endpoint(
        "GET", "/openapi.json", _VIEWER, "status", "This document",
        Nothing, Nothing, None, show_openapi,
    ),
)  # fmt: skip
