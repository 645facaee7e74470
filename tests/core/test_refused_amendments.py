"""Refused amendments: who may change a plan, when, and what fits no plan."""

import json
from typing import Any

import pytest

from airlock.base.errors import PlanError
from airlock.base.incoming import MalformedMessage
from airlock.plans.plan import Plan, Step
from airlock.plans.state import State
from airlock.run.audit import AuditKind
from airlock.run.decisions.amending import MAX_AMENDMENTS, amended_plan
from airlock.run.messages import parse_message
from tests.core.amend_build import OTHER_C, PLAN, TWO, change, judged, sent
from tests.core.build import awaiting, call, live, plan, policy, say, step


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("bot", "'bot' is an agent of this plan: agents propose, they never approve"),
        ("stranger", "'stranger' is not among the approvers"),
    ],
)
def test_strangers_and_agents_amend_nothing(by: str, told: str):
    rules = policy(approvers=["ann", "bob"])
    run = awaiting(PLAN, rules)
    digest = run.digest
    verdict = judged(run, sent(run, OTHER_C, by=by), rules)
    assert told in verdict.reason
    assert (run.state, run.digest, run.plan) == (State.AWAITING_APPROVAL, digest, PLAN)


def test_an_agent_amends_the_plan_that_it_requested_and_approves_nothing():
    own = plan(step("a"), requested_by="bot")
    run = awaiting(own, policy())
    change(run, step("a", "order"), by="bot", rules=policy())
    assert "requested this plan" in say(run, "approve", by="bot").reason


def test_a_plan_is_amended_only_while_it_waits_for_approval():
    run = awaiting(PLAN, policy())
    assert say(run, "lock").accepted
    assert "unlock it first" in judged(run, sent(run, OTHER_C), policy()).reason
    run = awaiting(PLAN, policy())
    assert say(run, "approve").accepted
    assert "is in LIVE" in judged(run, sent(run, OTHER_C), policy()).reason
    call(run, live("a"), live("b"))
    assert say(run, "lock").accepted
    assert "calls of this plan were made already" in judged(run, sent(run, OTHER_C), policy()).reason
    run = awaiting(PLAN, policy())
    assert say(run, "deny").accepted
    assert "has ended (denied)" in judged(run, sent(run, OTHER_C), policy()).reason
    run = awaiting(PLAN, policy())
    run.admitted = run.contracts().model_copy(update={"epoch": 6})
    assert "cannot be amended" in judged(run, sent(run, OTHER_C), policy()).reason


def test_a_plan_is_not_amended_for_ever():
    run = awaiting(PLAN, policy())
    run.amendments = MAX_AMENDMENTS
    assert "was amended 40 times" in judged(run, sent(run, OTHER_C), policy()).reason


def test_an_amendment_may_name_the_seal_that_it_is_for():
    run = awaiting(PLAN, policy())
    first = run.digest
    assert "not the digest" in judged(run, sent(run, OTHER_C, digest="0" * 64), policy()).reason
    change(run, OTHER_C, rules=policy(), digest=first)
    verdict = judged(run, sent(run, step("e", "write"), digest=first), policy())
    assert "has been replaced: amended by author: a better idea" in verdict.reason
    assert any("steps.c" in path for path in verdict.changed)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "steps: is empty"),
        ({"whole": True}, "steps: is empty"),
        ({"remove": ["z"]}, "there is no step 'z'"),
        ({"remove": ["a", "b", "c", "d", "e"]}, "steps"),
        ({"steps": [step("a", "order"), step("a")]}, "steps.a: is there 2 times"),
        ({"steps": [step("a", "order")], "remove": ["a"]}, "names 'a', which `steps` replaces"),
        ({"steps": [step("a")], "remove": ["b"], "whole": True}, "says nothing where `steps` are all"),
        ({"steps": [step("a"), step("e", "order")]}, "are those of the plan already"),
    ],
    ids=repr,
)
def test_what_fits_no_plan_is_refused_with_field_and_fix(fields: dict[str, Any], told: str):
    run = awaiting(PLAN, policy())
    steps = fields.pop("steps", [])
    with pytest.raises(PlanError, match=told):
        amended_plan(run.plan, sent(run, *steps, **fields))


def test_thousands_of_removals_are_compared_with_no_thousands_of_steps(monkeypatch: pytest.MonkeyPatch):
    """One such signal took thirteen seconds to refuse, and a workflow task of that length never ends."""
    asked: list[str] = []
    monkeypatch.setattr(Plan, "no_step", lambda _, name: asked.append(name) or "there is no such step")
    monkeypatch.setattr(Plan, "step", lambda _, name: pytest.fail("each look goes through all steps"))
    run = awaiting(PLAN, TWO)
    with pytest.raises(PlanError) as refused:
        amended_plan(run.plan, sent(run, remove=[f"x{number}" for number in range(5_000)]))
    assert len(asked) == 5
    assert "names 4,995 more that are not there" in str(refused.value)


def test_numbers_and_booleans_are_other_values():
    own = plan(step("a", args={"key": 1}))
    assert amended_plan(own, sent(awaiting(own), step("a", args={"key": True}))).steps[0].args == {"key": True}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"id": "x", "agent": "bot", "tool": "write"}, "steps.0.confidence: is missing"),
        ({"id": "x", "agent": "bot", "tool": "write", "confidence": 2}, "steps.0.confidence"),
        ({"id": "x", "agent": "bot", "tool": "write", "confidence": 1.0, "argz": {}}, "steps.0.argz"),
        ("x", "steps.0"),
        ({"id": "x", "args": {"key": ["x" * 1_000] * 1_600}}, "steps: is more than the 1,500,000 bytes"),
        ({"id": "x", "args": {"key": float("nan")}}, "steps: "),
        ({"id": "x", "args": {"key": json.loads("[" * 150 + "]" * 150)}}, "steps: it is nested more than 100 levels"),
    ],
    ids=range(7),
)
def test_a_malformed_step_is_named(wrong: Any, told: str):
    with pytest.raises(MalformedMessage, match=told):
        parse_message("amend", ({"by": "ann", "reason": "r", "steps": [wrong]},))


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([step("a", "write", "c")], "depends on itself: a -> c -> a"),
        ([step("a", "wrote")], "wrote"),
        ([step("a", "write", "nowhere")], "nowhere"),
    ],
)
def test_a_plan_that_admission_refuses_loses_nothing(steps: list[Step], told: str):
    run = awaiting(PLAN, TWO)
    assert say(run, "approve", by="ann").accepted
    before = run.model_copy(deep=True)
    verdict = judged(run, sent(run, *steps), TWO)
    assert not verdict.accepted
    assert told in verdict.reason
    assert "admission refuses the amended plan" in verdict.reason
    assert "stays as it was" in verdict.reason
    for name in ("plan", "admitted", "state", "digest", "sealed", "votes", "expires_at", "ceilings", "moves"):
        assert getattr(run, name) == getattr(before, name), name
    assert run.audit[-1].kind is AuditKind.REFUSED
    assert run.audit[-1].what == "amend"


def test_a_plan_of_which_nothing_could_go_live_is_refused():
    run = awaiting(plan(step("a")), policy())
    verdict = judged(run, sent(run, step("a", confidence=0.1)), policy())
    assert "no step of the amended plan may go LIVE" in verdict.reason
    assert run.state is State.AWAITING_APPROVAL
