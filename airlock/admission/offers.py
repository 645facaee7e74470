"""The catalogue for models: what each tool takes and returns, an example of a step, and what an agent may do with it."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from airlock.admission.ceiling import DRY_RUN_FROM, LIVE_FROM
from airlock.admission.policy import ANY, Policy
from airlock.base.model import WireModel
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Mode, Risk
from airlock.plans.plan import seconds
from airlock.plans.tool import Tool
from airlock.plans.tool_document import tool_document

_DEEPEST = 6
"""Levels of a schema for which an example is made; a schema may contain itself."""
_TEXTS = {
    "email": "name@example.com",
    "uri": "https://example.com/",
    "date": "2030-01-31",
    "date-time": "2030-01-31T12:00:00Z",
}
_NAMED = {
    "email": _TEXTS["email"],
    "to": _TEXTS["email"],
    "url": _TEXTS["uri"],
    "path": "notes/example.md",
    "expression": "2 + 3",
}
"""Texts for arguments whose schema does not say which form they have."""
_SURE = 0.95
_LONGEST = 200
"""Characters of a text, and items of a list: a schema of another system may ask for billions of them."""


class ToolRights(WireModel):
    """The rights of one agent over one tool."""

    tool: str
    allowed: bool
    """True if the agent has every permission of the tool; without one of them its steps are mocked and go no further."""
    missing_permissions: tuple[str, ...] = ()
    ceiling: Mode
    """The highest mode that a confident step of this agent can reach, before conflicts and rehearsal."""
    confidence_for_dry_run: float
    """The lowest confidence at which a step is previewed."""
    confidence_for_live: float
    """The lowest confidence at which a step may go live."""
    needs_approval: bool
    """True if a person must approve before the call; arguments may change it for tools whose contract depends on them."""


class AgentRights(WireModel):
    """The rights of one agent over a catalogue."""

    agent: str
    """The name of the agent; `*` for every agent without an entry of its own."""
    permissions: tuple[str, ...]
    secrets: tuple[str, ...]
    """The names that it may write as `{"$secret": NAME}`; `*` is any name. The values are never shown."""
    budget: dict[str, Any] | None
    """Limits over all its plans in the stretch of time `per`, if there are any."""
    tools: tuple[ToolRights, ...]


def rights_of(agent: str, catalogue: Catalogue, policy: Policy) -> AgentRights:
    """Return what an agent may do with each tool of a catalogue."""
    budget = policy.budget_of(agent)
    return AgentRights(
        agent=agent,
        permissions=policy.permissions_of(agent),
        secrets=policy.secrets_of(agent),
        budget=None if budget is None else budget.model_dump(mode="json"),
        tools=tuple(_tool_rights(agent, name, catalogue, policy) for name in catalogue.names),
    )


def rights_of_all(catalogue: Catalogue, policy: Policy) -> tuple[AgentRights, ...]:
    """Return what each agent of a policy may do; `*` comes last and stands for every agent that is not listed."""
    named = sorted(name for name in policy.agents if name != ANY)
    return tuple(rights_of(name, catalogue, policy) for name in (*named, ANY))


def _tool_rights(agent: str, name: str, catalogue: Catalogue, policy: Policy) -> ToolRights:
    contract = catalogue.contract(name)
    missing = policy.missing_permissions(agent, contract)
    ceiling = Mode.MOCK if missing else Mode.DRY_RUN if policy.dry_run_only else Mode.LIVE
    return ToolRights(
        tool=name,
        allowed=not missing,
        missing_permissions=missing,
        ceiling=ceiling,
        confidence_for_dry_run=DRY_RUN_FROM[contract.risk],
        confidence_for_live=max(LIVE_FROM[contract.risk], policy.confidence_threshold_for_live),
        needs_approval=contract.approval_required and not policy.waives_approval(contract),
    )


def rules_of(policy: Policy) -> dict[str, Any]:
    """Return the rules of a policy that a planner should know. They name no approver and no key."""
    return {
        "dry_run_only": policy.dry_run_only,
        "approvals_required": policy.approvals_of_any,
        **({"approvals_required_by_risk": by_risk} if (by_risk := _more_by_risk(policy)) else {}),
        "approval_timeout_seconds": seconds(policy.approval_timeout),
        "rolls_back_on_failure": policy.enable_rollback_on_failure,
        "reads_run_at_once": policy.read_lane,
        "budget_of_a_plan": policy.budget.model_dump(mode="json", exclude_none=True),
    }


def _more_by_risk(policy: Policy) -> dict[str, int]:
    """Return the approvals that steps of a risk need, where that is more than steps of any other need."""
    numbers = {risk.value: policy.approvals_of((risk,)) for risk in Risk}
    return {risk: number for risk, number in numbers.items() if number > policy.approvals_of_any}


def offers(catalogue: Catalogue, policy: Policy) -> dict[str, Any]:
    """Return what stands beside the catalogue in a document for models: examples in each tool, agents, rules."""
    return {
        "tools": [offered_tool(catalogue, name) for name in catalogue.names],
        "agents": rights_of_all(catalogue, policy),
        "rules": rules_of(policy),
    }


def offered_tool(catalogue: Catalogue, name: str) -> dict[str, Any]:
    """Return a tool as a document: its contract, the schemas of its arguments and of its output, and examples of steps."""
    document, tool = tool_document(catalogue, name), catalogue.get(name)
    step = example_step(tool, document["arguments"]) if tool else None
    return {**document, "examples": [] if step is None else [step]}


def example_step(tool: Tool, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a step with arguments that a tool accepts: the required ones, and one more where it asks for a choice.

    None if no such arguments can be made of its schema: a wrong example would be worse than none.
    """
    shared, fields = schema.get("$defs", {}), schema.get("properties", {})
    required = {name: _sample(name, fields.get(name), shared, _DEEPEST) for name in schema.get("required", ())}
    optional = [name for name in fields if name not in required]
    for more in (None, *optional):
        args = required if more is None else {**required, more: _sample(more, _stated(fields[more]), shared, _DEEPEST)}
        if _accepts(tool, args):
            return {"id": "step_1", "tool": tool.name, "args": args, "confidence": _SURE}
    return None


