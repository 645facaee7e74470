"""Mistakes that models make, and answers from which they can correct each of them in one turn."""

import json
from typing import Any

import pytest
from mcp import Client

from airlock.admission.configuration.config import parse_config
from airlock.mcp import desk as desk_module
from airlock.mcp.answers import Phase, PlanAnswer
from airlock.mcp.callers import Callers
from airlock.mcp.desk import Desk
from airlock.mcp.server import make_server
from airlock.tools.loader import load_catalogue
from tests.mcp_server.place import AGENT

CONFIG = parse_config('[policy.agents.claude]\npermissions = ["*"]\n', {})
ARGS = {"path": "a.md", "content": "x"}


@pytest.fixture(scope="module")
def door() -> Desk:
    return Desk((CONFIG, load_catalogue(CONFIG)))


def step(**changes: Any) -> dict[str, Any]:
    """Return a step; a change to None takes the field away."""
    whole = {"id": "w", "tool": "file_write", "args": ARGS, "confidence": 0.95, **changes}
    return {name: value for name, value in whole.items() if value is not None}


def fixes(door: Desk, document: Any) -> dict[str, str]:
    answer = door.check(AGENT, document)
    assert not answer.ok
    assert all(problem.field and problem.reason and problem.fix for problem in answer.problems)
    return {problem.field: problem.fix for problem in answer.problems}


@pytest.mark.parametrize(
    ("changes", "field", "fix"),
    [
        ({"tool": "write_file"}, "steps.w.tool", "did you mean 'file_write'?"),
        ({"tool": "mcp__airlock__file_write"}, "steps.w.tool", "did you mean 'file_write'?"),
        ({"tool": "plans.file_write"}, "steps.w.tool", "did you mean 'file_write'?"),
        ({"args": None, "arguments": ARGS}, "steps.w.arguments", "write it as 'args'"),
        ({"args": None, "tool_input": ARGS}, "steps.w.tool_input", "write it as 'args'"),
        ({"tool": None, "name": "file_write"}, "steps.w.name", "write it as 'tool'"),
        ({"name": "first"}, "steps.w.name", "remove 'name', or correct its spelling"),
        ({"depends_on": ["w"]}, "steps.w.depends_on", "write it as 'after'"),
        ({"args": {"path": "a.md"}}, "steps.w.args", "correct its arguments together; file_write takes: path, content"),
        ({"args": {"$ref": "w"}}, "steps.w.args", 'write {"$ref": "<step>.<path>"}'),
        ({"args": {"path": "a.md", "content": {"$ref": "steps.w.path"}}}, "steps.w.args.content", "begin with the id of"),
    ],
)
def test_a_mistake_in_a_step_is_told_with_what_to_write(door: Desk, changes: dict[str, Any], field: str, fix: str) -> None:
    assert fix in fixes(door, {"goal": "g", "steps": [step(**changes)]})[field]


def test_nulls_that_models_write_for_what_they_leave_open_are_to_be_left_out(door: Desk) -> None:
    told = fixes(door, {"plan_id": None, "goal": None, "max_mode": None, "steps": [{**step(), "after": None}]})
    assert told["max_mode"].startswith("leave 'max_mode' out, or write MOCK")
    assert told["steps.w.after"].startswith("leave 'after' out, or write a list")
    assert told["goal"].startswith("leave 'goal' out")


@pytest.mark.parametrize(
    ("document", "field", "fix"),
    [
        ({"plan": {"goal": "g", "steps": [step()]}}, "plan", "without 'plan' around them"),
        ({"description": "g", "steps": [step()]}, "description", "write it as 'goal'"),
        ({"goal": "g", "tool_calls": [step()]}, "tool_calls", "write it as 'steps'"),
        ({"goal": "g", "description": "d", "steps": [step()]}, "description", "remove 'description'"),
        ("write a file", "plan", 'write {"goal": ..., "steps": [...]}'),
    ],
)
def test_a_mistake_in_the_form_of_a_plan_is_told_with_what_to_write(door: Desk, document: Any, field: str, fix: str) -> None:
    assert fix in fixes(door, document)[field]


async def _refused(door: Desk, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    async with Client(make_server(door, Callers(AGENT))) as client:
        answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    assert answer.structured_content is not None, answer.content
    return dict(answer.structured_content)


@pytest.mark.parametrize("tool", ["file_write", "submit_plan", "approve_plan"])
async def test_a_tool_that_the_server_has_not_is_told_with_those_that_it_has(door: Desk, tool: str) -> None:
    refused = await _refused(door, tool, ARGS)
    (problem,) = refused["problems"]
    assert problem["reason"] == f"this server has no tool {tool!r}"
    assert "propose_plan" in problem["fix"]
    assert "list_tools" in refused["next"]


@pytest.mark.parametrize(
    ("tool", "arguments", "reason", "fix"),
    [
        ("list_tools", {"names": "file_write"}, "is a text, not a list", 'write a list: ["...", "..."]'),
        ("plan_status", {"plan_id": 5}, "is a whole number, not a text", 'write a text in quotes: "..."'),
        ("wait_for_plan", {"plan_id": "p", "seconds": 600}, "is more than 45", "write a number of at most 45"),
        ("wait_for_plan", {"plan_id": "p", "seconds": "10s"}, "is a text, not a number", "write a number"),
        ("amend_plan", {"plan_id": "p", "reason": "r", "remove": "w"}, "is a text, not a list", "write a list"),
    ],
)
async def test_an_argument_of_another_kind_is_told_with_what_to_write(
    door: Desk, tool: str, arguments: dict[str, Any], reason: str, fix: str
) -> None:
    (problem,) = (await _refused(door, tool, arguments))["problems"]
    assert (problem["reason"], problem["fix"].startswith(fix)) == (reason, True), problem
    assert "pydantic" not in json.dumps(problem)


async def test_an_amendment_of_a_plan_that_has_ended_is_no_success(door: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ended:
        open = False

    async def seen(*_: Any) -> Ended:
        return Ended()

    done = PlanAnswer(plan_id="p", phase=Phase.ENDED, outcome="completed", next="Every step is in effect.")
    monkeypatch.setattr(door, "seen", seen)
    monkeypatch.setattr(desk_module, "plan_answer", lambda _: done)
    answer = await door.amend(AGENT, "p", [step()], [], "better")
    assert not answer.ok
    assert answer.problems[0].reason == "not amended: the plan has ended"
    assert (answer.outcome, answer.next) == ("completed", "Every step is in effect.")
