"""The picture of a plan's steps: where each stands and what it waits for, as numbers that a template draws."""

from collections.abc import Sequence
from dataclasses import dataclass

from airlock.plans.graph import waves
from airlock.run.presentation.changes import StepChange

MOST = 60
"""Steps of which a picture can be read; the list of steps shows the same for any number."""
_WIDTH, _HEIGHT = 176, 48
_GAP_X, _GAP_Y = 20, 40
_MARGIN = 12
_SHOWN = 20
"""Characters of a name in its box."""


@dataclass(frozen=True)
class Node:
    """One step."""

    id: str
    label: str
    tool: str
    kind: str
    """`write`, `irreversible`, `read` or `still`: what an approval would let it do."""
    x: int
    y: int


@dataclass(frozen=True)
class Edge:
    """One dependency, as the path of a curve."""

    path: str


@dataclass(frozen=True)
class Picture:
    """A whole graph."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: int
    height: int
    node_width: int = _WIDTH
    node_height: int = _HEIGHT


def picture(steps: Sequence[StepChange]) -> Picture | None:
    """Return the graph of some steps, each below all that it depends on; None if it is too large or has no edges."""
    known = {step.id: step for step in steps}
    parents = {step.id: tuple(parent for parent in step.after if parent in known) for step in steps}
    if not 1 < len(steps) <= MOST or not any(parents.values()):
        return None
    rows = waves(parents, list(parents))
    widest = max(map(len, rows))
    width = 2 * _MARGIN + widest * _WIDTH + (widest - 1) * _GAP_X
    places = {
        step: (_left(column, len(row), width), _MARGIN + number * (_HEIGHT + _GAP_Y))
        for number, row in enumerate(rows)
        for column, step in enumerate(row)
    }
    edges = tuple(_edge(places[parent], places[step]) for step in places for parent in parents[step])
    height = 2 * _MARGIN + len(rows) * _HEIGHT + (len(rows) - 1) * _GAP_Y
    return Picture(tuple(_node(known[step], *places[step]) for step in places), edges, width, height)


def kind_of(step: StepChange) -> str:
    """Return what an approval would let a step do, in one word."""
    if not step.writes:
        return "read" if step.reversibility == "read_only" else "still"
    return "irreversible" if step.reversibility == "irreversible" else "write"


def _left(column: int, row: int, width: int) -> int:
    return (width - row * _WIDTH - (row - 1) * _GAP_X) // 2 + column * (_WIDTH + _GAP_X)


def _node(step: StepChange, x: int, y: int) -> Node:
    return Node(step.id, _short(f"{step.sign} {step.id}"), _short(step.tool), kind_of(step), x, y)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _edge(above: tuple[int, int], below: tuple[int, int]) -> Edge:
    x1, y1 = above[0] + _WIDTH // 2, above[1] + _HEIGHT
    x2, y2 = below[0] + _WIDTH // 2, below[1]
    bend = (y1 + y2) // 2
    return Edge(f"M{x1} {y1}C{x1} {bend} {x2} {bend} {x2} {y2}")
