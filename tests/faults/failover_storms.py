"""N6: the primary dies while its replica does not hear it, and a Sentinel promotes the replica."""

from __future__ import annotations

import asyncio
from pathlib import Path

from faults.checker import Verdict
from faults.report import Report, reported
from faults.test_failover import lost_after


async def n6_failovers(directory: Path, seed: int, *, rounds: int, spool: bool) -> Report:
    """With `redis.replicas` 1 an acknowledgement has waited for the replica."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    lost, senders = await lost_after(directory, replicas=1, spool=spool, rounds=rounds)
    problems = [f"{len(lost)} acknowledged calls are lost: {sorted(lost)[:5]}"] if lost else []
    if spool and senders.refused:
        problems.append(f"{senders.refused} senders were refused")
    return reported(
        "N6", f"failover with WAIT, {'spool' if spool else '503'} meanwhile: 0 acked lost", seed,
        Verdict(len(lost), 0, 0, ()), *problems,
        failovers=rounds, acknowledged=len(senders.acknowledged), refused=senders.refused,
    )  # fmt: skip
