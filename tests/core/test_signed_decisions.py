"""Signed decisions: what counts, and every way in which evidence of another decision, run, time or person does not."""

from collections.abc import Callable
from typing import Any

import pytest

from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.decisions import authority
from airlock.run.presentation.views import preview_view
from airlock.run.rehearsal import begin_life
from airlock.run.state import Run
from airlock.signing import passkey
from airlock.signing.evidence import DecisionEvidence
from airlock.signing.load import AT_ONCE
from tests.core.build import NOW, awaiting, later, new_run, plan, policy, step
from tests.core.signed_build import (
    ALICE,
    BOB,
    EVE,
    EVERY,
    KEYS,
    PAULA,
    PLAN,
    SIGNED,
    demanding,
    fields_of,
    ready,
    send,
    signed,
    stated,
)
from tests.signers import PasskeyPerson, Signer, SshPerson


@pytest.mark.parametrize("decision", EVERY)
@pytest.mark.parametrize("by", [ALICE, PAULA], ids=["ssh", "passkey"])
def test_a_signed_decision_counts_and_is_recorded_with_its_evidence(decision: str, by: Signer) -> None:
    run = ready(decision)
    verdict = send(run, decision, *signed(run, decision, by))
    assert verdict.accepted, verdict
    entry = next(entry for entry in run.audit if entry.kind is AuditKind.DECISION and entry.what == decision)
    assert entry.signed is not None
    assert entry.signed.statement.decision == decision
    assert entry.signed.key == (by.line if isinstance(by, SshPerson) else f"passkey {PAULA.credential} paula")
    again = Run.model_validate_json(run.model_dump_json())
    assert [one.signed for one in again.audit] == [one.signed for one in run.audit]
    assert again.nonces == run.nonces


@pytest.mark.parametrize("decision", EVERY)
def test_an_unsigned_decision_does_not_count_where_evidence_is_demanded(decision: str) -> None:
    run = ready(decision)
    verdict = send(run, decision, fields_of(decision, run), None)
    assert not verdict.accepted
    assert "it must be signed" in verdict.reason


def other_life(run: Run) -> None:
    begin_life(run, "def")


FORGED: dict[str, Callable[[Run, str], tuple[dict[str, Any], DecisionEvidence]]] = {
    "by a key that is not listed": lambda run, d: signed(run, d, EVE),
    "by another person's key": lambda run, d: (
        fields_of(d, run), BOB.evidence(stated(d, run, fields_of(d, run)))),
    "in another person's name": lambda run, d: (
        fields_of(d, run, "bob"), ALICE.evidence(stated(d, run, fields_of(d, run, "alice")))),
    "for another plan": lambda run, d: signed(run, d, subject="plan-other"),
    "for its undo": lambda run, d: signed(run, d, subject="undo-p-1"),
    "for a gate": lambda run, d: signed(run, d, subject="gate-live"),
    "in another namespace": lambda run, d: signed(run, d, namespace="elsewhere"),
    "in another life": lambda run, d: signed(run, d, life="0"),
    "with another nonce": lambda run, d: signed(run, d, nonce="0" * 64),
    "that expired": lambda run, d: signed(run, d, expires=NOW),
    "for another decision": lambda run, d: (
        fields_of(d, run), ALICE.evidence(stated(d, run, fields_of(d, run)).model_copy(update={"decision": "x"}))),
    "for another reason": lambda run, d: (
        fields_of(d, run), ALICE.evidence(stated(d, run, {**fields_of(d, run), "reason": "other"}))),
    "by a passkey without user verification": lambda run, d: signed(run, d, PasskeyPerson("paula", PAULA.key, flags=1)),
    "by a passkey of another origin": lambda run, d: signed(run, d, PasskeyPerson("paula", PAULA.key, origin="https://x.test")),
    "by a passkey of another party": lambda run, d: signed(run, d, PasskeyPerson("paula", PAULA.key, rp_id="x.test")),
    "by another passkey": lambda run, d: signed(run, d, PasskeyPerson("paula")),
}  # fmt: skip


