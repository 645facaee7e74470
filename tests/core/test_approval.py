"""Approval: one test for each refusal, and what an approval names and leaves out."""

from typing import Any

import pytest

from airlock.base.incoming import Verdict
from airlock.plans.state import Event, State
from airlock.run.decisions.approval import approved_steps, may_mean_next_seal
from airlock.run.messages import Approve, Deny
from airlock.run.outcome import Outcome
from airlock.run.rehearsal import begin_rehearsal, seal_run
from airlock.run.state import Run
from tests.core.approval_build import CHAIN, refused, rehearse_again
from tests.core.build import NOW, awaiting, call, later, live, plan, policy, preview, reassigned, rehearse, say, step


def test_the_whole_plan() -> None:
    run = awaiting(CHAIN)
    verdict = say(run, "approve")
    assert verdict == Verdict(accepted=True, reason="approval 1 of 1 counted")
    assert run.state is State.LIVE
    assert run.approved == ("a", "b", "c")
    assert run.audit[-1].by == "boss"


def test_a_decision_about_a_seal_that_is_not_known_yet_may_mean_the_next_one() -> None:
    """A worker that was lost may have shown that seal already; its decision waits for the dry runs to end."""
    run = awaiting(CHAIN)
    known, unknown = str(run.digest), "f" * 64
    assert not may_mean_next_seal(run, Approve(by="boss", digest=unknown)), "no dry run is under way"
    say(run, "lock")
    say(run, "unlock")
    begin_rehearsal(run, run.contracts())
    run.apply(Event.REHEARSED, NOW)
    assert run.state is State.DRY_RUN
    assert may_mean_next_seal(run, Approve(by="boss", digest=unknown))
    assert may_mean_next_seal(run, Deny(by="boss", reason="no", digest=unknown))
    for message in (
        Approve(by="boss", digest=known),
        Approve(by="boss", digest=unknown[:11]),
        Approve(by=run.requester, digest=unknown),
        Deny(by="boss", reason="no"),
        "approve",
    ):
        assert not may_mean_next_seal(run, message), message
    run.admitted = run.contracts().model_copy(update={"epoch": 1})
    assert not may_mean_next_seal(run, Approve(by="boss", digest=unknown)), "its history is that of an earlier release"


@pytest.mark.parametrize("length", [12, 16, 63, 64])
def test_a_prefix_will_do(length: int) -> None:
    run = awaiting(CHAIN)
    assert say(run, "approve", digest=str(run.digest)[:length]).accepted


def test_no_digest() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", digest=""), "name the digest", "12")


def test_a_short_digest() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", digest=str(run.digest)[:11]), "at least its first 12 characters")


def test_a_wrong_digest() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", digest="0" * 64), "not the digest of the current preview")


def test_a_replaced_digest_is_told_what_changed() -> None:
    run = awaiting(CHAIN)
    old = run.digest
    say(run, "lock")
    say(run, "unlock")
    rehearse(run, previews={"b": preview("b", effect="does something else")})
    verdict = say(run, "approve", digest=old)
    refused(run, verdict, "replaced")
    assert verdict.changed == ("steps.b.preview.effect",)


def test_a_digest_replaced_twice_is_told_all_that_changed() -> None:
    run = awaiting(CHAIN)
    old = run.digest
    run.previews = {name: preview(name, effect="2" if name == "a" else f"does {name}") for name in ("a", "b", "c", "weak")}
    seal_run(run, NOW)
    run.previews = {name: preview(name, effect="2" if name in "ab" else f"does {name}") for name in ("a", "b", "c", "weak")}
    seal_run(run, NOW)
    verdict = say(run, "approve", digest=old)
    refused(run, verdict, "replaced")
    assert verdict.changed == ("steps.a.preview.effect", "steps.b.preview.effect")


def test_an_approval_is_single_use_even_when_nothing_changed() -> None:
    run = awaiting(CHAIN)
    message = {"by": "boss", "digest": run.digest}
    assert say(run, "approve", **message).accepted
    say(run, "lock")
    say(run, "unlock")
    rehearse(run)
    refused_again = say(run, "approve", **message)
    assert not refused_again.accepted
    assert "replaced" in refused_again.reason
    assert run.state is State.AWAITING_APPROVAL


@pytest.mark.parametrize("state", [State.MOCK, State.DRY_RUN, State.LIVE, State.ROLLBACK, State.LOCKED])
def test_not_awaiting(state: State) -> None:
    run = awaiting(CHAIN)
    run.state = state
    verdict = say(run, "approve")
    assert not verdict.accepted
    assert verdict.reason == f"the plan is in {state.value}, it does not wait for approval"
    assert run.state is state
    assert run.votes == ()


def test_before_there_is_a_seal() -> None:
    run = Run(plan=CHAIN, submitted_at=NOW, since=NOW)
    refused(run, say(run, "approve", digest="0" * 64), "no seal", "MOCK")


def test_the_requester() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", by="author"), "requested this plan")
    refused(run, say(run, "approve", by="  author "), "requested this plan")


def test_an_agent_of_the_plan() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", by="bot"), "agents propose, they never approve")


def test_neither_may_approve_by_being_listed() -> None:
    run = awaiting(CHAIN, policy(approvers=["author", "bot", "boss"]))
    refused(run, say(run, "approve", by="author"), "requested")
    refused(run, say(run, "approve", by="bot"), "agent")


