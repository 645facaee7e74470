"""Signed locks and unlocks of a gate: a plan records those that its own keys made, and `verify` checks them again."""

from typing import Any

import pytest

from airlock.admission.policy import Policy
from airlock.base.names import LIVE_GATE
from airlock.export.authority_check import authority_faults
from airlock.export.lines import AuditEvent
from airlock.export.plan_lines import plan_record
from airlock.export.signed_check import signed_faults
from airlock.gates.answers import AcquireClosed, GateClosed
from airlock.gates.authority import judge
from airlock.gates.locks import Notice, NoticeKind
from airlock.gates.protocol import ClosedGate, SlotRequest
from airlock.gates.restored import tell_again, unite
from airlock.gates.semaphore import Gate
from airlock.gates.signing import MAX_PROVED
from airlock.plans.state import State
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.decisions.decision import decide
from airlock.run.live.gate_reactions import take_acquired
from airlock.run.messages import Lock, Unlock
from airlock.run.state import Run
from airlock.signing.signed_decision import SignedDecision
from tests.core.build import NOW, live_run, plan, policy, rehearse, say, step
from tests.core.export_build import trace
from tests.core.test_gate_authority import signed
from tests.signers import PasskeyPerson, Signer, SshPerson

ALICE, BOB, PAULA = SshPerson("alice"), SshPerson("bob"), PasskeyPerson("paula")
KEYS: dict[str, Any] = {"authorized_keys": [ALICE.line, BOB.line], "passkeys": [PAULA.registered]}
RULES = policy(**KEYS, decisions={"lock": {"evidence": "signed"}, "unlock": {"evidence": "signed", "people": 2}})
PLAN = plan(step("a"))
HOLDER = "plan-p-1"


def gate() -> Gate:
    made = Gate()
    made.signing.begin("g1")
    made.acquire(SlotRequest(holder=HOLDER, request="r", name="live"), NOW)
    return made


def say_to(at: Gate, name: str, by: Signer, rules: Policy = RULES) -> None:
    made = signed(at, name, by)
    judged = judge(at, LIVE_GATE, "default", name, made, rules, NOW)
    if judged.refused is not None:
        assert judged.refused.accepted, judged
        return
    if name == "lock":
        assert at.lock(None, made.by, made.reason, NOW, judged.proof).accepted
    else:
        assert at.unlock(None, made.by, made.reason, judged.proof).accepted


def locked_gate() -> Gate:
    at = gate()
    say_to(at, "lock", ALICE)
    return at


def notice(at: Gate, kind: NoticeKind) -> Notice:
    return next(one for one in at.news if one.kind is kind)


def run_of_plan(rules: Policy = RULES) -> Run:
    run = live_run(PLAN, rules)
    run.namespace = "default"
    return run


def told(run: Run, at: Gate, kind: NoticeKind, **other: Any) -> AuditEntry:
    """Send the notice of a gate to a plan, as its workflow does, and return the entry about it."""
    news = notice(at, kind)
    fields = {"by": news.by, "reason": news.reason, "gate": True, "proof": at.signing.proof(news.decision), **other}
    message = Lock(**fields) if kind is NoticeKind.LOCK else Unlock(**fields)
    name = "lock" if kind is NoticeKind.LOCK else "unlock"
    assert decide(run, name, type(message).model_validate(message.model_dump(mode="json")), NOW).accepted
    return next(entry for entry in reversed(run.audit) if entry.kind is AuditKind.DECISION)