@pytest.mark.parametrize("how", FORGED)
@pytest.mark.parametrize("decision", EVERY)
def test_evidence_that_fits_something_else_does_not_count(decision: str, how: str) -> None:
    run = ready(decision)
    before = run.nonce
    verdict = send(run, decision, *FORGED[how](run, decision))
    assert not verdict.accepted, verdict
    assert run.audit[-1].kind is AuditKind.REFUSED
    assert run.nonce == before, "who has no key uses up no nonce"
    assert send(run, decision, *signed(run, decision)).accepted


@pytest.mark.parametrize("decision", [name for name in EVERY if name != "lock"])
def test_evidence_for_an_earlier_seal_does_not_count(decision: str) -> None:
    run = ready(decision)
    fields, evidence = signed(run, decision, seal="0" * 64)
    assert not send(run, decision, fields, evidence).accepted


def test_a_lock_does_not_depend_on_the_seal() -> None:
    run = ready("lock")
    assert send(run, "lock", *signed(run, "lock", seal="0" * 64)).accepted


@pytest.mark.parametrize("decision", ["lock", "unlock"])
def test_signed_evidence_counts_once(decision: str) -> None:
    run = ready(decision)
    fields, evidence = signed(run, decision)
    assert send(run, decision, fields, evidence).accepted
    run.state = State.LOCKED if decision == "unlock" else State.LIVE
    run.lock = None
    again = send(run, decision, fields, evidence)
    assert "has been used" in again.reason


def test_a_signed_decision_that_is_refused_does_not_count_later() -> None:
    run = ready("unlock")
    run.state = State.LIVE
    fields, evidence = signed(run, "unlock")
    assert "not possible in LIVE" in send(run, "unlock", fields, evidence).reason
    run.state = State.LOCKED
    assert "has been used" in send(run, "unlock", fields, evidence).reason


def test_a_reset_ends_everything_that_was_signed_before() -> None:
    run = ready("unlock")
    fields, evidence = signed(run, "unlock")
    begin_life(run, "next")
    assert "is not one of this run" in send(run, "unlock", fields, evidence).reason


def test_a_flood_of_forged_evidence_costs_a_bounded_number_of_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    run, looked = ready("unlock"), []
    honest = authority.proof_of

    def counted(*given: Any) -> Any:
        looked.append(given)
        return honest(*given)

    monkeypatch.setattr(authority, "proof_of", counted)
    fields, evidence = signed(run, "unlock", EVE)
    for _ in range(300):
        assert not send(run, "unlock", fields, evidence).accepted
    assert len(looked) == AT_ONCE
    good = signed(run, "unlock")
    assert "too many signatures" in send(run, "unlock", *good).reason
    assert send(run, "unlock", *good, now=later(0.1)).accepted


def test_a_lock_is_open_to_everyone_by_default_even_with_a_bad_signature() -> None:
    run = ready("lock", demanding("signed", "unlock"))
    fields, evidence = signed(run, "lock", EVE)
    assert send(run, "lock", fields, evidence).accepted
    entry = next(entry for entry in run.audit if entry.what == "lock" and entry.kind is AuditKind.DECISION)
    assert entry.signed is None


def test_a_lock_before_the_admission_stops_whatever_evidence_it_has_and_the_record_says_that_nothing_proves_it() -> None:
    for reason in ("because", "x" * 2_000):
        run = new_run(PLAN, SIGNED)
        run.admitted, run.namespace = None, "default"
        begin_life(run, "abc")
        fields = {**fields_of("lock", run), "reason": reason}
        assert send(run, "lock", fields, ALICE.evidence(stated("lock", run, fields))).accepted
        (entry,) = [entry for entry in run.audit if entry.kind is AuditKind.DECISION]
        assert entry.signed is None
        assert entry.reason.endswith("nothing proves who locked it: no policy was known before the admission")
        assert run.lock is not None
        assert run.lock.reason == reason
        assert "must be signed" in send(run, "unlock", fields_of("unlock", run), None, today=SIGNED).reason
        assert send(run, "unlock", *signed(run, "unlock"), today=SIGNED).accepted
        assert run.state is State.MOCK


