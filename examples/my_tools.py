"""The tools of docs/guides/writing-a-tool.md: feature flags in a JSON file.

`read_flag` is as small as a tool can be, `set_flag` has every function a tool can have. An operator offers them with
`modules = ["airlock.tools", "examples.my_tools"]` under `[catalogue]` in airlock.toml.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from airlock import Left, Preview, Probe, Stale, ToolCall, ToolFailed, tool

LOCK_WITHIN = 5.0
"""Seconds to wait for another writer; less than the tool's timeout, so that no call goes on after it timed out."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$", description="lower case, such as new_checkout")]


class FlagSettings(BaseModel):
    """`[settings.flags]`: the JSON file of the flags, and the names that no plan may change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    section: ClassVar[str] = "flags"
    path: Path
    frozen_flags: tuple[str, ...] = ()


class ReadFlag(BaseModel):
    """Arguments of `read_flag`."""

    model_config = ConfigDict(extra="forbid")
    name: Name


class SetFlag(BaseModel):
    """Arguments of `set_flag`."""

    model_config = ConfigDict(extra="forbid")
    name: Name
    value: Annotated[str, Field(min_length=1, max_length=100, description="such as on, off or 25%")]


class FlagIs(TypedDict):
    """The value of a flag; null when there is no such flag."""

    name: str
    value: str | None


class FlagWasSet(TypedDict):
    """The value of a flag now and before."""

    name: str
    value: str
    was: str | None


@tool(name="read_flag", risk="LOW", reversibility="read_only", permissions={"flags:read"}, settings=FlagSettings)
def read_flag(args: ReadFlag, call: ToolCall) -> FlagIs:
    """Look up the value of a feature flag."""
    return {"name": args.name, "value": _content(call.settings)["flags"].get(args.name)}


@read_flag.dry_run
def look_up(args: ReadFlag, call: ToolCall) -> Preview:
    """Look the flag up, as earlier steps of the plan leave it: that changes nothing."""
    found = {"name": args.name, "value": _before(args.name, call)}
    return Preview(effect=f"Would read flag {args.name!r}, which is {found['value']!r}.", output=found)


@tool(
    name="set_flag",
    risk="MEDIUM",
    reversibility="reversible",
    permissions={"flags:write"},
    resources=["flag:{name}"],
    timeout=10,
    max_attempts=3,
    settings=FlagSettings,
)
def set_flag(args: SetFlag, call: ToolCall) -> FlagWasSet:
    """Give a feature flag a value."""
    _must_be_free(args.name, call.settings)
    with _changing(call.settings) as content:
        done = content["calls"].get(call.idempotency_key)
        call.leaves[f"flag:{args.name}"] = {"value": args.value}
        if done is not None:  # an earlier attempt of this very call took effect: answer, do not do it again
            call.undo = done
            return {"name": done["name"], "value": done["value"], "was": done["was"]}
        was = content["flags"].get(args.name)
        if call.observed is not None and call.observed != {"value": was}:
            raise Stale(f"flag {args.name!r} is {was!r} now")
        call.undo = {"name": args.name, "value": args.value, "was": was}  # before anything is written
        content["flags"][args.name] = args.value
        content["calls"][call.idempotency_key] = call.undo
    return {"name": args.name, "value": args.value, "was": was}


@set_flag.mock
def pretend(args: SetFlag, _call: ToolCall) -> FlagWasSet:
    """Return an output of the declared shape; touch nothing outside this process."""
    return {"name": args.name, "value": args.value, "was": None}


@set_flag.dry_run(partial=True)
def preview(args: SetFlag, call: ToolCall) -> Preview:
    """Say what the live call would change; read the file and write nothing."""
    _must_be_free(args.name, call.settings)
    was = _before(args.name, call)
    return Preview(
        effect=f"Would set flag {args.name!r} from {was!r} to {args.value!r}.",
        output={"name": args.name, "value": args.value, "was": was},
        observed={"value": was},
        undo=f"Set it back to {was!r}." if was is not None else "Remove it.",
        leaves={f"flag:{args.name}": Left(seen={"value": args.value})},
    )


@set_flag.compensate
def put_back(_args: SetFlag, call: ToolCall) -> None:
    """Undo the call; a second time there is nothing left to do."""
    with _changing(call.settings) as content:
        done = content["calls"].pop(call.idempotency_key, None)
        if done is None:
            return  # it never took effect, or it was undone before
        if content["flags"].get(done["name"]) != done["value"]:
            raise ToolFailed(f"another writer has changed flag {done['name']!r} since: put it right by hand")
        if done["was"] is None:
            del content["flags"][done["name"]]
        else:
            content["flags"][done["name"]] = done["was"]


@set_flag.probe
def find_out(_args: SetFlag, call: ToolCall) -> Probe:
    """Find out whether a call whose answer was lost took effect."""
    done = _content(call.settings)["calls"].get(call.idempotency_key)
    if done is None:
        return Probe(happened=False, why="the file does not know this call")
    call.undo = done
    return Probe(happened=True, output=done, why="the file knows this call")


def _before(name: str, call: ToolCall) -> str | None:
    """Return the value that the live call will find: as an earlier step of the plan leaves it, or as it is."""
    earlier = call.earlier(f"flag:{name}")
    found: str | None = _content(call.settings)["flags"].get(name) if earlier is None else earlier.seen["value"]
    return found


def _must_be_free(name: str, settings: FlagSettings) -> None:
    if name in settings.frozen_flags:
        raise ToolFailed(f"flag {name!r} is frozen by the operator")


def _content(settings: FlagSettings) -> dict[str, Any]:
    """Return all flags, and every call that took effect by its idempotency key."""
    try:
        found: dict[str, Any] = json.loads(settings.path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"flags": {}, "calls": {}}
    except ValueError as error:
        raise ToolFailed(f"the file of flags cannot be read: {error}") from error
    return {"flags": {}, "calls": {}, **found}


@contextmanager
def _changing(settings: FlagSettings) -> Iterator[dict[str, Any]]:
    """Yield the content to one writer; write it in one step when the block ends, not at all when it raises."""
    with settings.path.with_suffix(".lock").open("w") as lock:
        _hold(lock.fileno())
        content = _content(settings)
        yield content
        written = settings.path.with_suffix(".new")
        written.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(written, settings.path)


def _hold(lock: int) -> None:
    deadline = time.monotonic() + LOCK_WITHIN
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ToolFailed("the file of flags is in use", retry=True) from None
            time.sleep(0.05)
        else:
            return
