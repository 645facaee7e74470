"""The effect of the rules of a policy on each step of a plan, rule by rule."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airlock.admission.admitted import EPOCH
from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.admission.rules.fixtures import NONE, answer_of
from airlock.admission.rules.rule_set import RuleAnswer, rule_set
from airlock.admission.rules.step_rules import plan_subject, subject_of
from airlock.base.errors import ContractError, PlanError
from airlock.base.text import listed
from airlock.client.documents import read_document
from airlock.plans.applied_rule import AppliedRule, Effect, with_effect, with_reason
from airlock.plans.assignments import read_plan
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.run.decisions.sealed_rules import sealed_plan, sealed_subject
from airlock.run.sealing.sealed import Sealed, SealedStep


@dataclass(frozen=True)
class StepExplanation:
    """The rules and one step."""

    step: str
    tool: str
    answers: tuple[RuleAnswer, ...]
    """The answer of each rule of airlock.toml about the step, in the order of their ids."""
    may_waive: bool
    """True if anything may waive the approval of the call."""
    sealed: tuple[AppliedRule, ...] | None = None
    """The rules in the preview; None for a plan that was not submitted."""

    @property
    def applied(self) -> tuple[AppliedRule, ...]:
        """The rules of airlock.toml that apply."""
        return tuple(found for answer in self.answers if (found := answer.applied) is not None)

    @property
    def outcome(self) -> str:
        """The answer of all rules together."""
        answer = answer_of(self.applied, may_waive=self.may_waive)
        said = "no rule does anything" if answer == (NONE,) else listed(answer)
        allowed = with_effect(self.applied, Effect.ALLOW)
        if answer == (NONE,) and allowed:
            return f"{listed([rule.rule for rule in allowed])} cannot waive the approval of such a call"
        return said

    @property
    def lines(self) -> Iterator[str]:
        """One line for each rule, and for each difference between the preview and airlock.toml."""
        for answer in self.answers:
            yield f"{answer.rule.id}: {_said(answer)}"
        if self.sealed is None:
            return
        ids = {rule.rule for rule in self.applied}
        for rule in self.sealed:
            gone = "" if rule.rule in ids else ", but airlock.toml has no such rule, or it does not apply"
            yield f"in the preview: {rule.sentence}{gone}"
        shown = {rule.rule for rule in self.sealed}
        for rule in self.applied:
            if rule.rule not in shown:
                yield f"not in the preview: {rule.sentence}; the entry to LIVE looks at it again"

    @property
    def document(self) -> dict[str, Any]:
        """The same as JSON values."""
        return {
            "step": self.step,
            "tool": self.tool,
            "answer": answer_of(self.applied, may_waive=self.may_waive),
            "rules": [
                {
                    "rule": answer.rule.id,
                    "then": answer.rule.then,
                    "applies": answer.applied is not None,
                    "matched": answer.answer.applies,
                    "unknown": answer.answer.unknown,
                    "error": answer.answer.error,
                }
                for answer in self.answers
            ],
            "in_preview": None if self.sealed is None else [rule.model_dump(mode="json") for rule in self.sealed],
        }


def explain_file(path: Path, policy: Policy, catalogue: Catalogue) -> list[StepExplanation]:
    """Explain a plan file, as admission would see it.

    Raises:
        PlanError: If the plan cannot be accepted.
    """
    plan = read_plan(read_document(path))
    found = examine(plan, catalogue, policy)
    if found.admitted is None:
        raise PlanError(found.problems)
    whole, rules = plan_subject(plan, policy), rule_set(policy.rule)
    explained = []
    for stated in plan.steps:
        step, contract = found.admitted.step(stated), found.admitted.contract(stated.id)
        answers = rules.answers(subject_of(step, contract, policy), whole)
        explained.append(StepExplanation(step.id, step.tool, answers, policy.may_waive(contract)))
    return explained


def explain_sealed(sealed: Sealed, policy: Policy, catalogue: Catalogue) -> list[StepExplanation]:
    """Explain the preview of a submitted plan, as a live worker with this policy would see it."""
    whole, rules = sealed_plan(sealed, policy), rule_set(policy.rule)
    explained = []
    for step in sealed.steps:
        contract = _contract(step, catalogue)
        answers = rules.answers(sealed_subject(step, contract, policy, EPOCH), whole) if contract else ()
        may_waive = contract is not None and policy.may_waive(contract)
        explained.append(StepExplanation(step.id, step.tool, answers, may_waive, step.rules))
    return explained


def _contract(step: SealedStep, catalogue: Catalogue) -> Contract | None:
    if catalogue.get(step.tool) is None:
        return None
    try:
        return catalogue.contract(step.tool, step.args)
    except (ContractError, ValueError):
        return None


def _said(answer: RuleAnswer) -> str:
    applied = answer.applied
    if applied is not None:
        return with_reason(applied, {answer.rule.id: answer.rule.reason})
    if answer.answer.error or answer.answer.unknown:
        why = answer.answer.error or f"not known yet: {', '.join(answer.answer.unknown)}"
        return f"does not allow it ({why})"
    return "does not apply"
