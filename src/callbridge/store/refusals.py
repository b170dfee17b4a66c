"""Webhooks that were turned away: how many, for what, and the last of each source, for whoever sets up a PBX.

Hints, not books: nothing waits for them, and those of a time without Redis may be missing. They hold no body, no query and
no credential, and of an address only its network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis.exceptions import RedisError

from callbridge.errors import StoreUnavailable
from callbridge.store.scripts import Argument, Scripts


@dataclass(frozen=True, slots=True)
class SourceRefusals:
    """`counts` by code; `samples` newest first, each with `at` (Unix seconds), `code`, `method`, `bytes`, `ip`, `agent`;
    `last_at` is that of the last one.
    """

    counts: Mapping[str, int]
    samples: tuple[Mapping[str, Any], ...] = ()
    last_at: float | None = None


class RedisRefusals:
    """Both methods raise `StoreUnavailable`. Source `unknown` is where there is none of that name."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._redis: Any = scripts.redis  # typed for both worlds, sync and async
        self._root = scripts.root

    async def add(
        self, counts: Mapping[tuple[str, str], int], samples: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> None:
        """`counts` by source and code; `samples` in order of time, each with its source."""
        if not counts:
            return
        arguments: list[Argument] = [len(counts)]
        for (source, code), times in counts.items():
            arguments += [f"{source}:{code}", times]
        for source, sample in samples:
            arguments += [source, orjson.dumps(sample)]
        await self._scripts.run("refuse", *arguments)

    async def read(self) -> Mapping[str, SourceRefusals]:
        counts: dict[str, dict[str, int]] = {}
        try:
            for name, times in (await self._redis.hgetall(f"{self._root}refused")).items():
                source, _, code = name.decode().partition(":")
                counts.setdefault(source, {})[code] = int(times)
            async with self._redis.pipeline(transaction=False) as pipeline:
                for source in counts:
                    pipeline.lrange(f"{self._root}refusals:{source}", 0, -1)
                samples = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(f"refusals: {error}") from error
        return {source: _refusals(counts[source], rows) for source, rows in zip(counts, samples, strict=True)}


def _refusals(counts: Mapping[str, int], rows: Sequence[bytes]) -> SourceRefusals:
    samples = tuple(orjson.loads(row) for row in rows)
    return SourceRefusals(counts, samples, max((sample["at"] for sample in samples), default=None))
