"""The rules of a policy, compiled once and evaluated for one step after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from airlock.admission.rules.condition import Answer, BadCondition, Condition, compiled
from airlock.admission.rules.evaluation_cost import Sizes
from airlock.admission.rules.rule import Rule
from airlock.admission.rules.subject import PlanSubject, StepSubject
from airlock.plans.applied_rule import AppliedRule, Effect


@dataclass(frozen=True)
class RuleAnswer:
    """The answer of one rule about one step."""

    rule: Rule
    answer: Answer

    @property
    def applied(self) -> AppliedRule | None:
        """The rule as it applied; None if it did not. In doubt a rule denies, or asks, and does not allow."""
        doubt = not self.answer.certain
        if not (self.answer.applies or (doubt and self.rule.effect is not Effect.ALLOW)):
            return None
        return AppliedRule(
            rule=self.rule.id,
            then=self.rule.then,
            unknown=self.answer.unknown,
            error=self.answer.error,
        )


class RuleSet:
    """The rules of a policy, each with its condition; one that cannot be used has an error in its place.

    Args:
        rules: The rules.
    """

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = tuple((rule, _condition(rule)) for rule in sorted(rules, key=lambda rule: (rule.id, rule.when)))

    @cached_property
    def _fields(self) -> tuple[tuple[str, str], ...]:
        """The fields that any condition reads, sorted."""
        return tuple(sorted({name for _, found in self._rules if isinstance(found, Condition) for name in found.fields}))

    def answers(self, step: StepSubject, plan: PlanSubject | None) -> tuple[RuleAnswer, ...]:
        """Return the answer of every rule, in the order of their ids.

        Args:
            step: The step.
            plan: The plan; None if it is not known here, so that what a condition reads of it is not known.
        """
        if not self._rules:
            return ()
        return tuple(self._answers(step, plan))

    def applied(self, step: StepSubject, plan: PlanSubject | None) -> tuple[AppliedRule, ...]:
        """Return the rules that apply to a step, in the order of their ids."""
        return tuple(found for answer in self.answers(step, plan) if (found := answer.applied) is not None)

    def _answers(self, step: StepSubject, plan: PlanSubject | None) -> Iterator[RuleAnswer]:
        context: Any = None
        problem, unknown, sizes = "", list[tuple[str, ...]](), Sizes({})
        try:
            variables, unknown = step.context(self._fields, plan)
            sizes = Sizes(variables)
            context = _context(variables)
        except Exception as error:  # noqa: BLE001  # whatever CEL cannot take: the rules then give the careful answer
            problem = type(error).__name__
        for rule, condition in self._rules:
            if isinstance(condition, str):
                yield RuleAnswer(rule, Answer(applies=False, error=condition))
            elif problem:
                yield RuleAnswer(rule, Answer(applies=False, error=f"the step cannot be shown to it: {problem}"))
            else:
                yield RuleAnswer(rule, condition.answer(context, unknown, sizes))


@lru_cache(maxsize=16)
def rule_set(rules: tuple[Rule, ...]) -> RuleSet:
    """Return the compiled rules; the same rules are compiled once."""
    return RuleSet(rules)


def _condition(rule: Rule) -> Condition | str:
    try:
        return compiled(rule.when)
    except BadCondition as error:
        return str(error)


def _context(variables: dict[str, Any]) -> Any:
    import cel  # see condition.py

    return cel.Context(variables)
