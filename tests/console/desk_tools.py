"""Tools whose plans a reviewer reads in the console: a text, rows, a letter that cannot be taken back, and a read."""

from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from airlock.base.errors import InDoubt, ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall

NOTES: dict[str, str] = {}
TROUBLE: dict[str, str] = {}
"""The trouble of live calls, by plan: `lost` leaves a call in doubt."""


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    text: str = ""


class Rows(BaseModel):
    model_config = ConfigDict(extra="forbid")
    table: str
    rows: list[dict[str, JsonValue]]


class Letter(BaseModel):
    model_config = ConfigDict(extra="forbid")
    to: str
    body: str
    amount: JsonValue = None


@tool(name="write_note", risk="MEDIUM", reversibility="reversible", idempotent=True, resources=["note:{name}"])
def write_note(args: Note, call: ToolCall) -> dict[str, Any]:
    """Write a note."""
    call.undo = {"before": NOTES.get(args.name)}
    NOTES[args.name] = args.text
    return {"name": args.name}


@write_note.dry_run
def look(args: Note, call: ToolCall) -> Preview:
    """Compare with the note as it is."""
    before = NOTES.get(args.name)
    observed = {"before": {"text": before}} if before is not None else {"exists": False}
    return Preview(effect=f"Would write the note {args.name}.", output={"name": args.name}, observed=observed,
                   undo="Restore the former text.")  # fmt: skip


@write_note.compensate
def unwrite(args: Note, call: ToolCall) -> None:
    """Restore the former text."""
    NOTES.pop(args.name, None)


@tool(name="set_rows", risk="LOW", reversibility="compensable", max_attempts=1)
def set_rows(args: Rows, call: ToolCall) -> dict[str, Any]:
    """Set rows."""
    if TROUBLE.pop(call.plan_id, "") == "lost":
        raise InDoubt("the connection was lost")
    call.undo = {"table": args.table}
    return {"rows": len(args.rows)}


@set_rows.dry_run
def look_at_rows(args: Rows, call: ToolCall) -> Preview:
    """Count the rows."""
    return Preview(effect=f"Would set {len(args.rows)} rows of {args.table}.", output={"rows": len(args.rows)},
                   undo="Delete them again.")  # fmt: skip


@set_rows.compensate
def unset_rows(args: Rows, call: ToolCall) -> None:
    """Delete them again."""


@tool(name="send_letter", risk="HIGH", reversibility="irreversible")
def send_letter(args: Letter, call: ToolCall) -> dict[str, Any]:
    """Send a letter."""
    if args.to.startswith("nobody"):
        raise ToolFailed("there is no such address")
    return {"sent": True}


@send_letter.dry_run
def look_at_letter(args: Letter, call: ToolCall) -> Preview:
    """Say to which address."""
    return Preview(effect=f"Would send a letter to {args.to}.", output=UNKNOWN)


@tool(name="look_up", risk="LOW", reversibility="read_only", idempotent=True)
def look_up(args: Note, call: ToolCall) -> dict[str, Any]:
    """Look a note up."""
    return {"text": NOTES.get(args.name, "")}


@look_up.dry_run
def look_at_note(args: Note, call: ToolCall) -> Preview:
    """Read it."""
    return Preview(effect=f"Would read {args.name}.", output={"text": NOTES.get(args.name, "")})


@look_up.mock
def mocked(args: Note, call: ToolCall) -> dict[str, Any]:
    """Return no text."""
    return {"text": ""}
