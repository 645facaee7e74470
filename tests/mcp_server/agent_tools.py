"""The tools of these tests: one that writes a real file, one that needs time, one that fails, one that takes a secret."""

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from airlock import Preview, ToolCall, ToolFailed, tool
from airlock.tools.files.file_writing import file_write

__all__ = ["file_write", "keep_note", "refuse", "take_time"]


class Span(BaseModel):
    model_config = ConfigDict(extra="forbid")
    seconds: float = Field(ge=0, le=120, examples=[1.0])
    label: str = ""


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    password: JsonValue = None


@tool(name="take_time", risk="LOW", reversibility="read_only", timeout=150)
async def take_time(args: Span, call: ToolCall) -> dict[str, Any]:
    """Take some time."""
    return {"took": args.seconds}


@take_time.dry_run
async def _look(args: Span, call: ToolCall) -> Preview:
    await asyncio.sleep(args.seconds)
    return Preview(effect=f"takes {args.seconds:g} s", output={"took": args.seconds})


@tool(name="refuse", risk="LOW", reversibility="read_only", max_attempts=1)
async def refuse(args: Span, call: ToolCall) -> dict[str, Any]:
    """Fail."""
    raise ToolFailed("told to fail")


@refuse.dry_run
async def _refuse(args: Span, call: ToolCall) -> Preview:
    raise ToolFailed("told to fail")


@tool(name="keep_note", risk="LOW", reversibility="irreversible", secrets=["password"])
async def keep_note(args: Note, call: ToolCall) -> dict[str, Any]:
    """Keep a note under a password."""
    return {"text": args.text}


@keep_note.dry_run
async def _keep(args: Note, call: ToolCall) -> Preview:
    return Preview(effect=f"keeps {args.text}", output={"text": args.text})
