"""The commands that people are shown for decisions: of Temporal, or of Airlock where the decision must be signed."""

import json
import shlex
from collections.abc import Sequence

from airlock.admission.decision_rules import DecisionRule, Demand, rules_for, strictest, words_of
from airlock.base.names import undo_workflow_id
from airlock.base.person import KEY_FILE, OWN_NAME, folded, spellings
from airlock.plans.contract import Risk
from airlock.plans.seal import SIGNED_PREFIX_LENGTH
from airlock.run.presentation.approval_needs import evidence_needed, sealed_demands
from airlock.run.sealing.sealed import Sealed
from airlock.run.state import Run

IN_CONSOLE = "open it in the console, which asks for your passkey: airlock console"
"""The way to a decision that only a passkey can sign: no command makes it."""
_PLACE_OF_KEY = f"Write the file of your key in the place of {KEY_FILE}, or --ssh-agent in that of --sign-key {KEY_FILE}"
SIGNING = {
    Demand.SIGNED: f"{_PLACE_OF_KEY}; a passkey signs in the console.",
    Demand.SSH: f"{_PLACE_OF_KEY}.",
}
"""The sentence about a command with a place for a key, by the evidence that is needed."""


def approve_message(sealed: Sealed, digest: str) -> str:
    """Return the JSON of the signal that approves this seal without a signature."""
    return json.dumps({"by": _approver(sealed), "digest": digest[:16]})


def approve_command(sealed: Sealed, digest: str) -> str | None:
    """Return the command that approves this seal, ready to paste into a shell; None if only a passkey can sign it."""
    evidence = evidence_needed(sealed_demands(sealed))
    if evidence is Demand.NONE:
        message = shlex.quote(approve_message(sealed, digest))
        return f"temporal workflow signal --workflow-id {sealed.workflow_id} --name approve --input {message}"
    name = sealed.plan_id if sealed.undo is None else undo_workflow_id(sealed.plan_id)
    more = ("--by", _approver(sealed), "--digest", digest[:SIGNED_PREFIX_LENGTH])
    return signed_command("approve", name, more, evidence)


def signed_command(decision: str, name: str, more: Sequence[str], evidence: Demand) -> str | None:
    """Return the command of Airlock that signs and sends a decision; None if only a passkey can sign it."""
    if evidence is Demand.PASSKEY:
        return None
    return shlex.join(("airlock", decision, name, *more, "--sign-key", KEY_FILE))


def evidence_of(run: Run, decision: str, step: str | None = None) -> Demand:
    """Return the evidence that the plan's policy demands of a decision about a run, or about one step of it."""
    return strictest(rule.evidence for rule in _rules(run, decision, step))


def hint(run: Run, decision: str, command: str, step: str | None = None) -> str:
    """Return a command as the policy lets it count: with the place of a key, and with what else the policy asks for."""
    rules = _rules(run, decision, step)
    evidence, words = strictest(rule.evidence for rule in rules), words_of(rules)
    if evidence is Demand.PASSKEY:
        command = f"{decision} it in the console"
    elif evidence is not Demand.NONE:
        command = f"{command} --sign-key {KEY_FILE}"
    return f"{command} ({words})" if words else command


def _rules(run: Run, decision: str, step: str | None) -> tuple[DecisionRule, ...]:
    if run.admitted is None:
        return ()
    rows = run.admitted.steps
    risks: set[Risk] = {row.contract.risk for name, row in rows.items() if step is None or name == step}
    return rules_for(run.admitted.policy.decisions, decision, risks)


def _approver(sealed: Sealed) -> str:
    """Return a person who may approve, if the seal tells one; else the place of a name."""
    if any(demand.roles for demand in sealed_demands(sealed)):
        return OWN_NAME  # the seal does not tell who has a role
    agents = (name for step in sealed.steps for name in (step.agent, step.moved_from, *step.proposed_by))
    undone = (step.agent for step in (sealed.undo.steps if sealed.undo else ()))
    barred = spellings(name for name in (sealed.requested_by, *agents, *undone) if name is not None)
    return next((name for name in sealed.approvers if folded(name) not in barred), OWN_NAME)
