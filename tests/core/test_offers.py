"""The catalogue for models: examples that tools accept, outputs, and the rights of each agent."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from airlock.admission.offers import example_step, offered_tool, rights_of, rights_of_all, rules_of
from airlock.admission.policy import Policy
from airlock.plans.arguments.schema_arguments import SchemaArguments
from airlock.plans.catalogue import Catalogue
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import ToolCall


class Mail(BaseModel):
    model_config = ConfigDict(extra="forbid")
    to: str = Field(pattern=".+@.+")
    copies: int = Field(ge=2)
    kind: str = Field(examples=["short"])
    text: str | None = None
    html: str | None = None

    @model_validator(mode="after")
    def _one(self) -> "Mail":
        if (self.text is None) == (self.html is None):
            raise ValueError("give exactly one of text and html")
        return self


class Odd(BaseModel):
    model_config = ConfigDict(extra="forbid")
    number: str

    @model_validator(mode="after")
    def _never(self) -> "Odd":
        raise ValueError("nothing fits")


class Sent(BaseModel):
    number: int


@tool(name="mail", risk="HIGH", reversibility="irreversible", permissions={"mail:send"})
def mail(args: Mail, call: ToolCall) -> Sent:
    """Send a mail."""
    raise AssertionError


@tool(name="look", risk="LOW", reversibility="read_only")
def look(args: Odd, call: ToolCall) -> Any:
    """Look."""
    raise AssertionError


def test_a_planner_is_told_how_many_people_approve() -> None:
    more = {"approve": {"people": 2, "by_risk": {"HIGH": {"people": 3}, "MEDIUM": {"people": 1}}}}
    found = rules_of(Policy.model_validate({"decisions": more}))
    assert (found["approvals_required"], found["approvals_required_by_risk"]) == (2, {"HIGH": 3})
    assert "approvals_required_by_risk" not in rules_of(Policy())


def described(schema: dict[str, Any]) -> Tool:
    def live(args: SchemaArguments, call: ToolCall) -> Any:
        raise AssertionError

    return tool(name="foreign", risk="LOW", reversibility="read_only", arguments=schema)(live)


CATALOGUE = Catalogue([mail, look])
POLICY = Policy.model_validate(
    {
        "agents": {"claude": {"permissions": ["mail:send"], "secrets": ["KEY"], "budget": {"live_calls": 3}}},
        "read_lane": True,
    }
)


def test_an_example_is_one_that_the_tool_accepts_or_none() -> None:
    document = offered_tool(CATALOGUE, "mail")
    (example,) = document["examples"]
    assert Mail.model_validate(example["args"]).copies == 2
    assert example["args"] == {"to": "name@example.com", "copies": 2, "kind": "short", "text": "text"}
    assert document["output"]["properties"]["number"] == {"title": "Number", "type": "integer"}
    assert document["risk"] == "HIGH"
    assert offered_tool(CATALOGUE, "look")["examples"] == []
    assert offered_tool(CATALOGUE, "look")["output"] == {}


def test_the_schema_of_another_system_may_ask_for_anything() -> None:
    fields = {"a": True, "b": {"type": "string", "minLength": 10**12}, "c": {"type": "array", "minItems": 10**12}}
    huge = {"type": "object", "properties": fields, "required": ["a", "b", "c"]}
    assert example_step(described(huge), huge) is None
    chosen = {"type": "object", "properties": {"a": True, "b": False}, "anyOf": [{"required": ["a"]}]}
    step = example_step(described(chosen), chosen)
    assert step is not None
    assert step["args"] == {"a": "value"}


def test_each_agent_is_told_its_tools_and_ceilings() -> None:
    mine = {each.tool: each for each in rights_of("claude", CATALOGUE, POLICY).tools}
    assert (mine["mail"].allowed, mine["mail"].ceiling.value, mine["mail"].needs_approval) == (True, "LIVE", True)
    assert (mine["look"].needs_approval, mine["look"].confidence_for_live) == (False, 0.75)
    claude, others = rights_of_all(CATALOGUE, POLICY)
    assert (claude.agent, claude.secrets, others.agent) == ("claude", ("KEY",), "*")
    assert claude.budget is not None
    assert claude.budget["live_calls"] == 3
    theirs = {each.tool: each for each in others.tools}
    assert (theirs["mail"].missing_permissions, theirs["mail"].ceiling.value) == (("mail:send",), "MOCK")
    dry = POLICY.model_copy(update={"dry_run_only": True})
    assert rights_of("claude", CATALOGUE, dry).tools[1].ceiling.value == "DRY_RUN"
    assert rules_of(dry)["dry_run_only"]
