"""The operator's rules about decisions: who may make each of them, how many people it takes, and what must prove it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final

from pydantic import Field

from airlock.admission.roles import Roles, has_role
from airlock.base.model import FileModel, WireModel
from airlock.plans.contract import Risk


class DecisionName(StrEnum):
    """The decisions that a policy has rules for. Those of a gate go by the same names, and so does an undo's."""

    APPROVE = "approve"
    DENY = "deny"
    LOCK = "lock"
    UNLOCK = "unlock"
    ROLLBACK = "rollback"
    ABORT = "abort"
    RESOLVE = "resolve"
    AMEND = "amend"


class Demand(StrEnum):
    """The evidence that a decision needs."""

    NONE = "none"
    SIGNED = "signed"
    """A signature of an SSH key, or a passkey."""
    SSH = "ssh"
    PASSKEY = "passkey"


HOW_TO_SIGN: Final = {
    Demand.SIGNED: "an SSH key with --sign-key or --ssh-agent, or a passkey in the console",
    Demand.SSH: "an SSH key with --sign-key or --ssh-agent",
    Demand.PASSKEY: "a passkey in the console",
}
"""The way in which a person meets each demand."""


class DecisionRule(FileModel):
    """The needs of a decision, without which it does not count."""

    roles: tuple[str, ...] = ()
    """The roles of which its person must have one; empty, everyone may."""
    evidence: Demand = Demand.NONE
    people: int = Field(default=1, ge=1, le=50, strict=True)
    """The number of people who must decide the same."""


class DecisionRules(DecisionRule):
    """The rules of one decision."""

    not_after: tuple[DecisionName, ...] = ()
    """The decisions after which their person may not make this one about the same run."""
    not_requester: bool = False
    """True if the requester may not make it, as is always so for an approval."""
    by_risk: dict[Risk, DecisionRule] = Field(default_factory=dict)
    """The further needs of a decision that is about a step of that risk."""


Decisions = Mapping[DecisionName, DecisionRules]

_ONE_STOPS: Final = "but one person is enough to stop a plan"
ONE_IS_ENOUGH: Final = {
    DecisionName.LOCK: _ONE_STOPS,
    DecisionName.DENY: _ONE_STOPS,
    DecisionName.AMEND: "but one person amends a plan, and others approve what that changed",
}
"""The decisions that one person is always enough for, with the reason: they let nothing go live, and undo nothing."""


def rules_for(decisions: Decisions, name: str, risks: Collection[Risk]) -> tuple[DecisionRule, ...]:
    """Return the rules that a decision about steps of these risks must fulfil, each of them."""
    rules = decisions.get(DecisionName(name))
    if rules is None:
        return ()
    return (rules, *(rule for risk, rule in rules.by_risk.items() if risk in risks))


def people_needed(decisions: Decisions, name: str, risks: Collection[Risk]) -> int:
    """Return how many people must decide the same."""
    return max((rule.people for rule in rules_for(decisions, name, risks)), default=1)


def demands_evidence(decisions: Decisions, name: str) -> bool:
    """Return True if a decision of that name needs evidence, about steps of whichever risk."""
    return any(rule.evidence is not Demand.NONE for rule in rules_for(decisions, name, tuple(Risk)))


class ApprovalDemand(WireModel):
    """A demand on the approvals of some steps, beside a person who may approve."""

    risk: Risk | None = None
    """The risk of the steps; None for all steps."""
    roles: tuple[str, ...] = ()
    """The roles of which each approver must have one; empty, everyone who may approve."""
    people: int = 1
    """The number of people who must approve."""
    evidence: Demand = Demand.NONE
    not_after: tuple[DecisionName, ...] = ()
    """The decisions after which a person may not approve."""

    @property
    def words(self) -> str:
        """The demand in words; empty if there is none."""
        return words_of((self,))

    @property
    def of_each(self) -> str:
        """The needs of each of these approvals in words, without the number of people; empty if there are none."""
        return words_of((self.model_copy(update={"people": 1}),))


def demands_of_approval(decisions: Decisions) -> tuple[ApprovalDemand, ...]:
    """Return what an approval needs: for all steps, then for each risk that needs more; empty without rules."""
    rules = decisions.get(DecisionName.APPROVE)
    if rules is None:
        return ()
    found = (
        ApprovalDemand(roles=rules.roles, people=rules.people, evidence=rules.evidence, not_after=rules.not_after),
        *(
            ApprovalDemand(risk=risk, roles=rule.roles, people=rule.people, evidence=rule.evidence)
            for risk, rule in sorted(rules.by_risk.items())
        ),
    )
    return tuple(demand for demand in found if demand.words)


def said_of_approval(decisions: Decisions) -> tuple[str, ...]:
    """Return what an approval needs in the words that seals held before epoch 10. They are sealed, and never reworded."""
    rules = decisions.get(DecisionName.APPROVE)
    if rules is None:
        return ()
    lines: list[tuple[str, DecisionRule]] = [("Approval", rules)]
    lines += [(f"Approval of {risk.value} risk", rule) for risk, rule in sorted(rules.by_risk.items())]
    return tuple(f"{head}: {said}." for head, rule in lines if (said := words_of((rule,))))


def _said(rule: DecisionRule | ApprovalDemand) -> Iterator[str]:
    if rule.roles:
        yield f"by the role {' or '.join(rule.roles)}"
    if rule.people > 1:
        yield f"by {rule.people} people"
    if rule.evidence is not Demand.NONE:
        yield f"signed with {HOW_TO_SIGN[rule.evidence]}"


def words_of(rules: Iterable[DecisionRule | ApprovalDemand]) -> str:
    """Return what rules ask of a decision, in words, such as `by 2 people, signed with a passkey in the console`.

    It is empty if they ask for nothing.
    """
    parts = dict.fromkeys(part for rule in rules for part in (*_said(rule), *_said_of_others(rule)))
    return ", ".join(parts)


def _said_of_others(rule: DecisionRule | ApprovalDemand) -> Iterator[str]:
    if isinstance(rule, DecisionRules | ApprovalDemand) and rule.not_after:
        yield f"by a person who has not decided {' or '.join(rule.not_after)} here"


def strictest(evidence: Iterable[Demand]) -> Demand:
    """Return the evidence that fulfils several demands. No policy asks for an SSH key and a passkey at once."""
    return max(evidence, key=tuple(Demand).index, default=Demand.NONE)


def refused_by(rule: DecisionRule, roles: Roles, by: str, kind: str | None) -> str | None:
    """Return the reason why a rule does not let a person decide; None if it does.

    Args:
        rule: The rule.
        roles: The roles of its policy.
        by: The person.
        kind: The kind of evidence, which is good; None without any.
    """
    if rule.roles and not any(has_role(roles, role, by) for role in rule.roles):
        return f"{by!r} has not the role {' or '.join(rule.roles)}"
    if rule.evidence is Demand.NONE:
        return None
    if kind is None:
        return f"it must be signed with {HOW_TO_SIGN[rule.evidence]}"
    if rule.evidence is not Demand.SIGNED and rule.evidence.value != kind:
        return f"it must be signed with {HOW_TO_SIGN[rule.evidence]}, not with {kind}"
    return None
