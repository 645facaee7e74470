"""The comparison itself: it must find what is wrong, and choose the same for the same seed."""

from typing import Any

import pytest

from airlock.plans.state import State
from airlock.run.outcome import Outcome
from airlock.run.presentation.views import PlanResult, StepView
from devtools.corpus_checks import (
    Failure,
    call_directly,
    choose,
    differences,
    failure_for,
    judge_backward,
    judge_forward,
    snapshot,
)
from sandbox.corpus_data import load_plans, load_tools
from sandbox.corpus_tools import build
from sandbox.corpus_world import MODULE_OF, World

PLANS = load_plans()
PLAN = PLANS[0]
TOOLS = {row.tool: row for row in load_tools()}


def result(live: int, outcome: Outcome = Outcome.COMPLETED, why: str = "", **more: Any) -> PlanResult:
    ids = tuple(step["id"] for step in PLAN.plan["steps"])
    steps = tuple(
        StepView(
            id=step["id"],
            agent=step["agent"],
            tool=step["tool"],
            status="undone" if TOOLS[step["tool"]].changes_state else "live",
            reversibility="reversible" if TOOLS[step["tool"]].changes_state else "read_only",
        )
        for step in PLAN.plan["steps"]
    )
    return PlanResult(
        plan_id=PLAN.plan_id, outcome=outcome, state=State.COMPLETED, why=why, digest=None, steps=steps,
        live=ids[:live], undone=(), kept=(), not_settled=(), **more,
    )  # fmt: skip


def world(calls: int) -> World:
    made = World(PLAN.classes, PLAN.initial_config)
    for module, method, args in list(PLAN.calls())[:calls]:
        made.call(module, method, args)
    return made


def test_the_same_state_and_results_are_equal() -> None:
    direct = call_directly(PLAN)
    checked = judge_forward(PLAN, result(10, outputs=direct.results), snapshot(world(10)))
    assert (checked.why, checked.calls, checked.moved) == ((), 10, True)


def test_a_call_too_few_a_wrong_result_and_a_wrong_outcome_are_found() -> None:
    direct = call_directly(PLAN)
    why = judge_forward(PLAN, result(10, outputs=direct.results), snapshot(world(7))).why
    assert any("the state of gorilla_file_system differs at" in each for each in why)
    why = judge_forward(PLAN, result(10, outputs={**direct.results, "s01": 1}), snapshot(world(10))).why
    assert len(why) == 1
    assert why[0].startswith("the result of s01 is 1, directly it is")
    why = judge_forward(PLAN, result(9, Outcome.PARTIAL, outputs=direct.results), snapshot(world(10))).why
    assert why == ("it ended partial, 9 steps live: ",)


def test_a_rollback_must_reach_the_initial_state_and_have_failed_where_it_was_told_to() -> None:
    failure = Failure(3, "error")
    told = "step 's04' failed: asked for"
    assert judge_backward(PLAN, failure, result(0, Outcome.ABORTED, told), snapshot(world(0))).why == ()
    why = judge_backward(PLAN, failure, result(0, Outcome.ABORTED, told), snapshot(world(1))).why
    assert len(why) == 1
    assert "the state of gorilla_file_system differs at" in why[0]
    why = judge_backward(PLAN, failure, result(0, Outcome.ABORTED, "somebody stopped it"), snapshot(world(0))).why
    assert why == ("it did not fail at s04: somebody stopped it",)
    why = judge_backward(PLAN, failure, result(0, Outcome.COMPLETED, told), snapshot(world(0))).why
    assert why == (f"it ended completed instead of rolling back: {told}",)


def test_differences_name_the_place() -> None:
    one = {"digest": "1", "state": {"api": {"a": [1, {"b": 2}]}, "other": 1}}
    other = {"digest": "2", "state": {"api": {"a": [1, {"b": 3}]}, "other": 1}}
    assert differences(one, other) == ["the state of api differs at a.1.b: 3 instead of 2"]
    assert differences(one, {**other, "digest": "1"}) == []
    assert differences(one, {**one, "digest": "2"}) == ["the digests of equal states differ"]
    assert differences(one, {"digest": "2", "state": {}})[1] == "the state of other differs at its root: None instead of 1"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [8, 30, 200])
def test_a_choice_covers_every_api_in_the_order_of_the_corpus(count: int, seed: int) -> None:
    chosen = choose(PLANS, count, seed)
    assert len(chosen) == count
    assert chosen == [plan for plan in PLANS if plan in chosen] == choose(PLANS, count, seed)
    assert {module for plan in chosen for module, _, _ in plan.calls()} == set(MODULE_OF.values())


def test_a_failure_comes_after_a_call_and_before_the_end() -> None:
    failures = [(plan, failure_for(plan, 1)) for plan in PLANS]
    assert all(1 <= failure.after_calls < len(plan.plan["steps"]) for plan, failure in failures)
    assert failures == [(plan, failure_for(plan, 1)) for plan in PLANS]
    assert [failure for _, failure in failures] != [failure_for(plan, 2) for plan in PLANS]


def test_the_contracts_are_those_of_the_corpus() -> None:
    contracts = [(row, build(row).contract()) for row in load_tools()]
    assert len(contracts) == 81
    for row, contract in contracts:
        expected = ("MEDIUM", "reversible", True) if row.changes_state else ("LOW", "read_only", False)
        assert (contract.risk, contract.reversibility, contract.has_compensate) == expected
