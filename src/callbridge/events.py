"""The names of everything that the log tells. Apart from `observe`, which writes it, because this list only grows."""

from __future__ import annotations

from typing import Final

EVENTS: Final = frozenset(
    {
        # a process
        "process.started",
        "process.ready",
        "process.stopping",
        "process.stopped",
        "worker.failed",
        # a webhook
        "webhook.accepted",
        "webhook.greeted",
        "webhook.refused",
        "webhook.spooled",
        "spool.drained",
        "spool.damaged",
        "webhook.failed",
        # a batch and its calls
        "batch.posted",
        "crm.answered",
        "batch.halved",
        "leads.closed",
        "leads.open",
        "call.settled",
        "note.settled",
        "calls.reclaimed",
        "calls.revived",
        "calls.read_back",
        "calls.replayed",
        "calls.resolved",
        "calls.discarded",
        # an account
        "account.paused",
        "account.probed",
        "account.resumed",
        "account.slowed",
        "account.opened",
        "account.closed",
        "account.authorised",
        "account.moved",
        # its access token
        "token.refreshed",
        "token.rejected",
        "token.unsaved",
        "token.backup_failed",
        # the store
        "store.unavailable",
        "store.recovered",
        "store.durability",
        "store.epoch",
        "redis.restarted",
        # the ledger
        "ledger.unavailable",
        "ledger.unwritable",
        # the drain of an account
        "drain.started",
        "drain.ended",
        # the ledger and the console
        "ledger.tidied",
        "job.began",
        "job.ended",
        "overview.failed",
        "console.login",
        "console.failed",
        # what is told to people
        "alert.told",
        "alert.failed",
        # the simulator
        "sim.started",
        # the log itself
        "log.library",
        "log.dropped",
    }
)
"""Every name there is: filters and alerts are built on them, so a new one is a decision, not a typo."""
