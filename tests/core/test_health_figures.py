"""Every figure of `health` counts what its page says: one table of plan lives, and the samples and metrics of each."""

from collections.abc import Callable
from typing import Any

import pytest

from airlock.admission.conflicts.conflict import Answer, Conflict, ConflictKind
from airlock.gates.protocol import EntryRefused
from airlock.monitoring.aggregation import merged
from airlock.monitoring.health import Health, health_of
from airlock.monitoring.outbox import Outbox
from airlock.monitoring.validation import problem_of
from airlock.plans.contract import Mode
from airlock.plans.outcome import CallInDoubt, CallStale, MockFailed, PreviewFailed, ProbeAnswer, Undone
from airlock.plans.state import Event, State
from airlock.run.audit import AuditKind
from airlock.run.decisions.entry import take_refusal
from airlock.run.decisions.permission import STALE
from airlock.run.live.call_results import after_rollback, take_probe, take_undo
from airlock.run.outcome import Outcome
from airlock.run.rehearsal import begin_rehearsal, record_conflicts, take_mocks
from airlock.run.state import Run
from airlock.run.undo import Undoing
from airlock.run.unrehearsed import end_unrehearsed
from tests.core.build import NOW, admitted, call, failed, live, plan, rehearse, say, step, waive

CONFLICT = Conflict(kind=ConflictKind.RESOURCE, answer=Answer.DELAY, steps=("a",), detail="another plan is at it")


class Life:
    """A plan that reports like the workflow does: after each state that it was in."""

    def __init__(self, *steps: Any, **more: Any) -> None:
        self.run = Run(plan=plan(*(steps or (step("a"),)), **more), submitted_at=NOW, since=NOW)
        self.outbox = Outbox()
        self.seen = self.run.state

    def report(self) -> "Life":
        self.outbox.stage_ended(self.run, self.seen, "first", NOW)
        self.seen = self.run.state
        return self

    def admit(self, *conflicts: Conflict) -> "Life":
        self.run.record(AuditKind.ADMISSION, "admitted", NOW)
        record_conflicts(self.run, conflicts, NOW)
        begin_rehearsal(self.run, admitted(self.run.plan))
        rehearse(self.run)
        return self.report()

    def say(self, name: str, **fields: Any) -> "Life":
        verdict = say(self.run, name, **fields)
        assert verdict.accepted, verdict
        return self.report()

    def call(self, *outcomes: Any) -> "Life":
        call(self.run, *outcomes, after=True)
        return self.report()

    def undo(self, *steps: str) -> "Life":
        for name in steps:
            take_undo(self.run, Undone(step=name), NOW)
        after_rollback(self.run, NOW)
        return self.report()

    @property
    def health(self) -> Health:
        return health_of(merged(report.facts for report in self.outbox.queued))


def waiting(*steps: Any, conflicts: tuple[Conflict, ...] = (), **more: Any) -> Life:
    return Life(*steps, **more).admit(*conflicts)


def never_live() -> Life:
    """Return case 47: lock, unlock, lock, rollback of a plan that never left AWAITING_APPROVAL."""
    plan = waiting().say("lock").say("unlock").admit().say("lock").say("rollback")
    return plan.undo() if plan.run.state is State.ROLLBACK else plan


def refused_entry() -> Life:
    life = waiting().say("approve")
    life.run.apply(Event.ENTRY_REFUSED, NOW)
    return life.report().admit().say("deny")


def refused(kind: str, times: int = 1, *before: Any) -> Life:
    """Return a plan whose entry the live role refused, after the calls of `before` in the same stay, and then a denial."""
    life = waiting(step("a"), step("b", "write", "a")).say("approve")
    call(life.run, *before)
    for _ in range(times):
        if life.run.state is not State.LIVE:
            rehearse(life.run)
            life.report().say("approve")
            life.run.entry_refusals = 1  # a vote sets it back; this live role and these approvers never agree
        take_refusal(life.run, EntryRefused(kind=kind, why="no"), NOW)
        life.report()
    if life.run.state is State.LOCKED:
        return life.say("abort")
    if life.run.state is State.MOCK:
        return life.admit().say("deny")
    rehearse(life.run)
    return life.report().say("deny")


def timed_out(*, live_first: bool) -> Life:
    """Return a plan whose approval expired; with `live_first` after a call, and a second one that was stale."""
    life = waiting(step("a"), step("b", "write", "a"))
    if live_first:
        life.say("approve").call(live("a"), CallStale(step="b", error="it has changed"))
        rehearse(life.run)
        life.report()
    life.run.apply(Event.EXPIRED, NOW)
    if life.run.outcome is None:
        life.run.outcome = Outcome.EXPIRED
    return life.report()


