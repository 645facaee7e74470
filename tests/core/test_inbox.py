"""The inbox as data: its order, its filters, its counts and its pages."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airlock.client.inbox import MOST_CHOICES, Inbox, InboxFilter, InboxItem, WaitKind, in_order
from airlock.client.inbox_reader import highest_risk, item_of, unanswered
from airlock.client.listing import PlanSummary
from airlock.plans.outcome import CallInDoubt
from airlock.run.presentation.views import status_view
from tests.core.build import awaiting, call, live_run, plan, policy, say, step

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def item(plan_id: str, kind: WaitKind = WaitKind.APPROVAL, **more: Any) -> InboxItem:
    return InboxItem(plan_id=plan_id, run_id=plan_id, kind=kind, state="AWAITING_APPROVAL", **more)


def summary(plan_id: str = "p", workflow_id: str = "plan-p", state: str = "AWAITING_APPROVAL") -> PlanSummary:
    return PlanSummary(plan_id=plan_id, workflow_id=workflow_id, run_id="r", status="RUNNING", state=state, risk="LOW")


def test_what_may_have_half_happened_comes_first_then_what_expires_first():
    found = in_order(
        [
            item("gate", WaitKind.LOCKED_BY_GATE, since=NOW),
            item("late", expires_at=NOW + timedelta(hours=2)),
            item("unanswered", started_at=None),
            item("soon", expires_at=NOW + timedelta(hours=1)),
            item("doubt", WaitKind.IN_DOUBT, since=NOW),
            item("older-doubt", WaitKind.IN_DOUBT, since=NOW - timedelta(days=1)),
        ]
    )
    assert [each.plan_id for each in found] == ["older-doubt", "doubt", "soon", "late", "unanswered", "gate"]


@pytest.mark.parametrize(
    ("chosen", "takes"),
    [
        ({}, True),
        ({"agent": "OPS"}, True),
        ({"agent": "op"}, False),
        ({"tool": "send_email"}, True),
        ({"risk": "high"}, True),
        ({"risk": "LOW"}, False),
        ({"kind": "approval"}, True),
        ({"kind": "locked"}, False),
        ({"text": "acme onboard"}, True),
        ({"text": "ACME\u200b"}, True),
        ({"text": "acme nobody"}, False),
    ],
)
def test_a_filter_takes_names_and_words_in_every_spelling(chosen: dict[str, str], takes: bool):
    one = item("p", agents=("ops",), tools=("send_email",), risk="HIGH", goal="Onboard ac\u200bme")
    assert InboxFilter(**chosen).takes(one) is takes


def test_pages_hold_all_items_once():
    inbox = Inbox(items=tuple(item(f"p{number}") for number in range(7)), at=NOW)
    pages = [inbox.page(InboxFilter(), number, 3) for number in (1, 2, 3)]
    assert [each.plan_id for page in pages for each in page.items] == [f"p{number}" for number in range(7)]
    assert inbox.page(InboxFilter(), 99, 3) == pages[-1]
    assert inbox.page(InboxFilter(text="none")).pages == 1


def test_counts_name_what_a_filter_can_choose():
    inbox = Inbox(items=(item("a", risk="LOW", agents=("x", "y")), item("b", risk="HIGH", agents=("x",))), at=NOW)
    counts = inbox.counts()
    assert counts.risks == (("HIGH", 1), ("LOW", 1))
    assert counts.agents == (("x", 2), ("y", 1))
    assert counts.kinds == (("approval", 2),)


def test_a_plan_that_waits_for_approval_is_an_item_with_its_votes_and_expiry():
    run = awaiting(plan(step("a"), step("b", "write", "a")), policy(approvals_required=2))
    assert say(run, "approve", by="olga", digest=run.digest).accepted
    found = item_of(summary(), status_view(run))
    assert found is not None
    assert (found.kind, found.approvals, found.approvals_required) == (WaitKind.APPROVAL, ("olga",), 2)
    assert (found.expires_at, found.steps, found.live_steps) == (run.expires_at, 2, 2)
    assert found.risk == highest_risk(status_view(run).steps)


def test_a_plan_that_ended_meanwhile_is_no_item():
    run = awaiting(plan(step("a")))
    assert say(run, "deny", by="olga", reason="no").accepted
    assert item_of(summary(), status_view(run)) is None


def test_locks_and_doubts_are_told_apart():
    run = live_run(plan(step("a")))
    assert item_of(summary(), status_view(run)) is None
    call(run, CallInDoubt(step="a", error="connection lost"), after=True)
    found = item_of(summary(), status_view(run))
    assert found is not None
    assert (found.kind, found.parked) == (WaitKind.IN_DOUBT, ("a",))
    locked = awaiting(plan(step("a")))
    assert say(locked, "lock", by="olga", reason="an incident").accepted
    found = item_of(summary(), status_view(locked))
    assert found is not None
    assert (found.kind, found.why) == (WaitKind.LOCKED, "an incident")


def test_a_plan_without_a_worker_is_an_item_by_what_temporal_knows():
    found = unanswered(summary(workflow_id="undo-p", plan_id="undo-p", state="LOCKED"), "no worker polls")
    assert (found.kind, found.undo, found.problem, found.risk) == (WaitKind.LOCKED, True, "no worker polls", "LOW")


def test_a_workflow_that_tells_millions_makes_no_large_item():
    told = status_view(awaiting(plan(step("a"))))
    steps = tuple(told.steps[0].model_copy(update={"id": f"s{n}", "agent": f"{n}" + "x" * 500}) for n in range(6_000))
    huge = told.model_copy(
        update={"goal": "\u0430b" * 1_000_000, "why": "y" * 1_000_000, "steps": steps, "digest": "z" * 9_999}
    )
    found = item_of(summary(), huge)
    assert found is not None
    assert len(found.model_dump_json()) < 1_200_000
    assert (len(found.goal), len(found.why), len(found.agents)) == (2_001, 2_001, 5_000)
    inbox = Inbox(items=(found,), at=NOW)
    assert len(inbox.counts().agents) == MOST_CHOICES
    assert inbox.chosen(InboxFilter(agent=found.agents[4_999])) == (found,), (
        "no agent is lost, and no receiver misses a plan"
    )
