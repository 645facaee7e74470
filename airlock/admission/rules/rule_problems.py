"""The mistakes in the rules of a policy, found before any plan meets them."""

from collections.abc import Iterator, Mapping

from airlock.admission.rules.condition import BadCondition, compiled
from airlock.admission.rules.rule import MAX_RULES, MAX_TOGETHER, Rule
from airlock.base.errors import Problem
from airlock.base.text import count, listed
from airlock.plans.applied_rule import Effect

_NO_ROLE = "name one of policy.roles, or add the role there"


def rule_problems(rules: tuple[Rule, ...], people: Mapping[str, int] | None, approvers: int | None) -> tuple[Problem, ...]:
    """Return what is wrong with rules: two of one id, conditions that cannot be used, roles that cannot answer.

    Args:
        rules: The rules.
        people: The number of people in each role who may approve; None if that is not known.
        approvers: The number of all people who may approve; None if everyone may.
    """
    return tuple(_problems(rules, people, approvers))


def _problems(rules: tuple[Rule, ...], people: Mapping[str, int] | None, approvers: int | None) -> Iterator[Problem]:
    if len(rules) > MAX_RULES:
        yield Problem(where="policy.rule", message=f"has {len(rules)} rules", fix=f"write at most {MAX_RULES}")
        return
    if (together := sum(len(rule.when) + len(rule.reason) for rule in rules)) > MAX_TOGETHER:
        message = f"has {together:,} characters of conditions and reasons together"
        yield Problem(where="policy.rule", message=message, fix=f"write at most {MAX_TOGETHER:,}: every plan holds them")
    seen: set[str] = set()
    for rule in rules:
        where = f"policy.rule.{rule.id}"
        if rule.id in seen:
            yield Problem(where=where, message="is the id of two rules", fix="give each rule an id of its own")
        seen.add(rule.id)
        try:
            compiled(rule.when).require_truth()
        except BadCondition as error:
            yield Problem(where=f"{where}.when", message=str(error), fix="correct the condition, see airlock policy --help")
        if people is not None:
            yield from _asking_problems(rule, where, people, approvers)


def _asking_problems(rule: Rule, where: str, people: Mapping[str, int], approvers: int | None) -> Iterator[Problem]:
    meaning = rule.consequence
    if meaning.effect is not Effect.ASK:
        return
    if not meaning.role:
        if approvers is not None and approvers < meaning.approvals:
            message = f"asks for {count(meaning.approvals, 'approval')}, but {approvers} can approve"
            fix = "name more people in policy.approvers (and in the roles of policy.decisions.approve), or ask for fewer"
            yield Problem(where=f"{where}.then", message=message, fix=fix)
        return
    if meaning.role not in people:
        known = f"there are {listed(sorted(people))}" if people else "the policy has no roles"
        yield Problem(where=f"{where}.then", message=f"asks {meaning.role!a}, which is no role: {known}", fix=_NO_ROLE)
    elif people[meaning.role] < meaning.approvals:
        has = count(people[meaning.role], "member")
        yield Problem(
            where=f"{where}.then",
            message=f"asks for {count(meaning.approvals, 'approval')} of {meaning.role}, which has {has} who may approve",
            fix="add people to the role (and to policy.approvers), or ask for fewer",
        )
