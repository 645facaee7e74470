"""`check_tool(..., then=...)`: a tool whose dry runs see what an earlier step leaves passes, each broken part is named."""

import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from airlock import Left, Preview, Stale, Tool, ToolCall, tool
from airlock.plans.refs import UNKNOWN
from airlock.testing import PromiseBroken, check_tool
from airlock.tools.files.file_deleting import file_delete
from airlock.tools.files.file_writing import file_write
from examples.my_tools import set_flag

TWO = "the dry run of a later step asks for what an earlier one leaves"
LAST = "the undo of both calls restores the target"


async def test_the_example_keeps_its_promises_for_two_calls_of_one_flag(tmp_path: Path):
    path = tmp_path / "flags.json"
    path.write_text('{"flags": {"new_checkout": "off"}}')
    report = await check_tool(
        set_flag,
        {"name": "new_checkout", "value": "on"},
        then={"name": "new_checkout", "value": "25%"},
        snapshot=lambda: json.loads(path.read_text())["flags"],
        settings={"flags": {"path": str(path)}},
    )
    assert report.kept[-6:] == (
        TWO,
        "the dry run of a later step returns what it got as `observed`",
        "the first call leaves what its dry run said",
        "the second call changes what the first one left",
        "the undo of the second call restores what the first one left",
        LAST,
    )


@pytest.mark.parametrize("there", [None, "old\n"])
async def test_file_write_keeps_them(tmp_path: Path, there: str | None):
    file = tmp_path / "n" / "a.md"
    if there is not None:
        file.parent.mkdir()
        file.write_text(there)
        file.chmod(0o600)

    def look() -> Any:
        return (file.read_bytes(), oct(file.stat().st_mode)) if file.exists() else sorted(tmp_path.glob("n"))

    report = await check_tool(
        file_write,
        {"path": "n/a.md", "content": "draft\n"},
        then={"path": "n/a.md", "content": "final\n", "mode": "640"},
        snapshot=look,
        settings={"files": {"root": str(tmp_path)}},
    )
    assert report.kept[-1] == LAST


async def test_a_second_call_that_cannot_work_after_the_first_is_told(tmp_path: Path):
    (tmp_path / "a.md").write_text("old")
    with pytest.raises(PromiseBroken, match=r"second of two dry runs raised ToolFailed: there is no file 'a.md'"):
        await check_tool(
            file_delete,
            {"path": "a.md"},
            then={"path": "a.md"},
            snapshot=lambda: (tmp_path / "a.md").exists(),
            settings={"files": {"root": str(tmp_path)}},
        )


class Value(BaseModel):
    model_config = ConfigDict(extra="forbid")
    value: int


TARGET: dict[str, Any] = {}


def made(fault: str) -> Tool:
    """Return a tool for one number with one fault."""

    @tool(name="keep", risk="MEDIUM", reversibility="reversible")
    def keep(args: Value, call: ToolCall) -> int:
        done = TARGET["calls"].get(call.idempotency_key)
        if done is None:
            TARGET["calls"][call.idempotency_key] = done = TARGET["value"]
            TARGET["value"] = args.value
        call.undo = done
        return args.value

    @keep.dry_run
    def look(args: Value, call: ToolCall) -> Preview:
        earlier = None if fault == "does not ask" else call.earlier("number")
        now = TARGET["value"] if earlier is None else earlier.seen
        leaves = {"number": Left(seen=args.value + (fault == "predicts wrongly"))}
        if fault == "says nothing":
            leaves = {}
        observed = TARGET["value"] if fault == "relies on the world" else now
        return Preview(effect=f"{now} to {args.value}", output=args.value, observed=observed, leaves=leaves)

    @keep.compensate
    def undo(args: Value, call: ToolCall) -> None:
        if TARGET["calls"].pop(call.idempotency_key, None) is not None:
            TARGET["value"] = 0 if fault == "undoes too much" else call.undo

    return keep


async def checked(fault: str) -> None:
    TARGET.update(value=0, calls={})
    await check_tool(made(fault), {"value": 1}, then={"value": 2}, snapshot=lambda: TARGET["value"])


async def broken_promise(check: Awaitable[Any]) -> str:
    """Return the one promise that a check finds broken."""
    with pytest.raises(PromiseBroken) as caught:
        await check
    assert len(caught.value.broken) == 1
    return caught.value.broken[0]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("does not ask", TWO),
        ("says nothing", TWO),
        ("relies on the world", "returns what it got as `observed`"),
        ("predicts wrongly", "the first call leaves what its dry run said"),
        ("undoes too much", "the undo of the second call restores what the first one left"),
    ],
)
async def test_each_fault_is_named(fault: str, sentence: str):
    assert sentence in await broken_promise(checked(fault))


async def test_without_a_fault_it_passes():
    await checked("")


OPEN = "the first call sets `leaves` where the second one's dry run left a state open"


def numbered(fault: str) -> Tool:
    """Return a tool for one value whose version only the target gives, with one fault."""

    @tool(name="keep", risk="MEDIUM", reversibility="reversible")
    def keep(args: Value, call: ToolCall) -> int:
        done = TARGET["calls"].get(call.idempotency_key)
        if done is None:
            if call.observed not in (None, _now()):
                raise Stale("it is another version now")
            TARGET["calls"][call.idempotency_key] = done = _now()
            TARGET.update(value=args.value, version=TARGET["version"] + 7)
        call.undo = done
        if fault != "sets nothing" and not (fault == "only once" and call.attempt > 1):
            call.leaves["number"] = {**_now(), "version": 3} if fault == "sets another" else _now()
        return args.value

    @keep.dry_run
    def look(args: Value, call: ToolCall) -> Preview:
        earlier = call.earlier("number")
        now = _now() if earlier is None else earlier.seen
        leaves = {"number": Left(seen=UNKNOWN if fault == "whole" else {"value": args.value, "version": UNKNOWN})}
        return Preview(effect=f"{now} to {args.value}", output=args.value, observed=now, leaves=leaves)

    @keep.compensate
    def undo(args: Value, call: ToolCall) -> None:
        if TARGET["calls"].pop(call.idempotency_key, None) is not None:
            TARGET.update(call.undo)

    return keep


def _now() -> dict[str, int]:
    return {"value": TARGET["value"], "version": TARGET["version"]}


async def checked_open(fault: str) -> tuple[str, ...]:
    TARGET.update(value=0, version=1, calls={})
    report = await check_tool(numbered(fault), {"value": 1}, then={"value": 2}, snapshot=lambda: dict(_now()))
    return report.kept


@pytest.mark.parametrize("fault", ["", "whole"])
async def test_a_state_that_is_open_in_part_or_as_a_whole_is_what_the_first_call_says(fault: str):
    kept = await checked_open(fault)
    assert OPEN in kept
    assert kept[-1] == LAST


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("sets nothing", OPEN),
        ("sets another", "a dry run after the first call observes what that one set in `leaves`"),
        ("only once", "the same idempotency key again sets `leaves` again"),
    ],
)
async def test_each_fault_of_an_open_state_is_named(fault: str, sentence: str):
    assert sentence in await broken_promise(checked_open(fault))
