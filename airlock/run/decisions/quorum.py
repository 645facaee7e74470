"""The approvals that one step needs: what the policy requires for every step, and what its rules ask for this one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airlock.admission.policy import Policy
from airlock.admission.roles import has_role
from airlock.base.text import count
from airlock.plans.applied_rule import Effect, with_effect
from airlock.plans.contract import Risk
from airlock.run.sealing.sealed import Sealed, SealedStep


@dataclass(frozen=True)
class Need:
    """A number of approvals that a step needs. One vote counts for every need that it fits."""

    approvals: int
    role: str = ""
    """The role of the people who may give them; empty for every approver."""
    rule: str = ""
    """The rule that asks for them; empty for the policy's own number."""

    def phrase(self, number: int) -> str:
        """Return some of these approvals in words, such as "2 approvals of finance (rule big-payments)"."""
        of, rule = (f" of {self.role}" if self.role else ""), (f" (rule {self.rule})" if self.rule else "")
        return f"{count(number, 'approval')}{of}{rule}"


def needs_of(step: SealedStep, approvals_required: int) -> tuple[Need, ...]:
    """Return what a step needs that is not waived, the policy's own number first: all of it must be met."""
    asked = ((rule.rule, rule.consequence) for rule in with_effect(step.rules, Effect.ASK))
    return (Need(approvals_required), *(Need(meaning.approvals, meaning.role, rule) for rule, meaning in asked))


def asked_by_rules(sealed: Sealed) -> tuple[str, ...]:
    """Return what rules ask for the steps of a seal, in words; what they ask for several, once."""
    needs = (need for step in sealed.steps_to_approve if step.rules for need in needs_of(step, 0) if need.rule)
    return tuple(need.phrase(need.approvals) for need in dict.fromkeys(needs))


class Tally:
    """The voices for each step, compared with what the step needs. A plan may have thousands of steps.

    Args:
        given: The people who approve each step, each once.
        policy: The policy, which says how many each step needs and who has a role.
    """

    def __init__(self, given: Mapping[str, tuple[str, ...]], policy: Policy) -> None:
        self._given = given
        self._policy = policy
        self._known: dict[tuple[str, str], bool] = {}
        self._required = {risk.value: policy.approvals_of((risk,)) for risk in Risk}
        self._of_any = policy.approvals_of_any

    def has_required(self, step: SealedStep) -> bool:
        """Return True if a step has the number of approvals that the policy requires for every step."""
        return len(self._given.get(step.id, ())) >= self._required[step.risk]

    def is_wanted(self, step: SealedStep) -> bool:
        """Return True if a step has the number of approvals that steps of every risk need, whatever its own needs more."""
        return len(self._given.get(step.id, ())) >= self._of_any

    def missing(self, step: SealedStep) -> dict[Need, int]:
        """Return the number of approvals that are missing for each open need of a step."""
        names = self._given.get(step.id, ())
        found = {need: self._missing(need, names) for need in needs_of(step, self._required[step.risk])}
        return {need: number for need, number in found.items() if number}

    def asked(self, steps: Iterable[SealedStep]) -> dict[Need, int]:
        """Return what rules still ask for some steps, with what is missing; what they ask for several, once."""
        found: dict[Need, int] = {}
        for step in steps:
            for need, number in self.missing(step).items() if step.rules else ():
                if need.rule:
                    found[need] = max(found.get(need, 0), number)
        return found

    def _missing(self, need: Need, names: tuple[str, ...]) -> int:
        given = sum(self._has_role(need.role, name) for name in names) if need.role else len(names)
        return max(need.approvals - given, 0)

    def _has_role(self, role: str, name: str) -> bool:
        # asked thousands of times about the same few people
        if (role, name) not in self._known:
            self._known[role, name] = has_role(self._policy.roles, role, name)
        return self._known[role, name]
