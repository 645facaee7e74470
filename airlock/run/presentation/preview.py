"""The preview as text: a plan/apply diff that ends in the exact command to approve it."""

from collections.abc import Iterable, Iterator
from itertools import chain

from airlock.base.names import undo_workflow_id
from airlock.base.text import count
from airlock.base.visible import printable
from airlock.plans.state import State
from airlock.run.presentation.approval_needs import evidence_needed, sealed_demands
from airlock.run.presentation.decision_commands import IN_CONSOLE, SIGNING, approve_command
from airlock.run.presentation.preview_lines import (
    conflict_lines,
    header_lines,
    requirement_lines,
    rollback_lines,
    step_lines,
    writes_live,
)
from airlock.run.presentation.seal_difference import difference_lines, text_of_difference
from airlock.run.presentation.undo_preview import undo_lines, undo_step_lines
from airlock.run.sealing.sealed import Sealed

TO_APPROVE = "To approve exactly this:"
"""The line before the last one of a preview that can be approved; the command is the last one."""


def render_preview(sealed: Sealed, digest: str, before: Sealed | None = None) -> str:
    """Return the whole preview as plain text, made from the sealed content and its digest alone.

    Args:
        sealed: The content.
        digest: Its digest.
        before: The content of the seal that it replaced, if it is known: what changed since is shown too.
    """
    return "\n".join(_lines(sealed, digest, before))


def render_closed(sealed: Sealed, digest: str, state: State, before: Sealed | None = None) -> str:
    """Return the preview of a plan that does not wait for approval any more: it says so in the place of the command."""
    closed = f"This preview is not open for approval any more: the plan is in {state.value}."
    return "\n".join((*_shown(sealed, digest, before), closed))


def render_for_agent(sealed: Sealed, before: Sealed | None = None) -> str:
    """Return the preview for the agent that proposed the plan: no digest and no command that approves it."""
    about = _about(sealed) if sealed.undo is None else undo_lines(sealed, sealed.undo)
    return "\n".join((*map(printable, about), *_changed(sealed, before)))


def preview_within(sealed: Sealed, digest: str, size: int, steps: int, before: Sealed | None = None) -> str | None:
    """Return the whole preview if it has at most `size` characters and `steps` steps; None if a view cannot hold it."""
    if len(sealed.steps) > steps:
        return None
    found = _up_to(_lines(sealed, digest, before), size)
    return None if found is None else "\n".join(found)


def beginning_of_preview(sealed: Sealed, size: int, steps: int) -> str:
    """Return as much of a preview as a view can hold, in whole steps, and what is missing.

    It ends in the command that shows all. It names neither the digest nor a command that approves: what was not shown must
    not be approved from here.
    """
    name = sealed.plan_id if sealed.undo is None else undo_workflow_id(sealed.plan_id)
    if sealed.undo is not None:
        return f"This preview is too long to be shown here. Read it, and approve it, with:\n  airlock show {name}"
    writing = [step.id for step in sealed.steps if writes_live(step)]
    lines = list(map(printable, (*header_lines(sealed), "")))
    room, shown = size - sum(map(len, lines)) - len(lines), 0
    for step in sealed.steps[:steps]:
        found = _up_to(map(printable, (*step_lines(step), "")), room)
        if found is None:
            break
        lines += found
        room -= sum(map(len, found)) + len(found)
        shown += writes_live(step)
    lines += [
        f"{count(len(writing), 'writing step')}, {shown} shown. Read the rest, and approve it, with:",
        f"  airlock show {name}",
        f"  airlock show {name} --step {writing[shown] if shown < len(writing) else 'ID'}   (one step)",
    ]
    return "\n".join(lines)


def step_text(sealed: Sealed, step_id: str) -> str | None:
    """Return one step of a preview with all its arguments, whatever it does; None if there is no such step."""
    if sealed.undo is not None:
        return next(("\n".join(undo_step_lines(step)) for step in sealed.undo.steps if step.id == step_id), None)
    step = next((step for step in sealed.steps if step.id == step_id), None)
    return None if step is None else "\n".join(map(printable, step_lines(step, whole=True)))


def _up_to(lines: Iterable[str], size: int) -> list[str] | None:
    """Return the lines if they have at most `size` characters together; no more of them are made than that takes."""
    found: list[str] = []
    for line in lines:
        size -= len(line) + 1
        if size < -1:
            return None
        found.append(line)
    return found


def _lines(sealed: Sealed, digest: str, before: Sealed | None = None) -> Iterator[str]:
    return chain(_shown(sealed, digest, before), map(printable, _commands(sealed, digest)))


def _shown(sealed: Sealed, digest: str, before: Sealed | None) -> Iterator[str]:
    about = _about(sealed) if sealed.undo is None else undo_lines(sealed, sealed.undo)
    return chain(map(printable, about), _changed(sealed, before), ("", f"Digest: {digest}", ""))


def _changed(sealed: Sealed, before: Sealed | None) -> Iterator[str]:
    if before is not None and (lines := difference_lines(before, sealed)):
        yield from ("", f"Changed since the preview {str(sealed.replaces)[:16]}:")
        yield text_of_difference(lines)


def _about(sealed: Sealed) -> Iterator[str]:
    return chain(header_lines(sealed), ("",), _steps(sealed), conflict_lines(sealed), rollback_lines(sealed))


def _steps(sealed: Sealed) -> Iterator[str]:
    for step in sealed.steps:
        yield from step_lines(step)
        yield ""


def _commands(sealed: Sealed, digest: str) -> Iterator[str]:
    yield from requirement_lines(sealed)
    if (signing := SIGNING.get(evidence_needed(sealed_demands(sealed)))) is not None:
        yield signing
    yield TO_APPROVE
    yield f"  {approve_command(sealed, digest) or IN_CONSOLE}"
