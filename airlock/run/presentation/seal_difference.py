"""The difference between two previews, step by step, in the lines that an approver reads."""

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import chain
from typing import Final

from airlock.base.model import WireModel
from airlock.base.text import listed
from airlock.base.visible import printable, visible
from airlock.run.presentation.preview_lines import frame_lines, step_lines
from airlock.run.sealing.sealed import Sealed, SealedStep
from airlock.run.sealing.step_digest import unchanged_steps

MAX_LINES: Final = 2_000
"""Lines of a difference; of a larger one the preview itself must be read."""
_COMPARED: Final = 1_000
"""Lines of a step, before and after, that are compared one by one: a query must answer soon."""


class LineKind(StrEnum):
    """The kind of one line of a difference."""

    ADDED = "+"
    REMOVED = "-"
    ABOUT = " "
    """It says what the lines after it are about."""


class DifferenceLine(WireModel):
    """One line of the difference between two previews."""

    kind: LineKind
    text: str


def difference_lines(before: Sealed, after: Sealed) -> tuple[DifferenceLine, ...]:
    """Return what an approver sees otherwise in a preview than in the one that it replaced; none for undos."""
    if before.undo is not None or after.undo is not None:
        return ()
    found: list[DifferenceLine] = []
    for line in _changes(before, after):
        if len(found) == MAX_LINES:
            return (*found, DifferenceLine(kind=LineKind.ABOUT, text="... and more: read the whole preview"))
        found.append(line)
    return tuple(found)


def text_of_difference(lines: Iterable[DifferenceLine]) -> str:
    """Return a difference as text: each line with its sign, those of one step below its name."""
    return "\n".join(
        f"  {line.text}" if line.kind is LineKind.ABOUT else f"    {line.kind.value} {line.text}" for line in lines
    )


def _changes(before: Sealed, after: Sealed) -> Iterator[DifferenceLine]:
    yield from _section("the plan", frame_lines(before), frame_lines(after))
    same = unchanged_steps(before, after)
    old = {step.id: step for step in before.steps}
    known = {step.id for step in after.steps}
    for step in after.steps:
        if step.id not in old:
            yield _about(f"added: {_named(step)}")
            yield from _all(LineKind.ADDED, _lines(step))
        elif step.id not in same:
            lines = tuple(_section(f"changed: {_named(step)}", _lines(old[step.id]), _lines(step)))
            yield from lines or (_about(f"changed: {_named(step)}, in what it depends on"),)
    for step in before.steps:
        if step.id not in known:
            yield _about(f"removed: {_named(step)}")
            yield from _all(LineKind.REMOVED, _lines(step))
    if kept := [step.id for step in after.steps if step.id in same]:
        yield _about(f"unchanged: {listed(kept)}")


def _named(step: SealedStep) -> str:
    return f"step {visible(step.id)}"


def _lines(step: SealedStep) -> Iterator[str]:
    head, *rest = step_lines(step)
    return chain((" ".join(head.split()),), rest)  # its columns are ours; foreign texts in it have no runs of spaces


def _about(text: str) -> DifferenceLine:
    return DifferenceLine(kind=LineKind.ABOUT, text=printable(text))


def _all(kind: LineKind, lines: Iterable[str]) -> Iterator[DifferenceLine]:
    for line in lines:
        yield DifferenceLine(kind=kind, text=printable(line.strip()))


def _section(about: str, before: Iterable[str], after: Iterable[str]) -> Iterator[DifferenceLine]:
    old, new = [line.strip() for line in before], [line.strip() for line in after]
    found: list[DifferenceLine] = []
    compared = len(old) + len(new) <= _COMPARED
    whole = [] if old == new else [("replace", 0, len(old), 0, len(new))]
    blocks = SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes() if compared else whole
    for tag, low, high, first, last in blocks:
        if tag != "equal":
            found += _all(LineKind.REMOVED, old[low:high])
            found += _all(LineKind.ADDED, new[first:last])
    if found:
        yield _about(about)
        yield from found
