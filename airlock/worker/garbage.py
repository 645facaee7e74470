"""The memory of runs that have left the cache: garbage in cycles, which Python's collector finds late or never.

A run that leaves the cache is some hundred objects that refer to each other. They have lived long, so that only a full
collection finds them. With the calm collector of a worker that comes after fifty million allocations, and such a run
leaves few enough of them that a worker could handle a hundred thousand plans before: with a hundred kilobytes for each.
"""

import gc
from collections.abc import Callable
from typing import Final

ENOUGH: Final = 3_000_000
"""Bytes of history of the runs that left the cache, from which a collection is worth its time: about 200 small plans."""
LEAST: Final = 10_000
"""Bytes of history that a run counts for, at least: what a run takes beside its history is the same for all."""


class Garbage:
    """The garbage that the evicted runs of one worker have left.

    Args:
        collect: Collects the garbage of the whole process.
    """

    def __init__(self, collect: Callable[[], object] = gc.collect) -> None:
        self._collect = collect
        self._left = 0

    def add(self, size: int) -> None:
        """Count a run that leaves the cache, with the bytes of its history; collect what those before it left."""
        if self._left >= ENOUGH:
            self._left = 0
            self._collect()
        self._left += max(size, LEAST)
