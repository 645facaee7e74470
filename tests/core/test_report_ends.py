"""Reports of rollbacks, ends and stages that a plan comes back to: nothing is counted twice or lost, in bounded size."""

from hypothesis import given
from hypothesis import strategies as st

from airlock.monitoring.aggregation import Aggregate, CallError, Calls, Decision, Stage, Tally, merged
from airlock.monitoring.report import Report, stage_left, stage_of
from airlock.plans.contract import Mode
from airlock.plans.outcome import CallInDoubt, CallStale, UndoFailed, Undone
from airlock.plans.state import Event, State
from airlock.run.live.call_results import after_rollback, keep, take_undo
from airlock.run.outcome import Outcome
from airlock.run.rehearsal import begin_previews
from airlock.run.undo import Undoing
from tests.core.build import NOW, TOOLS, call, failed, live, live_run, plan, policy, rehearse, say, step
from tests.core.reports_build import admitted_run, reported, tallies

# Rollbacks and ends.


def test_a_rollback_counts_what_was_undone_kept_and_failed_and_ends_the_plan() -> None:
    run = live_run(plan(step("a"), step("b", "mail"), step("c"), step("d")))
    call(run, live("a"), live("b"), live("c"), failed("d"), after=True)
    assert run.state is State.ROLLBACK
    since = run.audited
    take_undo(run, Undone(step="a"), NOW)
    keep(run, "b", NOW)
    take_undo(run, UndoFailed(step="c", error="no"), NOW)
    after_rollback(run, NOW)
    first = reported(run, stage_left(run), since)
    assert first.key.stage is Stage.ROLLBACK
    assert (first.facts.undone, first.facts.kept, first.facts.undo_failed) == (1, 1, 1)
    assert first.facts.ended_live == 0, "it waits for a human"
    since = run.audited
    say(run, "resolve", step="c", outcome="compensated")
    after_rollback(run, NOW)
    assert run.state is State.ABORTED
    last = reported(run, stage_left(run), since)
    assert last.facts.outcomes == {Outcome.ABORTED: 1}
    assert (last.facts.ended_live, last.facts.rolled_back, last.facts.clean) == (1, 1, 0)
    assert tallies(last.facts) == {}, "its calls were counted by the stage that made them"
    assert first.key.text != last.key.text


def test_a_plan_that_completes_after_a_rollback_was_stopped_is_not_clean() -> None:
    run = live_run(plan(step("a"), step("b")))
    call(run, live("a"), failed("b"), after=True)
    assert run.state is State.ROLLBACK
    say(run, "lock")
    say(run, "unlock")
    rehearse(run)
    say(run, "approve")
    call(run, live("b"), after=True)
    facts = reported(run, Stage.LIVE).facts
    assert facts.outcomes == {Outcome.COMPLETED: 1}
    assert (facts.ended_live, facts.rolled_back, facts.clean) == (1, 1, 0)


def test_a_plan_that_ends_while_locked_is_told_of_by_its_last_stage() -> None:
    run = live_run(plan(step("a"), step("b")), policy(enable_rollback_on_failure=False))
    call(run, live("a"), failed("b"), after=True)
    assert run.state is State.LOCKED
    say(run, "abort")
    assert stage_left(run) is Stage.LIVE
    facts = reported(run, Stage.LIVE).facts
    assert (facts.ended_live, facts.rolled_back, facts.clean) == (1, 0, 0)


def test_the_undo_of_an_ended_plan_is_a_run_of_its_own() -> None:
    run = live_run(plan(step("a")))
    call(run, live("a"), after=True)
    undo = run.model_copy(update={"undoing": Undoing(by="boss", reason="wrong"), "audit": [], "audited": 0, "outcome": None})
    undo.state = State.LIVE
    undo.apply(Event.ROLLBACK, NOW)
    take_undo(undo, Undone(step="a"), NOW)
    undo.apply(Event.COMPENSATED, NOW)
    found = reported(undo, Stage.ROLLBACK)
    assert found.key.name == "undo-p-1"
    assert found.facts == Aggregate(reports={Stage.ROLLBACK: 1}, undone=1, undo_runs=1, ended_live=1, rolled_back=1), (
        "it is no plan that ended aborted, but an approved run that was rolled back"
    )


def test_stages() -> None:
    assert {state: stage_of(state) for state in State} == {
        State.MOCK: Stage.REHEARSAL,
        State.DRY_RUN: Stage.REHEARSAL,
        State.AWAITING_APPROVAL: Stage.REHEARSAL,
        State.LIVE: Stage.LIVE,
        State.ROLLBACK: Stage.ROLLBACK,
        State.LOCKED: None,
        State.ABORTED: None,
        State.COMPLETED: None,
    }


