"""The needs of an approval: how many people, of which roles, with what evidence, for which steps of a seal."""

from collections.abc import Collection, Iterable, Iterator

from airlock.admission.decision_rules import ApprovalDemand, Demand, demands_of_approval, strictest
from airlock.admission.policy import Policy, SignatureRule
from airlock.base.text import listed
from airlock.plans.contract import Risk
from airlock.run.decisions.authority import risks_of_seal
from airlock.run.sealing.sealed import Sealed
from airlock.run.state import Run

Demands = tuple[ApprovalDemand, ...]


def sealed_demands(sealed: Sealed) -> Demands:
    """Return what was sealed about the approvals of what a seal would let go live, without what concerns other risks.

    Seals of rules before `DEMANDS_EPOCH` have words in its place: an approval of those is taken for one to be signed.
    """
    older = (ApprovalDemand(evidence=Demand.SIGNED),) if sealed.approval_rules else ()
    signatures = _of_signatures(SignatureRule(sealed.signature_required))
    return _at((*sealed.approval_demands, *older, *signatures), risks_of_seal(sealed, None))


def demands_of_policy(sealed: Sealed, policy: Policy) -> Demands:
    """Return what a policy demands of the approvals of a seal."""
    return demands_at(policy, risks_of_seal(sealed, None))


def demands_at(policy: Policy, risks: Collection[Risk]) -> Demands:
    """Return what a policy demands of approvals of steps of these risks."""
    return _at((*demands_of_approval(policy.decisions), *_of_signatures(policy.signature_required)), risks)


def demands_of_run(run: Run) -> Demands:
    """Return what a plan's policy demands of approvals: of the seal's steps, or of all steps before there is a seal."""
    if run.admitted is None or run.outcome is not None:
        return ()
    if run.sealed is not None:
        return demands_of_policy(run.sealed, run.admitted.policy)
    return demands_at(run.admitted.policy, {row.contract.risk for row in run.admitted.steps.values()})


def _of_signatures(rule: SignatureRule) -> Demands:
    """Return the demand of `signature_required`."""
    if rule is SignatureRule.NEVER:
        return ()
    return (ApprovalDemand(risk=Risk.HIGH if rule is SignatureRule.HIGH else None, evidence=Demand.SIGNED),)


def _at(demands: Iterable[ApprovalDemand], risks: Collection[Risk]) -> Demands:
    return tuple(dict.fromkeys(demand for demand in demands if demand.risk is None or demand.risk in risks))


def evidence_needed(demands: Demands) -> Demand:
    """Return the evidence that an approval of all steps needs."""
    return strictest(demand.evidence for demand in demands)


def approvals_needed(sealed: Sealed, demands: Demands) -> int:
    """Return the number of approvals that all steps of a seal need together."""
    return max((sealed.approvals_required, *(demand.people for demand in demands)))


def demand_lines(sealed: Sealed, demands: Demands) -> Iterator[str]:
    """Yield each demand as a sentence that names its steps."""
    for demand in demands:
        if demand.risk is not None:
            yield f"Approval of {demand.risk.value} risk ({listed(_steps_of(sealed, demand.risk))}): {demand.words}."
        elif demand.of_each:
            yield f"Approval: {demand.of_each}."


def in_brackets(sealed: Sealed, demands: Demands) -> str:
    """Return the demands as the end of a clause that names the number of approvals; empty without any."""
    said = [demand.of_each for demand in demands if demand.risk is None and demand.of_each]
    said += [
        f"for {demand.risk.value} risk ({listed(_steps_of(sealed, demand.risk))}) {demand.words}"
        for demand in demands
        if demand.risk is not None
    ]
    return f" ({'; '.join(said)})" if said else ""


def _steps_of(sealed: Sealed, risk: Risk) -> list[str]:
    if sealed.undo is not None:
        return [step.id for step in sealed.undo.steps if step.id in sealed.order and step.risk == risk.value]
    return [step.id for step in sealed.steps_to_approve if step.risk == risk.value]
