"""Reports: what each stage of a plan counts, each thing once, in bounded size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.conflicts.conflict import Answer, Conflict, ConflictKind
from airlock.monitoring.aggregation import Aggregate, CallError, Calls, Decision, Stage, Tally, merged
from airlock.monitoring.report import Report, report_of, stage_left, stage_of
from airlock.plans.contract import Mode
from airlock.plans.outcome import CallInDoubt, CallStale, MockFailed, PreviewFailed, ProbeAnswer, UndoFailed, Undone
from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.live.call_results import after_rollback, keep, take_probe, take_undo
from airlock.run.live.gate_reactions import drop_duplicates
from airlock.run.outcome import Outcome
from airlock.run.rehearsal import (
    begin_previews,
    begin_rehearsal,
    record_conflicts,
    seal_run,
    take_mocks,
    take_previews,
)
from airlock.run.state import Run
from airlock.run.undo import Undoing
from tests.core.build import (
    NOW,
    TOOLS,
    admitted,
    call,
    failed,
    later,
    live,
    live_run,
    plan,
    policy,
    preview,
    rehearse,
    say,
    step,
    waive,
)

THREE = plan(
    step("look", "read", confidence=0.9),
    step("change", "write", "look", confidence=0.85),
    step("tell", "mail", "change", confidence=0.95),
)


def reported(run: Run, stage: Stage, since: int = 0) -> Report:
    return report_of(run, stage, run_id="first", since=since, at=NOW)


def tallies(facts: Aggregate) -> dict[str, tuple[int, int]]:
    return {mode.value: (facts.tally(mode).calls, facts.tally(mode).ok) for mode in Mode if facts.tally(mode).calls}


def admitted_run(proposed: object = THREE, *conflicts: Conflict) -> Run:
    """Return a run in MOCK whose admission is in the audit, as the workflow writes it."""
    run = Run(plan=proposed, submitted_at=NOW, since=NOW)  # type: ignore[arg-type]
    run.record(AuditKind.ADMISSION, "admitted", NOW)
    record_conflicts(run, conflicts, NOW)
    begin_rehearsal(run, admitted(run.plan))
    return run


# Rehearsals.


def test_a_rehearsal_counts_every_mock_every_dry_run_and_the_decision() -> None:
    run = rehearse(admitted_run())
    say(run, "approve", later(2))
    found = reported(run, Stage.REHEARSAL)
    assert found.key.text == "p-1/first/rehearsal/0"
    assert found.at == NOW
    facts = found.facts
    assert tallies(facts) == {"MOCK": (3, 3), "DRY_RUN": (3, 3)}
    assert facts.tools["read"].mock == Tally(calls=1, ok=1)
    assert facts.agents["bot"].dry_run == Tally(calls=3, ok=3)
    assert facts.ceilings == {Mode.LIVE: 3}
    assert (facts.rehearsals, facts.conflicted) == (1, 0)
    assert facts.decided == {Decision.APPROVED: 1}
    assert facts.waited.quantile(0.5) == pytest.approx(7_200, rel=0.05)
    assert facts.reports == {Stage.REHEARSAL: 1}
    assert (facts.outcomes, facts.ended_live) == ({}, 0), "it has not ended"


def test_mocks_and_dry_runs_that_fail_are_counted_as_such() -> None:
    run = admitted_run(plan(step("a"), step("b", "order"), step("c", "read"), step("d", "read", "b")))
    take_mocks(run, [MockFailed(step="a", error="no")])
    run.apply(Event.REHEARSED, NOW)
    assert run.left(Mode.DRY_RUN) == ("b", "c", "d")
    take_previews(run, [PreviewFailed(step="b", error="no"), preview("c"), preview("d", looked=False)])
    seal_run(run, NOW)
    run.apply(Event.PREVIEWED, NOW)
    facts = reported(run, Stage.REHEARSAL).facts
    assert tallies(facts) == {"MOCK": (4, 3), "DRY_RUN": (2, 1)}, "what was not looked at was no dry run"
    assert facts.tools["write"].mock == Tally(calls=1, ok=0)
    assert facts.tools["order"].dry_run == Tally(calls=1, ok=0)
    assert facts.ceilings == {Mode.MOCK: 3, Mode.LIVE: 1}


def test_a_plan_that_may_not_go_higher_ends_with_its_rehearsal() -> None:
    mocked = rehearse(admitted_run(plan(step("a"), max_mode="MOCK")))
    facts = reported(mocked, Stage.REHEARSAL).facts
    assert tallies(facts) == {"MOCK": (1, 1)}
    assert (facts.outcomes, facts.ended_live, facts.ceilings) == ({Outcome.REHEARSED: 1}, 0, {Mode.MOCK: 1})
    looked = rehearse(admitted_run(plan(step("a"), max_mode="DRY_RUN")))
    facts = reported(looked, Stage.REHEARSAL).facts
    assert tallies(facts) == {"MOCK": (1, 1), "DRY_RUN": (1, 1)}
    assert facts.outcomes == {Outcome.REHEARSED: 1}


def test_conflicts_are_counted_by_kind_and_answer_and_their_plan_once() -> None:
    delay = Conflict(kind=ConflictKind.RESOURCE, answer=Answer.DELAY, steps=("look",), detail="")
    lower = Conflict(kind=ConflictKind.PERMISSION, answer=Answer.DOWNGRADE, steps=("tell",), detail="")
    facts = reported(rehearse(admitted_run(THREE, delay, delay, lower)), Stage.REHEARSAL).facts
    assert facts.conflicts == {ConflictKind.RESOURCE: 2, ConflictKind.PERMISSION: 1}
    assert facts.answers == {Answer.DELAY: 2, Answer.DOWNGRADE: 1}
    assert (facts.rehearsals, facts.conflicted) == (1, 1)
    assert facts.conflicted_by == {ConflictKind.RESOURCE: 1, ConflictKind.PERMISSION: 1}


def test_a_denial_an_expiry_and_a_waiver_are_told_apart() -> None:
    denied, expired, waived = rehearse(admitted_run()), rehearse(admitted_run()), rehearse(admitted_run())
    say(denied, "deny", later(1))
    expired.apply(Event.EXPIRED, later(24))
    expired.outcome = Outcome.EXPIRED
    waive(waived, later(1))
    facts = [reported(run, Stage.REHEARSAL).facts for run in (denied, expired, waived)]
    assert [each.decided for each in facts] == [{Decision.DENIED: 1}, {Decision.EXPIRED: 1}, {Decision.WAIVED: 1}]
    assert [each.outcomes for each in facts] == [{Outcome.DENIED: 1}, {Outcome.EXPIRED: 1}, {}]
    assert [each.waited.count for each in facts] == [1, 1, 0], "nobody waited for what the policy waives"
    assert sum(each.ended_live for each in facts) == 0


def test_a_plan_refused_at_admission_was_looked_at_by_nobody() -> None:
    run = Run(plan=THREE, submitted_at=NOW, since=NOW)
    run.record(AuditKind.ADMISSION, "refused", NOW, reason="unknown tool")
    say(run, "abort")
    facts = reported(run, stage_left(run)).facts
    assert facts == Aggregate(reports={Stage.REHEARSAL: 1}, outcomes={Outcome.ABORTED: 1})


# Live calls.


def test_a_live_stage_counts_its_calls_with_everything_known_of_them() -> None:
    run = live_run(THREE)
    since = run.audited
    call(run, live("look", seconds=16.0, matched=True), live("change", seconds=2.0, matched=False, drift=("args.x",)))
    call(run, live("tell", seconds=1.0), after=True)
    found = reported(run, Stage.LIVE, since)
    facts = found.facts
    assert found.key.text == f"p-1/first/live/{since}"
    assert tallies(facts) == {"LIVE": (3, 3)}
    read, write, mail = (facts.tools[name] for name in ("read", "write", "mail"))
    assert (read.matched, read.differed, read.slow, read.irreversible) == (1, 0, 1, 0), "16 of 30 seconds are slow"
    assert (write.matched, write.differed, write.slow, write.drifted) == (0, 1, 0, 1)
    assert (mail.matched, mail.differed, mail.irreversible) == (0, 0, 1)
    assert read.stated == pytest.approx(0.9)
    assert facts.agents["bot"].stated == pytest.approx(0.9)
    assert facts.latency.count == 3
    assert facts.latency.quantile(1.0) == pytest.approx(16.0, rel=0.05)
    assert {number: (bucket.calls, bucket.ok) for number, bucket in facts.confidence.items()} == {8: (1, 1), 9: (2, 2)}
    assert (facts.outcomes, facts.ended_live, facts.clean) == ({Outcome.COMPLETED: 1}, 1, 1)
    assert (facts.rehearsals, facts.decided, facts.ceilings) == (0, {}, {}), "the rehearsal has its own report"


def test_every_way_a_live_call_can_go_wrong() -> None:
    run = live_run(plan(*(step(name) for name in "abcdef")))
    since = run.audited
    call(
        run,
        failed("a"),
        live("b", broken="not JSON", seconds=1.0),
        CallInDoubt(step="c", error="lost"),
        CallStale(step="d", error="moved"),
        CallInDoubt(step="e", error="lost"),
        CallInDoubt(step="f", error="lost"),
    )
    take_probe(run, ProbeAnswer(step="e", happened=True), NOW)
    take_probe(run, ProbeAnswer(step="f", happened=False), NOW)
    facts = reported(run, Stage.LIVE, since).facts
    write = facts.tools["write"]
    assert write.live == Tally(calls=5, ok=1), "a stale call was not made; of those in doubt one turned out to have worked"
    assert write.errors == {CallError.FAILED: 2, CallError.BROKEN: 1, CallError.IN_DOUBT: 1}
    assert facts.stale == 1
    assert facts.latency.count == 0, "how long it took is known of none that worked"


def test_a_call_left_out_as_a_duplicate_is_a_conflict_and_no_call() -> None:
    run = live_run(THREE)
    since = run.audited
    drop_duplicates(run, {"tell": "plan p-0 made it"}, NOW)
    facts = reported(run, Stage.LIVE, since).facts
    assert tallies(facts) == {}
    assert (facts.conflicts, facts.answers) == ({ConflictKind.DUPLICATE_ACTION: 1}, {Answer.ABORT: 1})
    assert facts.conflicted == 0, "how many plans have conflicts is asked at admission"


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
