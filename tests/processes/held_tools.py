"""The built-in tools, and some more, that log what they do and wait where a test wants a worker to be killed.

Loaded by workers only. `AIRLOCK_TEST_CONTROL` names the folder of the switches: `hold/<plan>.<step>.<moment>` makes a tool
wait while the file is there, `fail/<plan>.<step>` makes its live call fail, `log.jsonl` gets a line at every moment. While
there is a file `pace`, every moment takes up to so many seconds as it says.
"""

import asyncio
import inspect
import json
import os
import random
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from airlock.base.errors import ToolFailed
from airlock.plans.contract import Mode
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.crm.contact_creating import ghl_create_contact
from airlock.tools.crm.contact_search import ghl_search
from airlock.tools.databases.database_writing import database_write
from airlock.tools.files.file_writing import file_write
from airlock.tools.mail import send_email

CONTROL = Path(os.environ["AIRLOCK_TEST_CONTROL"])
_LOOK = 0.02


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")
    path: str
    text: str


@tool(name="append_line", risk="MEDIUM", reversibility="compensable", timeout=60)
def append_line(args: Line, call: ToolCall) -> dict[str, Any]:
    """Append a line to a file; made twice it is there twice, so nothing but Airlock sees to it that it is not."""
    _append(Path(args.path), f"{call.idempotency_key} {args.text}")
    return {"text": args.text}


@append_line.dry_run
def _look(args: Line, _call: ToolCall) -> Preview:
    return Preview(effect=f"append {args.text}", output={"text": args.text}, undo="remove the line")


@append_line.mock
def _mock(args: Line, _call: ToolCall) -> dict[str, Any]:
    return {"text": args.text}


@append_line.compensate
def _remove(args: Line, call: ToolCall) -> None:
    # a file a plan, so that no other compensation is writing it; repeating it does no harm
    path, ours = Path(args.path), f"{call.idempotency_key} {args.text}"
    if path.exists():
        path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines() if line != ours))


class Vault(BaseModel):
    model_config = ConfigDict(extra="forbid")
    password: str
    say: str
    file: str = ""


@tool(name="open_vault", risk="MEDIUM", reversibility="compensable", timeout=60, secrets={"password"})
def open_vault(args: Vault, call: ToolCall) -> dict[str, Any]:
    """Write the password to a file, and leak it: in the output, an error, or the undo's error."""
    if args.say == "error":
        raise ToolFailed(f"the vault does not take {args.password}")
    call.undo = {"file": args.file, "opened_with": args.password}
    Path(args.file).write_text(args.password)
    return {"said": f"the password is {args.password}"}


@open_vault.dry_run
def _look_into(args: Vault, _call: ToolCall) -> Preview:
    return Preview(effect=f"open the vault with {args.password}")


@open_vault.mock
def _mock_vault(args: Vault, _call: ToolCall) -> dict[str, Any]:
    return {"said": args.password}


@open_vault.compensate
def _shut(args: Vault, call: ToolCall) -> None:
    mark = CONTROL / f"{call.plan_id}.shut"
    if not mark.exists():
        mark.touch()
        raise RuntimeError(f"cannot shut it with {args.password}")
    assert call.undo["opened_with"] == args.password
    Path(call.undo["file"]).unlink(missing_ok=True)


def _append(path: Path, line: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode() + b"\n")  # one write: never half a line
    finally:
        os.close(file)


def _note(call: ToolCall, moment: str) -> Path:
    line = {"plan": call.plan_id, "step": call.step_id, "moment": moment, "attempt": call.attempt}
    _append(CONTROL / "log.jsonl", json.dumps({**line, "key": call.idempotency_key, "pid": os.getpid()}))
    return CONTROL / "hold" / f"{call.plan_id}.{call.step_id}.{moment}"


def _trouble(call: ToolCall, kind: str) -> None:
    wanted = CONTROL / "fail" / f"{call.plan_id}.{call.step_id}"
    if kind == "live" and wanted.exists():
        raise ToolFailed(wanted.read_text())


def _borrowed(call: ToolCall, kind: str) -> bool:
    """Return True if the dry run of a tool that only reads makes use of its live function."""
    return kind == "live" and call.mode is not Mode.LIVE


def held(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """Return the function, logged and waiting where it is told to; of live calls and compensations before and after.

    A tool that fails by itself is logged as `<kind>_refused`.
    """
    before, after = (f"{kind}_before", f"{kind}_after") if kind in ("live", "undo") else (kind, "")
    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def asynchronous(args: Any, call: ToolCall) -> Any:
            if _borrowed(call, kind):
                return await function(args, call)
            await _wait_async(_note(call, before))
            _trouble(call, kind)
            try:
                answer = await function(args, call)
            except ToolFailed:
                _note(call, f"{kind}_refused")
                raise
            if after:
                await _wait_async(_note(call, after))
            return answer

        return asynchronous

    @wraps(function)
    def plain(args: Any, call: ToolCall) -> Any:
        if _borrowed(call, kind):
            return function(args, call)
        _wait(_note(call, before))
        _trouble(call, kind)
        try:
            answer = function(args, call)
        except ToolFailed:
            _note(call, f"{kind}_refused")
            raise
        if after:
            _wait(_note(call, after))
        return answer

    return plain


def _pace() -> float:
    pace = CONTROL / "pace"
    return random.uniform(0, float(pace.read_text())) if pace.exists() else 0.0


def _wait(hold: Path) -> None:
    time.sleep(_pace())
    while hold.exists():
        time.sleep(_LOOK)


async def _wait_async(hold: Path) -> None:
    await asyncio.sleep(_pace())
    while hold.exists():  # noqa: ASYNC110  the switch is in another process
        await asyncio.sleep(_LOOK)


def hold(made: Tool) -> Tool:
    """Return the same tool under the same contract, with every function held."""
    made.live = held(made.live, "live")
    names = {"dry_run": "dry", "compensate": "undo"}
    made.functions = {kind: held(function, names.get(kind, kind)) for kind, function in made.functions.items()}
    return made


_OURS = (ghl_search, ghl_create_contact, database_write, file_write, send_email, append_line, open_vault)
TOOLS = [hold(made) for made in _OURS]