def _accepts(tool: Tool, args: Mapping[str, Any]) -> bool:
    try:
        tool.arguments.model_validate(args)
    except (ValidationError, ValueError, TypeError):
        return False
    return True


def _stated(field: Any) -> Any:
    """Return a field's schema without its default: the value that leaves the field out is no example."""
    return {key: value for key, value in field.items() if key != "default"} if isinstance(field, Mapping) else field


def _sample(name: str, schema: Any, shared: Mapping[str, Any], depth: int) -> Any:
    """Return a value that a schema describes: its own example or default, or the simplest value of its type."""
    if not isinstance(schema, Mapping) or depth == 0:
        return "value"
    if isinstance(examples := schema.get("examples"), list) and examples:
        return examples[0]
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if isinstance(choices := schema.get("enum"), list) and choices:
        return choices[0]
    if isinstance(reference := schema.get("$ref"), str):
        return _sample(name, shared.get(reference.rsplit("/", 1)[-1]), shared, depth - 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(parts := schema.get(key), list) and parts:
            return _sample(name, parts[0], shared, depth - 1)
    return _of_type(name, schema, shared, depth)


def _of_type(name: str, schema: Mapping[str, Any], shared: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            fields, needed = schema.get("properties", {}), schema.get("required", ())
            if not fields and isinstance(any_field := schema.get("additionalProperties"), Mapping):
                return {"name": _sample("name", any_field, shared, depth - 1)}
            return {each: _sample(each, fields.get(each), shared, depth - 1) for each in needed}
        case "array":
            return [_sample(name, schema.get("items"), shared, depth - 1)] * min(
                max(1, int(schema.get("minItems", 0))), _LONGEST
            )
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            text = _TEXTS.get(str(schema.get("format")), _NAMED.get(name, "text"))
            return text.ljust(min(int(schema.get("minLength", 0)), _LONGEST), "x")
