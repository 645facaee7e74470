"""The cost of a condition: a count of the values that CEL looks at, known from the sizes of what it reads.

CEL itself has no limit: `a.exists(x, x in b)` looks at every value of one list for each value of another.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from airlock.admission.rules.tokens import Read, Token, macro_spans

MAX_COST: Final = 100_000
"""The most values that one condition may look at for one step: some milliseconds."""
_CHARACTERS: Final = 64
"""The characters that cost as much as one value."""


@dataclass(frozen=True)
class Loop:
    """A macro that goes through a list."""

    words: int
    """The words and signs that are evaluated for each element."""
    reads: tuple[int, ...]
    """The positions of the values that are read again for each element."""


@dataclass(frozen=True)
class Shape:
    """All of a condition that decides what it costs."""

    words: int = 0
    sums: int = 0
    """The signs that may join texts or lists, each of which copies both."""
    loops: tuple[Loop, ...] = ()
    searches: bool = False
    """True if a loop looks for something in a list (`in`)."""

    def cost(self, sizes: Sequence[int]) -> int:
        """Return the most values that a condition looks at.

        Args:
            sizes: The size of each value that it reads.
        """
        whole = sum(sizes) + self.words
        return whole * (1 + self.sums) + sum(
            whole * (loop.words + sum(sizes[at] for at in loop.reads)) for loop in self.loops
        )


def shape_of(found: Sequence[Token], reads: Sequence[Read]) -> Shape:
    """Return the shape of a condition.

    Args:
        found: Its words and signs.
        reads: The fields that it reads.
    """
    loops = tuple(
        Loop(words, tuple(at for at, read in enumerate(reads) if start <= read.start < end))
        for start, end, words in macro_spans(found)
    )
    literals = sum(token.kind in ("text", "number") for token in found)
    sums = sum(token.kind == "sign" and token.text == "+" for token in found)
    inside = [token for token in found if any(start <= token.start < end for start, end, _ in macro_spans(found))]
    return Shape(literals, sums, loops, any(token.kind == "name" and token.text == "in" for token in inside))


def too_large(shape: Shape, reads: Sequence[Read], size: Callable[[tuple[str, ...]], int]) -> tuple[int, ...]:
    """Return the positions of the values without which a condition costs no more than it may, the largest first.

    Args:
        shape: The shape of the condition.
        reads: The fields that it reads.
        size: Returns the size of the value at a place.
    """
    sizes = [size(read.path) for read in reads]
    left_out: list[int] = []
    while shape.cost(sizes) > MAX_COST and any(sizes):
        largest = max(range(len(sizes)), key=lambda at: (sizes[at], -at))
        same = [at for at, read in enumerate(reads) if read.path == reads[largest].path]
        left_out += same
        for at in same:
            sizes[at] = 0
    return tuple(left_out)


class Sizes:
    """The sizes of the values at the places of one step, each counted once.

    Args:
        variables: The variables of conditions.
    """

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._known: dict[tuple[str, ...], int] = {}

    def __call__(self, place: tuple[str, ...]) -> int:
        """Return the size of the value at a place; 0 if there is none."""
        if place not in self._known:
            value: Any = self._variables
            for name in place:
                value = value.get(name) if isinstance(value, Mapping) else value
            self._known[place] = _size(value)
        return self._known[place]


def _size(value: Any) -> int:
    number, pending = 0, [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Mapping):
            number += 1 + sum(map(len, item)) // _CHARACTERS
            pending += item.values()
        elif isinstance(item, list | tuple):
            number += 1
            pending += item
        elif isinstance(item, str):
            number += 1 + len(item) // _CHARACTERS
        else:
            number += item is not None
    return number
