"""The effects of outcomes on a run: what a call leaves, and what follows when no call is left."""

from typing import Any

import pytest

from airlock.base.text import MAX_OUTPUT_BYTES
from airlock.plans.outcome import CallStale, UndoFailed
from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallStatus
from airlock.run.live.call_results import after_calls, after_rollback, outcome_of, take_outcomes, take_undo
from airlock.run.outcome import Outcome
from airlock.run.outputs import MAX_CARRIED_BYTES
from airlock.run.sealing.kept_seals import keep_seal
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, call, failed, live, live_run, plan, policy, rehearse, say, step
from tests.core.calls_build import CHAIN, DOUBT, KEEP, rolling, status

# outcomes


def test_a_call_that_worked() -> None:
    run = call(live_run(CHAIN), live("a", drift=("x",), matched=False, attempt=2, seconds=1.5))
    record = run.calls["a"]
    assert (record.status, record.attempt, record.matched) == (CallStatus.LIVE, 2, False)
    assert run.outputs == {"a": {"id": "a"}}
    assert [(entry.kind, entry.what, entry.reason) for entry in run.audit[-2:]] == [
        (AuditKind.CALL, "live", ""),
        (AuditKind.DRIFT, "drift", "x"),
    ]


def test_calls_are_numbered_as_they_end() -> None:
    run = call(live_run(CHAIN), live("a"), live("r"), failed("b"))
    assert run.calls["a"].number < run.calls["r"].number < run.calls["b"].number


def test_a_stale_call_leaves_no_record() -> None:
    run = call(live_run(CHAIN), CallStale(step="a", error="moved"))
    assert run.calls == {}
    assert (run.audit[-1].what, run.audit[-1].step, run.audit[-1].reason) == ("stale", "a", "moved")


def test_a_long_error_is_cut() -> None:
    run = call(live_run(CHAIN), failed("a", error="e" * 100_000))
    assert len(run.calls["a"].error) <= 500
    assert len(run.audit[-1].reason) <= 500


def test_outputs_nobody_reads_any_more_are_let_go() -> None:
    wide = plan(*(step(f"s{number}") for number in range(20)), step("z", args={"x": {"$ref": "s0.v"}}))
    run = live_run(wide)
    big = {"v": "x" * (MAX_OUTPUT_BYTES - 10)}
    call(run, *(live(f"s{number}", output=big) for number in range(20)))
    assert "s0" in run.outputs
    assert sum(len(str(output)) for output in run.outputs.values()) <= MAX_CARRIED_BYTES
    assert all(status(run, f"s{number}") == "live" for number in range(20))


def test_outputs_that_do_not_fit_are_not_carried_but_the_calls_stay_live() -> None:
    names = [f"s{number}" for number in range(20)]
    reader = step("z", args={name: {"$ref": f"{name}.v"} for name in names})
    run = live_run(plan(*(step(name) for name in names), reader))
    big = {"v": "x" * (MAX_OUTPUT_BYTES - 10)}
    call(run, *(live(name, output=big) for name in names))
    assert 0 < len(run.outputs) < len(names)
    assert len(run.model_dump_json()) < MAX_CARRIED_BYTES + 100_000
    assert set(run.live) == set(names)
    assert run.calls["s19"].undo == {"token": "s19"}
    assert "cannot be kept" in run.calls["s19"].error
    assert run.audit[-1].what == "output_not_kept"


@pytest.mark.parametrize("output", [float("nan"), "\ud800"], ids=ascii)
def test_a_call_whose_output_is_not_json_took_effect_and_is_never_made_again(output: Any) -> None:
    run = call(live_run(CHAIN, steps=["a", "b", "c"]), live("a"), live("b"), live("c", output=output), after=True)
    assert run.state is State.COMPLETED
    assert "c" in run.live
    assert "c" not in run.outputs


# where a plan goes after its calls


def test_nothing_happens_while_calls_are_left() -> None:
    run = call(live_run(CHAIN), live("a"), after=True)
    assert run.state is State.LIVE


def test_all_done() -> None:
    run = call(live_run(CHAIN), live("a"), live("b"), live("c"), live("r"), after=True)
    assert run.state is State.COMPLETED
    assert outcome_of(run) is Outcome.COMPLETED


def test_a_part_is_done() -> None:
    run = call(live_run(CHAIN, steps=["a"]), live("a"), after=True)
    assert run.state is State.COMPLETED
    assert outcome_of(run) is Outcome.PARTIAL


def test_a_failure_rolls_back() -> None:
    run = call(live_run(CHAIN), live("a"), failed("b"), after=True)
    assert run.state is State.ROLLBACK
    assert run.rollback is not None
    assert (run.rollback.by, run.rollback.to_step) == ("airlock", None)
    assert run.why == "step 'b' failed: 500 from the target"


def test_a_failure_parks_where_the_policy_says_so() -> None:
    run = call(live_run(CHAIN, KEEP), live("a"), failed("b"), after=True)
    assert run.state is State.LOCKED
    assert run.rollback is None
    assert "does not roll back by itself" in run.why


