"""The sealed policy by which each decision of a plan was judged, as far as the lines of the plan tell it.

An admission freezes a policy, and the next seal carries it. So the policy of that seal was in force from that admission
to the next one. What was decided before the first admission was judged by a policy that no seal holds.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from airlock.admission.decision_rules import DecisionName, DecisionRules, Demand, rules_for
from airlock.admission.roles import Roles
from airlock.export.approvals import SealLine
from airlock.export.lines import AuditEvent, HistoryEvent, TransitionLine
from airlock.export.plan_lines import PlanRecord
from airlock.export.seal_lines import steps_of
from airlock.plans.contract import Risk
from airlock.plans.plan import seconds
from airlock.plans.state import Event
from airlock.run.audit import AuditKind

_DECISIONS: TypeAdapter[dict[DecisionName, DecisionRules]] = TypeAdapter(dict[DecisionName, DecisionRules])
_ROLES: TypeAdapter[dict[str, tuple[str, ...]]] = TypeAdapter(dict[str, tuple[str, ...]])


@dataclass(frozen=True)
class SealedRules:
    """The rules of one sealed policy about decisions."""

    decisions: Mapping[DecisionName, DecisionRules] = field(default_factory=dict)
    roles: Roles = field(default_factory=dict)
    valid_for: float | None = None
    """Seconds for which a decision waits for other people; None if the policy does not tell."""
    risk_of: Mapping[str, str] = field(default_factory=dict)
    """The risk of each sealed step."""


@dataclass(frozen=True)
class RulesInForce:
    """The rules by which an entry was judged."""

    rules: SealedRules
    certain: bool
    """False for an entry before the first admission: another policy may have judged it."""


def rules_in_force(record: PlanRecord, notes: list[str]) -> dict[int, RulesInForce]:
    """Return the rules by which each entry of a plan was judged, by its number; without those that no seal tells.

    Args:
        record: The lines of the plan.
        notes: What cannot be read is added here.
    """
    known = {seal.digest: seal for seal in record.seals}
    admissions: list[SealLine | None] = [None]
    admission_of: dict[int, int] = {}
    for event in record.events:
        if len(admissions) == 1 and is_request(record, event):  # judged by the policy that it begins with
            admissions.append(None)
        admission_of[event.seq] = len(admissions) - 1
        if _admits(event, record.execution.undo, len(admissions)):
            admissions.append(None)
        elif isinstance(event, TransitionLine) and event.event == Event.PREVIEWED.value:
            if len(admissions) == 1:  # of a version that did not record its admissions
                admissions.append(None)
            admissions[-1] = admissions[-1] or known.get(event.digest or "")
    read = [_read(seal, notes) for seal in admissions]
    first = next((rules for rules in read if rules is not None), None)
    found: dict[int, RulesInForce] = {}
    for seq, number in admission_of.items():
        rules = read[number] if number else first
        if rules is not None:
            found[seq] = RulesInForce(rules, certain=number > 0)
    return found


def is_request(record: PlanRecord, event: HistoryEvent) -> bool:
    """Return True for the request for an undo of a plan that has ended: no seal of the undo was there yet."""
    if not record.execution.undo or not isinstance(event, AuditEvent):
        return False
    return event.kind is AuditKind.DECISION and event.what == DecisionName.ROLLBACK.value and event.digest is None


def _admits(event: HistoryEvent, undo: bool, before: int) -> bool:
    """Return True for an entry from which on another policy is frozen. An undo freezes one when it knows the ended plan."""
    if undo:
        return before == 1 and isinstance(event, TransitionLine) and event.event == Event.REHEARSED.value
    return isinstance(event, AuditEvent) and event.kind is AuditKind.ADMISSION and event.what == "admitted"


def sealed_rules(seal: SealLine) -> SealedRules | None:
    """Return the rules of the policy of a seal; None if the record does not hold it.

    Raises:
        ValueError: If this version cannot read them.
    """
    policy = seal.policy
    if policy is None or seal.content is None:
        return None
    return SealedRules(
        decisions=_DECISIONS.validate_python(policy.get("decisions") or {}),
        roles=_ROLES.validate_python(policy.get("roles") or {}),
        valid_for=_valid_for(policy),
        risk_of={step["id"]: str(step.get("risk")) for step in steps_of(seal.content)},
    )


def approval_needs_evidence(seal: SealLine, risks: Collection[str]) -> bool:
    """Return True if the policy of a seal demands evidence of an approval of steps of these risks, if it can be read."""
    try:
        rules = sealed_rules(seal)
    except ValueError:
        return False
    if rules is None:
        return False
    about = [risk for risk in Risk if risk.value in risks]
    return any(rule.evidence is not Demand.NONE for rule in rules_for(rules.decisions, DecisionName.APPROVE.value, about))


def _read(seal: SealLine | None, notes: list[str]) -> SealedRules | None:
    try:
        return None if seal is None else sealed_rules(seal)
    except ValueError:
        place = f"{seal.workflow_id}: seal {seal.digest[:12]}" if seal is not None else ""
        notes.append(f"{place}: who may decide cannot be checked: this Airlock cannot read the rules of its policy")
        return None


def _valid_for(policy: Mapping[str, Any]) -> float | None:
    told = policy.get("approval_valid_for") or policy.get("approval_timeout")
    return seconds(told) if isinstance(told, str) else None