def test_not_among_the_approvers() -> None:
    run = awaiting(CHAIN, policy(approvers=["ann", "bob"]))
    refused(run, say(run, "approve", by="boss"), "not among the approvers (ann, bob)")


def test_twice() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    assert say(run, "approve").accepted
    refused(run, say(run, "approve"), "one vote per approver")
    refused(run, say(run, "approve", steps=["a"]), "one vote per approver")


def test_after_the_approval() -> None:
    run = awaiting(CHAIN)
    assert say(run, "approve").accepted
    verdict = say(run, "approve", by="second")
    assert not verdict.accepted
    assert "does not wait" in verdict.reason


def test_an_unknown_step() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", steps=["a", "nope"]), "no step 'nope'")


def test_a_step_that_cannot_go_live() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", steps=["weak"]), "'weak' cannot go live", "confidence 0.70")


def test_a_step_that_is_live_already() -> None:
    run = awaiting(CHAIN)
    call(run, live("a"))
    rehearse_again(run)
    refused(run, say(run, "approve", steps=["a"]), "it is live already")


def test_a_step_whose_dependency_is_not_approved() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", steps=["b"]), "'b' depends on a: approve that too")
    refused(run, say(run, "approve", steps=["c"]), "'c' depends on a, b")


def test_a_step_whose_dependency_is_behind_a_waived_one() -> None:
    # the policy waives `look`, but `look` cannot go without `a`
    proposed = plan(step("a"), step("look", "read", "a"), step("b", "write", "look"))
    run = awaiting(proposed, policy(approval_waived_for=["LOW"]))
    refused(run, say(run, "approve", steps=["b"]), "'b' depends on a: approve that too")
    assert say(run, "approve", steps=["b", "a"]).accepted
    assert run.approved == ("a", "look", "b")


def test_empty_steps() -> None:
    run = awaiting(CHAIN)
    refused(run, say(run, "approve", steps=[]), "steps is empty")


@pytest.mark.parametrize(("hours", "counts"), [(23.99, True), (24, False), (1000, False)])
def test_expired(hours: float, counts: bool) -> None:
    run = awaiting(CHAIN)
    verdict = say(run, "approve", now=later(hours))
    assert verdict.accepted is counts
    if not counts:
        refused(run, verdict, "the time for approval has expired")


def test_the_plans_deadline_ends_the_wait_when_it_is_sooner() -> None:
    hurried = plan(step("a"), deadline="1h")
    run = awaiting(hurried)
    assert run.expires_at == later(1)
    refused(run, say(run, "approve", now=later(1)), "the time for approval has expired")
    assert awaiting(hurried, policy(approval_timeout="30m")).expires_at == later(0.5)


@pytest.mark.parametrize("outcome", [Outcome.DENIED, Outcome.EXPIRED, Outcome.ABORTED])
def test_ended(outcome: Outcome) -> None:
    run = awaiting(CHAIN)
    run.apply(Event.EXPIRED if outcome is Outcome.EXPIRED else Event.DENIED, NOW)
    run.outcome = outcome
    for name, more in MESSAGES.items():
        refused(run, say(run, name, **more), f"the plan has ended ({outcome.value})")


MESSAGES: dict[str, dict[str, Any]] = {
    "approve": {},
    "deny": {},
    "lock": {},
    "unlock": {},
    "rollback": {},
    "abort": {},
    "resolve": {"step": "a", "outcome": "happened"},
}


def test_ended_without_an_outcome_yet() -> None:
    run = awaiting(CHAIN)
    run.state = State.COMPLETED
    for name, more in MESSAGES.items():
        refused(run, say(run, name, **more), "the plan has ended (completed)")


def test_an_agent_that_a_conflict_gave_a_step_cannot_approve_it() -> None:
    run = awaiting(plan(step("a")))
    run.admitted = reassigned(run.contracts(), "a", "crm")
    assert not say(run, "approve", by="crm").accepted
    assert say(run, "approve", by="boss").accepted


def test_an_approval_of_some_steps_names_those_that_it_leaves_out() -> None:
    run = awaiting(plan(step("a"), step("b"), step("c", "write", "a"), step("d")), policy(approvals_required=2))
    assert say(run, "approve", steps=["a", "c"]).reason == "approval 1 of 2 counted; it leaves out b and d"
    assert say(run, "approve", by="bob", steps=["a", "b", "c"]).reason == "approval 2 of 2 counted; it leaves out d"
    assert (run.approved, run.audit[-1].reason) == (("a", "c"), "2 steps approved; not approved: b and d")


def test_an_approval_that_leaves_out_many_steps_names_the_first_ones() -> None:
    run = awaiting(plan(*(step(f"s{number:02}") for number in range(30))))
    assert say(run, "approve", steps=["s00"]).reason.endswith("s08, s09, s10 and 19 more")
    assert run.audit[-1].reason.startswith("1 step approved; not approved: s01, s02,")


def test_an_approval_of_everything_leaves_nothing_out() -> None:
    run = awaiting(plan(step("a"), step("b")), policy(approval_waived_for=["MEDIUM"], approvals_required=2))
    assert approved_steps(run) == ("a", "b")
    run = awaiting(plan(step("a"), step("pay", "pay")), policy(approval_waived_for=["MEDIUM"]))
    assert say(run, "approve", steps=["pay"]).reason == "approval 1 of 1 counted"
    assert run.audit[-1].reason == "2 steps approved"