def test_a_call_in_doubt_comes_before_a_failure() -> None:
    run = call(live_run(CHAIN), live("a"), DOUBT, failed("r"), after=True)
    assert run.state is State.LOCKED
    assert run.parked == ("b",)
    assert "'b' is in doubt: connection lost" in run.why


def test_the_deadline() -> None:
    run = call(live_run(CHAIN), live("a"), after=True, deadline_passed=True)
    assert run.state is State.ROLLBACK
    assert run.why == "the plan's deadline passed"


def test_the_deadline_does_not_undo_what_is_complete() -> None:
    run = call(live_run(CHAIN, steps=["a"]), live("a"), after=True, deadline_passed=True)
    assert run.state is State.COMPLETED


STALE = CallStale(step="b", error="the row moved")


@pytest.mark.parametrize(
    ("rules", "first", "state"),
    [
        (policy(), "a", State.DRY_RUN),
        (policy(rollback_on_stale=True), "a", State.ROLLBACK),
        (policy(rollback_on_stale=True), "r", State.DRY_RUN),
        (policy(rollback_on_stale=True), None, State.DRY_RUN),
    ],
    ids=["new preview", "roll back", "only reads ran", "nothing ran"],
)
def test_stale(rules: Any, first: str | None, state: State) -> None:
    run = live_run(CHAIN, rules)
    call(run, *([live(first)] if first else []), STALE, after=True)
    assert run.state is state
    assert "step 'b' was not called: the row moved" in run.why
    assert (run.rollback is not None) is (state is State.ROLLBACK)


def test_after_stale_only_what_is_left_needs_a_new_approval() -> None:
    run = call(live_run(CHAIN), live("a"), STALE, after=True)
    old = run.digest
    rehearse(run)
    assert run.state is State.AWAITING_APPROVAL
    assert run.sealed is not None
    assert run.sealed.live_steps == ("b", "c", "r")
    assert run.approved == ()
    assert not say(run, "approve", digest=old).accepted
    assert say(run, "approve").accepted
    assert run.approved == ("b", "c", "r")
    call(run, live("b"), live("c"), live("r"), after=True)
    assert outcome_of(run) is Outcome.COMPLETED


def test_after_calls_leaves_every_other_state_alone() -> None:
    for state in State:
        if state is State.LIVE:
            continue
        run = live_run(CHAIN)
        call(run, failed("a"))
        run.state = state
        after_calls(run, [STALE], NOW, deadline_passed=True)
        assert run.state is state
        assert run.rollback is None


# how it ended


@pytest.mark.parametrize(
    ("state", "calls", "outcome"),
    [
        (State.ABORTED, ["a"], Outcome.ABORTED),
        (State.COMPLETED, [], Outcome.REHEARSED),
        (State.COMPLETED, ["a"], Outcome.PARTIAL),
        (State.COMPLETED, ["a", "b", "c", "r"], Outcome.COMPLETED),
    ],
)
def test_outcome_of(state: State, calls: list[str], outcome: Outcome) -> None:
    run = live_run(CHAIN)
    take_outcomes(run, [live(name) for name in calls], NOW)
    run.state = state
    assert outcome_of(run) is outcome
    run.outcome = Outcome.DENIED
    assert outcome_of(run) is Outcome.DENIED


def test_expiry() -> None:
    run = awaiting(CHAIN)
    assert run.apply(Event.EXPIRED, NOW)
    assert run.state is State.MOCK


def test_a_run_survives_its_own_json() -> None:
    run = rolling("b")
    take_undo(run, UndoFailed(step="b", error="503"), NOW)
    after_rollback(run, NOW)
    read = Run.model_validate_json(run.model_dump_json())
    assert read.seals == []  # only the record needs them: a replay makes them again, and the last one comes from `sealed`
    keep_seal(read)
    assert read == run


def test_five_thousand_calls_are_judged_at_once() -> None:
    names = [f"s{number}" for number in range(5_000)]
    run = live_run(plan(*(step(name, "read") for name in names)))
    take_outcomes(run, [live(name, output=None, undo=None) for name in names[:50]], NOW)
    template = run.calls["s0"]
    run.calls = dict.fromkeys(names, template)
    after_calls(run, [], NOW, deadline_passed=False)
    assert run.state is State.COMPLETED


def test_a_finished_call_adds_little_to_what_is_carried_on() -> None:
    names = [f"s{number:03}" for number in range(200)]
    run = live_run(plan(*(step(name, "read") for name in names)))
    before = len(run.model_dump_json())
    take_outcomes(run, [live(name, output=None, undo=None) for name in names], NOW)
    grown = len(run.model_dump_json()) - before
    assert grown < 250 * len(names), "with what says nothing in it, a record and its audit entry take 470 bytes"
    assert Run.model_validate_json(run.model_dump_json()).calls == run.calls
    assert Run.model_validate_json(run.model_dump_json()).audit == run.audit
