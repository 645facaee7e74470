"""The tools of examples/my_tools.py through `check_tool` and `run_plan`, as docs/guides/writing-a-tool.md shows."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from airlock import ToolCall
from airlock.plans.state import State
from airlock.run.outcome import Outcome
from airlock.testing import PlanStuck, PromiseBroken, check_tool, fake_tool, run_plan
from examples import my_tools
from examples.my_tools import read_flag, set_flag
from tests.docs.fences import ROOT, fences

GUIDE = ROOT / "docs/guides/writing-a-tool.md"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "flags.json"
    found.write_text('{"flags": {"new_checkout": "off"}}')
    return found


@pytest.fixture
def settings(path: Path) -> dict[str, Any]:
    return {"flags": {"path": str(path), "frozen_flags": ["kill_switch"]}}


def flags(path: Path) -> dict[str, str]:
    return json.loads(path.read_text())["flags"]


def release(**switch: Any) -> dict[str, Any]:
    look = {"id": "look", "agent": "releaser", "tool": "read_flag", "args": {"name": "new_checkout"}, "confidence": 0.95}
    change = {
        "id": "switch", "agent": "releaser", "tool": "set_flag", "confidence": 0.9, "after": ["look"],
        "args": {"name": "new_checkout", "value": "on"} | switch,
    }  # fmt: skip
    return {"plan_id": "release-001", "goal": "test", "requested_by": "release-lead", "steps": [look, change]}


async def test_set_flag_keeps_every_promise(path, settings):
    report = await check_tool(
        set_flag, {"name": "new_checkout", "value": "on"}, snapshot=lambda: flags(path), settings=settings
    )
    assert report.skipped == ("undo_check",)
    assert report.kept == (
        "the mock returns the declared shape",
        "the mock leaves the target as it was",
        "the dry run leaves the target as it was",
        "the dry run returns a Preview",
        "the dry run returns the declared shape",
        "the live call returns the declared shape",
        "the live call changes what the snapshot sees",
        "the second call returns the declared shape",
        "the same idempotency key again has no second effect",
        "the same idempotency key again returns the same output",
        "the same idempotency key again sets the undo token again",
        "the probe leaves the target as it was",
        "the probe returns a Probe",
        "the probe does not deny a call that took effect",
        "the probe returns the declared shape",
        "the probe sets the undo token of a call that took effect",
        "the probe does not confirm a call that was never made",
        "live, then compensate, restores the target",
        "a second compensate does no harm",
    )
    assert flags(path) == {"new_checkout": "off"}


async def test_set_flag_of_a_new_flag(path, settings):
    await check_tool(set_flag, {"name": "beta", "value": "25%"}, snapshot=lambda: flags(path), settings=settings)
    assert flags(path) == {"new_checkout": "off"}


async def test_read_flag_keeps_every_promise(path, settings):
    report = await check_tool(read_flag, {"name": "new_checkout"}, snapshot=lambda: flags(path), settings=settings)
    assert "a tool that only reads leaves the target as it was" in report.kept
    assert report.skipped == ("mock", "probe", "undo_check")


async def test_arguments_that_change_nothing_prove_nothing(path, settings):
    with pytest.raises(PromiseBroken, match="the live call changes what the snapshot sees"):
        await check_tool(set_flag, {"name": "new_checkout", "value": "off"}, snapshot=lambda: flags(path), settings=settings)


async def test_a_frozen_flag_is_a_finding(path, settings):
    with pytest.raises(PromiseBroken, match="the dry run raised ToolFailed: flag 'kill_switch' is frozen"):
        await check_tool(set_flag, {"name": "kill_switch", "value": "on"}, snapshot=lambda: flags(path), settings=settings)


def _forgets_its_key(args: my_tools.SetFlag, call: ToolCall) -> my_tools.FlagWasSet:
    with my_tools._changing(call.settings) as content:
        was = content["flags"].get(args.name)
        content["flags"][args.name] = args.value
        content["flags"]["writes"] = str(int(content["flags"].get("writes", "0")) + 1)
    return {"name": args.name, "value": args.value, "was": was}


async def test_a_tool_that_forgets_its_key_is_caught(path, settings, monkeypatch):
    monkeypatch.setattr(set_flag, "live", _forgets_its_key)
    with pytest.raises(PromiseBroken, match="the same idempotency key again has no second effect"):
        await check_tool(set_flag, {"name": "new_checkout", "value": "on"}, snapshot=lambda: flags(path), settings=settings)


async def test_an_undo_that_does_nothing_is_caught(path, settings, monkeypatch):
    monkeypatch.setitem(set_flag.functions, "compensate", lambda _args, _call: None)
    with pytest.raises(PromiseBroken, match="live, then compensate, restores the target"):
        await check_tool(set_flag, {"name": "new_checkout", "value": "on"}, snapshot=lambda: flags(path), settings=settings)


async def test_a_dry_run_that_writes_is_caught(path, settings, monkeypatch):
    looked = set_flag.functions["dry_run"]

    def writes(args: my_tools.SetFlag, call: ToolCall) -> Any:
        preview = looked(args, call)
        with my_tools._changing(call.settings) as content:
            content["flags"]["looked"] = "yes"
        return preview

    monkeypatch.setitem(set_flag.functions, "dry_run", writes)
    with pytest.raises(PromiseBroken, match="the dry run leaves the target as it was"):
        await check_tool(set_flag, {"name": "new_checkout", "value": "on"}, snapshot=lambda: flags(path), settings=settings)


@pytest.mark.parametrize("server", ["time-skipping", "dev"])
async def test_a_plan_goes_live_after_its_preview_was_approved(path, settings, server):
    seen = []

    def approve(preview: Any) -> bool:
        seen.append((preview.text, flags(path)))
        return True

    run = await run_plan(release(), [read_flag, set_flag], approve=approve, settings=settings, server=server)
    assert run.result.state is State.COMPLETED
    assert run.result.outcome is Outcome.COMPLETED
    assert run.step("switch").status == "live"
    assert run.result.outputs["switch"] == {"name": "new_checkout", "value": "on", "was": "off"}
    assert flags(path) == {"new_checkout": "on"}
    ((text, before),) = seen
    assert "Would set flag 'new_checkout' from 'off' to 'on'." in text
    assert before == {"new_checkout": "off"}
    assert [preview.text for preview in run.previews] == [text]


async def test_a_flag_that_moved_before_the_approval_is_previewed_again(path, settings):
    def approve(preview: Any) -> bool:
        if "from 'off'" in preview.text:
            path.write_text('{"flags": {"new_checkout": "50%"}}')
        return True

    run = await run_plan(release(), [read_flag, set_flag], approve=approve, settings=settings)
    assert ["from '50%'" in preview.text for preview in run.previews] == [False, True]
    assert flags(path) == {"new_checkout": "on"}


async def test_a_plan_that_is_denied_changes_nothing(path, settings):
    run = await run_plan(release(), [read_flag, set_flag], approve=False, settings=settings)
    assert (run.result.outcome, run.result.live) == (Outcome.DENIED, ())
    assert flags(path) == {"new_checkout": "off"}


async def test_a_later_step_that_fails_takes_the_flag_back(path, settings):
    announce = fake_tool("announce", reversibility="irreversible").fail("the channel is closed")
    plan = release()
    plan["steps"].append(
        {"id": "tell", "agent": "releaser", "tool": "announce", "args": {}, "confidence": 0.95, "after": ["switch"]}
    )
    run = await run_plan(plan, [read_flag, set_flag, announce], settings=settings)
    assert run.result.undone == ("switch",)
    assert run.step("tell").error == "the channel is closed"
    assert flags(path) == {"new_checkout": "off"}


async def test_a_plan_that_waits_for_a_person_says_for_whom(path, settings):
    pay = fake_tool("pay", reversibility="irreversible").be_in_doubt("the line is dead")
    plan = release()
    plan["steps"] = [{"id": "pay", "agent": "releaser", "tool": "pay", "args": {}, "confidence": 0.95}]
    with pytest.raises(PlanStuck, match=r"settle pay.*the line is dead.*`resolve`"):
        await run_plan(plan, [pay], settings=settings)


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_the_examples_of_the_guide(number, path, settings):
    """Execute each block of the section "Test your tool", as it stands there."""
    guide = GUIDE.read_text()
    section = guide[guide.index("## Test your tool") :]
    blocks = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    plan = next(json.loads(fence.text) for fence in fences("json", paths=[GUIDE]) if '"release-001"' in fence.text)
    tell = {"id": "tell", "agent": "releaser", "tool": "announce", "args": {}, "confidence": 0.95, "after": ["switch"]}
    names = {
        "check_tool": check_tool, "fake_tool": fake_tool, "run_plan": run_plan, "read_flag": read_flag,
        "set_flag": set_flag, "json": json, "path": path, "settings": settings, "plan": plan, "tell": tell,
    }  # fmt: skip
    before = path.read_bytes()
    code = compile(blocks[number], f"{GUIDE.name}, block {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(code, names)
    assert path.read_bytes() != before  # it ran against the target
