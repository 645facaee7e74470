"""The check of who decided, from an export alone: roles, evidence, people and duties, by the policy that was sealed."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airlock.admission.policy import Policy
from airlock.export.authority_check import authority_faults
from airlock.export.lines import AuditEvent
from airlock.export.plan_lines import PlanRecord, plan_record
from airlock.export.seal_traces import TracedEntry
from airlock.plans.outcome import CallInDoubt
from airlock.plans.state import Event, State
from airlock.run.audit import AuditEntry, AuditKind
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, call, live, live_run, new_run, plan, policy, rehearse, say, step
from tests.core.export_build import trace
from tests.core.exported_seals import checked

PLAN = plan(step("a"), step("m", "mail", "a"))
Change = Callable[[AuditEntry], AuditEntry | None]


def checked_record(record: PlanRecord) -> tuple[list[str], list[str]]:
    notes: list[str] = []
    return list(authority_faults(record, notes)), notes


def under(run: Run, rules: Policy) -> PlanRecord:
    """The record of a run as if this policy had been sealed."""
    record = plan_record(trace(run))
    told = rules.model_dump(mode="json")
    return record.model_copy(update={"seals": tuple(seal.model_copy(update={"policy": told}) for seal in record.seals)})


def faults(run: Run, **decisions: Any) -> list[str]:
    """The faults of a run if its policy had had these rules."""
    rules = Policy.model_construct(**{**policy().__dict__, "roles": ROLES})
    return checked_record(under(run, rules.model_copy(update={"decisions": _rules(decisions)})))[0]


ROLES = {"ops": ("alice", "@leads"), "leads": ("Bob",)}


def _rules(decisions: dict[str, Any]) -> Any:
    return policy(roles={name: list(people) for name, people in ROLES.items()}, decisions=decisions).decisions


def locked(by: str = "alice") -> Run:
    run = awaiting(PLAN)
    say(run, "lock", by=by)
    return run


def unlocked(*by: str) -> Run:
    run = locked()
    run.admitted = run.contracts().model_copy(update={"policy": policy(decisions={"unlock": {"people": len(by)}})})
    for each in by:
        assert say(run, "unlock", by=each).accepted
    assert run.state is State.MOCK
    return run


def denied(by: str) -> Run:
    run = awaiting(PLAN)
    say(run, "deny", by=by)
    return run


def rolled_back(by: str) -> Run:
    run = call(live_run(PLAN), live("a"))
    assert say(run, "rollback", by=by).accepted
    return run


def aborted(by: str) -> Run:
    run = awaiting(PLAN)
    say(run, "abort", by=by)
    return run


def settled(by: str, step_id: str = "m") -> Run:
    run = call(live_run(PLAN), live("a"), CallInDoubt(step=step_id, error="lost"), after=True)
    assert say(run, "resolve", by=by, step=step_id, outcome="happened").accepted
    return run


MADE: dict[str, Callable[[str], Run]] = {
    "deny": denied, "lock": locked, "unlock": lambda by: unlocked(by), "rollback": rolled_back, "abort": aborted,
    "resolve": settled,
}  # fmt: skip


@pytest.mark.parametrize("decision", MADE)
def test_a_person_without_the_role_that_the_sealed_policy_asks_for_is_found(decision: str) -> None:
    for fit in ("alice", "bob", "ALICE"):
        assert faults(MADE[decision](fit), **{decision: {"roles": ["ops"]}}) == []
    (found,) = faults(MADE[decision]("eve"), **{decision: {"roles": ["ops"]}})
    assert f"{decision} by 'eve', who has not the role ops" in found


@pytest.mark.parametrize("decision", MADE)
def test_an_unsigned_decision_is_found_where_the_policy_demands_evidence(decision: str) -> None:
    run = MADE[decision]("alice")
    (found,) = faults(run, **{decision: {"evidence": "signed"}})
    assert f"{decision} by 'alice' is not signed" in found
    assert faults(run, **{decision: {"by_risk": {"LOW": {"evidence": "passkey"}}}}) == []
    (found,) = faults(run, **{decision: {"by_risk": {"HIGH": {"evidence": "passkey"}}}})
    assert "is not signed" in found


def test_a_settlement_is_about_the_risk_of_its_step() -> None:
    rules = {"by_risk": {"HIGH": {"evidence": "passkey"}}}
    assert len(faults(settled("alice", "m"), resolve=rules)) == 1
    assert faults(settled("alice", "m"), resolve={"by_risk": {"LOW": {"evidence": "passkey"}}}) == []


@pytest.mark.parametrize("decision", ["unlock", "rollback", "abort", "resolve"])
def test_too_few_people_are_found(decision: str) -> None:
    (found,) = faults(MADE[decision]("alice"), **{decision: {"people": 2}})
    assert found.endswith(f"{decision} by alice, and the sealed policy asks for 2 people")
    assert faults(unlocked("alice", "bob"), unlock={"people": 2}) == []
    assert len(faults(unlocked("alice", "bob"), unlock={"people": 3})) == 1


def rewritten(run: Run, change: Change) -> PlanRecord:
    """The record of a run with other entries, hashed as if they had always been so."""
    told = trace(run)
    entries: list[TracedEntry] = []
    for one in told.entries:
        if (entry := change(one.entry)) is not None:
            entries.append(one.model_copy(update={"entry": entry}))
    return plan_record(told.model_copy(update={"entries": tuple(entries)}))


def changed(run: Run, change: Change) -> tuple[list[str], list[str]]:
    return checked_record(rewritten(run, change))


def strict(run: Run, rules: Policy) -> Run:
    """The run as if its policy had been this one from the beginning."""
    run.admitted = run.contracts().model_copy(update={"policy": rules})
    return run


def test_a_voice_that_is_missing_the_same_person_twice_or_too_old_is_found() -> None:
    rules = policy(decisions={"unlock": {"people": 2}}, approval_valid_for="10m")
    run = awaiting(PLAN, rules)
    say(run, "lock", by="alice")
    say(run, "unlock", by="alice")
    say(run, "unlock", NOW + timedelta(minutes=1), by="bob")
    assert run.state is State.MOCK
    assert checked(plan_record(trace(run)))[0] is None
    first = next(entry.number for entry in run.audit if entry.what == "unlock")

    def without(entry: AuditEntry) -> AuditEntry | None:
        return None if entry.number == first else entry

    def twice(entry: AuditEntry) -> AuditEntry:
        return entry.model_copy(update={"by": "BOB"}) if entry.number == first else entry

    def old(entry: AuditEntry) -> AuditEntry:
        return entry.model_copy(update={"at": entry.at - timedelta(hours=1)}) if entry.number == first else entry

    def alone(entry: AuditEntry) -> AuditEntry | None:
        return None if entry.what == "unlock" and entry.kind is AuditKind.DECISION else entry

    for change, words in ((without, "unlock by bob"), (twice, "unlock by BOB"), (old, "unlock by bob")):
        (found,), _ = changed(run, change)
        assert words in found
        assert "asks for 2 people" in found
    (found,), _ = changed(run, alone)
    assert "unlock by 'bob', who has decided nothing of the kind before it" in found


def test_people_who_went_back_to_different_steps_have_not_decided_the_same() -> None:
    run = call(live_run(PLAN, policy(decisions={"rollback": {"people": 2}})), live("a"))
    say(run, "rollback", by="alice", to_step="m")
    say(run, "rollback", by="bob")
    say(run, "rollback", by="carol")
    assert run.state is State.ROLLBACK
    assert checked(plan_record(trace(run)))[0] is None

    def other(entry: AuditEntry) -> AuditEntry:
        return entry.model_copy(update={"step": "m"}) if (entry.by, entry.what) == ("bob", "rollback") else entry

    (found,), _ = changed(run, other)
    assert "rollback by carol" in found


def test_separate_duties_are_checked() -> None:
    run = unlocked("alice")
    assert faults(run, unlock={"not_after": ["lock"]}) == [
        found for found in faults(run, unlock={"not_after": ["lock"]}) if "who has decided lock" in found
    ]
    assert len(faults(run, unlock={"not_after": ["lock"]})) == 1
    assert faults(run, unlock={"not_after": ["deny"]}) == []
    (found,) = faults(denied("author"), deny={"not_requester": True})
    assert "who requested this" in found
    assert faults(denied("alice"), deny={"not_requester": True}) == []
    assert faults(aborted("author"), abort={"not_requester": True}) == []  # it may be the withdrawal of its requester


def test_an_approval_of_a_person_without_the_role_is_found() -> None:
    run = awaiting(PLAN)
    say(run, "approve", by="eve")
    assert "approve by 'eve', who has not the role ops" in faults(run, approve={"roles": ["ops"]})[0]
    assert faults(run, approve={"evidence": "signed"}) == []  # the line of the approval is checked for that


def test_a_decision_is_judged_by_the_policy_of_its_own_admission() -> None:
    first = policy(roles={"ops": ["alice"]}, decisions={"unlock": {"roles": ["ops"]}, "abort": {"roles": ["ops"]}})
    later = policy(roles={"ops": ["bob"]}, decisions={"unlock": {"roles": ["ops"]}, "abort": {"roles": ["ops"]}})
    run = awaiting(PLAN, first)
    say(run, "lock", by="x")
    assert say(run, "unlock", by="alice").accepted
    run.record(AuditKind.ADMISSION, "admitted", NOW)
    strict(run, later)
    say(run, "lock", by="x")
    assert say(run, "unlock", by="bob").accepted  # while it is rehearsed, under the policy of the next seal
    rehearse(strict(run, later))
    assert say(run, "abort", by="bob").accepted
    assert len({entry.digest for entry in run.audit} - {None}) == 2
    record = plan_record(trace(run))
    assert [seal.policy["roles"] for seal in record.seals if seal.policy] == [{"ops": ["alice"]}, {"ops": ["bob"]}]
    assert checked_record(record) == ([], [])


def test_what_was_decided_before_the_first_admission_is_noted_and_no_fault() -> None:
    run = new_run(PLAN, policy(decisions={"lock": {"evidence": "signed"}, "unlock": {"people": 2}}))
    admitted, run.admitted = run.admitted, None
    say(run, "lock", by="eve")
    say(run, "unlock", by="eve")
    run.admitted = admitted
    run.record(AuditKind.ADMISSION, "admitted", NOW)
    rehearse(run)
    found, notes = checked_record(plan_record(trace(run)))
    assert found == []
    (note,) = notes
    assert "lock by 'eve' is not signed" in note
    assert "the policy before the first admission, which is not in the record, may have allowed it" in note


def test_rules_that_this_version_cannot_read_are_noted() -> None:
    record = under(denied("eve"), policy())
    seal = record.seals[0]
    odd = {**(seal.policy or {}), "decisions": {"fly": {"evidence": "wings"}}}
    found, notes = checked_record(record.model_copy(update={"seals": (seal.model_copy(update={"policy": odd}),)}))
    assert found == []
    assert "cannot read the rules of its policy" in notes[0]


def test_an_undo_whose_request_is_not_in_the_record_is_noted_where_it_must_be_signed() -> None:
    for evidence, expected in (("signed", 1), ("none", 0)):
        record = plan_record(trace(awaiting(PLAN, policy(decisions={"rollback": {"evidence": evidence}})), undo=True))
        found, notes = checked_record(record)
        assert found == []
        assert len(notes) == expected
        assert all("that 'author' asked for this undo is not proved by this record" in note for note in notes)


def test_messages_of_gates_and_of_airlock_are_not_judged_as_decisions_of_people() -> None:
    run = awaiting(PLAN)
    say(run, "lock", by="eve", gate=True)
    say(run, "unlock", by="eve", gate=True)
    assert faults(run, lock={"evidence": "signed"}, unlock={"people": 2, "roles": ["ops"]}) == []
    run = awaiting(PLAN)
    run.apply(Event.LOCK, NOW, by="airlock")
    assert faults(run, lock={"evidence": "signed"}) == []


def test_the_check_of_an_export_names_it() -> None:
    rules = policy(roles={"ops": ["alice"]}, decisions={"unlock": {"roles": ["ops"]}})
    run = awaiting(PLAN, rules)
    say(run, "lock", by="alice")
    say(run, "unlock", by="alice")
    record = rewritten(run, lambda one: one.model_copy(update={"by": "eve"}) if one.what == "unlock" else one)
    message, _ = checked(record)
    assert message is not None
    assert "unlock by 'eve', who has not the role ops that the sealed policy asks for" in message
    assert isinstance(record.execution.events[0], AuditEvent)


def guarded() -> Run:
    """A plan under rules about every decision: locked, unlocked by two people, approved by two, rolled back by two."""
    rules = policy(
        roles={"ops": ["alice", "@leads"], "leads": ["bob"]},
        approval_valid_for="1h",
        decisions={
            "lock": {"roles": ["ops"]},
            "unlock": {"roles": ["ops"], "people": 2},
            "approve": {"not_after": ["lock"], "by_risk": {"HIGH": {"people": 2}}},
            "rollback": {"roles": ["ops"], "people": 2, "not_requester": True},
            "resolve": {"evidence": "ssh"},
        },
    )
    run = awaiting(plan(step("m", "mail")), rules)
    say(run, "lock", by="bob")
    say(run, "unlock", by="alice")
    say(run, "unlock", by="Bob")
    run.record(AuditKind.ADMISSION, "admitted", NOW)
    rehearse(run)
    say(run, "approve", by="carol")
    say(run, "approve", by="dora")
    call(run, live("m"))
    say(run, "rollback", by="alice")
    assert say(run, "rollback", by="bob").accepted
    assert run.state is State.ROLLBACK
    return run


def _of(what: str, **update: Any) -> Change:
    return lambda one: (
        one.model_copy(update=update) if one.what == what and one.kind in (AuditKind.DECISION, AuditKind.TRANSITION) else one
    )


FORGED: dict[str, Change] = {
    "lock by eve": _of("lock", by="eve"),
    "unlock by eve": _of("unlock", by="eve"),
    "unlock by one": lambda one: None if one.what == "unlock" and one.by == "alice" else one,
    "unlock by nobody": lambda one: None if one.what == "unlock" and one.kind is AuditKind.DECISION else one,
    "unlock of long ago": lambda one: (
        one.model_copy(update={"at": one.at - timedelta(hours=2)}) if one.what == "unlock" and one.by == "alice" else one
    ),
    "rollback by the requester": _of("rollback", by="author"),
    "rollback to another step": lambda one: (
        one.model_copy(update={"step": "m"}) if one.what == "rollback" and one.by == "alice" else one
    ),
    "one approval of a HIGH risk": lambda one: None if one.what == "approve" and one.by == "carol" else one,
    "approved after a lock": _of("lock", by="Carol"),
    "settled without a key": lambda one: (
        one.model_copy(update={"what": "resolve", "step": "m"}) if one.what == "rollback" and one.by == "alice" else one
    ),
}


def test_a_guarded_plan_is_as_it_should_be() -> None:
    record = plan_record(trace(guarded()))
    assert checked_record(record) == ([], [])
    assert checked(record)[0] is None


@pytest.mark.parametrize("name", FORGED)
def test_every_forged_decision_is_named(name: str) -> None:
    assert checked(rewritten(guarded(), FORGED[name]))[0] is not None
