"""The quorum of approvals: votes are counted step by step, and the policy waives some steps."""

from hypothesis import given
from hypothesis import strategies as st

from airlock.plans.state import State
from airlock.run.decisions.approval import approved_steps, waived_by_policy
from airlock.run.rehearsal import seal_run
from tests.core.approval_build import CHAIN, refused, rehearse_again
from tests.core.build import NOW, awaiting, call, dags, live, plan, plan_of, policy, say, step, waive


def test_a_quorum_of_two() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    verdict = say(run, "approve", by="ann")
    assert verdict.reason == "approval 1 of 2 counted"
    assert run.state is State.AWAITING_APPROVAL
    assert run.approved == ()
    assert say(run, "approve", by="bob").reason == "approval 2 of 2 counted"
    assert run.state is State.LIVE
    assert run.approved == ("a", "b", "c")
    assert run.audit[-1].by == "ann, bob"


def test_one_approver_cannot_be_two_by_writing_the_name_otherwise() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    assert say(run, "approve", by="ann").accepted
    refused(run, say(run, "approve", by=" ann "), "one vote")


def test_a_part_of_the_plan() -> None:
    run = awaiting(CHAIN)
    assert say(run, "approve", steps=["b", "a"]).accepted
    assert run.approved == ("a", "b")


def test_a_quorum_is_counted_step_by_step() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    say(run, "approve", by="ann", steps=["a"])
    say(run, "approve", by="bob")
    assert run.state is State.LIVE
    assert run.approved == ("a",)


def test_two_voices_for_different_steps_are_no_quorum() -> None:
    run = awaiting(plan(step("a"), step("b")), policy(approvals_required=2))
    say(run, "approve", by="ann", steps=["a"])
    say(run, "approve", by="bob", steps=["b"])
    assert run.state is State.AWAITING_APPROVAL
    say(run, "approve", by="eve")
    assert run.approved == ("a", "b")


def test_naming_a_step_many_times_counts_once() -> None:
    run = awaiting(plan(step("a"), step("b")), policy(approvals_required=2))
    assert say(run, "approve", by="ann", steps=["a"] * 5_000).accepted
    assert run.approved == ()


def test_a_new_seal_forgets_the_votes() -> None:
    run = awaiting(CHAIN, policy(approvals_required=2))
    say(run, "approve", by="ann")
    rehearse_again(run)
    assert run.votes == ()
    say(run, "approve", by="bob")
    assert run.state is State.AWAITING_APPROVAL


# what the policy waives

WAIVE_LOW = policy(approval_waived_for=["LOW"])


def test_a_plan_of_waived_steps_only() -> None:
    run = awaiting(plan(step("a", "read"), step("b", "read", "a")), WAIVE_LOW)
    assert waived_by_policy(run)
    waive(run)
    assert run.state is State.LIVE
    assert run.approved == ("a", "b")
    assert run.audit[-1].by == "policy"


def test_waived_steps_wait_for_the_others() -> None:
    run = awaiting(plan(step("a", "read"), step("b", "write", "a"), step("c")), WAIVE_LOW)
    assert not waived_by_policy(run)
    assert approved_steps(run) == ()
    assert say(run, "approve", steps=["b"]).accepted
    assert run.approved == ("a", "b")


def test_waived_steps_count_as_no_voice_of_a_quorum() -> None:
    rules = policy(approval_waived_for=["LOW"], approvals_required=2)
    run = awaiting(plan(step("a", "read"), step("b")), rules)
    say(run, "approve")
    assert run.state is State.AWAITING_APPROVAL
    assert run.approved == ()


def test_irreversible_and_high_are_not_waived() -> None:
    rules = policy(approval_waived_for=["LOW", "MEDIUM", "HIGH"])
    for tool in ("pay", "mail", "post"):
        assert not waived_by_policy(awaiting(plan(step("a", tool)), rules))
    loose = policy(approval_waived_for=["HIGH"], approval_required_for_high_risk=False)
    assert waived_by_policy(awaiting(plan(step("a", "pay")), loose))
    assert not waived_by_policy(awaiting(plan(step("a", "mail")), loose))


def test_nothing_is_waived_when_nothing_may_go_live() -> None:
    run = awaiting(plan(step("a", "read")), WAIVE_LOW)
    call(run, live("a"))
    run.previews = {}
    seal_run(run, NOW)
    assert not waived_by_policy(run)
    assert approved_steps(run) == ()


@given(dags(), st.data())
def test_approved_steps_have_their_quorum_and_their_dependencies(
    parents: dict[str, tuple[str, ...]], data: st.DataObject
) -> None:
    tools = {name: data.draw(st.sampled_from(("read", "write", "mail"))) for name in parents}
    needed = data.draw(st.integers(1, 3))
    run = awaiting(plan_of(parents, tools), policy(approvals_required=needed, approval_waived_for=["LOW"]))
    if waived_by_policy(run):
        waive(run)
    for number in range(4):
        chosen = data.draw(st.none() | st.lists(st.sampled_from(sorted(parents)), min_size=1))
        fields = {} if chosen is None else {"steps": chosen}
        say(run, "approve", by=f"person-{number}", **fields)
    assert (run.state is State.LIVE) is bool(run.approved)
    for name in run.approved:
        voices = {v.approval.by for v in run.votes if v.approval.steps is None or name in v.approval.steps}
        assert len(voices) >= needed or tools[name] == "read"
        assert set(parents[name]) <= set(run.approved)
