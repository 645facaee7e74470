"""The suspicious places of the operator's file: each can be meant so, and probably is not."""

from collections.abc import Iterator

from airlock.admission.configuration.config import Config
from airlock.admission.policy import Policy
from airlock.admission.roles import people
from airlock.admission.rules.condition import compiled
from airlock.admission.rules.evaluation_cost import MAX_COST
from airlock.base.errors import Problem
from airlock.base.keys import read_key
from airlock.base.likely import likely
from airlock.base.person import folded, spellings
from airlock.base.text import listed
from airlock.plans.contract import Risk
from airlock.plans.plan import seconds
from airlock.signing.passkey import INSTALL, MissingExtra, ready


def suspicions(config: Config) -> tuple[Problem, ...]:
    """Return a warning for each place of a valid file that probably says something else than its writer means."""
    return (
        *_keys_of_no_one(config.policy),
        *_repeated_keys(config.policy),
        *_repeated_members(config.policy),
        *_waived_in_vain(config.policy),
        *_uncheckable_passkeys(config.policy),
        *_passkeys_of_other_pages(config),
        *_labels_alike(config.policy),
        *_sessions(config),
        *_costly_rules(config.policy),
    )


def _keys_of_no_one(policy: Policy) -> Iterator[Problem]:
    """Yield a warning for each key of a person that nothing else in the policy names, where people are named at all."""
    known = {*policy.approvers, *(person for role in policy.roles for person in people(policy.roles, role))}
    forms = {folded(name) for name in known}
    owners = [("policy.authorized_keys", read_key(line).person) for line in policy.authorized_keys]
    owners += [("policy.passkeys", passkey.person) for passkey in policy.passkeys]
    for where, person in dict.fromkeys(owners) if known else ():
        if folded(person) not in forms:
            close = likely(person, known)
            meant = f"did you mean {close!r}? " if close else ""
            message = f"the key of {person!a} belongs to no approver and to no role"
            yield Problem(where=where, message=message, fix=f"{meant}correct the name, or name the person there")


def _repeated_keys(policy: Policy) -> Iterator[Problem]:
    blobs = [read_key(line).blob for line in policy.authorized_keys]
    twice = [line.split()[-1] for at, line in enumerate(policy.authorized_keys) if blobs[at] in blobs[:at]]
    for person in twice:
        message = f"the same key of {person!a} stands there twice"
        yield Problem(where="policy.authorized_keys", message=message, fix="remove one of the two lines")


def _repeated_members(policy: Policy) -> Iterator[Problem]:
    for role, members in policy.roles.items():
        for names in spellings(members).values():
            if len(names) > 1:
                message = f"{listed([ascii(name) for name in names])} are one person"
                yield Problem(where=f"policy.roles.{role}", message=message, fix="name each person once")


def _waived_in_vain(policy: Policy) -> Iterator[Problem]:
    if Risk.HIGH in policy.approval_waived_for and policy.approval_required_for_high_risk:
        message = "names HIGH, which needs approval as long as approval_required_for_high_risk is true"
        yield Problem(where="policy.approval_waived_for", message=message, fix="take HIGH out")


def _uncheckable_passkeys(policy: Policy) -> Iterator[Problem]:
    if not policy.passkeys:
        return
    try:
        ready()
    except MissingExtra:
        message = "the public keys cannot be checked here, and a worker without that package does not start"
        yield Problem(where="policy.passkeys", message=message, fix=INSTALL)


def _passkeys_of_other_pages(config: Config) -> Iterator[Problem]:
    console = config.console
    if "url" not in console.model_fields_set:
        return
    for at, passkey in enumerate(config.policy.passkeys):
        if console.url not in passkey.origins:
            message = f"of {passkey.person!a}: its origins do not hold {console.url}, the page of console.url"
            fix = "let the person register it again there, or correct console.url"
            yield Problem(where=f"policy.passkeys.{at}.origins", message=message, fix=fix)


def _labels_alike(policy: Policy) -> Iterator[Problem]:
    names = [(folded(passkey.person), folded(passkey.label)) for passkey in policy.passkeys]
    for at, passkey in enumerate(policy.passkeys):
        if passkey.label and names[at] in names[:at]:
            message = f"of {passkey.person!a}: another passkey of this person has the label {passkey.label!a}"
            yield Problem(where=f"policy.passkeys.{at}.label", message=message, fix="give each a label of its own")


def _costly_rules(policy: Policy) -> Iterator[Problem]:
    """Yield a warning for each rule that looks through one list for each element of another."""
    for rule in policy.rule:
        condition = compiled(rule.when)
        inner = {".".join(condition.reads[at].path) for loop in condition.shape.loops for at in loop.reads}
        if inner and condition.shape.searches:
            most = int((MAX_COST / 2) ** 0.5) // 10 * 10
            message = f"may look through {listed(sorted(inner))} for each element of a list: of more than about {most} both"
            fix = "lists count as not known then, which denies or asks; compare with a list in the condition instead"
            yield Problem(where=f"policy.rule.{rule.id}.when", message=message, fix=fix)


def _sessions(config: Config) -> Iterator[Problem]:
    idle, longest = config.console.idle, config.console.longest
    if seconds(idle) > seconds(longest):
        message = f"is {idle}, but a session ends after {longest} in any case"
        yield Problem(where="console.idle", message=message, fix="make it shorter than console.longest")
