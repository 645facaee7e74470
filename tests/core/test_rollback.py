"""Failed calls and rollback: a second approval, compensations, and what they leave."""

import pytest

from airlock.plans.outcome import CallStale, ProbeAnswer, UndoFailed, Undone
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallStatus
from airlock.run.live.call_results import after_calls, after_rollback, keep, outcome_of, take_probe, take_undo
from airlock.run.outcome import Outcome
from airlock.run.state import Run
from airlock.run.undo_scope import steps_to_undo
from tests.core.build import NOW, call, failed, live, live_run, rehearse, say
from tests.core.calls_build import CHAIN, KEEP, in_doubt, rolling, status


def test_a_failed_call_can_be_approved_again() -> None:
    run = call(live_run(CHAIN, KEEP), live("a"), failed("b", undo={"token": "half"}), after=True)
    assert say(run, "unlock").accepted
    rehearse(run)
    assert say(run, "approve").accepted
    assert run.steps_with[CallStatus.FAILED] == (), "an old failure must not stop the new calls"
    assert run.steps_with[CallStatus.FAILED_BEFORE] == ("b",)
    after_calls(run, [CallStale(step="r", error="moved")], NOW, deadline_passed=False)
    assert run.state is State.DRY_RUN, "an old failure must not fail the plan again"
    rehearse(run)
    say(run, "approve")
    call(run, live("b"), live("c"), live("r"), after=True)
    assert outcome_of(run) is Outcome.COMPLETED


def test_a_failed_call_that_is_not_approved_again_stays_undone_work() -> None:
    run = call(live_run(CHAIN, KEEP), live("a"), failed("b", undo={"token": "half"}), after=True)
    say(run, "unlock")
    rehearse(run)
    assert say(run, "approve", steps=["r"]).accepted
    call(run, live("r"), after=True)
    assert run.state is State.COMPLETED
    assert outcome_of(run) is Outcome.PARTIAL
    assert steps_to_undo(run) == ("a", "b", "r")


def test_a_second_failure_keeps_the_first_token() -> None:
    run = call(live_run(CHAIN, KEEP), live("a"), failed("b", undo={"token": "half"}), after=True)
    say(run, "unlock")
    rehearse(run)
    say(run, "approve")
    call(run, failed("b"), after=True)
    assert run.calls["b"].undo == {"token": "half"}


def test_a_call_that_failed_before_it_wrote_needs_no_undo_later() -> None:
    run = call(live_run(CHAIN, KEEP), live("a"), failed("b"), after=True)
    say(run, "unlock")
    assert steps_to_undo(run) == ("a",)


def test_everything_called_is_covered() -> None:
    assert steps_to_undo(rolling()) == ("a", "b", "c", "r")


@pytest.mark.parametrize(
    ("to_step", "covered"),
    [("a", ("a", "b", "c", "r")), ("r", ("b", "c", "r")), ("b", ("b", "c")), ("c", ("c",))],
)
def test_back_to_a_step(to_step: str, covered: tuple[str, ...]) -> None:
    assert steps_to_undo(rolling(to_step)) == covered


def test_back_to_a_step_that_was_never_called() -> None:
    run = call(live_run(CHAIN), live("a"), live("r"))
    say(run, "rollback", to_step="b")
    assert steps_to_undo(run) == ()
    after_rollback(run, NOW)
    assert run.state is State.ABORTED


def test_back_to_a_step_before_the_plan_was_even_admitted() -> None:
    run = Run(plan=CHAIN, submitted_at=NOW, since=NOW)
    assert say(run, "lock").accepted
    assert say(run, "rollback", to_step="a").accepted
    assert steps_to_undo(run) == ()
    after_rollback(run, NOW)
    assert run.state is State.ABORTED