def test_two_people_sign_at_the_same_time_with_the_same_nonce() -> None:
    run = ready("approve", policy(**KEYS, decisions={"approve": {"evidence": "signed", "people": 2}}))
    first, second = signed(run, "approve"), signed(run, "approve", PAULA)
    assert first[1].nonce == second[1].nonce
    assert send(run, "approve", *first).reason.startswith("approval 1 of 2")
    assert send(run, "approve", *second).accepted
    assert run.state is State.LIVE


def test_two_people_must_unlock_and_each_has_one_voice() -> None:
    run = ready("unlock", policy(**KEYS, decisions={"unlock": {"evidence": "signed", "people": 2}}))
    assert "1 of 2 people" in send(run, "unlock", *signed(run, "unlock")).reason
    assert run.state is State.LOCKED
    assert "another person" in send(run, "unlock", *signed(run, "unlock")).reason
    assert send(run, "unlock", *signed(run, "unlock", BOB)).accepted
    assert run.state is State.MOCK


def test_two_people_must_decide_the_same_thing() -> None:
    run = ready("rollback", policy(decisions={"rollback": {"people": 2}}))
    assert send(run, "rollback", {**fields_of("rollback", run), "to_step": "b"}, None).accepted
    assert send(run, "rollback", fields_of("rollback", run, "bob"), None).accepted
    assert run.state is State.LIVE
    assert send(run, "rollback", {**fields_of("rollback", run, "bob"), "to_step": "b"}, None).accepted
    assert run.state is State.ROLLBACK


def test_a_voice_ends_with_the_stay_and_with_its_person() -> None:
    rules = policy(roles={"ops": ["alice", "bob"]}, decisions={"unlock": {"people": 2, "roles": ["ops"]}})
    run = ready("unlock", rules)
    send(run, "unlock", fields_of("unlock", run), None)
    run.apply(Event.UNLOCK, NOW)
    run.apply(Event.LOCK, NOW)
    assert "1 of 2" in send(run, "unlock", fields_of("unlock", run, "bob"), None).reason
    today = rules.model_copy(update={"roles": {"ops": ("alice", "carol")}})
    run.namespace = "default"
    assert "1 of 1" not in send(run, "unlock", fields_of("unlock", run), None, today=today).reason
    assert run.state is State.LOCKED


@pytest.mark.parametrize("decision", [name for name in EVERY if name != "lock"])
def test_a_key_that_today_lists_no_more_does_not_count(decision: str) -> None:
    run = ready(decision)
    today = SIGNED.model_copy(update={"authorized_keys": (BOB.line,)})
    assert not send(run, decision, *signed(run, decision), today=today).accepted
    assert send(run, decision, *signed(run, decision, BOB), today=today).accepted


def test_a_passkey_that_today_does_not_register_does_not_count() -> None:
    run = ready("abort")
    today = SIGNED.model_copy(update={"passkeys": ()})
    assert "no passkey is registered" in send(run, "abort", *signed(run, "abort", PAULA), today=today).reason


def test_a_role_counts_under_both_policies() -> None:
    plans = policy(roles={"ops": ["alice", "bob"]}, decisions={"rollback": {"roles": ["ops"]}})
    todays = policy(roles={"ops": ["bob", "carol"]}, decisions={"rollback": {"roles": ["ops"]}})
    for by, words in (("alice", "today's policy"), ("carol", "the plan's policy"), ("dora", "the plan's policy")):
        run = ready("rollback", plans)
        verdict = send(run, "rollback", fields_of("rollback", run, by), None, today=todays)
        assert not verdict.accepted
        assert words in verdict.reason, verdict
    run = ready("rollback", plans)
    assert send(run, "rollback", fields_of("rollback", run, "Bob"), None, today=todays).accepted


