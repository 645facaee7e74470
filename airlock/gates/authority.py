"""Authority of a person over a gate: whether the policy lets that person lock or unlock it, with the evidence given."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from airlock.admission.decision_rules import DecisionName, demands_evidence, people_needed, refused_by, rules_for
from airlock.admission.policy import Policy
from airlock.base.incoming import Verdict
from airlock.base.person import same_person
from airlock.gates.parsing import GateDecision
from airlock.gates.semaphore import Gate
from airlock.gates.signing import GateVoice
from airlock.plans.contract import Risk
from airlock.signing.load import TOO_MANY
from airlock.signing.proof import proof_of
from airlock.signing.signed_decision import SignedDecision, signed_decision
from airlock.signing.statement import statement, untimely

_MAX_VOICES = 100
_ALL = tuple(Risk)
"""A gate stops plans of every risk."""


@dataclass(frozen=True)
class Judged:
    """Result of the judgement of a decision."""

    refused: Verdict | None = None
    """Verdict on a decision that does not count, or not yet; None if the gate may obey."""
    proof: str = ""
    """Name of the decision among those that the gate can prove; empty if it was not signed."""


def judge(
    gate: Gate, gate_id: str, namespace: str, name: str, decision: GateDecision, policy: Policy, now: datetime,
    *, bounded: bool = True,
) -> Judged:  # fmt: skip
    """Return whether the gate may obey a decision.

    Args:
        gate: The gate, whose nonces and waiting decisions are changed.
        gate_id: Workflow id of the gate.
        namespace: Namespace of Temporal.
        name: `lock` or `unlock`.
        decision: The decision.
        policy: Policy of the worker that serves the gate.
        now: UTC.
        bounded: True if a signature counts for a week at most, as in gates that began under `BOUNDED_EPOCH`.
    """
    problem, signed = _proof(gate, gate_id, namespace, name, decision, policy, now, bounded=bounded)
    unsigned = name == "lock" and not demands_evidence(policy.decisions, name)
    if problem is not None and not unsigned:  # no person who locks is turned away for a signature that is not asked for
        return Judged(Verdict(accepted=False, reason=problem))
    if why := _refused_by(gate, name, decision, policy):
        return Judged(Verdict(accepted=False, reason=why))
    return _judged_with_others(gate, name, decision, policy, now, signed)


def _proof(
    gate: Gate, gate_id: str, namespace: str, name: str, decision: GateDecision, policy: Policy, now: datetime,
    *, bounded: bool,
) -> tuple[str | None, SignedDecision | None]:  # fmt: skip
    """Return the reason why the evidence of a decision does not count, or what was signed; neither without evidence."""
    evidence = decision.evidence
    if evidence is None:
        return None, None
    stated = statement(
        name, decision.model_dump(mode="json", exclude={"evidence"}), namespace=namespace, subject=gate_id,
        life=gate.signing.life, seal=None, nonce=evidence.nonce, expires=evidence.expires,
    )  # fmt: skip
    if why := untimely(evidence.expires, now, bounded=bounded):
        return why, None
    if why := gate.signing.nonces.problem(gate_id, gate.signing.life, evidence.nonce, decision.by):
        return why, None
    if gate.signing.proof_load.full(now):
        return TOO_MANY, None
    proof = proof_of(evidence, stated, policy.registered)
    if proof.told is not None:
        return proof.told, None
    # used up, whatever the verdict: a refused decision must not count later
    gate.signing.nonces = gate.signing.nonces.spend(gate_id, gate.signing.life, evidence.nonce, decision.by)
    return None, signed_decision(stated, evidence, proof.made_by, policy.passkeys)


def _refused_by(gate: Gate, name: str, decision: GateDecision, policy: Policy) -> str | None:
    kind = decision.evidence.kind if decision.evidence else None
    for rule in rules_for(policy.decisions, name, _ALL):
        if why := refused_by(rule, policy.roles, decision.by, kind):
            return why
    rules = policy.decisions.get(DecisionName(name))
    if rules is None or name != "unlock" or DecisionName.LOCK not in rules.not_after:
        return None
    locked_by = [lock.by for lock in gate.barrier.locks if lock.scope == decision.scope]
    if any(same_person(by, decision.by) for by in locked_by):
        return f"{decision.by!r} has locked it, and another person must decide this"
    return None


def _judged_with_others(
    gate: Gate, name: str, decision: GateDecision, policy: Policy, now: datetime, signed: SignedDecision | None
) -> Judged:
    """Return the judgement of a decision that may have to wait for another person to decide the same."""
    needed = people_needed(policy.decisions, name, _ALL)
    own = () if signed is None else (signed,)
    if needed < 2:
        return Judged(proof=gate.signing.prove(own))
    age = timedelta(seconds=policy.approval_valid_for_seconds)
    standing = [one for one in gate.signing.voices if now < one.at + age and _counts(one, policy)]
    same = [one for one in standing if (one.name, one.scope) == (name, decision.scope)]
    if any(same_person(one.by, decision.by) for one in same):
        return Judged(Verdict(accepted=False, reason=f"{decision.by!r} has decided this already: another person must"))
    if len(same) + 1 >= needed:
        gate.signing.voices = [one for one in standing if one not in same]
        return Judged(proof=gate.signing.prove((*(one.signed for one in same if one.signed is not None), *own)))
    made_by = signed.key if signed is not None else ""
    kept = GateVoice(name=name, by=decision.by, scope=decision.scope, at=now, made_by=made_by, signed=signed)
    gate.signing.voices = [*standing, kept][-_MAX_VOICES:]
    said = f"{name} by {len(same) + 1} of {needed} people: it waits for another person to decide the same"
    return Judged(Verdict(accepted=True, reason=said))


def _counts(voice: GateVoice, policy: Policy) -> bool:
    """Return True if the policy lets the person of an earlier decision decide still, with the key that was used."""
    kind = voice.made_by and ("passkey" if voice.made_by.startswith("passkey ") else "ssh")
    if voice.made_by and voice.made_by not in policy.registered.names:
        return False
    rules = rules_for(policy.decisions, voice.name, _ALL)
    return not any(refused_by(rule, policy.roles, voice.by, kind or None) for rule in rules)
