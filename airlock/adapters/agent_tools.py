"""The part that all adapters share: a catalogue as tools of an agent, a turn as a plan, a result as answers to its calls.

Everything here is a value made of values, so that an agent that is a workflow may use it too.
"""

import json
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airlock.base.canonical import digest
from airlock.base.errors import ConfigError, PlanError, Problem
from airlock.base.text import listed, quoted, shorten
from airlock.client.documents import read_document
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode, Reversibility
from airlock.plans.tool_document import catalogue_document
from airlock.run.call_record import CallStatus
from airlock.run.outcome import Outcome
from airlock.run.presentation.agent_words import KEEP_ON, ended
from airlock.run.presentation.last_status import last_status
from airlock.run.presentation.views import PlanResult, StepView, rehearsal_failed

MAX_NAME = 64
"""Characters that every framework and model takes in the name of a tool."""
MAX_ANSWER = 4_000
"""Characters of a text that tells an agent why a call is not in effect."""
_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_CORRECT = "Correct the call before you make it again, or tell the user."
_DONE_WITH = {
    CallStatus.UNDONE: "Not in effect any more ({}): the call was made, and compensated.",
    CallStatus.KEPT: "In effect still, at least in part ({}): the plan was rolled back, and this call was kept.",
    CallStatus.IN_DOUBT: "Not known ({}): the call may be in effect.",
    CallStatus.UNDO_FAILED: "In effect still, at least in part ({}): its compensation failed.",
}
"""The first sentence about a call that is neither in effect nor certainly without effect."""
REFUSED = "refused at admission"


@dataclass(frozen=True)
class AgentTool:
    """One tool of the catalogue, as a framework declares it."""

    name: str
    """The name for the framework and its model: letters, digits, `_` and `-`."""
    tool: str
    """The name in the catalogue."""
    description: str
    arguments: dict[str, Any]
    """The JSON Schema of the arguments."""
    output: dict[str, Any]
    """The JSON Schema of the output; empty where anything may come back."""
    read_only: bool

    @property
    def whole_description(self) -> str:
        """The description with the output schema, for frameworks that have no other place for it."""
        return (
            f"{self.description}\nReturns JSON of this schema: {json.dumps(self.output, ensure_ascii=False)}"
            if self.output
            else self.description
        )


@dataclass(frozen=True)
class AgentCall:
    """One tool call that a model wants to make."""

    id: str
    name: str
    args: Mapping[str, Any] | str | None
    """The arguments, decoded or as the JSON text that the model wrote."""


@dataclass(frozen=True)
class Answer:
    """The answer to one call: the output of a call in effect, or a text that says why it is not."""

    in_effect: bool
    value: Any

    @property
    def text(self) -> str:
        """The answer as text: an output as JSON."""
        return str(self.value) if not self.in_effect else json.dumps(self.value, ensure_ascii=False)


class AgentTools:
    """The tools of one agent, the plans that its turns become, and the answers that its calls get.

    Args:
        catalogue: The operator's catalogue, or what `airlock tools --json` printed: decoded, or the path of its file.
        agent: The name of the agent in plans; the policy grants permissions to that name.
        requested_by: The person or service that the agent works for. It cannot approve these plans.
        goal: The purpose of the agent's plans, for approvers.
        confidence: The confidence of each step, 0.0-1.0.
        deadline: A duration such as `2h`, counted from the turn, after which no call of it may start; none unless given.
        only: The names of the tools that the agent gets, unless all.

    Raises:
        ConfigError: If two tools would have one name in the framework, or `only` names a tool that is not there.
    """

    def __init__(
        self,
        catalogue: Catalogue | Mapping[str, Any] | str | Path,
        *,
        agent: str,
        requested_by: str,
        goal: str = "",
        confidence: float = 0.9,
        deadline: str | None = None,
        only: Iterable[str] | None = None,
    ) -> None:
        document = catalogue_document(catalogue) if isinstance(catalogue, Catalogue) else read_document(catalogue)
        offered = {str(tool["tool"]): tool for tool in document["tools"]}
        chosen = tuple(offered) if only is None else tuple(only)
        if missing := [name for name in chosen if name not in offered]:
            raise ConfigError(
                [Problem(where="only", message=f"no tool {missing[0]!r}", fix=f"name of: {listed([*offered])}")]
            )
        self.agent, self.requested_by, self.goal = agent, requested_by, goal
        self.confidence, self.deadline = confidence, deadline
        self._by_name: dict[str, AgentTool] = {}
        for each in map(_agent_tool, (offered[name] for name in chosen)):
            other = self._by_name.setdefault(each.name, each)
            if other is not each:
                message = f"the tools {other.tool!r} and {each.tool!r} would both be {each.name!r} for the agent"
                raise ConfigError([Problem(where=f"tool {each.tool}", message=message, fix="rename one, or leave it out")])

    def __iter__(self) -> Any:
        """Iterate over the tools, in the order of the catalogue."""
        return iter(self._by_name.values())

    def __contains__(self, name: object) -> bool:
        """Return True for a framework's name of one of these tools."""
        return name in self._by_name

    def plan(self, turn: Sequence[Hashable], calls: Sequence[AgentCall]) -> dict[str, Any]:
        """Return the plan of one turn. The same turn makes the same plan, in whatever process.

        A read waits only for the writes before it, so that with the read lane it waits for no person. A write waits for all
        calls before it: the model's order is kept.

        Args:
            turn: The run of the agent and the place of the turn in it, as it is known after a restart too.
            calls: The calls of the turn.

        Raises:
            PlanError: If the arguments of a call are no JSON object, its tool is not one of these, or two calls share an id.
        """
        ids = [call.id for call in calls]
        if twice := next((id for id in ids if ids.count(id) > 1), None):
            # each id gets one answer, so that a model would take the answer of one call for that of another
            problem = Problem(where="calls", message=f"two calls have the id {twice!r}", fix="give each an id of its own")
            raise PlanError([problem])
        steps: list[dict[str, Any]] = []
        reads: list[str] = []
        wrote: list[str] = []
        for number, call in enumerate(calls):
            tool, step = self._by_name.get(call.name), _step_id(number, call)
            if tool is None:
                problem = Problem(where=f"steps.{step}.tool", message="there is no such tool", fix="use one that there is")
                raise PlanError([problem])
            after = wrote if tool.read_only else [*wrote, *reads]
            steps.append(
                {"id": step, "agent": self.agent, "tool": tool.tool, "args": _arguments(step, call.args),
                 "confidence": self.confidence, "after": after}
            )  # fmt: skip
            reads, wrote = ([*reads, step], wrote) if tool.read_only else ([], [step])
        made_of = [self.agent, list(turn), ids]
        goal = self.goal or f"One turn of {self.agent}"
        return {
            "plan_id": f"turn-{digest(made_of)[:24]}",
            "goal": shorten(f"{goal}: {listed([step['tool'] for step in steps])}", 2_000),
            "requested_by": self.requested_by,
            "steps": steps,
            "deadline": self.deadline,
        }

    def answers(self, calls: Sequence[AgentCall], result: PlanResult) -> dict[str, Answer]:
        """Return the answer to each call of a turn whose plan has ended, by the id of the call."""
        if result.digest is None and result.why.startswith(REFUSED):
            return refused(calls, result.why.removeprefix(REFUSED).removeprefix(": "))
        steps = {step.id: step for step in result.steps}
        return {call.id: _answer(steps[_step_id(number, call)], result) for number, call in enumerate(calls)}


