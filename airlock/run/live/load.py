"""The bytes that a plan has under way: what one workflow task commands must fit into one message to Temporal."""

from collections.abc import Callable, Iterable, Iterator

from pydantic import BaseModel

from airlock.base.canonical import canonical_json

MAX_LOAD = 2_000_000
"""Bytes of JSON of all requests that one plan has under way at a time.

Temporal takes messages of 4 MiB, and terminates a run whose workflow task commands more. When all calls under way end at
once, one workflow task commands as much again.
"""
MAX_REQUEST = MAX_LOAD // 2
"""Bytes of JSON of one request for several steps. One step alone may need more; its request then goes alone."""
_OVERHEAD = 1_000
"""Bytes of a command beside its request."""


def weight(request: BaseModel) -> int:
    """Return the bytes of one request."""
    return len(canonical_json(request.model_dump(mode="json"))) + _OVERHEAD


class Load:
    """The requests of one stage that are under way.

    Args:
        weigh: Returns the bytes of the request for one step, which must not change once the step may start.
        bounded: False to let every chain start, as runs from before there were epochs do.
    """

    def __init__(self, weigh: Callable[[str], int], *, bounded: bool = True) -> None:
        self._weigh = weigh
        self._bounded = bounded
        self._first: dict[str, int] = {}
        self._under_way: dict[tuple[str, ...], int] = {}

    def take(self, chain: tuple[str, ...]) -> tuple[str, ...]:
        """Count the beginning of a chain as under way and return it; return () if it must wait until others have ended."""
        if not self._bounded:
            return chain
        if chain[0] not in self._first:
            self._first[chain[0]] = self._weigh(chain[0])
        # the others are weighed each time: they may read the output of a step that has not ended yet
        sizes = [self._first[chain[0]], *map(self._weigh, chain[1:])]
        while len(sizes) > 1 and sum(sizes) > MAX_REQUEST:
            sizes.pop()
        if self._under_way and sum(self._under_way.values()) + sum(sizes) > MAX_LOAD:
            return ()
        begun = chain[: len(sizes)]
        self._under_way[begun] = sum(sizes)
        del self._first[chain[0]]
        return begun

    def drop(self, chain: tuple[str, ...]) -> None:
        """Count a chain as ended."""
        self._under_way.pop(chain, None)


def portions(weights: Iterable[tuple[str, int]], most: int) -> Iterator[tuple[str, ...]]:
    """Yield groups of steps, in their order, whose requests fit into one together.

    Args:
        weights: The steps, each with the bytes of its own request.
        most: The most steps in a group.
    """
    group: list[str] = []
    size = 0
    for step, own in weights:
        if group and (len(group) == most or size + own > MAX_REQUEST):
            yield tuple(group)
            group, size = [], 0
        group.append(step)
        size += own
    if group:
        yield tuple(group)
