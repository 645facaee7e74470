"""The tools of these tests: one that writes a real file, one that needs time, one that fails, one that takes a secret.

Two of them are what an injection needs: one reads what others write, one sends it away.
"""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from airlock import Preview, ToolCall, ToolFailed, tool
from airlock.tools.files.file_writing import file_write

__all__ = ["file_write", "keep_note", "read_page", "refuse", "send_note", "take_time"]


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


class Page(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str = Field(pattern="^[a-z]+$")


class Letter(BaseModel):
    model_config = ConfigDict(extra="forbid")
    to: str
    text: str
    password: JsonValue = None


def _pages() -> Path:
    return Path(os.environ["AGENT_TOOLS_PAGES"])


@tool(name="read_page", risk="LOW", reversibility="read_only")
async def read_page(args: Page, call: ToolCall) -> dict[str, Any]:
    """Read a page."""
    return {"text": (_pages() / args.name).read_text()}


@read_page.dry_run
async def _read(args: Page, call: ToolCall) -> Preview:
    found = await read_page.live(args, call)
    return Preview(effect=f"reads {args.name}: {found['text']}", output=found)


@tool(name="send_note", risk="HIGH", reversibility="irreversible", permissions={"notes:send"}, secrets=["password"])
async def send_note(args: Letter, call: ToolCall) -> dict[str, Any]:
    """Send a note."""
    with (_pages() / "outbox.jsonl").open("a") as box:
        box.write(json.dumps(args.model_dump()) + "\n")
    return {"sent": True}


@send_note.dry_run
async def _would_send(args: Letter, call: ToolCall) -> Preview:
    return Preview(effect=f"would send a note to {args.to}", output={"sent": True})
