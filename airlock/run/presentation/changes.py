"""The steps of a seal as data: what each would do, in parts that a page or a terminal lays out in its own way.

Every text in it is in its visible form already: show it as it is, and escape only what your own medium needs.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from airlock.admission.places import texts
from airlock.base.model import WireModel
from airlock.base.text import count
from airlock.base.visible import marks, visible
from airlock.plans.contract import Mode
from airlock.plans.outcome import StepPreview
from airlock.run.presentation.argument_lines import WIDTH, argument_lines, json_text, key_name, short, with_its_end
from airlock.run.presentation.derived import derived_mark
from airlock.run.presentation.former_values import MOST_COMPARED, UNTOLD, Pair, former_of, pairs
from airlock.run.presentation.preview_lines import SIGNS, among_own_steps, beside_the_call, goes_to, writes_live
from airlock.run.presentation.undo_preview import UNDO_RESULTS, UNDO_SIGNS
from airlock.run.sealing.sealed import MAX_SHOWN_READ, Sealed, SealedStep
from airlock.run.undo import UndoStep

_MOST_COLUMNS = 12


class BlockKind(StrEnum):
    """The form of one value."""

    VALUE = "value"
    """One line, `value`."""
    TEXT = "text"
    """A text of several lines, `lines`, each with its number."""
    ROWS = "rows"
    """A table, `columns` and `rows`."""
    JSON = "json"
    """A nested value, `lines`, each with the path of a value in it."""


class BlockLine(WireModel):
    """One line of a text or of a nested value."""

    text: str
    number: int | None = None
    """The number of the line in the text; None for a line that is gone, or for a path."""
    sign: str = ""
    """`+` for a line that is new, `-` for one that goes, empty otherwise."""


class Block(WireModel):
    """One value of a step: an argument, the state that its preview relied on, or what it would return."""

    name: str
    kind: BlockKind
    value: str = ""
    size: str = ""
    """The size of a text or of a table, in words."""
    before: str | None = None
    """The value that it replaces, on one line, where the seal holds it."""
    lines: tuple[BlockLine, ...] = ()
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    derived: str = ""
    """The origin of a value that the plan does not state, and how much of it is approved: `a.amount (derived)`."""
    hidden: tuple[str, ...] = ()
    """The marks in it: invisible characters, and words that mix alphabets."""
    cut: bool = False
    """True if its middle is left out."""


class StepChange(WireModel):
    """One step of a seal, as its approver should read it."""

    id: str
    sign: str
    tool: str
    agent: str
    risk: str
    reversibility: str
    goes_to: str
    """The end of its way once approved: a mode, `already LIVE`, `already read`, or the prospect of an undo."""
    writes: bool
    """True if an approval would let it change something."""
    effect: str = ""
    """The effect, in the words of its tool."""
    blocks: tuple[Block, ...] = ()
    """Its arguments, by name."""
    relies_on: Block | None = None
    predicted: Block | None = None
    notes: tuple[str, ...] = ()
    """Further sentences. One that begins with CAUTION deserves a sign of its own."""
    reasons: tuple[str, ...] = ()
    """The reasons of its ceiling."""
    undo: str = ""
    after: tuple[str, ...] = ()
    looked: bool = True
    """False if no dry run was made: its outcome is known after live."""
    waived: bool = False
    """True if the policy waives its approval."""
    confidence: float | None = None
    hidden: tuple[str, ...] = ()
    """The marks in all of it, each once: invisible characters, and words that mix alphabets."""


def changes(sealed: Sealed, *, whole: bool = False) -> Iterator[StepChange]:
    """Yield the steps of a seal in the order of its preview, of a plan or of an undo.

    Args:
        sealed: The content of the seal.
        whole: True to leave out nothing of calls that only read, too; calls that write are always whole.
    """
    if sealed.undo is not None:
        return map(_undo_change, sealed.undo.steps)
    return (step_change(step, whole=whole) for step in sealed.steps)


def change_of(sealed: Sealed, step_id: str) -> StepChange | None:
    """Return one step of a seal with nothing left out, whatever it does; None if there is no such step."""
    if sealed.undo is not None:
        return next((_undo_change(step) for step in sealed.undo.steps if step.id == step_id), None)
    return next((step_change(step, whole=True) for step in sealed.steps if step.id == step_id), None)


def step_change(step: SealedStep, *, whole: bool = False) -> StepChange:
    """Return one step of a plan as data."""
    preview, writes = step.preview, writes_live(step)
    args = preview.args if preview is not None and not step.already_live else step.args
    before = former_of(preview)
    notes = [*beside_the_call(step), *(among_own_steps(preview) if preview is not None else ())]
    live = step.ceiling is Mode.LIVE and not step.already_live
    effect = preview.effect if preview is not None and not step.already_live else ""
    blocks = tuple(
        _pair_block(step, pair, whole=whole or writes)
        for name in sorted({*args, *(preview.former if preview is not None and writes else ())})
        for pair in pairs(name, args.get(name, UNTOLD), before.get(name, UNTOLD), _derived_whole(preview))
    )
    relies_on = None if preview is None or preview.observed is None else block("relies on", preview.observed, whole=whole)
    said = (step.tool, step.agent, effect, step.undo, step.moved_from or "", step.dedupe_key or "", *step.reasons)
    return StepChange(
        id=step.id,
        sign=SIGNS[step.reversibility],
        tool=visible(step.tool),
        agent=visible(step.agent),
        risk=step.risk,
        reversibility=step.reversibility,
        goes_to=goes_to(step),
        writes=writes,
        effect=visible(effect),
        blocks=blocks,
        relies_on=relies_on,
        predicted=_predicted(step, whole),
        notes=tuple(line.strip() for line in notes if not line.lstrip().startswith("after: ")),
        reasons=tuple(map(visible, step.reasons)),
        undo=visible(step.undo) if live else "",
        after=step.after,
        looked=preview is not None and preview.looked,
        waived=live and step.approval_waived,
        confidence=step.confidence,
        hidden=tuple(dict.fromkeys([*(mark for each in blocks for mark in each.hidden), *_hidden(said)])),
    )


def _pair_block(step: SealedStep, pair: Pair, *, whole: bool) -> Block:
    if pair.new is UNTOLD:
        return _gone(pair)
    made = block(pair.path, pair.new, whole=whole, derived=_derived(step, pair.path), before=pair.old)
    hidden = tuple(dict.fromkeys([*made.hidden, *marks(pair.path)]))
    return made.model_copy(update={"name": pair.shown, "hidden": hidden})


def _gone(pair: Pair) -> Block:
    """Return a value that the call takes away, or that none of its arguments states."""
    if isinstance(pair.old, str) and ("\n" in pair.old or len(json_text(pair.old)) > WIDTH):
        lines = tuple(BlockLine(text=with_its_end(line), sign="-") for line in pair.old.split("\n"))
        return Block(name=pair.shown, kind=BlockKind.TEXT, lines=lines, size=f"{count(len(lines), 'line')} as it is now")
    return Block(name=pair.shown, kind=BlockKind.VALUE, before=short(pair.old))


def _derived_whole(preview: StepPreview | None) -> frozenset[str]:
    return frozenset() if preview is None else frozenset(preview.derived)


def block(name: str, value: object, *, whole: bool, derived: str = "", before: object = UNTOLD) -> Block:
    """Return one value in the form that fits it.

    Args:
        name: Its name.
        value: The value, of JSON.
        whole: True to show all of it; False to cut a long value in the middle.
        derived: Where it comes from, if the plan does not state it.
        before: The value that it replaces; `UNTOLD` if the seal does not tell.
    """
    text, shown = json_text(value), key_name(name)
    old = None if before is UNTOLD else short(before)
    # in JSON a control character is written out already, and would hide from the marks
    hidden = tuple(dict.fromkeys([*marks(text), *_hidden(each for _, each in texts(value))]))
    made = Block(name=shown, kind=BlockKind.VALUE, before=old, derived=derived, hidden=hidden)
    if isinstance(value, str) and (whole or len(text) <= WIDTH) and ("\n" in value or len(text) > WIDTH):
        lines = tuple(_text_lines(value, before if isinstance(before, str) else None))
        size = f"{len(value):,} characters in {count(value.count(chr(10)) + 1, 'line')}"
        if isinstance(before, str):
            new, gone = (sum(line.sign == sign for line in lines) for sign in "+-")
            size += f", {new} new and {gone} gone"
        return made.model_copy(update={"kind": BlockKind.TEXT, "lines": lines, "before": None, "size": size})
    if whole and (columns := _columns(value)):
        assert isinstance(value, list | tuple)
        rows = tuple(tuple(_cell(row, column) for column in columns) for row in value)
        shape = {"columns": tuple(map(key_name, columns)), "rows": rows, "size": count(len(rows), "row")}
        return made.model_copy(update={"kind": BlockKind.ROWS, **shape})
    if len(text) <= WIDTH or not whole:
        return made.model_copy(update={"value": short(value), "cut": len(text) > WIDTH})
    lines = tuple(BlockLine(text=line) for line in argument_lines(name, value, "", whole=True))
    return made.model_copy(update={"kind": BlockKind.JSON, "lines": lines})


def _derived(step: SealedStep, name: str) -> str:
    return derived_mark(step, name).strip().removeprefix("<- ").replace("  <- ", "; ")


def _predicted(step: SealedStep, whole: bool) -> Block | None:
    if (read := step.read) is not None:
        if read.size <= MAX_SHOWN_READ:
            return block("returned", read.output, whole=whole)
        said = f"{read.size:,} bytes of JSON with the digest {read.digest}"
        return Block(name="returned", kind=BlockKind.VALUE, value=said)
    if step.preview is None or step.already_live:
        return None
    return block("would return", step.preview.output, whole=whole)


def _columns(value: object) -> tuple[str, ...]:
    """Return the columns of a list of flat objects; none if a table does not fit the value."""
    if not isinstance(value, list | tuple) or not value or not all(isinstance(row, Mapping) and row for row in value):
        return ()
    columns = tuple(dict.fromkeys(key for row in value for key in row))
    flat = all(
        len(json_text(cell)) <= WIDTH and not isinstance(cell, Mapping | list) for row in value for cell in row.values()
    )
    return columns if flat and len(columns) <= _MOST_COLUMNS else ()


def _cell(row: Mapping[str, object], column: str) -> str:
    return visible(json_text(row[column])) if column in row else ""


def _text_lines(text: str, before: str | None) -> Iterator[BlockLine]:
    new = text.split("\n")
    old = before.split("\n") if before is not None else None
    if old is None or max(len(old), len(new)) > MOST_COMPARED:
        yield from (BlockLine(text=with_its_end(line), number=number) for number, line in enumerate(new, 1))
        return
    for kind, first, last, begin, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            yield from (BlockLine(text=with_its_end(line), sign="-") for line in old[first:last])
        for number, line in enumerate(new[begin:end], begin + 1):
            yield BlockLine(text=with_its_end(line), number=number, sign="" if kind == "equal" else "+")


def _hidden(said: Iterable[str]) -> Iterator[str]:
    return (mark for text in said for mark in marks(text))


def _undo_change(step: UndoStep) -> StepChange:
    return StepChange(
        id=step.id,
        sign=UNDO_SIGNS[step.prospect],
        tool=visible(step.tool),
        agent=visible(step.agent),
        risk=step.risk,
        reversibility=step.reversibility,
        goes_to=UNDO_RESULTS[step.prospect],
        writes=step.prospect.value != "kept",
        effect=visible(step.says),
        hidden=tuple(dict.fromkeys(_hidden((step.tool, step.agent, step.says)))),
    )
