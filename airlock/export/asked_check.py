"""The check of what a policy and its rules asked for the steps of a seal: each step that was called had these approvals."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from airlock.admission.decision_rules import DecisionName, people_needed
from airlock.admission.roles import has_role
from airlock.base.names import RESERVED
from airlock.export.approvals import SealLine
from airlock.export.kept_voices import is_amended
from airlock.export.plan_lines import PlanRecord
from airlock.export.policy_in_force import sealed_rules
from airlock.plans.applied_rule import AppliedRule, Effect, asked, with_effect
from airlock.plans.contract import Mode, Risk
from airlock.plans.state import Event


def asked_faults(record: PlanRecord) -> Iterator[str]:
    """Yield each step that was called although the seal under which people approved it asked for more of them.

    Not of an amended seal: whose approvals count for its steps, the seals before it tell.
    """
    approved = [
        moved.digest for moved in record.transitions if moved.event == Event.APPROVED.value and moved.by not in RESERVED
    ]
    called = {result.step for result in record.execution.result.tool_results if result.calls}
    by_digest = {seal.digest: seal for seal in record.seals}
    last: dict[str, tuple[SealLine, Mapping[str, Any]]] = {}
    for digest in approved:
        seal = by_digest.get(digest or "")
        for step in _steps(seal):
            if seal is not None and step.get("ceiling") == Mode.LIVE.value and not step.get("already_live"):
                last[str(step.get("id"))] = (seal, step)
    for name, (seal, step) in last.items():
        if name in called and not is_amended(seal):
            voices = next((each.approved_by for each in seal.by_step if each.step == name), ())
            yield from missing_approvals(name, seal, step, voices)


def missing_approvals(name: str, seal: SealLine, step: Mapping[str, Any], voices: Sequence[str]) -> Iterator[str]:
    """Yield what rules asked for a step that was called, and the people who approved it did not give."""
    needed = seal.content.get("approvals_required") if seal.content is not None else 0
    if not isinstance(needed, int) or len(voices) < needed or step.get("approval_waived"):
        return  # it was not among the steps that these people let go live
    if (of_risk := _people_for(seal, str(step.get("risk")))) > len(voices):
        given = f"{len(voices)} of the {of_risk} approvals"
        yield f"step {name!r} was called with {given} that its risk needs"
    roles = seal.policy.get("roles") if seal.policy is not None else None
    people: dict[str, Any] = roles if isinstance(roles, dict) else {}
    for rule in with_effect(_rules(step), Effect.ASK):
        meaning = rule.consequence
        fit = [by for by in voices if not meaning.role or has_role(people, meaning.role, by)]
        if len(fit) < meaning.approvals:
            yield f"step {name!r} was called with {len(fit)} of the {asked(meaning)} that rule {rule.rule} asked for"


def _people_for(seal: SealLine, risk: str) -> int:
    """Return how many people must approve a step of a risk by the sealed policy, as far as it can be read."""
    try:
        rules = sealed_rules(seal)
        return 0 if rules is None else people_needed(rules.decisions, DecisionName.APPROVE.value, {Risk(risk)})
    except ValueError:
        return 0


def _steps(seal: SealLine | None) -> Iterator[Mapping[str, Any]]:
    steps = seal.content.get("steps") if seal is not None and seal.content is not None else None
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, dict):
            yield step


def _rules(step: Mapping[str, Any]) -> Iterator[AppliedRule]:
    rules = step.get("rules")
    for rule in rules if isinstance(rules, list) else ():
        try:
            yield AppliedRule.model_validate(rule)
        except ValidationError:
            continue
