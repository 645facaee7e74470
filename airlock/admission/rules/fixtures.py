"""Tests of rules: steps as an operator imagines them, each with the answer that the policy must give."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import Field, JsonValue, ValidationError, field_validator

from airlock.admission.policy import Policy
from airlock.admission.rules.rule_set import rule_set
from airlock.admission.rules.step_rules import subject_of
from airlock.admission.rules.subject import PlanSubject
from airlock.base.errors import ContractError
from airlock.base.incoming import wrong_fields
from airlock.base.model import FileModel
from airlock.base.text import listed
from airlock.plans.applied_rule import AppliedRule, Effect, consequence, with_effect
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract, Reversibility, Risk
from airlock.plans.plan import Step

NONE: Final = "none"
"""The answer where no rule does anything: the rest of the policy decides alone."""


class FixtureStep(FileModel):
    """The step of a fixture. What its tool promises comes from the catalogue, unless the fixture says otherwise."""

    tool: str
    id: str = "step"
    agent: str = "agent"
    args: dict[str, JsonValue] = Field(default_factory=dict)
    """The canonical arguments. A `$ref` in them is a value that is not known yet."""
    confidence: float = Field(default=0.9, ge=0, le=1)
    risk: Risk | None = None
    reversibility: Reversibility | None = None
    resources: tuple[str, ...] | None = None
    """Templates or names of resources, as in a contract."""
    cost: float | None = None


class FixturePlan(FileModel):
    """The plan of a fixture."""

    plan_id: str = "plan"
    goal: str = ""
    requested_by: str = "requester"
    steps: int = 1
    tools: tuple[str, ...] | None = None
    """The tools of all steps; that of the step alone unless given."""
    agents: tuple[str, ...] | None = None
    """The agents of all steps; that of the step alone unless given."""


class Fixture(FileModel):
    """One `[[test]]`."""

    name: str = Field(min_length=1, max_length=200)
    step: FixtureStep
    plan: FixturePlan = FixturePlan()
    expect: tuple[str, ...]
    """`deny`, `allow`, `none`, or each `ask(...)`."""
    rules: tuple[str, ...] | None = None
    """The ids of exactly the rules that must apply; unless given, only the answer counts."""

    @field_validator("expect", mode="before")
    @classmethod
    def _one_or_more(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("expect")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError('is empty: write "none" where no rule does anything')
        for text in value:
            if (text == NONE or consequence(text).effect is not Effect.ASK) and len(value) > 1:
                raise ValueError(f"{text!r} stands alone: only several asks stand together")
        return value


class FixtureFile(FileModel):
    """A file of fixtures."""

    test: tuple[Fixture, ...] = Field(min_length=1)


@dataclass(frozen=True)
class FixtureResult:
    """The answer of the policy to a fixture."""

    name: str
    answer: tuple[str, ...]
    applied: tuple[AppliedRule, ...]
    problem: str = ""
    """The reason why the fixture failed; empty if it passed."""


def answer_of(applied: Iterable[AppliedRule], *, may_waive: bool) -> tuple[str, ...]:
    """Return the answer of all rules together: deny beats ask, and ask beats allow.

    Args:
        applied: The rules that apply.
        may_waive: True if the policy lets anything waive the approval of the call.
    """
    found = tuple(applied)
    if with_effect(found, Effect.DENY):
        return (Effect.DENY.value,)
    if asked := with_effect(found, Effect.ASK):
        return tuple(sorted({_normal(rule.then) for rule in asked}))
    return (Effect.ALLOW.value,) if may_waive and with_effect(found, Effect.ALLOW) else (NONE,)


def tried(fixture: Fixture, policy: Policy, catalogue: Catalogue) -> FixtureResult:
    """Return what a policy says about a fixture."""
    try:
        contract = _contract(fixture.step, catalogue)
    except (ContractError, ValidationError, ValueError) as error:
        why = wrong_fields(error) if isinstance(error, ValidationError) else str(error)
        return FixtureResult(fixture.name, (), (), f"the step cannot be looked at: {why}")
    applied = rule_set(policy.rule).applied(_subject(fixture.step, contract, policy), _plan(fixture, policy))
    answer = answer_of(applied, may_waive=policy.may_waive(contract))
    return FixtureResult(fixture.name, answer, applied, _problem(fixture, answer, applied))


def uncovered(policy: Policy, results: Iterable[FixtureResult]) -> tuple[str, ...]:
    """Return the rules that applied to the step of no fixture, for certain and without an error; sorted."""
    covered = {rule.rule for result in results for rule in result.applied if not rule.error and not rule.unknown}
    return tuple(sorted(rule.id for rule in policy.rule if rule.id not in covered))


def _problem(fixture: Fixture, answer: tuple[str, ...], applied: tuple[AppliedRule, ...]) -> str:
    expected = tuple(sorted({_normal(text) for text in fixture.expect}))
    doubts = "".join(f"; {rule.sentence}" for rule in applied if rule.error or rule.unknown)
    ids = tuple(rule.rule for rule in applied)
    if answer != expected:
        by = f" by {listed(ids)}" if ids else ""
        return f"expected {' and '.join(expected)}, the policy says {' and '.join(answer)}{by}{doubts}"
    if fixture.rules is not None and set(fixture.rules) != set(ids):
        return f"expected the rules {listed(sorted(fixture.rules)) or 'none'}, there applied {listed(ids) or 'none'}{doubts}"
    return ""


def _normal(text: str) -> str:
    """Return an answer in its one spelling."""
    if text == NONE:
        return text
    meaning = consequence(text)
    if meaning.effect is not Effect.ASK:
        return meaning.effect.value
    return f'ask({meaning.approvals}, "{meaning.role}")' if meaning.role else f"ask({meaning.approvals})"


def _contract(step: FixtureStep, catalogue: Catalogue) -> Contract:
    said: Mapping[str, Any] = {
        name: value for name in ("risk", "reversibility", "resources", "cost") if (value := getattr(step, name)) is not None
    }
    if catalogue.get(step.tool) is not None:
        return catalogue.contract(step.tool, step.args).model_copy(update=dict(said))
    if step.risk is None or step.reversibility is None:
        raise ValueError(f"the catalogue has no tool {step.tool!r}: name a tool that it has, or add risk and reversibility")
    return Contract(tool=step.tool, **said)


def _subject(step: FixtureStep, contract: Contract, policy: Policy) -> Any:
    call = Step.model_construct(
        id=step.id, agent=step.agent, tool=step.tool, args=dict(step.args), confidence=step.confidence
    )
    return subject_of(call, contract, policy)


def _plan(fixture: Fixture, policy: Policy) -> PlanSubject:
    plan, step = fixture.plan, fixture.step
    return PlanSubject(
        plan_id=plan.plan_id,
        goal=plan.goal,
        requested_by=plan.requested_by,
        steps=plan.steps,
        tools=plan.tools if plan.tools is not None else (step.tool,),
        agents=tuple(map(policy.agent_name, plan.agents if plan.agents is not None else (step.agent,))),
    )
