"""A plan's reports to its monitor: each stage once, kept until they are sent, always to the same monitor."""

from airlock.monitoring.aggregation import Aggregate, Stage
from airlock.monitoring.outbox import MAX_QUEUED, Outbox, monitor_of
from airlock.monitoring.report import Report
from airlock.plans.contract import Mode
from airlock.plans.state import Event
from airlock.run.decisions.decision import decide
from airlock.run.messages import Abort, Lock
from airlock.run.state import Run
from tests.core.build import NOW, new_run, plan, policy, rehearse, step, waive
from tests.core.counting import report


def _ended(run: Run) -> list[Report]:
    """Return the reports of a run that is locked while it is LIVE, and aborted then."""
    outbox, state = Outbox(), run.state

    def moved() -> None:
        nonlocal state
        outbox.stage_ended(run, state, "r", NOW)
        state = run.state

    rehearse(run)
    moved()
    assert not outbox.queued, "MOCK, DRY_RUN and the decision are one stage"
    waive(run)
    moved()
    assert [each.key.stage for each in outbox.queued] == [Stage.REHEARSAL]
    decide(run, "lock", Lock(by="olga", reason="a look"), NOW)
    moved()
    assert [each.key.stage for each in outbox.queued][1:] == [Stage.LIVE]
    assert outbox.due(run, giving_back=False) == ()
    assert outbox.due(run, giving_back=True) == outbox.queued
    moved()
    assert len(outbox.queued) == 2, "nothing is told of a plan that stays locked"
    decide(run, "abort", Abort(by="olga", reason="enough"), NOW)
    moved()
    run.apply(Event.LOCK, NOW)  # refused, and recorded, after the end
    moved()
    assert outbox.due(run, giving_back=False) == outbox.queued
    return list(outbox.queued)


def test_each_stage_is_reported_once_and_the_end_too() -> None:
    found = _ended(new_run(plan(step("a"), step("b", "write", "a", args={"key": "k"}))))
    assert len({each.key.text for each in found}) == len(found) == 3
    total = Aggregate()
    for each in found:
        total += each.facts
    assert total.outcomes == {"aborted": 1}
    assert total.reports == {"rehearsal": 1, "live": 2}
    assert total.ended_live == 1
    assert sum(total.tool("write").tally(mode).calls for mode in (Mode.MOCK, Mode.DRY_RUN)) == 4


def test_what_was_sent_is_forgotten_and_what_came_since_is_not() -> None:
    first, second = report(Aggregate(stale=1), 1), report(Aggregate(stale=2), 2)
    outbox = Outbox(queued=(first,))
    sent = outbox.queued
    outbox.queued += (second,)
    outbox.sent(sent)
    assert outbox.queued == (second,)


def test_many_reports_are_sent_without_anything_to_give_back() -> None:
    run = new_run(plan(step("a")))
    few = Outbox(queued=tuple(report(Aggregate(), number) for number in range(MAX_QUEUED - 1)))
    assert few.due(run, giving_back=False) == ()
    assert len(Outbox(queued=(*few.queued, report(Aggregate(), 99))).due(run, giving_back=False)) == MAX_QUEUED


def test_a_plan_keeps_its_monitor() -> None:
    run = new_run(plan(step("a")), policy(monitor_shards=7))
    assert monitor_of(run) == monitor_of(run)
    assert monitor_of(run).startswith("monitor-")
    shards = {monitor_of(new_run(plan(step("a"), plan_id=f"p{number}"), policy(monitor_shards=7))) for number in range(200)}
    assert shards == {f"monitor-{shard}" for shard in range(7)}
    assert monitor_of(Run(plan=plan(step("a")), submitted_at=NOW, since=NOW)) == "monitor-0"
