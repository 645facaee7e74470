"""The rules of a policy that no plan can satisfy; without this check, plans would wait for approval in vain."""

from collections.abc import Iterable, Iterator

from airlock.admission.configuration.decision_problems import able_to_approve, decision_problems
from airlock.admission.configuration.passkey_problems import passkey_problems
from airlock.admission.configuration.shared_keys import shared_key_problems
from airlock.admission.policy import Policy, SignatureRule
from airlock.admission.roles import people, role_problems
from airlock.admission.rules.rule_problems import rule_problems
from airlock.base.errors import Problem
from airlock.base.keys import read_key
from airlock.base.person import folded, name_problem, spellings
from airlock.base.text import count


def contradictions(policy: Policy, *, incomplete: bool = False) -> tuple[Problem, ...]:
    """Return what is wrong with a policy as a whole: rules that nothing can satisfy, and names that stand for nothing.

    Args:
        policy: The policy.
        incomplete: True if people or keys were left out as wrong: then nothing is said of whether there are enough.
    """
    voices = "one name, and have one voice together"
    able = None if incomplete else able_to_approve(policy)
    members = None if incomplete else _approvers_of_roles(policy, able)
    return (
        *_unfit_approvers(policy),
        *role_problems(policy.roles),
        *_unfit_owners(policy),
        *passkey_problems(policy.passkeys),
        *shared_key_problems(policy.authorized_keys, policy.passkeys),
        *rule_problems(policy.rule, members, None if able is None else len(able)),
        *_named_twice("policy.approvers", policy.approvers, voices, "name each approver once"),
        *_named_twice("policy.agents", policy.agents, "one agent", "give each agent one section"),
        *(() if incomplete else (*decision_problems(policy), *_too_few_approvers(policy), *_too_few_signers(policy))),
    )


def _approvers_of_roles(policy: Policy, able: frozenset[str] | None) -> dict[str, int]:
    """Return the number of people of each role who can approve."""
    members = {role: frozenset(map(folded, people(policy.roles, role))) for role in policy.roles}
    return {role: len(names if able is None else names & able) for role, names in members.items()}


def _unfit_approvers(policy: Policy) -> Iterator[Problem]:
    for name in policy.approvers:
        if problem := name_problem(name):
            yield Problem(where="policy.approvers", message=f"{name!a}: {problem}", fix="correct or remove this approver")


def _unfit_owners(policy: Policy) -> Iterator[Problem]:
    for line in policy.authorized_keys:
        if problem := name_problem(read_key(line).person):
            fix = "end the line with the name of its person"
            yield Problem(where="policy.authorized_keys", message=f"the key ...{line[-40:]!a}: {problem}", fix=fix)


def _too_few_approvers(policy: Policy) -> Iterator[Problem]:
    number = len(spellings(policy.approvers))
    if policy.approvers and number < policy.approvals_required:
        yield Problem(
            where="policy.approvals_required",
            message=f"is {policy.approvals_required}, but the list names {count(number, 'approver')}",
            fix="name more approvers, or require fewer approvals",
        )


def _too_few_signers(policy: Policy) -> Iterator[Problem]:
    if policy.signature_required is SignatureRule.NEVER:
        return
    where, said = "policy.signature_required", f"is {policy.signature_required.value!r}, but"
    if not policy.authorized_keys and not policy.passkeys:
        fix = "add the approvers' public keys to policy.authorized_keys"
        yield Problem(where=where, message=f"{said} authorized_keys lists no key", fix=fix)
        return
    keyed = {folded(read_key(line).person) for line in policy.authorized_keys}
    keyed |= {folded(passkey.person) for passkey in policy.passkeys}
    able = len(keyed.intersection(map(folded, policy.approvers)) if policy.approvers else keyed)
    needed = min(policy.approvals_required, len(spellings(policy.approvers)) or policy.approvals_required)
    if able < needed:
        message = f"{said} {count(able, 'approver')} of the {needed} that must agree {'has' if able == 1 else 'have'} a key"
        fix = "add their public keys to policy.authorized_keys; the last word of a line is the approver's name"
        yield Problem(where=where, message=message, fix=fix)


def _named_twice(where: str, given: Iterable[str], same: str, fix: str) -> list[Problem]:
    """Return a problem for each name that stands there in several spellings."""
    return [
        Problem(where=where, message=f"{', '.join(ascii(name) for name in names)} are spellings of {same}", fix=fix)
        for names in spellings(given).values()
        if len(names) > 1
    ]
