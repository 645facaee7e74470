"""A tool to begin with: it writes notes, one text file each, and can take every one of them back.

`airlock.toml` offers it to plans, and `plan.json` uses it. Copy it, and replace the file by the system that you mean.
"""

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from airlock import Preview, Stale, ToolCall, ToolFailed, tool


class NoteSettings(BaseModel):
    """`[settings.notes]` in airlock.toml: the folder of the notes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    section: ClassVar[str] = "notes"
    folder: Path = Path("notes")


class WriteNote(BaseModel):
    """Arguments of `write_note`. A plan with others is refused before anything runs."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$", description="lower case, such as first-note")]
    text: Annotated[str, Field(max_length=10_000)]


class Written(TypedDict):
    """The output of `write_note`; later steps of a plan may refer to it."""

    path: str
    characters: int


@tool(
    name="write_note",
    risk="MEDIUM",  # a human approves it; LOW, MEDIUM or HIGH
    reversibility="reversible",  # compensate below takes it back exactly, so it may also be retried
    permissions={"notes:write"},  # airlock.toml says which agents have it
    resources=["note:{name}"],  # plans that write the same note go one after the other
    timeout=10,
    settings=NoteSettings,
)
def write_note(args: WriteNote, call: ToolCall) -> Written:
    """Write a note."""
    path = _path(args, call)
    before = _read(path)
    if call.undo is not None and before == args.text:
        return _output(path, args)  # an earlier attempt of this very call got this far
    if call.observed is not None and call.observed != {"text": before}:
        raise Stale(f"{path} has changed since the preview")  # the plan is previewed and approved again
    call.undo = {"text": before}  # before anything is written: it is kept even if the rest fails
    _write(path, args.text)
    return _output(path, args)


@write_note.mock
def pretend(args: WriteNote, call: ToolCall) -> Written:
    """Return an output of the same shape. A mock touches nothing outside this process."""
    return _output(_path(args, call), args)


@write_note.dry_run
def preview(args: WriteNote, call: ToolCall) -> Preview:
    """Say what the live call would do. A dry run reads, and never writes."""
    path = _path(args, call)
    before = _read(path)
    return Preview(
        effect=f"Would {'write' if before is None else 'replace'} {path}, {len(args.text)} characters.",
        output={"path": str(path), "characters": len(args.text)},
        observed={"text": before},
        undo=f"Remove {path}." if before is None else f"Write the text back that {path} has now.",
    )


@write_note.compensate
def take_back(args: WriteNote, call: ToolCall) -> None:
    """Restore what was there before. A second time it finds nothing left to do."""
    undo: Any = call.undo
    if undo is None:  # a person said that the call happened, and its undo token was lost
        raise ToolFailed("the text before is not known: restore it by hand")
    path, before = _path(args, call), undo["text"]
    now = _read(path)
    if now == before:
        return
    if now != args.text:
        raise ToolFailed(f"{path} was changed after this plan wrote it: restore it by hand")
    if before is None:
        path.unlink()
    else:
        _write(path, before)


def _path(args: WriteNote, call: ToolCall) -> Path:
    return Path(call.settings.folder) / f"{args.name}.txt"


def _output(path: Path, args: WriteNote) -> Written:
    return {"path": str(path), "characters": len(args.text)}


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)  # a reader sees the old note or the new one, never half of it