def refused(calls: Sequence[AgentCall], why: str) -> dict[str, Answer]:
    """Return the answers to the calls of a turn that was refused as a whole."""
    text = f"Refused: no call of this turn was made. {shorten(why, MAX_ANSWER)} {_CORRECT}"
    return {call.id: Answer(in_effect=False, value=text) for call in calls}


def unknown(calls: Sequence[AgentCall], why: str) -> dict[str, Answer]:
    """Return the answers to the calls of a plan that ended without a result."""
    text = f"Not known: the call may be in effect. {shorten(why, MAX_ANSWER)}. {KEEP_ON}"
    return {call.id: Answer(in_effect=False, value=text) for call in calls}


def framework_name(tool: str) -> str:
    """Return the name of a tool that every framework takes: `files.read` becomes `files__read`."""
    name = _FOREIGN.sub("_", tool.replace(".", "__"))
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 9]}_{digest(tool)[:8]}"


def _agent_tool(document: Mapping[str, Any]) -> AgentTool:
    name = str(document["tool"])
    return AgentTool(
        name=framework_name(name),
        tool=name,
        description="\n".join(filter(None, map(str, (document.get("description") or name, document.get("details") or "")))),
        arguments=dict(document.get("arguments") or {"type": "object"}),
        output=dict(document.get("output") or {}),
        read_only=document.get("reversibility") == Reversibility.READ_ONLY,
    )


def _step_id(number: int, call: AgentCall) -> str:
    """Return the id of a call's step, by which a model recognises its call: `1-send_email`."""
    return _FOREIGN.sub("_", f"{number + 1}-{call.name}")[:64]


def _arguments(step: str, args: Mapping[str, Any] | str | None) -> dict[str, Any]:
    try:
        decoded = json.loads(args or "{}") if args is None or isinstance(args, str) else args
    except json.JSONDecodeError as error:
        decoded = str(error)
    if not isinstance(decoded, Mapping):
        raise PlanError([Problem(where=f"steps.{step}.args", message="is not a JSON object", fix="write {...}")])
    return dict(decoded)


def _answer(step: StepView, result: PlanResult) -> Answer:
    if step.status == CallStatus.LIVE:
        gone = "In effect. Its output is too large to be shown."
        return Answer(in_effect=True, value=result.outputs.get(step.id, gone))
    # in quotes, so that a model sees which words are those of a person or of another system
    because = step.error or ("; ".join(step.reasons) if step.ceiling is not Mode.LIVE else "")
    became = last_status(step, result.outcome)
    status = f"{became}: {quoted(because, MAX_ANSWER)}" if because else became
    begun = _DONE_WITH.get(CallStatus(step.status)) if step.status in list(CallStatus) else None
    advice = _CORRECT if result.outcome is Outcome.UNREHEARSED or rehearsal_failed(result) else KEEP_ON
    end = ended(result.outcome, result.why, MAX_ANSWER)
    return Answer(in_effect=False, value=f"{(begun or 'Not in effect ({}).').format(status)} {end} {advice}")
