"""Reports of rehearsals and live stages: what each counts, each thing once."""

import pytest

from airlock.admission.conflicts.conflict import Answer, Conflict, ConflictKind
from airlock.monitoring.aggregation import Aggregate, CallError, Decision, Stage, Tally
from airlock.monitoring.report import stage_left
from airlock.plans.contract import Mode
from airlock.plans.outcome import CallInDoubt, CallStale, MockFailed, PreviewFailed, ProbeAnswer
from airlock.plans.state import Event
from airlock.run.audit import AuditKind
from airlock.run.live.call_results import take_probe
from airlock.run.live.gate_reactions import drop_duplicates
from airlock.run.outcome import Outcome
from airlock.run.rehearsal import seal_run, take_mocks, take_previews
from airlock.run.state import Run
from tests.core.build import NOW, call, failed, later, live, live_run, plan, preview, rehearse, say, step, waive
from tests.core.reports_build import THREE, admitted_run, reported, tallies

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
