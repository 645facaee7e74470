"""Tools of the tests: lines of a real file, with names that no framework takes as they are."""

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from airlock.base.errors import ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall


class NotesSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    section: ClassVar[str] = "notes"
    folder: Path


class ReadNotes(BaseModel):
    model_config = ConfigDict(extra="forbid")
    book: str


class AddNote(BaseModel):
    model_config = ConfigDict(extra="forbid")
    book: str
    line: str


class Notes(TypedDict):
    lines: list[str]


class Added(TypedDict):
    number: int


def _lines(call: ToolCall, book: str) -> list[str]:
    path = call.settings.folder / f"{book}.txt"
    return path.read_text().splitlines() if path.exists() else []


@tool(name="notes.read", risk="LOW", reversibility="read_only", settings=NotesSettings)
def read_notes(args: ReadNotes, call: ToolCall) -> Notes:
    """Read the lines of a book of notes."""
    return {"lines": _lines(call, args.book)}


@tool(name="notes.add", risk="MEDIUM", reversibility="compensable", settings=NotesSettings, max_attempts=1)
def add_note(args: AddNote, call: ToolCall) -> Added:
    """Add a line to a book of notes."""
    if args.line == "torn":
        raise ToolFailed("the page is torn")
    # no guard of its own: a call that were made twice would show as two lines
    path = call.settings.folder / f"{args.book}.txt"
    with path.open("a") as file:
        file.write(f"{args.line}\n")
    return {"number": len(_lines(call, args.book))}


@add_note.mock
def _mock(args: AddNote, call: ToolCall) -> Added:
    return {"number": 1}


@read_notes.mock
def _read_mock(args: ReadNotes, call: ToolCall) -> Notes:
    return {"lines": ["a line"]}


@add_note.dry_run
def _dry_run(args: AddNote, call: ToolCall) -> Preview:
    if args.line == "unwritable":
        raise ToolFailed("the book takes no such line")
    return Preview(effect=f"Would add {args.line!r} to {args.book}.", output={"number": UNKNOWN}, undo="Remove it.")


@add_note.compensate
def _undo(args: AddNote, call: ToolCall) -> None:
    lines = [line for line in _lines(call, args.book) if line != args.line]
    (call.settings.folder / f"{args.book}.txt").write_text("".join(f"{line}\n" for line in lines))
