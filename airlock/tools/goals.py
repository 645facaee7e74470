"""`goal_query`: the goals in a JSON file."""

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from airlock.base.errors import ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, frozen_description, required
from airlock.tools.memory import MemorySettings

MAX_FILE_BYTES = 1_048_576


class GoalQuery(Arguments):
    """A filter for goals; empty, all goals are returned."""

    model_config = frozen_description("Which goals to return; without a filter, all.")

    goal: Annotated[str, Field(max_length=1_000, description="words that all occur in the goal, in any case")] = ""
    status: Annotated[str | None, Field(description="only goals with this status")] = None
    limit: Annotated[int, Field(ge=1, le=100, description="the most goals to return")] = 20


class Goals(TypedDict):
    """The goals found, as they stand in the file and in its order."""

    goals: list[dict[str, JsonValue]]


@tool(
    name="goal_query",
    risk="LOW",
    reversibility="read_only",
    permissions={"goals:read"},
    timeout=15,
    idempotent=True,
    settings=MemorySettings,
)
def goal_query(args: GoalQuery, call: ToolCall) -> Goals:
    """Find goals by their words and status."""
    words = args.goal.casefold().split()
    found = [
        goal
        for goal in _goals(call.settings)
        if (args.status is None or goal.get("status") == args.status) and all(word in _text(goal) for word in words)
    ]
    return {"goals": found[: args.limit]}


@goal_query.dry_run
def look(args: GoalQuery, call: ToolCall) -> Preview:
    """Run the query: this changes nothing."""
    found = goal_query.live(args, call)
    return Preview(effect=f"Would find {len(found['goals'])} goals.", output=found)


@goal_query.mock
def mock(args: GoalQuery, _call: ToolCall) -> Goals:
    """Return one goal that fits the query. Which others there are is not known."""
    return {"goals": [{"id": UNKNOWN, "goal": args.goal or "a goal", "status": args.status or "open"}]}


def _text(goal: dict[str, Any]) -> str:
    return " ".join(value for value in goal.values() if isinstance(value, str)).casefold()


def _goals(settings: MemorySettings) -> list[dict[str, Any]]:
    named = settings.goals or f"{required(settings.path, 'settings.memory.goals')}/goals.json"
    path = Path(named)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ToolFailed(f"{path.name} is larger than {MAX_FILE_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ToolFailed(f"settings.memory.goals: {path.name} cannot be read as JSON: {error}") from error
    goals = content.get("goals") if isinstance(content, dict) else content
    if not isinstance(goals, list) or not all(isinstance(goal, dict) for goal in goals):
        raise ToolFailed(f'settings.memory.goals: {path.name} must hold a list of objects, or {{"goals": [...]}}')
    return goals
