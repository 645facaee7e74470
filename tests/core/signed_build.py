"""People with keys, rules that demand evidence, and signed decisions about a run, for the tests of them."""

from datetime import datetime, timedelta
from typing import Any

from airlock.admission.policy import Policy
from airlock.base.names import workflow_id_of
from airlock.gates.protocol import EntryRefused
from airlock.plans.seal import seal
from airlock.plans.state import Event, State
from airlock.run.decisions.decision import decide
from airlock.run.decisions.evidence import Evidence
from airlock.run.decisions.permission import Permission, examine
from airlock.run.messages import Approve, parse_message
from airlock.run.rehearsal import begin_life
from airlock.run.standing_decisions import Vote
from airlock.run.state import Run
from airlock.signing.evidence import DecisionEvidence
from airlock.signing.statement import Statement, statement
from tests.core.build import NOW, awaiting, call, catalogue, failed, live, plan, policy, step
from tests.signers import PasskeyPerson, Signer, SshPerson

ALICE, BOB, EVE = SshPerson("alice"), SshPerson("bob"), SshPerson("eve")
PAULA = PasskeyPerson("paula")
EVERY = ("approve", "deny", "lock", "unlock", "rollback", "abort", "resolve")
PLAN = plan(step("a"), step("b", "write", "a"))
KEYS: dict[str, Any] = {"authorized_keys": [ALICE.line, BOB.line], "passkeys": [PAULA.registered]}


def demanding(evidence: str = "signed", *names: str, **rule: Any) -> Policy:
    return policy(**KEYS, decisions={name: {"evidence": evidence, **rule} for name in names or EVERY})


SIGNED = demanding()


def ready(decision: str, rules: Policy = SIGNED) -> Run:
    """A run that can take a decision, however it came there."""
    if decision in ("approve", "deny"):
        run = awaiting(PLAN, rules)
    elif decision == "resolve":
        run = at_work(rules)
        call(run, failed("b"), after=True)
        run.state = State.LOCKED
        run.calls["a"] = run.calls["a"].model_copy(update={"status": "undo_failed"})
    elif decision in ("unlock", "abort"):
        run = awaiting(PLAN, rules)
        run.apply(Event.LOCK, NOW)
    else:
        run = at_work(rules)
    run.namespace = "default"
    begin_life(run, "abc")
    return run


def at_work(rules: Policy) -> Run:
    run = awaiting(PLAN, rules)
    run.approved = ("a", "b")
    run.apply(Event.APPROVED, NOW)
    return call(run, live("a"))


def fields_of(decision: str, run: Run, by: str = "alice") -> dict[str, Any]:
    fields: dict[str, Any] = {"by": by, "reason": "because"}
    if decision == "approve":
        fields["digest"] = run.digest
    if decision == "resolve":
        fields |= {"step": "a", "outcome": "compensated"}
    return fields


def stated(decision: str, run: Run, fields: dict[str, Any], **other: Any) -> Statement:
    where = {
        "namespace": run.namespace, "subject": workflow_id_of(run.name), "life": run.life, "seal": run.digest,
        "nonce": run.nonce, "expires": NOW + timedelta(hours=1),
    }  # fmt: skip
    message = parse_message(decision, (fields,)).model_dump(mode="json")
    return statement(decision, message, **{**where, **other})


def send(run: Run, decision: str, fields: dict[str, Any], evidence: DecisionEvidence | None, **more: Any) -> Any:
    sent = {**fields, **({"evidence": evidence.model_dump(mode="json")} if evidence else {})}
    return decide(run, decision, parse_message(decision, (sent,)), more.pop("now", NOW), **more)


def signed(run: Run, decision: str, by: Signer = ALICE, **other: Any) -> tuple[dict[str, Any], DecisionEvidence]:
    fields = fields_of(decision, run, by.name)
    return fields, by.evidence(stated(decision, run, fields, **other))


def examined(given: Evidence, today: Policy, namespace: str = "default") -> Permission | EntryRefused:
    sent = Evidence.model_validate(given.model_dump(mode="json"))
    return examine(sent, today, catalogue(), "plan-p-1", NOW, namespace)


def quorum(**more: Any) -> Policy:
    return policy(**KEYS, approvals_required=2, decisions={"approve": {"evidence": "signed"}}, **more)


def sealed_run(rules: Policy) -> Run:
    run = ready("approve", rules)
    assert run.sealed is not None
    run.sealed = run.sealed.model_copy(update={"life": run.life})
    run.digest = seal(run.sealed)
    return run


def vote_of(run: Run, by: Signer, at: datetime, **other: Any) -> Vote:
    fields, evidence = signed(run, "approve", by, **other)
    sent = {**fields, "evidence": evidence.model_dump(mode="json")}
    message = parse_message("approve", (sent,))
    assert isinstance(message, Approve)
    return Vote(approval=message, at=at)
