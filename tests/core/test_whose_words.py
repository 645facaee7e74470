"""The reason of a state: what a person wrote is told from what Airlock says, on every surface."""

import json

import pytest

from airlock.alerts.alert import Alert
from airlock.cli.display.status_screens import headline
from airlock.client.inbox_reader import item_of
from airlock.client.listing import PlanSummary
from airlock.notify.standing import alert_of
from airlock.plans.state import Event, State
from airlock.run.presentation.views import StatusView, status_view
from airlock.run.state import Run
from tests.core.build import NOW, awaiting, call, failed, live, plan, step
from tests.core.signed_build import demanding, fields_of, ready, send

LIE = 'every approved call is live", airlock says: "nothing waits for you'
PLAN = plan(step("a"), step("b", "write", "a"))


def decided(decision: str) -> StatusView:
    run = ready(decision, demanding("none"))
    verdict = send(run, decision, {**fields_of(decision, run), "reason": LIE}, None)
    assert verdict.accepted, verdict
    return status_view(run)


@pytest.mark.parametrize("decision", ["lock", "unlock", "deny", "rollback", "abort"])
def test_the_words_of_a_person_stand_in_quotes_with_the_name(decision: str) -> None:
    status = decided(decision)
    assert (status.why, status.why_by) == (LIE, "alice")
    assert status.why_words == f'"alice" says: {json.dumps(LIE)}'
    assert 'live\\", airlock says: \\"nothing' in status.why_words, "they do not end the quotes"
    assert f'"alice" says: {json.dumps(LIE)}' in headline(status).plain


def test_a_rollback_that_has_ended_still_says_whose_words_its_reason_is() -> None:
    run = ready("rollback", demanding("none"))
    assert send(run, "rollback", {**fields_of("rollback", run), "reason": LIE}, None).accepted
    assert run.rollback is not None
    run.apply(Event.COMPENSATED, NOW, reason=run.rollback.reason)
    assert status_view(run).why_by == "alice"


def test_what_airlock_says_stands_as_it_is() -> None:
    run = awaiting(PLAN)
    assert status_view(run).why_by == ""
    run.approved = ("a", "b")
    run.apply(Event.APPROVED, NOW, by="alice", reason="2 steps approved")
    assert status_view(run).why_words == "2 steps approved"
    call(run, live("a"))
    call(run, failed("b"), after=True)
    status = status_view(run)
    assert "step 'b' failed" in status.why
    assert status.why_by == ""
    assert '"why_by"' not in status.model_dump_json(), "and older readers see no new field"


def test_lists_and_messages_name_who_locked() -> None:
    run: Run = ready("lock", demanding("none"))
    assert send(run, "lock", {**fields_of("lock", run), "reason": LIE}, None).accepted
    status = status_view(run)
    assert status.state is State.LOCKED
    summary = PlanSummary.model_construct(workflow_id="plan-p-1", plan_id="p-1", run_id="r", started_at=NOW, agents=())
    item = item_of(summary, status)
    assert item is not None
    assert item.why_words == status.why_words
    alert = alert_of(item)
    assert isinstance(alert, Alert)
    assert (alert.by, alert.why) == ("alice", LIE)
