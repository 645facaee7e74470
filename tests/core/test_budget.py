"""Budgets: what a plan, and one agent in it, may use up; and what a scoped lock stops a plan for."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.admitted import Admitted
from airlock.admission.budget import (
    MAX_SCOPED_RESOURCES,
    Spending,
    budgets_of,
    exceeded,
    scopes,
    spending,
    spending_by_agent,
)
from airlock.admission.examination import examine
from airlock.admission.policy import Budget, WindowBudget
from airlock.base.errors import Problem
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan, Step
from tests.core.build import contract, make_tool, plan, policy, step

CATALOGUE = Catalogue(
    [
        make_tool("read", "LOW", "read_only", resources=("row:{key}",), cost=0.1),
        make_tool(
            "write",
            "MEDIUM",
            "reversible",
            compensate=True,
            resources=("row:{key}", "shelf:{shelf}"),
            cost=0.1,
            secrets={"key"},
        ),
        make_tool("mail", "HIGH", "irreversible", resources=("box:{to}",), cost=2.5),
    ]
)


def answer(*steps: Step, **knobs: Any) -> tuple[Admitted | None, tuple[Problem, ...]]:
    admission = examine(plan(*steps), CATALOGUE, policy(**knobs))
    return admission.admitted, admission.problems


def admitted(proposed: Plan, **knobs: Any) -> Admitted:
    found = examine(proposed, CATALOGUE, policy(agents={"*": {"permissions": ["*"], "secrets": ["*"]}}, **knobs)).admitted
    assert found is not None
    return found


READS = [step(f"s{number:02d}", "read") for number in range(12)]
MAILS = [step(f"m{number}", "mail", args={"to": f"jo{number}"}) for number in range(3)]


@pytest.mark.parametrize(
    ("budget", "steps", "messages"),
    [
        ({"live_calls": 12}, READS, []),
        ({"live_calls": 10}, READS, ["would make 12 live calls, the policy allows 10 (policy.budget.live_calls)"]),
        ({"live_calls": 0}, READS[:1], ["would make 1 live call, the policy allows 0 (policy.budget.live_calls)"]),
        ({"irreversible_calls": 3}, MAILS, []),
        ({"irreversible_calls": 0}, READS, []),
        (
            {"irreversible_calls": 1},
            MAILS,
            ["would make 3 irreversible calls, the policy allows 1 (policy.budget.irreversible_calls)"],
        ),
        ({"cost": 7.5}, MAILS, []),
        ({"cost": 7}, MAILS, ["would cost 7.5, the policy allows 7 (policy.budget.cost)"]),
        ({"cost": 1.2}, READS, []),
        ({"cost": 0.3}, READS[:3], []),  # three times 0.1 is 0.30000000000000004
        (
            {"cost": 0.2, "live_calls": 2},
            READS[:3],
            [
                "would make 3 live calls, the policy allows 2 (policy.budget.live_calls)",
                "would cost 0.3, the policy allows 0.2 (policy.budget.cost)",
            ],
        ),
    ],
)
def test_a_plan_beyond_its_budget_is_refused_with_the_number(
    budget: dict[str, Any], steps: list[Step], messages: list[str]
) -> None:
    found, problems = answer(*steps, budget=budget)
    assert [problem.message for problem in problems] == messages
    assert (found is None) is bool(messages)
    assert all("split the plan" in problem.fix for problem in problems)


def test_only_calls_that_may_go_live_count() -> None:
    unsure = step("m9", "mail", args={"to": "x"}, confidence=0.8)
    double = step("m8", "mail", args={"to": "jo0"})
    behind = step("z", "write", "m8")
    found, problems = answer(*MAILS, unsure, double, behind, budget={"live_calls": 3, "irreversible_calls": 3})
    assert problems == ()
    assert found is not None
    assert set(found.live_candidates) == {"m0", "m1", "m2"}


def test_one_agent_that_alone_exceeds_its_window_is_refused_early() -> None:
    agents = {"*": {"permissions": ["*"]}, "bot": {"permissions": ["*"], "budget": {"live_calls": 2, "per": "1h"}}}
    other = [each.model_copy(update={"agent": "other"}) for each in READS]
    assert answer(*READS[:2], *other[2:], agents=agents)[1] == ()
    (problem,) = answer(*READS[:3], *other[3:], agents=agents)[1]
    assert problem.where == "agent 'bot'"
    assert problem.message == (
        "would make 3 live calls, the policy allows 2 (policy.agents.bot.budget.live_calls) for any 1h"
    )


def test_the_budget_of_everybody_counts_for_each_by_itself() -> None:
    agents = {"*": {"permissions": ["*"], "budget": {"live_calls": 6}}}
    other = [each.model_copy(update={"agent": "other"}) for each in READS]
    assert answer(*READS[:6], *other[6:], agents=agents)[1] == ()
    (problem,) = answer(*READS[:7], *other[7:], agents=agents)[1]
    assert "policy.agents.*.budget.live_calls" in problem.message


@given(st.lists(st.sampled_from(["read_only", "irreversible", "reversible"]), max_size=20), st.integers(0, 20))
def test_exactly_what_is_allowed_is_allowed(kinds: list[str], allowed: int) -> None:
    spent = spending(contract(reversibility=kind, risk="MEDIUM", cost=1) for kind in kinds)
    assert spent == Spending(live_calls=len(kinds), irreversible_calls=kinds.count("irreversible"), cost=len(kinds))
    for limit, used in (
        ("live_calls", len(kinds)),
        ("irreversible_calls", kinds.count("irreversible")),
        ("cost", len(kinds)),
    ):
        assert bool(exceeded(spent, Budget.model_validate({limit: allowed}), "b")) is (used > allowed)
    assert exceeded(spent, Budget(), "b") == ()


def test_spending_is_by_agent_and_counts_approved_steps_only() -> None:
    steps = (
        step("a", "read", agent="zoe"),
        step("b", "mail", args={"to": "x"}),
        step("c", "read", agent="zoe"),
        step("d", "read"),
    )
    found = admitted(plan(*steps))
    assert spending_by_agent(steps, found, ["c", "b", "a"]) == {
        "bot": Spending(live_calls=1, irreversible_calls=1, cost=2.5),
        "zoe": Spending(live_calls=2, cost=0.2),
    }
    assert list(spending_by_agent(steps, found, ["a", "b"])) == ["bot", "zoe"]
    assert spending_by_agent(steps, found, []) == {}


def test_only_agents_with_a_budget_have_one() -> None:
    rules = policy(agents={"a": {"budget": {"live_calls": 1}}, "b": {}, "*": {"budget": {"cost": 2, "per": "7d"}}})
    found = admitted(plan(step("a", "read"))).model_copy(update={"policy": rules})
    assert budgets_of(found, ["c", "b", "a", "c", "\uff21", "C"]) == {
        "a": WindowBudget(live_calls=1),
        "c": WindowBudget(cost=2, per="7d"),
    }


def test_scopes_name_agents_tools_and_resources_of_the_approved_steps() -> None:
    steps = (
        step("a", "write", args={"key": "k", "shelf": 3}),
        step("b", "mail", args={"to": "jo"}, agent="zoe"),
        step("c", "read", args={"key": "other"}, agent="eve"),
    )
    found = admitted(plan(*steps))
    assert scopes(steps, found, ["b", "a"]) == (
        "agent:bot", "agent:zoe", "agent=bot", "agent=zoe",
        "resource:box:jo", "resource:row:k", "resource:shelf:3", "tool:mail", "tool:write",
    )  # fmt: skip
    assert scopes(steps, found, []) == ()


@pytest.mark.parametrize(
    ("args", "unknown"),
    [
        ({"key": {"$ref": "r.id"}, "shelf": 1}, True),
        ({"key": "k", "shelf": {"deep": [{"$ref": "r.id"}]}}, True),
        ({"key": {"$secret": "NAME"}, "shelf": 1}, True),
        ({"key": "k", "shelf": 1, "value": {"$ref": "r.id"}}, False),
        ({"key": "k"}, False),
    ],
)
def test_a_resource_that_is_not_known_yet_might_be_any(args: dict[str, Any], unknown: bool) -> None:
    steps = (step("r", "read"), step("a", "write", args=args))
    found = scopes(steps, admitted(plan(*steps)), ["r", "a"])
    assert ("resource:*" in found) is unknown
    assert ("resource:row:k" in found) is (args["key"] == "k")


def test_more_resources_than_a_gate_remembers_stand_for_any() -> None:
    steps = [step(f"s{number}", "read", args={"key": number}) for number in range(MAX_SCOPED_RESOURCES + 1)]
    found = admitted(plan(*steps))
    assert scopes(steps, found, [each.id for each in steps]) == ("agent:bot", "agent=bot", "resource:*", "tool:read")
    assert len(scopes(steps, found, [each.id for each in steps[1:]])) == MAX_SCOPED_RESOURCES + 3
