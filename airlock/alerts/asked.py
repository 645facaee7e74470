"""The people who are asked for an approval: of those a receiver stands for, the ones who may give it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from airlock.admission.configuration.notify_config import Receiver
from airlock.admission.decision_rules import DecisionName, rules_for
from airlock.admission.policy import Policy
from airlock.admission.roles import MEMBERS_OF, has_role, people
from airlock.alerts.alert import FOR_APPROVERS, Alert
from airlock.base.person import same_person
from airlock.plans.contract import Risk


@dataclass(frozen=True)
class Asked:
    """The people who are asked."""

    names: tuple[str, ...] = ()
    everyone: bool = False
    """True if neither the receiver nor the policy names people: everyone may approve but those who may not."""

    def __bool__(self) -> bool:
        """Return True if there is a person to ask."""
        return self.everyone or bool(self.names)


def asks(receiver: Receiver) -> bool:
    """Return True if a receiver is told of plans that wait for approval."""
    return any(kind in receiver.events for kind in FOR_APPROVERS)


def asked(receiver: Receiver, policy: Policy, barred: Iterable[str] = (), risk: str | None = None) -> Asked:
    """Return the people of a receiver who may approve.

    Args:
        receiver: The receiver.
        policy: The policy of today.
        barred: Those who may not approve this plan: its requester, its agents, and who has approved already.
        risk: The highest risk of the plan; None leaves out the rules for a risk.
    """
    rules = rules_for(policy.decisions, DecisionName.APPROVE, () if risk is None else (Risk(risk),))
    roles = [rule.roles for rule in rules if rule.roles]
    entries = receiver.stands_for or policy.approvers or tuple(f"{MEMBERS_OF}{role}" for role in (roles or [()])[-1])
    if not entries:
        return Asked(everyone=True)
    out = tuple(barred)

    def may(name: str) -> bool:
        has_roles = all(any(has_role(policy.roles, role, name) for role in wanted) for wanted in roles)
        return policy.may_approve(name) and has_roles and not _among(name, out)

    return Asked(tuple(filter(may, dict.fromkeys(_named(entries, policy)))))


def asked_by(alert: Alert, receiver: Receiver, policy: Policy) -> Asked:
    """Return the people that an alert asks; one that asks for no approval is for everyone behind the receiver."""
    if alert.kind not in FOR_APPROVERS:
        return Asked(everyone=True)
    return asked(receiver, policy, (alert.requested_by, *alert.agents, *alert.approvals), alert.risk)


def addresses(alert: Alert, receiver: Receiver, policy: Policy) -> tuple[str, ...]:
    """Return the mail addresses that an alert goes to: those of the people who are asked."""
    if alert.kind not in FOR_APPROVERS:
        return tuple(dict.fromkeys(receiver.to.values()))
    names = asked_by(alert, receiver, policy).names
    found = [to for entry, to in receiver.to.items() if any(_among(name, names) for name in _named((entry,), policy))]
    return tuple(dict.fromkeys(found))


def _named(entries: Iterable[str], policy: Policy) -> Iterator[str]:
    for entry in entries:
        if entry.startswith(MEMBERS_OF):
            yield from people(policy.roles, entry.removeprefix(MEMBERS_OF))
        else:
            yield entry


def _among(name: str, names: Iterable[str]) -> bool:
    return any(same_person(name, each) for each in names)