def partly() -> Life:
    life = waiting(step("a"), step("b")).say("approve", steps=["a"])
    return life.call(live("a"))


def rehearsal_failed() -> Life:
    life = Life(step("a"), step("b"))
    life.run.record(AuditKind.ADMISSION, "admitted", NOW)
    begin_rehearsal(life.run, admitted(life.run.plan))
    life.run.apply(Event.REHEARSED, NOW)
    end_unrehearsed(life.run, [PreviewFailed(step="a", error="no answer", unlooked=True)], NOW)
    return life.report()


def locked_in_the_queue() -> Life:
    return waiting().say("approve").say("lock").say("rollback").undo()


def settled_by_a_person(outcome: str) -> Life:
    life = waiting(step("a", "mail")).say("approve").call(CallInDoubt(step="a", error="lost"))
    life.say("resolve", step="a", outcome=outcome, **({"output": {"id": "x"}} if outcome == "happened" else {}))
    if life.run.state is State.LIVE:
        return life.call()
    return life.undo()


def waived() -> Life:
    life = waiting()
    waive(life.run)
    return life.report().call(live("a"))


def doubt(happened: bool | None) -> Life:
    life = waiting(step("a", "mail"), step("b")).say("approve")
    call(life.run, CallInDoubt(step="a", error="lost"), live("b"))
    if happened is not None:
        take_probe(life.run, ProbeAnswer(step="a", happened=happened, output={} if happened else None), NOW)
    call(life.run, after=True)
    if life.run.state is State.ROLLBACK:
        return life.report().undo("b")
    return life.report()


def undone_after_the_end() -> Life:
    life = waiting().say("approve").call(live("a"))
    undo = life.run.model_copy(
        update={"undoing": Undoing(by="boss", reason="wrong"), "audit": [], "audited": 0, "outcome": None}, deep=True
    )
    undo.state = State.AWAITING_APPROVAL
    second = Life()
    second.run, second.seen = undo, undo.state
    undo.apply(Event.APPROVED, NOW, by="boss")
    undo.apply(Event.ROLLBACK, NOW)
    second.report().undo("a")
    life.outbox.queued = (*life.outbox.queued, *second.outbox.queued)
    return life


def undo_that_never_began() -> Life:
    life = undone_after_the_end()
    undo = Life()
    undo.run = life.run.model_copy(
        update={"undoing": Undoing(by="boss", reason="wrong"), "audit": [], "audited": 0, "outcome": None}, deep=True
    )
    undo.run.state = undo.seen = State.AWAITING_APPROVAL
    return undo.say("lock").say("abort")


