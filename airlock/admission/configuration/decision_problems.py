"""The demands of `[policy.decisions]` that no person, or too few, could ever meet."""

from collections.abc import Iterator, Sequence
from typing import Final

from airlock.admission.decision_rules import ONE_IS_ENOUGH, DecisionName, DecisionRule, Demand
from airlock.admission.policy import Policy
from airlock.admission.roles import people
from airlock.base.errors import Problem
from airlock.base.keys import read_key
from airlock.base.person import folded
from airlock.base.text import listed

_OF_ONE_STEP: Final = (DecisionName.APPROVE, DecisionName.RESOLVE)
"""The decisions that can be made about some steps of a plan; the others meet the demands of all its risks together."""
_REGISTER: Final = "register keys in policy.authorized_keys, or passkeys in policy.passkeys"


def decision_problems(policy: Policy) -> Iterator[Problem]:
    """Yield what is wrong with the rules of decisions: roles that are not there, and demands that cannot be met."""
    for name, rules in policy.decisions.items():
        where = f"policy.decisions.{name.value}"
        by_risk = {f"{where}.by_risk.{risk.value}": rule for risk, rule in rules.by_risk.items()}
        wrong = [
            each for place, rule in {where: rules, **by_risk}.items() for each in _own_problems(place, name, rule, policy)
        ]
        yield from wrong
        if wrong:
            continue
        found = _unmet(policy, name, [(where, rules)])
        if found is None:
            several = [_unmet(policy, name, [(where, rules), (place, rule)]) for place, rule in by_risk.items()]
            yield from (problem for problem in several if problem is not None)
            if not any(several) and name not in _OF_ONE_STEP and len(by_risk) > 1:
                found = _unmet(policy, name, [(where, rules), *by_risk.items()])
        if found is not None:
            yield found


def able_to_approve(policy: Policy) -> frozenset[str] | None:
    """Return the people who can give an approval of whatever risk, in the folded form; None if everyone can."""
    rules = policy.decisions.get(DecisionName.APPROVE)
    return _able(policy, DecisionName.APPROVE, () if rules is None else (rules,))


def _own_problems(where: str, name: DecisionName, rule: DecisionRule, policy: Policy) -> Iterator[Problem]:
    if missing := [role for role in rule.roles if role not in policy.roles]:
        known = f": there are {listed(sorted(policy.roles))}" if policy.roles else ", or write the section [policy.roles]"
        message = f"{missing[0]!a}: there is no such role"
        yield Problem(where=f"{where}.roles", message=message, fix=f"name roles of policy.roles{known}")
    if rule.people > 1 and name in ONE_IS_ENOUGH:
        yield Problem(where=f"{where}.people", message=f"is {rule.people}, {ONE_IS_ENOUGH[name]}", fix="leave it out")


def _unmet(policy: Policy, name: DecisionName, chain: Sequence[tuple[str, DecisionRule]]) -> Problem | None:
    """Return the problem of rules that one person must fulfil together, named at the last of them; None if enough can."""
    rules = [rule for _, rule in chain]
    where, last = chain[-1]
    needed = max(rule.people for rule in rules)
    if name is DecisionName.APPROVE:
        needed = max(needed, policy.approvals_required)
    if {Demand.SSH, Demand.PASSKEY} <= {rule.evidence for rule in rules}:
        place = next(place for place, rule in reversed(chain) if rule.evidence is not Demand.NONE)
        others = {rule.evidence.value for other, rule in chain if other != place} & {Demand.SSH, Demand.PASSKEY}
        message = f"one decision must be signed in two ways: another rule of {name.value} asks for {listed(sorted(others))}"
        return Problem(where=f"{place}.evidence", message=message, fix='ask for the same in both, or for "signed" in one')
    fit = _with_roles(policy, rules)
    if fit is not None and len(fit) < needed:
        return _too_few(where, last, len(fit), needed)
    if name is DecisionName.APPROVE and policy.approvers:
        of_both = _able(policy, name, [rule.model_copy(update={"evidence": Demand.NONE}) for rule in rules]) or frozenset()
        # without a role this is policy.approvals_required, which has a problem of its own
        if len(of_both) < needed and (fit is not None or needed > policy.approvals_required):
            key = "roles" if last.roles else "people"
            message = f"{len(of_both)} of those in policy.approvers may approve so, of {needed} needed"
            fix = "name people of these roles in policy.approvers, or ask for fewer"
            return Problem(where=f"{where}.{key}", message=message, fix=fix)
    able = _able(policy, name, rules)
    if able is not None and len(able) < needed and any(rule.evidence is not Demand.NONE for rule in rules):
        place, rule = next((place, rule) for place, rule in reversed(chain) if rule.evidence is not Demand.NONE)
        message = f"is {rule.evidence.value!r}, but {len(able)} of those who may decide have such a key, of {needed} needed"
        return Problem(where=f"{place}.evidence", message=message, fix=_REGISTER)
    return None


def _too_few(where: str, last: DecisionRule, have: int, needed: int) -> Problem:
    if last.roles:
        message = f"have {have} of the {needed} people who must decide the same"
        return Problem(where=f"{where}.roles", message=message, fix="name more people, or ask for fewer")
    message = f"{needed} people must decide the same, but {have} of them {'has' if have == 1 else 'have'} the role"
    return Problem(where=f"{where}.people", message=message, fix="name more people in policy.roles, or ask for fewer")


def _with_roles(policy: Policy, rules: Sequence[DecisionRule]) -> frozenset[str] | None:
    """Return the people who have a role of each rule that names roles; None if none does."""
    wanted = [
        frozenset(folded(person) for role in rule.roles for person in people(policy.roles, role))
        for rule in rules
        if rule.roles
    ]
    return frozenset.intersection(*wanted) if wanted else None


def _able(policy: Policy, name: DecisionName, rules: Sequence[DecisionRule]) -> frozenset[str] | None:
    """Return the people who can fulfil all of these rules; None if everyone can."""
    ssh = frozenset(folded(read_key(line).person) for line in policy.authorized_keys)
    passkeys = frozenset(folded(passkey.person) for passkey in policy.passkeys)
    keyed = {Demand.SIGNED: ssh | passkeys, Demand.SSH: ssh, Demand.PASSKEY: passkeys}
    limits = [keyed[rule.evidence] for rule in rules if rule.evidence is not Demand.NONE]
    if (fit := _with_roles(policy, rules)) is not None:
        limits.append(fit)
    if name is DecisionName.APPROVE and policy.approvers:
        limits.append(frozenset(map(folded, policy.approvers)))
    return frozenset.intersection(*limits) if limits else None