def test_a_plan_records_who_signed_the_lock_that_stopped_it_and_the_unlock_of_two_people() -> None:
    at, run = locked_gate(), run_of_plan()
    entry = told(run, at, NoticeKind.LOCK)
    assert run.state is State.LOCKED
    assert entry.signed is not None
    assert (entry.gate, entry.signed.key, entry.signed.statement.gate, entry.also) == (True, ALICE.line, LIVE_GATE, ())
    at.places.clear()
    at.barrier.left(HOLDER, NOW)
    for by in (PAULA, BOB):
        say_to(at, "unlock", by)
    entry = told(run, at, NoticeKind.UNLOCK)
    assert run.state is State.MOCK
    assert [one.statement.by for one in (entry.signed, *entry.also) if one is not None] == ["bob", "paula"]
    assert entry.also[0].passkey is not None
    again = Run.model_validate_json(run.model_dump_json())
    assert again.audit == run.audit
    rehearse(run)
    record = plan_record(trace(run).model_copy(update={"plan_id": "p-1", "workflow_id": HOLDER}))
    notes: list[str] = []
    events = [event for event in record.execution.events if isinstance(event, AuditEvent)]
    found = list(signed_faults(("p-1", HOLDER), events, record.seals, notes))
    assert found == [("", False)] * 3
    assert list(authority_faults(record, notes)) == notes == []
    for event in [event for event in events if event.signed is not None]:
        assert event.signed is not None
        stated = event.signed.statement
        lies: list[dict[str, Any]] = [
            {"by": "eve"}, {"reason": "another"}, {"what": "abort"},
            {"signed": event.signed.model_copy(update={"statement": stated.model_copy(update={"scope": "agent:x"})})},
            {"signed": event.signed.model_copy(update={"statement": stated.model_copy(update={"gate": None})})},
            {"also": (event.signed,)},
        ]  # fmt: skip
        for lie in lies:
            changed = event.model_copy(update=lie)
            assert [why for why, wrong in signed_faults(("p-1", HOLDER), [changed], (), []) if wrong], lie


def test_a_plan_that_finds_the_gate_locked_records_the_proof_too() -> None:
    at = locked_gate()
    answer = at.acquire(SlotRequest(holder="plan-other", request="r", name="live"), NOW)
    assert isinstance(answer, GateClosed)
    run = run_of_plan()
    closed = ClosedGate(by=answer.by, reason=answer.why, proof=answer.proof)
    take_acquired(run, AcquireClosed.model_validate_json(AcquireClosed(closed=closed).model_dump_json()), NOW)
    assert run.state is State.LOCKED
    entry = next(entry for entry in run.audit if entry.kind is AuditKind.DECISION and entry.what == "lock")
    assert entry.signed is not None
    assert entry.signed.key == ALICE.line


def forged(proof: SignedDecision, **statement: Any) -> tuple[SignedDecision, ...]:
    return (proof.model_copy(update={"statement": proof.statement.model_copy(update=statement)}),)


@pytest.mark.parametrize("lie", ["by", "decision", "gate", "namespace", "key", "twice", "expires"])
def test_a_proof_that_does_not_fit_is_not_recorded_and_the_lock_stops_all_the_same(lie: str) -> None:
    at = locked_gate()
    (proof,) = at.signing.proof(notice(at, NoticeKind.LOCK).decision)
    eve = SshPerson("alice")
    lies: dict[str, dict[str, Any]] = {
        "by": {"by": "bob"},
        "decision": {"proof": forged(proof, decision="unlock")},
        "gate": {"proof": forged(proof, gate=None, plan="p-1")},
        "namespace": {"proof": forged(proof, namespace="elsewhere")},
        "key": {"proof": (proof.model_copy(update={"key": eve.line, "evidence": eve.evidence(proof.statement)}),)},
        "twice": {"proof": (proof, proof)},
        "expires": {"proof": forged(proof, expires="2099-01-01T00:00:00Z")},
    }
    run = run_of_plan()
    entry = told(run, at, NoticeKind.LOCK, **lies[lie])
    assert run.state is State.LOCKED
    assert (entry.signed, entry.also) == (None, ())


def test_a_gate_decision_that_is_not_proved_is_noted_where_the_policy_demands_evidence() -> None:
    for rules, expected in ((RULES, 1), (policy(**KEYS), 0)):
        run = run_of_plan(rules)
        say(run, "lock", by="eve", gate=True)
        notes: list[str] = []
        assert list(authority_faults(plan_record(trace(run)), notes)) == []
        assert len(notes) == expected
        assert all("lock by 'eve' at a gate is not proved by this record" in note for note in notes)


def test_a_gate_that_takes_up_an_earlier_state_proves_its_locks_still() -> None:
    before = Gate.model_validate_json(locked_gate().model_dump_json())
    restored, other = gate(), before
    restored.signing.begin("g2")
    unite(restored, other)
    restored.signing.begin("g3")
    tell_again(restored)
    lock = restored.barrier.locks[0]
    assert [one.statement.by for one in restored.signing.proof(lock.decision)] == ["alice"]


def test_a_gate_keeps_a_bounded_number_of_proofs() -> None:
    at = gate()
    for _ in range(MAX_PROVED // 2):
        say_to(at, "lock", ALICE)
        for by in (PAULA, BOB):
            say_to(at, "unlock", by)
    assert sum(len(one.signed) for one in at.signing.proved) <= MAX_PROVED
    assert at.signing.proof("none") == ()