# Nothing twice, nothing lost, however often a plan comes back to a stage.


def test_a_second_stay_counts_only_what_is_new() -> None:
    run = rehearse(admitted_run(plan(step("a"), step("b", "order"))))
    say(run, "approve")
    reports = [reported(run, Stage.REHEARSAL)]
    since = run.audited
    call(run, live("a", seconds=1.0), CallStale(step="b", error="moved"), after=True)
    assert run.state is State.DRY_RUN
    reports.append(reported(run, stage_left(run), since))
    since = run.audited
    begin_previews(run)
    rehearse(run)
    say(run, "approve")
    reports.append(reported(run, stage_left(run), since))
    since = run.audited
    call(run, live("b", seconds=2.0), after=True)
    reports.append(reported(run, stage_left(run), since))
    assert run.state is State.COMPLETED
    assert [each.key.stage.value for each in reports] == ["rehearsal", "live", "rehearsal", "live"]
    assert len({each.key.text for each in reports}) == 4
    assert tallies(reports[2].facts) == {"DRY_RUN": (1, 1)}, "what is live was neither mocked nor looked at again"
    every = merged(each.facts for each in reports)
    assert tallies(every) == {"MOCK": (2, 2), "DRY_RUN": (3, 3), "LIVE": (2, 2)}
    assert every.decided == {Decision.APPROVED: 2}
    assert (every.rehearsals, every.stale, every.ended_live, every.clean) == (1, 1, 1, 1)
    assert every.outcomes == {Outcome.COMPLETED: 1}


def test_a_call_made_again_after_an_unlock_is_another_call() -> None:
    run = live_run(plan(step("a"), step("b")), policy(enable_rollback_on_failure=False))
    since = run.audited
    call(run, live("a", seconds=1.0), failed("b"), after=True)
    first = reported(run, Stage.LIVE, since)
    say(run, "unlock")
    rehearse(run)
    say(run, "approve")
    since = run.audited
    call(run, live("b", seconds=3.0, matched=True), after=True)
    second = reported(run, Stage.LIVE, since)
    assert first.facts.tools["write"].live == Tally(calls=2, ok=1)
    assert second.facts.tools["write"].live == Tally(calls=1, ok=1)
    whole = reported(run, Stage.LIVE)
    assert whole.facts.tools["write"].live == Tally(calls=3, ok=2), "one report late counts the same calls"
    assert whole.facts.tools["write"].errors == {CallError.FAILED: 1}
    assert whole.facts.tools["write"].matched == 1, "what is known of the second call says nothing about the first"


ENDS = st.lists(st.sampled_from(["live", "failed", "in_doubt", "broken"]), min_size=1, max_size=12)


@given(ENDS, st.integers(0, 12))
def test_calls_divided_among_reports_are_all_counted_once(ends: list[str], cut: int) -> None:
    run = live_run(plan(*(step(f"s{number}") for number in range(len(ends)))))
    begin = middle = run.audited
    made = {
        "live": lambda name: live(name, seconds=1.0),
        "failed": failed,
        "in_doubt": lambda name: CallInDoubt(step=name, error="lost"),
        "broken": lambda name: live(name, broken="no"),
    }
    parts = []
    for number, end in enumerate(ends):
        if number == cut:
            parts.append(reported(run, Stage.LIVE, begin).facts)
            middle = run.audited
        call(run, made[end](f"s{number}"))
    parts.append(reported(run, Stage.LIVE, middle).facts)
    whole = merged(parts)
    assert whole.tally(Mode.LIVE) == Tally(calls=len(ends), ok=ends.count("live"))
    errors = {CallError(kind): ends.count(kind) for kind in ("failed", "in_doubt", "broken") if kind in ends}
    assert whole.tools["write"].errors == errors


def test_the_report_of_five_thousand_steps_is_small() -> None:
    steps = [step(f"s{number}", TOOLS[number % 3], agent=f"agent-{number}") for number in range(5_000)]
    run = live_run(plan(*steps))
    rehearsal = reported(run, Stage.REHEARSAL)
    since = run.audited
    call(run, *(live(each.id, seconds=0.001 * 1.003**number) for number, each in enumerate(steps)), after=True)
    found = reported(run, Stage.LIVE, since)
    assert tallies(found.facts) == {"LIVE": (5_000, 5_000)}
    assert tallies(rehearsal.facts) == {"MOCK": (5_000, 5_000), "DRY_RUN": (5_000, 5_000)}
    every = sum(found.facts.agents.values(), found.facts.other_agents)
    assert every == Calls(live=Tally(calls=5_000, ok=5_000), confidence=5_000_000_000)
    assert len(found.model_dump_json()) < 40_000
    assert Report.model_validate_json(found.model_dump_json()) == found
