"""Conflicts as the approver and the audit are told of them."""

import pytest

from airlock.admission.ceiling import Cap
from airlock.admission.conflicts.conflict import Answer, Conflict, ConflictKind, with_another_plan
from airlock.admission.policy import Policy
from airlock.plans.contract import Mode
from airlock.plans.plan import Plan
from airlock.plans.seal import seal
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.presentation.preview import approve_command, render_preview
from airlock.run.rehearsal import begin_rehearsal, record_conflicts
from airlock.run.sealing.sealed import Sealed
from airlock.run.state import Run
from tests.core.build import NOW, OPEN_POLICY, plan, policy, rehearse, step
from tests.core.conflict_build import AGENTS, answered, on, wrote


def sealed_run(proposed: Plan, rules: Policy = OPEN_POLICY) -> Run:
    run = Run(plan=proposed, submitted_at=NOW, since=NOW)
    begin_rehearsal(run, answered(proposed, rules))
    return rehearse(run)


def test_the_approver_sees_conflicts_and_who_does_a_step_now() -> None:
    steps = step("a", "charge"), step("o", "open", agent="clerk"), on("x", "jo", agent="clerk"), on("y", "jo", agent="clerk")
    run = sealed_run(plan(*steps), Policy.model_validate({"agents": AGENTS}))
    assert run.state is State.AWAITING_APPROVAL
    assert run.sealed is not None
    text = render_preview(run.sealed, str(run.digest)).split("\n")
    start = text.index("Conflicts:")
    assert text[start + 1 : start + 3] == [
        "  ORDERING -> REASSIGN: a (charge) needs open before it; a is moved behind o, "
        "and from bot to clerk, who may call it",
        "  RESOURCE -> DELAY: x and y both need row:jo; y waits for x",
    ]
    assert "  ~ a  charge  by clerk  [MEDIUM, compensable] -> LIVE" in text
    assert "      agent moved from bot to clerk" in text
    assert "      after: o" in text
    both = run.sealed.model_copy(update={"approvers": ("bot", "clerk", "ann")})
    assert '"by": "ann"' in approve_command(both, str(run.digest))


def test_a_seal_from_before_there_were_conflicts_keeps_its_digest() -> None:
    run = sealed_run(plan(on("a", "jo")))
    assert run.sealed is not None
    old = {name: value for name, value in run.sealed.model_dump(mode="json").items() if name not in ("conflicts", "undo")}
    for each in old["steps"]:
        del each["moved_from"]
    assert seal(Sealed.model_validate(old)) == run.digest
    assert "Conflicts:" not in render_preview(run.sealed, str(run.digest))
    with_conflict = Conflict(kind=ConflictKind.RESOURCE, answer=Answer.DELAY, steps=("a",), detail="x")
    assert seal(run.sealed.model_copy(update={"conflicts": (with_conflict,)})) != run.digest


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (State.AWAITING_APPROVAL, "another plan, plan-x, awaits approval for contact:jo@acme.test"),
        (State.LIVE, "another plan, plan-x, is live with contact:jo@acme.test"),
        (State.MOCK, "another plan, plan-x, is being rehearsed with contact:jo@acme.test"),
        (State.LOCKED, "another plan, plan-x, is locked and touches contact:jo@acme.test"),
        (None, "another plan, plan-x, is open and touches contact:jo@acme.test"),
    ],
)
def test_what_is_said_of_another_plan(state: State | None, sentence: str) -> None:
    found = with_another_plan("a", "contact:jo@acme.test", "plan-x", state)
    assert (found.detail, found.other, found.answer) == (sentence, "plan-x", Answer.DELAY)


def test_every_conflict_is_in_the_audit() -> None:
    run = sealed_run(plan(wrote("a", "jo"), wrote("b", "jo"), on("x", "jo"), on("y", "jo")))
    record_conflicts(run, run.contracts().conflicts, NOW)
    entries = [entry for entry in run.audit if entry.kind is AuditKind.CONFLICT]
    assert [(entry.what, entry.answer, entry.step) for entry in entries] == [
        ("DUPLICATE_ACTION", "ABORT", "a"),
        ("RESOURCE", "DELAY", "x"),
    ]
    assert entries[1].reason == "x and y both need row:jo; y waits for x"


def test_a_cap_says_which_conflict_it_comes_from() -> None:
    found = answered(plan(wrote("a", "jo"), wrote("b", "jo")))
    assert Cap(mode=Mode.MOCK, reason="DUPLICATE_ACTION: step a of this plan is the same call") in found.caps["b"]


def test_a_policy_of_dry_runs_only_has_no_conflicts_about_calls() -> None:
    proposed = plan(wrote("a", "jo"), wrote("b", "jo"), on("x", "jo"), on("y", "jo"), deadline="1s")
    assert answered(proposed, policy(dry_run_only=True)).conflicts == ()
