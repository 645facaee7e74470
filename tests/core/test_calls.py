"""The effects of outcomes, probes, compensations and settlements on a run: every branch."""

from typing import Any

import pytest

from airlock.base.text import MAX_OUTPUT_BYTES
from airlock.plans.outcome import CallInDoubt, CallStale, ProbeAnswer, UndoFailed, Undone
from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.call_record import CallStatus
from airlock.run.live.call_results import after_calls, after_rollback, keep, outcome_of, take_outcomes, take_probe, take_undo
from airlock.run.messages import Settlement
from airlock.run.outcome import Outcome
from airlock.run.outputs import MAX_CARRIED_BYTES
from airlock.run.state import Run
from airlock.run.undo_scope import steps_to_undo
from tests.core.build import NOW, awaiting, call, failed, live, live_run, plan, policy, rehearse, say, step

CHAIN = plan(step("a"), step("b", "order", "a"), step("c", "mail", "b"), step("r", "read"))
KEEP = policy(enable_rollback_on_failure=False)
DOUBT = CallInDoubt(step="b", error="connection lost", undo={"token": "half"})


def status(run: Run, name: str) -> str:
    return run.calls[name].status.value


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


# doubt


def in_doubt(rules: Any = None, **more: Any) -> Run:
    run = live_run(CHAIN, rules) if rules else live_run(CHAIN)
    return call(run, live("a"), DOUBT, **more)


def test_a_probe_says_it_happened() -> None:
    run = in_doubt()
    take_probe(run, ProbeAnswer(step="b", happened=True, output={"id": 9}, why="found it"), NOW)
    assert (status(run, "b"), run.calls["b"].undo, run.outputs["b"]) == ("live", {"token": "half"}, {"id": 9})
    assert run.audit[-1].what == "probe_happened"


def test_a_probe_brings_a_better_token() -> None:
    run = in_doubt()
    take_probe(run, ProbeAnswer(step="b", happened=True, undo={"token": "whole"}), NOW)
    assert run.calls["b"].undo == {"token": "whole"}


def test_a_probe_says_it_did_not_happen() -> None:
    run = in_doubt()
    take_probe(run, ProbeAnswer(step="b", happened=False), NOW)
    assert (status(run, "b"), run.calls["b"].undo) == ("failed", None)
    after_calls(run, [], NOW, deadline_passed=False)
    assert run.state is State.ROLLBACK


def test_a_probe_cannot_tell() -> None:
    run = in_doubt()
    take_probe(run, ProbeAnswer(step="b", happened=None, why="no idea"), NOW)
    assert status(run, "b") == "in_doubt"
    after_calls(run, [], NOW, deadline_passed=False)
    assert run.state is State.LOCKED


def test_settled_as_happened_goes_on() -> None:
    run = in_doubt(after=True)
    assert say(run, "resolve", step="b", outcome="happened", output={"id": 3}).accepted
    assert run.state is State.LIVE
    assert run.outputs["b"] == {"id": 3}
    assert run.approved == ("a", "b", "c", "r")


def test_settled_as_not_happened_rolls_back() -> None:
    run = in_doubt(after=True)
    assert say(run, "resolve", step="b", outcome="did_not_happen").accepted
    assert run.state is State.ROLLBACK
    assert status(run, "b") == "failed"
    assert run.calls["b"].undo is None


def two_doubts(rules: Any = None) -> Run:
    run = live_run(CHAIN, rules) if rules else live_run(CHAIN)
    return call(run, live("a"), DOUBT, CallInDoubt(step="r", error="lost"), after=True)


@pytest.mark.parametrize("order", [("b", "r"), ("r", "b")])
def test_two_doubts_end_the_same_in_any_order(order: tuple[str, str]) -> None:
    said = {"b": "did_not_happen", "r": "happened"}
    run = two_doubts(KEEP)
    assert say(run, "resolve", step=order[0], outcome=said[order[0]]).accepted
    assert run.state is State.LOCKED
    assert say(run, "resolve", step=order[1], outcome=said[order[1]]).accepted
    assert run.state is State.ROLLBACK
    assert run.rollback is not None
    assert run.rollback.by == "boss"


def test_a_failed_sibling_rolls_back_once_the_doubt_is_settled() -> None:
    run = call(live_run(CHAIN), live("a"), DOUBT, failed("r"), after=True)
    say(run, "resolve", step="b", outcome="happened")
    assert run.state is State.ROLLBACK
    assert run.rollback is not None
    assert run.rollback.by == "airlock"


def test_a_failed_sibling_does_not_roll_back_where_the_policy_forbids_it() -> None:
    run = call(live_run(CHAIN, KEEP), live("a"), DOUBT, failed("r"), after=True)
    assert say(run, "resolve", step="b", outcome="happened").accepted
    assert run.state is State.LOCKED
    assert run.parked == ()
    assert "step 'r' failed" in run.why
    assert say(run, "unlock").accepted


def test_a_humans_lock_outlasts_a_settlement() -> None:
    run = in_doubt(after=True)
    assert say(run, "lock").accepted
    assert say(run, "resolve", step="b", outcome="happened").accepted
    assert run.state is State.LOCKED
    assert say(run, "unlock").accepted
    assert run.state is State.MOCK
    rehearse(run)
    assert run.sealed is not None
    assert set(run.sealed.live_steps) == {"c", "r"}


