"""Halving a batch that the CRM refused without naming the culprit [pure].

A batch of n with one bad call costs at most 2 log2 n further requests; its neighbours are delivered on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def halves(batch: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """Two parts in order, sizes differing by one at most. `ValueError` below two: then the culprit is known."""
    if len(batch) < 2:
        raise ValueError("a batch of one cannot be halved")
    middle = len(batch) // 2
    return batch[:middle], batch[middle:]