LIVES: dict[str, tuple[Callable[[], Life], dict[str, Any]]] = {
    "completed": (
        lambda: waiting().say("approve").call(live("a", seconds=1.0)),
        {"calls": 1, "rehearsals": 1, "ended_live": 1, "decisions": 1, "success": 1.0, "rollback": 0.0, "conflict": 0.0,
         "ratio": 1 / 3, "approval": 1.0, "accuracy": 1.0, "drift": 0.0, "score": 100.0},
    ),
    "never live": (
        never_live,
        {"rehearsals": 1, "ended_live": 0, "calls": 0, "success": None, "rollback": None, "accuracy": None, "ratio": 0.0,
         "decisions": 0, "approval": None, "conflict": 0.0, "drift": None, "score": None},
    ),
    "rolled back": (
        lambda: waiting(step("a"), step("b", "write", "a")).say("approve").call(live("a"), failed("b")).undo("a"),
        {"calls": 2, "ended_live": 1, "success": 0.5, "rollback": 1.0, "accuracy": 0.0, "ratio": 1 / 3, "approval": 1.0,
         "drift": 0.5, "score": 35.0},
    ),
    "locked while live, then rolled back": (
        lambda: waiting(step("a"), step("b")).say("approve").call(live("a")).say("lock").say("rollback").undo("a"),
        {"calls": 1, "ended_live": 1, "success": 1.0, "rollback": 1.0, "accuracy": 0.0},
    ),
    "denied": (
        lambda: waiting().say("deny"),
        {"calls": 0, "ended_live": 0, "decisions": 1, "approval": 0.0, "success": None, "ratio": 0.0, "rollback": None},
    ),
    "rehearsed only": (
        lambda: waiting(max_mode=Mode.DRY_RUN),
        {"calls": 0, "rehearsals": 1, "ended_live": 0, "decisions": 0, "approval": None, "ratio": 0.0},
    ),
    "the entry was refused": (
        refused_entry,
        {"calls": 0, "rehearsals": 1, "ended_live": 0, "decisions": 2, "approval": 0.5, "rollback": None, "accuracy": None},
    ),
    "the entry was refused for its seal": (
        lambda: refused(STALE),
        {"calls": 0, "ended_live": 0, "decisions": 2, "approval": 0.5, "rollback": None, "accuracy": None},
    ),
    "the entry was refused until the plan was locked": (
        lambda: refused(STALE, 3), {"calls": 0, "ended_live": 0, "rollback": None, "accuracy": None},
    ),
    "the entry was refused again after a call": (
        lambda: refused("policy", 1, live("a")), {"calls": 1, "ended_live": 1, "rollback": 0.0, "success": 1.0},
    ),
    "expired": (
        lambda: timed_out(live_first=False),
        {"calls": 0, "ended_live": 0, "decisions": 1, "approval": 0.0, "rollback": None, "accuracy": None},
    ),
    "expired after a call and a stale one": (
        lambda: timed_out(live_first=True),
        {"calls": 1, "rehearsals": 1, "ended_live": 1, "decisions": 2, "approval": 0.5, "success": 1.0, "rollback": 0.0},
    ),
    "approved in part": (
        partly, {"calls": 1, "ended_live": 1, "decisions": 1, "approval": 1.0, "accuracy": 1.0, "ratio": 1 / 5},
    ),
    "a target that did not answer the dry run": (
        rehearsal_failed, {"calls": 0, "rehearsals": 1, "ended_live": 0, "decisions": 0, "success": None, "accuracy": None},
    ),
    "locked in a queue, before any call": (
        locked_in_the_queue, {"calls": 0, "ended_live": 1, "success": None, "rollback": 1.0, "accuracy": 0.0},
    ),
    "a doubt that a person settled as done": (
        lambda: settled_by_a_person("happened"),
        {"calls": 1, "ended_live": 1, "success": 0.0, "rollback": 0.0, "accuracy": 1.0},
    ),
    "a doubt that a person settled as not done": (
        lambda: settled_by_a_person("did_not_happen"), {"calls": 1, "ended_live": 1, "success": 0.0, "rollback": 1.0},
    ),
    "the policy approved": (waived, {"calls": 1, "ended_live": 1, "decisions": 0, "approval": None, "accuracy": 1.0}),
    "unlocked, and admitted again with a conflict": (
        lambda: waiting().say("lock").say("unlock").admit(CONFLICT).say("approve").call(live("a")),
        {"rehearsals": 1, "conflict": 0.0, "ended_live": 1, "calls": 1},
    ),
    "a conflict at each admission": (
        lambda: waiting(conflicts=(CONFLICT,)).say("lock").say("unlock").admit(CONFLICT).say("deny"),
        {"rehearsals": 1, "conflict": 1.0},
    ),
    "in doubt": (lambda: doubt(None), {"calls": 2, "ended_live": 0, "success": 0.5, "rollback": None}),
    "a doubt that had an effect": (lambda: doubt(True), {"calls": 2, "ended_live": 1, "success": 1.0, "accuracy": 1.0}),
    "a doubt without an effect": (lambda: doubt(False), {"calls": 2, "ended_live": 1, "success": 0.5, "rollback": 1.0}),
    "undone after the end": (
        undone_after_the_end, {"calls": 1, "rehearsals": 1, "ended_live": 2, "rollback": 0.5, "accuracy": 0.5},
    ),
    "an undo that never began": (undo_that_never_began, {"calls": 0, "ended_live": 0, "rollback": None}),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVES)
def test_every_figure_counts_what_its_page_says(name: str) -> None:
    life, expected = LIVES[name]
    lived = life()
    assert [problem_of(report) for report in lived.outbox.queued] == [""] * len(lived.outbox.queued)
    health = lived.health
    metrics = health.metrics
    figures = {
        **health.samples.model_dump(),
        "success": metrics.tool_success_rate,
        "rollback": metrics.rollback_frequency,
        "conflict": metrics.conflict_rate,
        "ratio": metrics.live_execution_ratio,
        "approval": metrics.approval_rate,
        "accuracy": health.approval_accuracy,
        "drift": metrics.confidence_drift,
        "score": health.score and health.score.value,
    }
    assert {key: figures[key] for key in expected} == pytest.approx(expected, nan_ok=False)


def test_a_mock_that_failed_is_no_live_call() -> None:
    life = Life(step("a"), step("b", "write", "a"))
    life.run.record(AuditKind.ADMISSION, "admitted", NOW)
    begin_rehearsal(life.run, admitted(life.run.plan))
    take_mocks(life.run, [MockFailed(step="a", error="no")])
    life.run.apply(Event.CAPPED, NOW)
    health = life.report().health
    assert health.samples.calls == 0
    assert health.metrics.live_execution_ratio == 0.0
    assert health.metrics.tool_success_rate is None