@pytest.mark.parametrize("outcome", Settlement, ids=lambda outcome: outcome.value)
def test_what_a_doubt_can_be_settled_as(outcome: Settlement) -> None:
    run = in_doubt(after=True)
    accepted = say(run, "resolve", step="b", outcome=outcome.value).accepted
    assert accepted is (outcome in (Settlement.HAPPENED, Settlement.DID_NOT_HAPPEN))
    rolling = in_doubt(after=True)
    say(rolling, "rollback")
    after_rollback(rolling, NOW)
    assert rolling.state is State.LOCKED
    accepted = say(rolling, "resolve", step="b", outcome=outcome.value).accepted
    assert accepted is (outcome in (Settlement.HAPPENED, Settlement.DID_NOT_HAPPEN, Settlement.SKIP))
    if accepted:
        assert rolling.state is State.ROLLBACK


def test_unlock_waits_for_a_settlement() -> None:
    run = in_doubt(after=True)
    verdict = say(run, "unlock")
    assert not verdict.accepted
    assert "step b must be settled first" in verdict.reason


def test_unlock_waits_for_calls_that_are_running() -> None:
    run = live_run(CHAIN)
    run.in_flight = ("c",)
    say(run, "lock")
    verdict = say(run, "unlock")
    assert not verdict.accepted
    assert "calls are still running (c)" in verdict.reason
    call(run, CallInDoubt(step="c", error="lost"))
    run.in_flight = ()
    assert "must be settled first" in say(run, "unlock").reason
    # so a mail that may have been sent is never sent again
    say(run, "resolve", step="c", outcome="happened")
    assert say(run, "unlock").accepted


# a second attempt after an unlock


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


# rollback


def rolling(to_step: str | None = None) -> Run:
    run = call(live_run(CHAIN), live("a"), live("r"), live("b"), live("c"))
    assert say(run, "rollback", to_step=to_step).accepted
    assert run.state is State.ROLLBACK
    return run


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


# decisions by state


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("lock", {"MOCK", "DRY_RUN", "AWAITING_APPROVAL", "LIVE", "ROLLBACK", "LOCKED"}),
        ("unlock", {"LOCKED"}),
        ("rollback", {"LIVE", "LOCKED"}),
        ("abort", {"MOCK", "DRY_RUN", "AWAITING_APPROVAL", "LOCKED"}),
        ("deny", {"AWAITING_APPROVAL"}),
        ("resolve", set()),
    ],
)
@pytest.mark.parametrize("state", State, ids=lambda state: state.value)
def test_what_may_be_said_when(name: str, states: set[str], state: State) -> None:
    run = awaiting(CHAIN)
    run.state = state
    more = {"step": "a", "outcome": "happened"} if name == "resolve" else {}
    verdict = say(run, name, **more)
    assert verdict.accepted is (state.value in states)
    assert verdict.reason
    decision = next(entry for entry in reversed(run.audit) if entry.what == name)
    assert decision.by == "boss"
    if not verdict.accepted:
        assert run.audit[-1].kind is AuditKind.REFUSED
        assert run.state is state


def test_a_refusal_says_what_is_possible() -> None:
    assert "possible: approve, deny, lock, abort" in say(awaiting(CHAIN), "unlock").reason
    assert "use rollback, or lock it first" in say(live_run(CHAIN), "abort").reason
    assert "nothing is live, use abort" in say(awaiting(CHAIN), "rollback").reason
    run = call(awaiting(CHAIN), live("a"))
    assert "lock it, then roll back" in say(run, "rollback").reason


def test_abort_waits_for_calls_that_are_running() -> None:
    run = live_run(CHAIN)
    run.in_flight = ("a", "r")
    say(run, "lock")
    assert "calls are still running (a, r)" in say(run, "abort").reason
    run.in_flight = ()
    assert say(run, "abort").accepted
    assert outcome_of(run) is Outcome.ABORTED


def test_unknown_steps() -> None:
    run = in_doubt(after=True)
    assert "no step 'zz'" in say(run, "resolve", step="zz", outcome="happened").reason
    assert "'a' does not wait to be settled; waiting: b" in say(run, "resolve", step="a", outcome="happened").reason
    assert "no step 'zz'" in say(run, "rollback", to_step="zz").reason
    assert "no step 'zz'" in say(live_run(CHAIN), "rollback", to_step="zz").reason


def test_a_rollback_lifts_a_lock_and_remembers_who_asked() -> None:
    run = live_run(CHAIN)
    say(run, "lock", by="ann")
    assert run.lock is not None
    assert run.lock.by == "ann"
    say(run, "rollback", by="bob", reason="wrong customer", to_step="a")
    assert run.lock is None
    assert run.rollback is not None
    assert (run.rollback.by, run.rollback.reason, run.rollback.to_step) == ("bob", "wrong customer", "a")


def test_the_reason_of_a_decision_is_in_the_audit() -> None:
    run = live_run(CHAIN, reason="looks right")
    entry = next(entry for entry in run.audit if entry.kind is AuditKind.DECISION)
    assert (entry.what, entry.by, entry.reason, entry.digest) == ("approve", "boss", "looks right", run.digest)


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
    read.keep_seal()
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