def test_today_can_demand_what_the_plan_did_not() -> None:
    run = ready("rollback", policy(**KEYS))
    refused = send(run, "rollback", fields_of("rollback", run), None, today=SIGNED)
    assert refused.reason.startswith("today's policy: it must be signed")
    assert send(run, "rollback", *signed(run, "rollback"), today=SIGNED).accepted


def test_rules_by_risk_apply_to_the_steps_that_are_decided_about() -> None:
    by_risk = {"HIGH": {"evidence": "passkey", "people": 2}}
    rules = policy(**KEYS, decisions={"approve": {"evidence": "signed", "by_risk": by_risk}})
    run = awaiting(plan(step("low", "read"), step("mail", "mail")), rules)
    run.namespace = "default"
    fields = {**fields_of("approve", run), "steps": ["mail"]}
    assert "with a passkey" in send(run, "approve", fields, ALICE.evidence(stated("approve", run, fields))).reason
    fields = {**fields_of("approve", run), "steps": ["low"]}
    assert send(run, "approve", fields, ALICE.evidence(stated("approve", run, fields))).accepted


def test_the_preview_says_what_an_approval_needs() -> None:
    high = {"HIGH": {"evidence": "passkey", "people": 2}}
    more = {"roles": ["boss"], "evidence": "signed", "not_after": ["unlock"], "by_risk": high}
    run = awaiting(PLAN, policy(**KEYS, roles={"boss": ["alice"]}, decisions={"approve": more}))
    text = preview_view(run).text
    assert "Approval: by the role boss, signed with an SSH key with --sign-key or --ssh-agent" in text
    assert "by a person who has not decided unlock here.\n" in text
    assert "Approval of HIGH risk" not in text, "no step of this plan has a HIGH risk"
    assert "Approval: " not in preview_view(awaiting(PLAN, policy())).text


def test_who_unlocked_may_not_approve_where_duties_are_apart() -> None:
    rules = policy(decisions={"approve": {"not_after": ["unlock"]}, "abort": {"not_requester": True}})
    run = ready("unlock", rules)
    assert send(run, "unlock", fields_of("unlock", run), None).accepted
    run = awaiting(PLAN, rules).model_copy(update={"audit": run.audit})
    assert "has decided unlock here" in send(run, "approve", fields_of("approve", run), None).reason
    assert "requested this" in send(run, "abort", fields_of("abort", run, "author"), None).reason
    assert send(run, "approve", fields_of("approve", run, "bob"), None).accepted


def test_a_message_in_the_name_of_a_gate_does_not_bar_the_person_it_names() -> None:
    rules = policy(decisions={"approve": {"not_after": ["lock"]}})
    run = ready("lock", rules)
    told = {**fields_of("lock", run, "alice"), "gate": True}
    assert send(run, "lock", told, None).accepted
    assert [entry.gate for entry in run.audit if entry.kind is AuditKind.DECISION] == [True]
    run = awaiting(PLAN, rules).model_copy(update={"audit": run.audit})
    assert send(run, "approve", fields_of("approve", run, "alice"), None).accepted


def test_without_rules_everything_counts_unsigned_as_before() -> None:
    for decision in EVERY:
        run = ready(decision, policy())
        assert send(run, decision, fields_of(decision, run), None).accepted, decision
        assert run.nonces is None


def test_without_the_extra_a_passkey_is_not_verified_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(passkey, "import_module", missing)
    passkey.ready.cache_clear()
    try:
        with pytest.raises(passkey.MissingExtra, match="airlock-temporal\\[passkeys\\]"):
            passkey.ready()
    finally:
        monkeypatch.undo()
        passkey.ready.cache_clear()


def test_people_who_settle_a_call_must_have_seen_the_same_output() -> None:
    run = ready("resolve", demanding("none", "resolve", people=2))
    fields = fields_of("resolve", run) | {"outcome": "retry"}
    assert "another person" in send(run, "resolve", {**fields, "output": 1}, None).reason
    assert "another person" in send(run, "resolve", {**fields, "by": "bob", "output": True}, None).reason
    assert run.state is State.LOCKED