def test_everything_compensated() -> None:
    run = rolling()
    keep(run, "c", NOW)
    for name in ("b", "a"):
        take_undo(run, Undone(step=name), NOW)
    after_rollback(run, NOW)
    assert run.state is State.ABORTED
    assert outcome_of(run) is Outcome.ABORTED
    assert [status(run, name) for name in "abcr"] == ["undone", "undone", "kept", "live"]
    assert run.calls["a"].undone == 1
    assert set(run.outputs) == {"c", "r"}
    assert [entry.what for entry in run.audit if entry.kind is AuditKind.UNDO] == ["kept", "undone", "undone"]


def test_a_rollback_is_not_over_while_something_is_left() -> None:
    run = rolling()
    take_undo(run, Undone(step="b"), NOW)
    after_rollback(run, NOW)
    assert run.state is State.ROLLBACK


def test_a_call_that_a_probe_finds_during_the_rollback_is_undone_too() -> None:
    run = in_doubt(after=True)
    say(run, "rollback")
    take_undo(run, Undone(step="a"), NOW)
    take_probe(run, ProbeAnswer(step="b", happened=True), NOW)
    after_rollback(run, NOW)
    assert run.state is State.ROLLBACK
    assert steps_to_undo(run) == ("b",)


def test_a_failed_compensation_parks() -> None:
    run = rolling()
    take_undo(run, UndoFailed(step="b", error="503"), NOW)
    after_rollback(run, NOW)
    assert run.state is State.LOCKED
    assert run.parked == ("b",)
    assert run.why == "step 'b' needs a human: 503"
    assert "b" not in steps_to_undo(run)


@pytest.mark.parametrize(
    ("outcome", "becomes"),
    [("retry", "live"), ("skip", "kept"), ("compensated", "undone"), ("happened", None), ("did_not_happen", None)],
)
def test_settling_a_failed_compensation(outcome: str, becomes: str | None) -> None:
    run = rolling()
    take_undo(run, UndoFailed(step="b", error="503"), NOW)
    after_rollback(run, NOW)
    verdict = say(run, "resolve", step="b", outcome=outcome)
    assert verdict.accepted is (becomes is not None)
    assert status(run, "b") == (becomes or "undo_failed")
    assert run.state is (State.ROLLBACK if becomes else State.LOCKED)
    assert ("b" in steps_to_undo(run)) is (becomes == "live")
    assert run.calls["b"].undone == (1 if becomes == "undone" else 0)


@pytest.mark.parametrize(("outcome", "becomes"), [("retry", "failed"), ("skip", "kept")])
def test_a_call_that_failed_half_way_never_becomes_live(outcome: str, becomes: str) -> None:
    run = call(live_run(CHAIN), live("a"), failed("b", undo={"token": "half"}), after=True)
    take_undo(run, UndoFailed(step="b", error="503"), NOW)
    after_rollback(run, NOW)
    say(run, "lock")
    assert say(run, "resolve", step="b", outcome=outcome).accepted
    assert status(run, "b") == becomes
    assert "b" not in run.live
    assert say(run, "unlock").accepted
    rehearse(run)
    assert run.sealed is not None
    assert {shown.id for shown in run.sealed.steps if shown.already_live} == {"a"}


def test_an_undone_step_must_earn_its_way_up_again() -> None:
    run = rolling()
    keep(run, "c", NOW)
    take_undo(run, Undone(step="b"), NOW)
    say(run, "lock")
    assert say(run, "unlock").accepted
    assert run.rollback is None
    rehearse(run)
    assert run.sealed is not None
    assert run.sealed.live_steps == ("b",)
    assert say(run, "approve").accepted
    call(run, live("b"), after=True)
    assert run.calls["b"].undone == 1, "its next call needs another idempotency key"
    assert run.state is State.COMPLETED


def test_after_rollback_leaves_every_other_state_alone() -> None:
    for state in State:
        if state is State.ROLLBACK:
            continue
        run = live_run(CHAIN)
        run.state = state
        after_rollback(run, NOW)
        assert run.state is state
